import json
import shutil
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import roifile
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.calibration import PixelSize  # noqa: E402
from mito_instance.cli import export_roi, finetune, validation  # noqa: E402
from mito_instance.cli.finetune_parts import cut_to_regions, divide, read_others  # noqa: E402
from mito_instance.cli.outlined_images import read_outlined  # noqa: E402
from mito_instance.detection import trainer  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.data import MicrographMapper  # noqa: E402
from mito_instance.detection.export import export_model  # noqa: E402
from mito_instance.detection.finetuning import finetuning_config  # noqa: E402
from mito_instance.detection.image_list import add_whole_images, n_learned_before, write_image_list  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.model_card import DataFile  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.errors import AnnotationError, ImageError  # noqa: E402
from mito_instance.evaluation import thresholds  # noqa: E402
from mito_instance.instances import ImageInstances  # noqa: E402
from mito_instance.io.coco import read_coco, write_coco  # noqa: E402
from mito_instance.io.images import read_page  # noqa: E402
from mito_instance.masks import rle  # noqa: E402
from mito_instance.semantic.stacks import runs_of  # noqa: E402
from mito_instance.synthetic import write_dataset  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "mask_rcnn_light.yaml"
TINY = [
    "MODEL.DEVICE", "cpu", "MODEL.FPN.OUT_CHANNELS", "8", "MODEL.ROI_BOX_HEAD.FC_DIM", "16",
    "MODEL.ROI_MASK_HEAD.CONV_DIM", "8", "MODEL.ROI_MASK_HEAD.NUM_CONV", "1",
    "MODEL.RPN.POST_NMS_TOPK_TEST", "20", "MITO.PRECISION", "fp32", "MODEL.WEIGHTS", "",
    "DATALOADER.NUM_WORKERS", "0", "MITO.FOREGROUND.ENABLED", "True",
    "MITO.AUGMENT.CROP_PX", "64", "MITO.SCORE_THRESHOLD", "0.35",
]  # fmt: skip
REGION = np.array([[8, 16], [88, 16], [88, 96], [8, 96]], dtype=float)
SHORT = ["--set", "SOLVER.IMS_PER_BATCH", "1", "--set", "MODEL.DEVICE", "cpu"]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A tiny model with a foreground head, as a folder."""
    folder = tmp_path_factory.mktemp("start") / "tiny"
    torch.manual_seed(0)
    cfg = load_config(CONFIG, TINY)
    export_model(cfg, build_network(cfg), folder, score_threshold=0.35)
    return folder


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), 6, seed=1, image_hw=(96, 96), count=2)


def test_corrected_rois_to_a_model(start, truth, tmp_path, capfd):
    rois, images = tmp_path / "corrected", tmp_path / "images"
    assert export_roi.main([str(truth), "-o", str(rois)]) == 0
    images.mkdir()
    for path in sorted(truth.parent.glob("*.tif"))[:2]:
        (images / path.name).write_bytes(path.read_bytes())
    for path in sorted(rois.glob("*.zip"))[2:]:
        path.unlink()
    capfd.readouterr()
    output = tmp_path / "model"
    status = finetune.main(
        [
            *("--rois", str(rois), "--images", str(images), "-o", str(output)),
            *("--weights", str(start), "--steps", "2", *SHORT),
        ]
    )
    captured = capfd.readouterr()
    assert status == 0
    assert captured.out.strip() == str(output)
    predictor = load_predictor(output)
    assert predictor.score_threshold == 0.35  # nothing was held back to choose another
    assert predictor.cfg.MITO.FOREGROUND.ENABLED
    old = load_predictor(start).network.state_dict()
    moved = {
        name.split(".")[0]
        for name, value in predictor.network.state_dict().items()
        if not torch.equal(value, old[name])
    }
    assert moved == {"backbone", "proposal_generator", "roi_heads", "foreground"}
    stem = [name for name in old if ".stem." in name or ".res2." in name]
    assert stem
    assert all(torch.equal(old[name], predictor.network.state_dict()[name]) for name in stem)
    card = (output / "MODEL_CARD.md").read_text()
    assert "| start | `tiny` |" in card
    assert "| training | 2 | " in card
    assert "Trained on (instances): `synthetic_000.tif` (2), `synthetic_001.tif` (2)." in card
    assert str(tmp_path) not in card
    left = {path.name.split(".")[0] for path in (output / "training").iterdir()}
    assert left == {"train", "metrics", "events"}


def test_six_numbered_images_leave_one_for_validation(start, truth, tmp_path, capfd, monkeypatch):
    # A network of two steps finds nothing that could tell a threshold.
    monkeypatch.setattr(thresholds, "best_score_threshold", lambda *_, **__: 0.42)
    output = tmp_path / "model"
    words = ["--coco", str(truth), "-o", str(output), "--weights", str(start), "--steps", "2"]
    assert finetune.main([*words, *SHORT]) == 0
    assert capfd.readouterr().out.strip() == str(output)
    assert len(json.loads((output / "training" / "train.json").read_text())["images"]) == 4
    assert len(json.loads((output / "training" / "val.json").read_text())["images"]) == 1
    assert "0.42 (chosen on validation)" in (output / "MODEL_CARD.md").read_text()


def test_other_images_are_learned_beside(start, truth, tmp_path, capfd):
    others = write_dataset(tmp_path / "others", 2, seed=7, image_hw=(96, 96), count=3)
    output = tmp_path / "model"
    words = ["--coco", str(truth), "--also", str(others), "-o", str(output)]
    words += ["--weights", str(start), "--steps", "2"]
    assert finetune.main([*words, *SHORT]) == 0, capfd.readouterr().err
    counts = {
        name: len(read_coco(output / "training" / f"{name}.json"))
        for name in ("train", "val", "also")
    }
    assert counts == {"train": 4, "val": 1, "also": 2}
    card = (output / "MODEL_CARD.md").read_text()
    assert "half of what was shown (instances): `synthetic_000.tif` (3), " in card
    n_learned = sum(map(len, read_coco(output / "training" / "train.json")))
    assert f"| `train.json` | training | 4 | {n_learned} |" in card
    n_instances = sum(map(len, read_coco(others)))
    assert f"| `also.json` | training | 2 | {n_instances} |" in card


def test_the_pixel_size_holds_for_others_that_know_none(tmp_path):
    images = []
    for name, size in (("a", PixelSize(3.0, "coco")), ("b", None)):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), np.zeros((96, 96), np.uint8))
        mask = rle.place(np.ones((9, 9), bool), 5, 5, (96, 96))
        images.append(ImageInstances(str(path), (96, 96), (mask,), pixel_size=size))
    write_coco(tmp_path / "others.json", images)
    args = Namespace(category=None, pixel_size_nm=8.0)
    others = read_others([tmp_path / "others.json"], (), args)
    assert [image.pixel_size.nm for image in others] == [3.0, 8.0]


def test_a_validation_that_fails_loses_no_training(start, truth, tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise ImageError("c.tif: damaged")

    monkeypatch.setattr(validation, "validation_of", lambda _images: fail)
    output = tmp_path / "model"
    words = ["--coco", str(truth), "-o", str(output), "--weights", str(start), "--steps", "1"]
    assert finetune.main([*words, *SHORT]) == 2
    folder = output / "training" / "model_not_measured"
    said = f"the validation after step 1 failed; the model of that step is in {folder}"
    assert said in caplog.text
    caplog.clear()
    monkeypatch.setattr(trainer.Trainer, "export_unmeasured", lambda _: fail())
    assert finetune.main([*words[:3], str(tmp_path / "other"), *words[4:], *SHORT]) == 2
    assert "the model of that step" not in caplog.text
    assert load_predictor(folder).score_threshold == 0.35
    assert not list(output.rglob("*.pth"))


def test_look_alikes_of_what_is_held_out_are_said(start, truth, tmp_path, caplog):
    output = tmp_path / "model"
    words = ["--coco", str(truth), "-o", str(output), "--weights", str(start), "--steps", "1"]
    words += ["--set", "MITO.AUGMENT.COPY_PASTE_MAX", "1"]
    words += ["--set", "MITO.AUGMENT.LOOKALIKES", f"('{truth}',)"]
    assert finetune.main([*words, *SHORT]) == 0
    assert "1 of 1 images that are measured on give look-alikes" in caplog.text


def test_parts_fill_the_same_share_of_an_epoch(start, truth, tmp_path):
    others = write_dataset(tmp_path / "others", 2, seed=7, image_hw=(96, 96), count=3)
    cfg = finetuning_config(start, tmp_path, [truth, others], None, steps=3)
    assert [Path(path) for path in cfg.DATASETS.TRAIN] == [truth, others]
    assert list(cfg.MITO.DATASET_REPEATS) == [1.0, 3.0]


@pytest.mark.parametrize("option", ["--val", "--also"])
def test_a_part_of_an_image_is_that_image(start, truth, tmp_path, capfd, option):
    roifile.ImagejRoi.frompoints(REGION).tofile(tmp_path / "outlined.roi")
    words = ["--coco", str(truth), "--region", str(tmp_path / "outlined.roi"), option, str(truth)]
    words += ["-o", str(tmp_path / "model"), "--weights", str(start)]
    assert finetune.main([*words, *SHORT]) == 2
    assert f"is in {option} and among the images to adapt to" in capfd.readouterr().err


def test_only_the_outlined_part_is_used(start, truth, tmp_path, capfd):
    roi = roifile.ImagejRoi.frompoints(REGION)
    roi.tofile(tmp_path / "outlined.roi")
    output = tmp_path / "model"
    status = finetune.main(
        [
            *("--coco", str(truth), "--region", str(tmp_path / "outlined.roi")),
            *("-o", str(output), "--weights", str(start), "--steps", "1", *SHORT),
        ]
    )
    assert status == 0, capfd.readouterr().err
    (first, *_), whole = read_coco(output / "training" / "train.json"), read_coco(truth)
    assert first.image_hw == (80, 80)
    original = next(image for image in whole if Path(image.image).stem in first.image)
    union = rle.decode(rle.union(original.masks, original.image_hw))[16:96, 8:88]
    np.testing.assert_array_equal(rle.decode(rle.union(first.masks, (80, 80))), union)
    predictor = load_predictor(output)  # learned and validated on what prediction sees
    seen = predictor.prepare(read_page(Path(original.image)).pixels)[16:96, 8:88]
    np.testing.assert_array_equal(predictor.prepare(read_page(Path(first.image)).pixels), seen)
    np.testing.assert_array_equal(MicrographMapper(predictor.cfg, 0)._image(first), seen)


def cut(tmp_path, images):
    """Parts of images, and the images, as of ``--region``."""
    roifile.ImagejRoi.frompoints(REGION).tofile(tmp_path / "outlined.roi")
    parts, sources, status = cut_to_regions(
        tmp_path / "outlined.roi", images, tmp_path / "cut", 0, (0.5, 99.5)
    )
    assert status == 0
    return parts, sources


def outlined_stack(path, n_pages):
    """Pages of 96×96 px with one mitochondrion each."""
    tifffile.imwrite(path, np.zeros((n_pages, 96, 96), np.uint8), photometric="minisblack")
    mask = np.zeros((96, 96), dtype=bool)
    mask[30:50, 30:60] = True
    return [
        ImageInstances(str(path), (96, 96), (rle.encode(mask),), frame=frame)
        for frame in range(n_pages)
    ]


def test_parts_of_pages_are_neighbours_still(tmp_path):
    pages = outlined_stack(tmp_path / "s.tif", 10)
    parts, sources = cut(tmp_path, pages)
    assert sources == pages
    assert [Path(part.image).name for part in parts[:2]] == ["s_0001.tif", "s_0002.tif"]
    assert runs_of(parts) == [list(range(10))]
    args = finetune.build_parser().parse_args(["-o", str(tmp_path)])
    train, val = divide(args, parts, (), sources)
    assert (len(train), len(val)) == (7, 2)
    assert min(abs(parts.index(a) - parts.index(b)) for a in train for b in val) == 2


@pytest.mark.parametrize("channels", [(0, 1), (1,)])
def test_parts_of_a_hyperstack_are_neighbours_in_their_channel(tmp_path, channels):
    path = tmp_path / "h.tif"
    pixels = np.zeros((4, 2, 96, 96), np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZCYX"})
    mask = np.zeros((96, 96), dtype=bool)
    mask[30:50, 30:60] = True
    pages = [
        ImageInstances(str(path), (96, 96), (rle.encode(mask),), frame=2 * z + channel)
        for z in range(4)
        for channel in channels
    ]
    parts, _ = cut(tmp_path, pages)
    n = len(channels)
    assert sorted(runs_of(parts)) == [list(range(i, 4 * n, n)) for i in range(n)]
    assert {Path(part.image).name for part in parts} == {f"h_000{z}.tif" for z in (1, 2, 3, 4)}


def test_parts_of_stacks_and_numbered_files_do_not_mix(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    images = [
        *outlined_stack(tmp_path / "a" / "s.tif", 3),
        *outlined_stack(tmp_path / "b" / "s.tif", 2),
        *(outlined_stack(tmp_path / "b" / f"z{i}.tif", 1)[0] for i in (1, 2, 5)),
    ]
    parts, sources = cut(tmp_path, images)
    assert len({part.image for part in parts}) == 8
    assert sorted(runs_of(parts)) == [[0, 1, 2], [3, 4], [5, 6], [7]]
    again, _ = cut(tmp_path, images)  # nothing of an earlier run is replaced, or its neighbour
    assert not {Path(part.image).parent for part in parts} & {Path(i.image).parent for i in again}
    args = finetune.build_parser().parse_args(["-o", str(tmp_path)])
    _, val = divide(args, parts, (), sources)
    held_out = {parts.index(part) for part in val}
    assert held_out in ({0, 1, 2}, {3, 4}, {5, 6, 7})  # stacks stay whole


def test_the_reason_for_no_validation_is_the_real_one(tmp_path, caplog):
    pages = outlined_stack(tmp_path / "s.tif", 8)
    images = [pages[0], *(replace(page, masks=(), category_ids=()) for page in pages[1:])]
    args = finetune.build_parser().parse_args(["-o", str(tmp_path)])
    with caplog.at_level("INFO"):
        assert divide(args, images, ()) == (images, [])
    assert "no validation (mitochondria in 1 of 8 images, too few to train and" in caplog.text


def test_the_pixel_size_holds_for_the_validation_as_well(truth, tmp_path):
    other = write_dataset(tmp_path / "other", 1, seed=9, image_hw=(96, 96), count=2)
    words = ["--coco", str(truth), "--val", str(other), "--pixel-size-nm", "8", "-o", str(tmp_path)]
    args = finetune.build_parser().parse_args(words)
    images = read_outlined(args).images
    train, val = divide(args, images, ())
    assert {image.pixel_size.nm for image in [*train, *val]} == {8.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "no outlined images; give --rois with --images, or --coco", id="no-data"),
        pytest.param(["--rois", "a.zip"], "--rois and --images belong together", id="no-images"),
        pytest.param(["--coco", "{empty}"], "without any outlined mitochondrion", id="no-instance"),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{empty}"], "no model.safetensors in it", id="start"
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "-o", "{start}"],
            "is the model to start from",
            id="would-overwrite-the-start",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{inner}"],
            "training, which this run writes over",
            id="would-delete-the-start",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "--also", "{truth}"],
            "in --also and among the images to adapt to or to validate on",
            id="held-out-would-be-learned",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "--val", "{truth}"],
            "in --val and among the images to adapt to; leave it out of one, or what is measured",
            id="measured-would-be-learned",
        ),
        pytest.param(
            ["--coco", "{truth}", "{truth}", "--weights", "{start}", "--cross-validate"],
            "synthetic_000.tif: page 1 is given twice; leave one out",
            id="given-twice",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "--also", "{other}", "{other}"],
            "img.tif: page 1 is given twice with --also; leave one out",
            id="also-twice",
        ),
        pytest.param(
            ["--coco", "{part}", "--weights", "{start}"],
            "train.json: would be overwritten; give another folder with -o",
            id="would-overwrite-the-outlines",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "--also", "{empty}"],
            "--also: no outlined mitochondrion in it",
            id="nothing-beside",
        ),
        pytest.param(
            ["--coco", "{truth}", "--weights", "{start}", "--set", "SOLVER.NO_KEY", "1"],
            "SOLVER.NO_KEY",
            id="bad-key",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_2(start, truth, tmp_path, capfd, words, message):
    content = json.loads(truth.read_text())
    empty = truth.parent / "empty.json"
    empty.write_text(json.dumps({**content, "annotations": []}))
    part = tmp_path / "model" / "training" / "train.json"
    part.parent.mkdir(parents=True)
    write_coco(part, read_coco(truth))
    before = part.read_bytes()
    inner = part.with_name("model_not_measured")
    shutil.copytree(start, inner)
    tifffile.imwrite(tmp_path / "img.tif", np.zeros((96, 96), np.uint8))
    (image,) = read_coco(truth)[:1]
    other = tmp_path / "other.json"
    write_coco(other, [replace(image, image=str(tmp_path / "img.tif"))])
    filled = [
        word.format(empty=empty, truth=truth, start=start, part=part, other=other, inner=inner)
        for word in words
    ]
    status = finetune.main(["-o", str(tmp_path / "model"), *filled])
    assert status == 2
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    if part in map(Path, filled):
        assert part.read_bytes() == before


def with_nuclei(truth, path):
    """The truth with the first mask of each image as a nucleus."""
    images = read_coco(truth)
    names = {1: "mitochondrion", 2: "nucleus"}
    nuclei = [
        replace(image, category_ids=(2, *image.category_ids[1:]), category_names=names)
        for image in images
    ]
    write_coco(path, nuclei)
    return path


def test_of_several_categories_one_is_named(start, truth, tmp_path, capfd):
    mixed = with_nuclei(truth, tmp_path / "mixed.json")
    words = ["--coco", str(mixed), "--weights", str(start), "--steps", "1", *SHORT]
    assert finetune.main([*words, "-o", str(tmp_path / "a")]) == 2
    error = capfd.readouterr().err
    n_others = sum(len(image) - 1 for image in read_coco(truth))
    assert f"2 categories, mitochondrion ({n_others}), nucleus (6): name those that" in error
    assert finetune.main([*words, "-o", str(tmp_path / "a"), "--category", "cell"]) == 2
    assert "--category cell: no mask is of it; there are mitochondrion" in capfd.readouterr().err
    both = ["--category", "mitochondrion", "nucleus"]
    args = finetune.build_parser().parse_args([*words, "-o", str(tmp_path / "a"), *both])
    assert [len(image) for image in read_outlined(args).images] == list(map(len, read_coco(truth)))
    assert finetune.main([*words, "-o", str(tmp_path / "a"), "--category", "nucleus"]) == 0
    learned = [
        image
        for name in ("train", "val")
        for image in read_coco(tmp_path / "a" / "training" / f"{name}.json")
    ]
    assert {len(image) for image in learned} == {1}
    assert {category for image in learned for category in image.category_ids} == {1}


def test_a_file_without_masks_of_the_category_is_said(truth, tmp_path, capfd):
    """Its outlines would be learned as background."""
    images = read_coco(truth)
    names = {1: "Mitochondria"}
    write_coco(tmp_path / "b.json", [replace(image, category_names=names) for image in images[3:]])
    write_coco(tmp_path / "a.json", images[:3])
    words = ["--coco", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "-o", str(tmp_path)]
    parse = finetune.build_parser().parse_args
    read_outlined(parse([*words, "--category", "mitochondrion"]))
    error = capfd.readouterr().err
    assert "b.json: no mask is of --category mitochondrion; there are Mitochondria (" in error
    with pytest.raises(AnnotationError, match="--category mitochodrion: no mask is of it"):
        read_outlined(parse([*words, "--category", "mitochodrion"]))
    capfd.readouterr()
    read_outlined(parse([*words, "--category", "mitochondrion", "Mitochondria"]))
    assert "no mask is of" not in capfd.readouterr().err


def test_outlines_that_could_not_be_used_are_said_to_be_learned_as_background(
    truth, tmp_path, capfd
):
    rois = tmp_path / "rois"
    assert export_roi.main([str(truth), "-o", str(rois)]) == 0
    with zipfile.ZipFile(sorted(rois.glob("*.zip"))[0], "a") as archive:
        archive.writestr("more.roi", b"Iout")
    words = ["--rois", str(rois), "--images", str(truth.parent), "-o", str(tmp_path)]
    read_outlined(finetune.build_parser().parse_args(words))
    error = capfd.readouterr().err
    assert "warning: 1 images or pages lack outlines that could not be used" in error


def test_another_pixel_size_than_that_of_the_file_is_said(truth, tmp_path, caplog):
    images = [replace(image, pixel_size=PixelSize(2.0, "coco")) for image in read_coco(truth)]
    write_coco(tmp_path / "sized.json", images)
    words = ["--coco", str(tmp_path / "sized.json"), "--pixel-size-nm", "8", "-o", str(tmp_path)]
    found = read_outlined(finetune.build_parser().parse_args(words)).images
    assert {image.pixel_size.nm for image in found} == {8.0}
    assert "pixel size 8 nm (user) is used, but the file says 2 nm (coco)" in caplog.text
    table = tmp_path / "sizes.csv"
    table.write_text(f"image,nm\n{Path(images[0].image).name},4\n")
    words += ["--pixel-size-csv", str(table)]
    found = read_outlined(finetune.build_parser().parse_args(words)).images
    assert [image.pixel_size.nm for image in found] == [4.0] + [8.0] * (len(images) - 1)


def test_pages_that_the_start_held_out_were_not_learned(tmp_path):
    pages = outlined_stack(tmp_path / "s.tif", 4)
    write_coco(tmp_path / "train.json", pages[:2])
    learned = DataFile.describe(tmp_path / "train.json", "training", pages[:2])
    write_image_list(tmp_path / "images.csv", [learned])
    assert n_learned_before(tmp_path / "images.csv", pages[1:], pages[1:]) == 1
    add_whole_images(tmp_path / "images.csv", pages[3:])  # a part of it was learned
    assert n_learned_before(tmp_path / "images.csv", pages[1:], pages[1:]) == 2


def test_neighbours_of_a_validation_of_ones_own_are_said(tmp_path, caplog):
    pages = outlined_stack(tmp_path / "s.tif", 8)
    write_coco(tmp_path / "val.json", pages[1:2])
    words = ["--val", str(tmp_path / "val.json"), "-o", str(tmp_path)]
    divide(finetune.build_parser().parse_args(words), [pages[0], *pages[2:]], ())
    assert "--val: 2 of the images to adapt to may be neighbours of those in it" in caplog.text


def test_images_that_the_start_learned_are_no_measure(start, truth, tmp_path, caplog):
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--coco", str(truth), "--steps", "1", *SHORT]
    assert finetune.main([*words, "--weights", str(start), "-o", str(first)]) == 0
    assert "learned from" not in (first / "MODEL_CARD.md").read_text()
    again = ["--cross-validate", "--weights", str(first), "-o", str(second)]
    assert finetune.main([*words, *again]) == 0
    said = "4 of 6 images that are measured on are among those that the model at the start learned"
    assert said in (second / "MODEL_CARD.md").read_text()
    assert said in caplog.text


def test_images_beside_are_no_neighbours_of_what_is_held_out(start, tmp_path, caplog):
    caplog.set_level("INFO")
    pages = outlined_stack(tmp_path / "s.tif", 20)
    write_coco(tmp_path / "now.json", pages[6:14])
    write_coco(tmp_path / "before.json", [*pages[:6], *pages[14:]])
    words = ["--coco", str(tmp_path / "now.json"), "--also", str(tmp_path / "before.json")]
    words += ["--weights", str(start), "--steps", "1", "-o", str(tmp_path / "m")]
    assert finetune.main([*words, *SHORT]) == 0
    folder = tmp_path / "m" / "training"
    held_out = {image.frame for image in read_coco(folder / "val.json")}
    learned = {
        image.frame for name in ("train", "also") for image in read_coco(folder / f"{name}.json")
    }
    assert held_out
    assert not learned & {frame + step for frame in held_out for step in (-1, 0, 1)}
    if held_out & {6, 13}:
        assert "--also: 1 of 12 images may be neighbours" in caplog.text


def test_parts_at_other_places_are_no_neighbours(tmp_path):
    pages = outlined_stack(tmp_path / "s.tif", 4)
    for frame, shift in enumerate((0, 0, 8, 8), start=1):
        roi = roifile.ImagejRoi.frompoints(REGION - [shift, 0])
        roi.position = frame
        (tmp_path / "regions").mkdir(exist_ok=True)
        with zipfile.ZipFile(tmp_path / "regions" / "s.zip", "a") as archive:
            archive.writestr(f"{frame}.roi", roi.tobytes())
    parts, _, status = cut_to_regions(tmp_path / "regions", pages, tmp_path / "cut", 0, (0.5, 99.5))
    assert status == 0
    assert runs_of(parts) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("trained_with", "words", "rate"),
    [
        ("sgd", [], 0.005),
        ("sgd", ["MITO.OPTIMIZER", "adamw"], 0.0001),
        ("adamw", [], 0.0001),
        ("adamw", ["MITO.OPTIMIZER", "sgd"], 0.005),
        ("adamw", ["SOLVER.BASE_LR", "0.0003"], 0.0003),
    ],
)
def test_the_rate_suits_the_optimizer(truth, tmp_path, trained_with, words, rate):
    cfg = load_config(CONFIG, [*TINY, "MITO.OPTIMIZER", trained_with])
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path / "s", 0.5)
    cfg = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20, words)
    assert rate == cfg.SOLVER.BASE_LR


def test_a_frozen_encoder_of_the_start_learns_again(truth, tmp_path):
    config = CONFIG.parent / "semantic" / "unet2d.yaml"
    frozen = ["MITO.SEMANTIC.FREEZE_ENCODER", "True", "MODEL.DEVICE", "cpu"]
    export_model(load_config(config, frozen), torch.nn.Conv2d(1, 1, 1), tmp_path / "s", 0.5)
    cfg = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20)
    assert not cfg.MITO.SEMANTIC.FREEZE_ENCODER
    cfg = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20, frozen)
    assert cfg.MITO.SEMANTIC.FREEZE_ENCODER


def test_checkpoints_of_another_training_stay(start, truth, tmp_path):
    logs = tmp_path / "model" / "training"
    logs.mkdir(parents=True)
    (logs / "model_0009999.pth").write_bytes(b"mine")
    words = ["--coco", str(truth), "--weights", str(start), "-o", str(tmp_path / "model")]
    words += ["--steps", "3", "--set", "SOLVER.CHECKPOINT_PERIOD", "1"]
    assert finetune.main([*words, *SHORT]) == 0
    assert [path.name for path in logs.glob("*.pth")] == ["model_0009999.pth"]


@pytest.mark.parametrize(
    ("config", "words", "period"),
    [
        ("semantic/unet2d.yaml", [], 0),
        ("semantic/unet2d.yaml", ["SOLVER.MAX_ITER", "2000"], 0),
        ("mask_rcnn_light.yaml", [], 5),
        ("mask_rcnn_light.yaml", ["SOLVER.MAX_ITER", "2000"], 500),
    ],
)
def test_how_often_it_is_measured(truth, tmp_path, config, words, period):
    cfg = load_config(CONFIG.parent / config, ["MODEL.DEVICE", "cpu"])
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path / "s", 0.5)
    cfg = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20, words)
    assert period == cfg.TEST.EVAL_PERIOD


def test_images_that_show_none_are_learned_whatever_the_start_did(start, truth, tmp_path):
    words = ["MITO.EMPTY_IMAGE_REPEATS", "0.0"]
    export_model(
        load_config(CONFIG, [*TINY, *words]), torch.nn.Conv2d(1, 1, 1), tmp_path / "s", 0.5
    )
    cfg = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20)
    assert cfg.MITO.EMPTY_IMAGE_REPEATS == 1.0
    assert cfg.SOLVER.WARMUP_ITERS == 4  # a fifth of a short schedule


def test_a_validation_that_shows_nothing_keeps_the_threshold_of_the_start(
    start, truth, tmp_path, caplog
):
    caplog.set_level("INFO")
    tifffile.imwrite(tmp_path / "nothing.tif", np.full((96, 96), 150, np.uint8))
    write_coco(tmp_path / "val.json", [ImageInstances(str(tmp_path / "nothing.tif"), (96, 96))])
    words = ["--coco", str(truth), "--weights", str(start), "-o", str(tmp_path / "model")]
    words += ["--val", str(tmp_path / "val.json"), "--steps", "2"]
    assert finetune.main([*words, *SHORT]) == 0
    assert load_predictor(tmp_path / "model").score_threshold == 0.35
    assert "score threshold 0.35 (of the start)" in caplog.text
    card = (tmp_path / "model" / "MODEL_CARD.md").read_text()
    assert "| score threshold | 0.35 (not chosen on this data) |" in card
    assert "so the score threshold is not chosen" in card
    assert "| score_threshold |" not in card


def test_a_model_of_several_classes_is_not_made_one_of_one(start, truth, tmp_path, capfd):
    two = tmp_path / "two"
    words = [*TINY, "MODEL.ROI_HEADS.NUM_CLASSES", "2"]
    export_model(load_config(CONFIG, words), torch.nn.Conv2d(1, 1, 1), two, 0.5)
    status = finetune.main(["--coco", str(truth), "--weights", str(two), "-o", str(tmp_path / "m")])
    assert status == 2
    error = capfd.readouterr().err
    assert f"error: {two}: is a model of 2 classes, and mito finetune knows mitochondria" in error
    assert f"use mito train-net with MODEL.WEIGHTS {two}" in error
    assert not (tmp_path / "m").exists()


def test_a_start_of_several_gpus_leaves_its_schedule_behind(truth, tmp_path):
    words = ["SOLVER.REFERENCE_WORLD_SIZE", "4", "SOLVER.BASE_LR_END", "0.01"]
    cfg = load_config(CONFIG, [*TINY, *words])
    export_model(cfg, torch.nn.Conv2d(1, 1, 1), tmp_path / "s", 0.5)
    solver = finetuning_config(tmp_path / "s", tmp_path, [truth], None, 20).SOLVER
    assert (solver.REFERENCE_WORLD_SIZE, solver.BASE_LR_END) == (0, 0.0)
