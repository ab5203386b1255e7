import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.data import load_records  # noqa: E402
from mito_instance.detection.loader import (  # noqa: E402
    TrainingOrder,
    build_train_loader,
    read_data,
    shown,
)
from mito_instance.errors import AnnotationError, ConfigError  # noqa: E402
from mito_instance.io.coco import read_coco, write_coco  # noqa: E402


def first(order, n):
    return list(itertools.islice(order, n))


def test_an_epoch_shows_every_record_as_often_as_it_repeats():
    order = first(TrainingOrder(np.array([1.0, 2.0, 0.0]), seed=4), 9)
    assert [position for position, _ in order] == list(range(9))
    for epoch in range(3):
        records = [record for _, record in order[3 * epoch : 3 * epoch + 3]]
        assert sorted(records) == [0, 1, 1]


def test_half_a_repeat_is_every_other_epoch_on_average():
    shown = first(TrainingOrder(np.array([1.0, 0.5]), seed=4), 3000)
    assert np.mean([record for _, record in shown]) == pytest.approx(1 / 3, abs=0.03)


@pytest.mark.parametrize("start", [0, 1, 7, 24])
def test_joining_later_continues_the_same_order(start):
    whole = first(TrainingOrder(np.ones(5), seed=2), 40)
    assert first(TrainingOrder(np.ones(5), seed=2, start=start), 40 - start) == whole[start:]


def test_processes_share_every_batch_of_the_order():
    whole = first(TrainingOrder(np.ones(5), seed=2, start=6), 12)
    shares = [
        first(TrainingOrder(np.ones(5), seed=2, start=6, rank=rank, n_processes=2), 6)
        for rank in range(2)
    ]
    for step in range(3):
        batch = [example for share in shares for example in share[2 * step : 2 * step + 2]]
        assert sorted(batch) == whole[4 * step : 4 * step + 4]


@pytest.mark.parametrize("repeats", [[0.0, 0.0], [-1.0, 1.0], [np.nan, 1.0]])
def test_repeats_that_show_nothing_are_refused(repeats):
    with pytest.raises(ConfigError, match=r"MITO: (all )?repeats"):
        TrainingOrder(np.array(repeats), seed=0)


def test_examples_are_the_same_for_any_workers_and_after_any_start(
    light_config, tiny_overrides, dataset
):
    def examples(workers, start, n):
        overrides = [*tiny_overrides, "DATALOADER.NUM_WORKERS", str(workers)]
        cfg = load_config(light_config, [*overrides, "DATASETS.TRAIN", f"('{dataset}',)"])
        loader = build_train_loader(cfg, load_records([str(dataset)], cfg), seed=5, start=start)
        return [example for batch in itertools.islice(loader, n) for example in batch]

    whole = examples(0, 0, 4)
    assert len(whole) == 8
    for other in (examples(2, 0, 4), whole[:4] + examples(1, 4, 2)):
        for a, b in zip(whole, other, strict=True):
            assert torch.equal(a["image"], b["image"])
            assert torch.equal(a["instances"].gt_masks.tensor, b["instances"].gt_masks.tensor)


def test_loading_draws_nothing_from_torch(light_config, tiny_overrides, dataset):
    cfg = load_config(light_config, [*tiny_overrides, "DATASETS.TRAIN", f"('{dataset}',)"])
    before = torch.get_rng_state()
    next(iter(build_train_loader(cfg, load_records([str(dataset)], cfg), seed=5)))
    assert torch.equal(torch.get_rng_state(), before)


def test_repeats_must_fit_the_files(light_config, tiny_overrides, dataset):
    overrides = [
        *tiny_overrides, "DATASETS.TRAIN", f"('{dataset}',)", "MITO.DATASET_REPEATS", "(1.0, 2.0)"
    ]  # fmt: skip
    cfg = load_config(light_config, overrides)
    with pytest.raises(ConfigError, match=r"one number a file of DATASETS.TRAIN \(1\), got 2"):
        build_train_loader(cfg, load_records([str(dataset)], cfg), seed=0)


def test_empty_images_come_as_often_as_asked(light_config, tiny_overrides, dataset):
    overrides = [*tiny_overrides, "DATASETS.TRAIN", f"('{dataset}',)"]
    cfg = load_config(light_config, [*overrides, "MITO.EMPTY_IMAGE_REPEATS", "0.0"])
    records = load_records([str(dataset)], cfg)
    loader = build_train_loader(cfg, records, seed=5)
    shown = {record for _, record in first(loader.loader.sampler, 30)}
    assert [len(records[record]) > 0 for record in sorted(shown)] == [True, True]


