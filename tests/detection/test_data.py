import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config
from mito_instance.detection.data import (
    MicrographMapper,
    load_records,
)
from mito_instance.errors import AnnotationError
from mito_instance.io.coco import write_coco
from mito_instance.masks import rle

PLAIN = [
    "MITO.AUGMENT.SCALE", "(1.0, 1.0)", "MITO.AUGMENT.ORIENTATIONS", "False",
    "MITO.AUGMENT.CONTRAST", "(1.0, 1.0)", "MITO.AUGMENT.BRIGHTNESS", "(0.0, 0.0)",
    "MITO.AUGMENT.GAMMA", "(1.0, 1.0)", "MITO.AUGMENT.BLUR_SIGMA_PX", "0.0",
    "MITO.AUGMENT.NOISE_SIGMA", "0.0", "MITO.MIN_AREA_PX", "1",
]  # fmt: skip


def test_empty_images_are_kept(light_config, tiny_overrides, dataset):
    records = load_records([str(dataset)], load_config(light_config, tiny_overrides))
    assert [len(record) > 0 for record in records] == [True, True, False]


def test_without_augmentation_a_large_crop_is_the_image_with_its_exact_masks(
    light_config, tiny_overrides, dataset
):
    overrides = [*tiny_overrides, *PLAIN, "MITO.AUGMENT.CROP_PX", "500"]
    cfg = load_config(light_config, overrides)
    record = load_records([str(dataset)], cfg)[0]
    example = MicrographMapper(cfg, seed=0)(record, 0)
    assert tuple(example["image"].shape) == (3, *record.image_hw)
    expected = np.stack([rle.decode(mask) for mask in record.masks])
    np.testing.assert_array_equal(example["instances"].gt_masks.tensor.numpy(), expected)


def test_crops_have_the_asked_size_and_boxes_around_their_masks(
    light_config, tiny_overrides, dataset
):
    cfg = load_config(light_config, tiny_overrides)
    mapper = MicrographMapper(cfg, seed=0)
    record = load_records([str(dataset)], cfg)[0]
    found = 0
    for position in range(20):
        example = mapper(record, position)
        assert max(example["image"].shape[1:]) <= 64
        assert float(example["image"].min()) >= 0
        assert float(example["image"].max()) <= 255
        for mask, box in zip(
            example["instances"].gt_masks.tensor,
            example["instances"].gt_boxes.tensor.tolist(),
            strict=True,
        ):
            rows, columns = np.nonzero(mask.numpy())
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert mask.sum() >= cfg.MITO.MIN_AREA_PX
            found += 1
    assert found


def test_an_image_without_instances_is_an_example(light_config, tiny_overrides, dataset):
    cfg = load_config(light_config, tiny_overrides)
    example = MicrographMapper(cfg, seed=0)(load_records([str(dataset)], cfg)[2], 0)
    assert len(example["instances"]) == 0
    assert example["instances"].gt_boxes.tensor.shape == (0, 4)


def test_missing_images_are_counted_and_named(light_config, tiny_overrides, dataset, tmp_path):
    from mito_instance.instances import ImageInstances

    write_coco(tmp_path / "a.json", [ImageInstances(str(tmp_path / "gone.png"), (5, 5))])
    with pytest.raises(AnnotationError, match=r"1 of 1 images are missing, first: .*gone.png"):
        load_records([str(tmp_path / "a.json")], load_config(light_config, tiny_overrides))


def test_an_image_of_another_size_is_refused(light_config, tiny_overrides, dataset):
    from dataclasses import replace

    cfg = load_config(light_config, tiny_overrides)
    record = load_records([str(dataset)], cfg)[2]
    with pytest.raises(AnnotationError, match=r"image is \(90, 70\).*says \(90, 71\)"):
        MicrographMapper(cfg, seed=0)(replace(record, image_hw=(90, 71)), 0)


def test_categories_beyond_the_network_are_refused(light_config, tiny_overrides, tmp_path, dataset):
    from mito_instance.instances import ImageInstances

    image = dataset.parent / "empty.png"
    mask = rle.encode(np.ones((90, 70), dtype=bool))
    write_coco(
        tmp_path / "a.json", [ImageInstances(str(image), (90, 70), (mask,), category_ids=(3,))]
    )
    with pytest.raises(AnnotationError, match=r"1 to MODEL.ROI_HEADS.NUM_CLASSES \(1\), got \[3\]"):
        load_records([str(tmp_path / "a.json")], load_config(light_config, tiny_overrides))