def test_a_file_that_is_never_shown_is_not_pasted(light_config, tiny_overrides, dataset, tmp_path):
    records = read_coco(dataset)
    for name, part in (("a", records[:1]), ("b", records[1:])):
        write_coco(tmp_path / f"{name}.json", part)
    words = ["DATASETS.TRAIN", f"('{tmp_path / 'a.json'}', '{tmp_path / 'b.json'}')"]
    words += ["MITO.DATASET_REPEATS", "(1.0, 0.0)", "MITO.AUGMENT.COPY_PASTE_MAX", "2"]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    loader = build_train_loader(cfg, read_data(cfg, with_validation=False)[0], seed=0)
    assert [Path(r.image).name for r in shown(cfg, read_data(cfg, with_validation=False)[0])] == [
        Path(records[0].image).name
    ]
    (source,) = loader.loader.dataset.mapper.sources
    assert Path(source.image).name == Path(records[0].image).name


def test_a_page_with_two_truths_is_refused(light_config, tiny_overrides, dataset, tmp_path):
    records = read_coco(dataset)
    fewer = [records[0].select(range(len(records[0]) - 1)), *records[1:]]
    write_coco(tmp_path / "corrected.json", records)
    write_coco(tmp_path / "old.json", fewer)

    def read(name, *more):
        words = ["DATASETS.TRAIN", f"('{tmp_path / name}', '{dataset}')", *more]
        return read_data(
            load_config(light_config, [*tiny_overrides, *words]), with_validation=False
        )

    assert len(read("corrected.json")[0]) == 2 * len(records)
    write_coco(tmp_path / "turned.json", [r.select(range(len(r))[::-1]) for r in records])
    assert len(read("turned.json")[0]) == 2 * len(records)
    assert len(read("old.json", "MITO.DATASET_REPEATS", "(0.0, 1.0)")[0]) == 2 * len(records)
    with pytest.raises(AnnotationError, match=r"page 1, has 3 .*2 or others in .*old\.json; train"):
        read("old.json")


def test_an_error_in_a_worker_is_its_one_line(light_config, tiny_overrides, dataset):
    overrides = [*tiny_overrides, "DATASETS.TRAIN", f"('{dataset}',)"]
    cfg = load_config(light_config, [*overrides, "DATALOADER.NUM_WORKERS", "1"])
    records = [replace(load_records([str(dataset)], cfg)[2], image_hw=(90, 71))]
    with pytest.raises(
        AnnotationError, match=r"image is \(90, 70\).*convert the annotations anew$"
    ):
        next(iter(build_train_loader(cfg, records, seed=5)))


def test_crowd_regions_of_training_files_are_said_once(
    light_config, tiny_overrides, dataset, tmp_path, caplog
):
    brush = tmp_path / "brush.json"
    first_image, *others = read_coco(dataset)
    marked = replace(first_image.select([]), crowds=first_image.masks[:2])
    write_coco(brush, [marked, *others])

    def said(train, val):
        words = ["DATASETS.TRAIN", f"('{train}',)", "DATASETS.TEST", f"('{val}',)"]
        caplog.clear()
        read_data(load_config(light_config, [*tiny_overrides, *words]), with_validation=True)
        messages = [entry.getMessage() for entry in caplog.records]
        return [message for message in messages if "BACKGROUND" in message]

    (line,) = said(brush, dataset)
    assert line.startswith("1 of 3 training images have crowd regions (iscrowd 1), 2 in all")
    assert "mito check FILE.json --fix OUT.json --crowds-are-instances" in line
    assert said(dataset, brush) == []


@pytest.mark.parametrize(
    ("names", "n_classes", "is_refused"),
    [
        pytest.param({1: "nucleus", 2: "mitochondrion"}, 2, True, id="another-order"),
        pytest.param({1: "Mitochondrion ", 2: "NUCLEUS"}, 2, False, id="capitals"),
        pytest.param({1: "mito", 2: "nucleus"}, 1, False, id="one-class"),
        pytest.param({0: "nothing", 1: "mitochondrion"}, 2, False, id="fewer"),
    ],
)
def test_files_with_other_categories_are_not_mixed(
    light_config, tiny_overrides, dataset, tmp_path, names, n_classes, is_refused
):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    records = read_coco(dataset)
    for path, given in ((first, {1: "mitochondrion", 2: "nucleus"}), (second, names)):
        write_coco(path, [replace(record, category_names=given) for record in records])
    words = ["MODEL.ROI_HEADS.NUM_CLASSES", str(n_classes)]
    words += ["DATASETS.TRAIN", f"('{first}',)", "DATASETS.TEST", f"('{second}',)"]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    read_data(cfg, with_validation=False)
    if not is_refused:
        assert len(read_data(cfg, with_validation=True)[1]) == 2
        return
    message = r"b.json: category 1 is 'nucleus', but 'mitochondrion' in .*a.json; give all files"
    with pytest.raises(AnnotationError, match=message):
        read_data(cfg, with_validation=True)
