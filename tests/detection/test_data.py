from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.calibration import PixelSize
from mito_instance.detection.config import load_config
from mito_instance.detection.data import (
    MicrographMapper,
    load_records,
)
from mito_instance.detection.loader import read_data
from mito_instance.errors import AnnotationError, ConfigError
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


def test_every_augmentation_at_once_keeps_the_masks_disjoint_and_repeatable(
    light_config, tiny_overrides, dataset
):
    overrides = [
        *tiny_overrides,
        "MITO.AUGMENT.ROTATION_DEG", "15.0", "MITO.AUGMENT.ELASTIC_PX", "6.0",
        "MITO.AUGMENT.COPY_PASTE_MAX", "4", "MITO.AUGMENT.ILLUMINATION", "0.2",
        "MITO.AUGMENT.SHOT_NOISE_ELECTRONS", "30.0", "MITO.AUGMENT.CLAHE_CLIP_LIMIT", "4.0",
    ]  # fmt: skip
    cfg = load_config(light_config, overrides)
    records = load_records([str(dataset)], cfg)
    mapper = MicrographMapper(cfg, 0, records)
    examples = [mapper(records[0], position) for position in range(20)]
    for example in examples:
        assert tuple(example["image"].shape) == (3, 64, 64)
        assert example["instances"].gt_masks.tensor.sum(dim=0).max() <= 1
    # Example 7 needs neither those before it nor a full cache.
    again = MicrographMapper(cfg, 0, records)(records[0], 7)
    np.testing.assert_array_equal(again["image"], examples[7]["image"])
    np.testing.assert_array_equal(
        again["instances"].gt_masks.tensor, examples[7]["instances"].gt_masks.tensor
    )


def test_a_training_that_turns_shows_the_images_border(light_config, tiny_overrides, tmp_path):
    import cv2

    from mito_instance.instances import ImageInstances

    mask = np.zeros((80, 80), dtype=bool)
    mask[:, :4] = True
    cv2.imwrite(str(tmp_path / "a.png"), 200 - 100 * mask.astype(np.uint8))
    record = ImageInstances(str(tmp_path / "a.png"), (80, 80), (rle.encode(mask),))
    words = ["MITO.AUGMENT.ROTATION_DEG", "15.0", "MITO.AUGMENT.CROP_ON_INSTANCE", "0.0"]
    cfg = load_config(light_config, [*tiny_overrides, *PLAIN, *words, "MITO.MIN_AREA_PX", "64"])
    examples = [MicrographMapper(cfg, 0)(record, position) for position in range(100)]
    # Of 17 equally likely places of a crop of 64 px, three show a column of the strip or more.
    assert 10 < sum(len(example["instances"]) > 0 for example in examples) < 30
    for example in examples:
        assert tuple(example["image"].shape) == (3, 64, 64)
        masks, valid = example["instances"].gt_masks.tensor, example["valid"]
        assert not (masks & ~valid).any()
        assert valid.float().mean() > 0.75
    assert any(not example["valid"].all() for example in examples)


def test_copy_paste_brings_instances_to_an_image_without_any(light_config, tiny_overrides, dataset):
    overrides = [*tiny_overrides, *PLAIN, "MITO.AUGMENT.COPY_PASTE_MAX", "4"]
    cfg = load_config(light_config, [*overrides, "MITO.AUGMENT.CROP_PX", "90"])
    records = load_records([str(dataset)], cfg)
    mapper = MicrographMapper(cfg, 0, records)
    assert max(len(mapper(records[2], position)["instances"]) for position in range(12)) > 0
    alone = MicrographMapper(cfg, 0)
    assert all(len(alone(records[2], position)["instances"]) == 0 for position in range(5))


def test_look_alikes_are_pasted_without_a_mask(light_config, tiny_overrides, dataset):
    overrides = [
        *tiny_overrides, *PLAIN, "MITO.AUGMENT.CROP_PX", "90", "MITO.AUGMENT.COPY_PASTE_MAX", "4",
        "MITO.AUGMENT.LOOKALIKES", f"('{dataset}',)", "MITO.AUGMENT.LOOKALIKE_SHARE", "1.0",
    ]  # fmt: skip
    cfg = load_config(light_config, overrides)
    records = load_records([str(dataset)], cfg)
    mapper = MicrographMapper(cfg, 0, records)
    examples = [mapper(records[2], position) for position in range(12)]
    assert all(len(example["instances"]) == 0 for example in examples)
    assert any(example["image"].std() > 1 for example in examples)


def test_the_class_of_look_alikes_means_nothing(light_config, tiny_overrides, dataset, tmp_path):
    cfg = load_config(light_config, tiny_overrides)
    others = [replace(i, category_ids=(2,) * len(i)) for i in load_records([str(dataset)], cfg)]
    others = [replace(i, category_names={2: "lysosome"}) for i in others]
    write_coco(tmp_path / "lysosomes.json", others)
    words = ["MITO.AUGMENT.COPY_PASTE_MAX", "4", "MITO.AUGMENT.LOOKALIKES"]
    cfg = load_config(
        light_config,
        [*tiny_overrides, *words, f"('{tmp_path / 'lysosomes.json'}',)",
         "DATASETS.TRAIN", f"('{dataset}',)"],
    )  # fmt: skip
    records, _ = read_data(cfg, with_validation=False)
    assert MicrographMapper(cfg, 0, records).lookalikes
    with pytest.raises(AnnotationError, match=r"--fix OUT\.json numbers an only category 1"):
        load_records([str(tmp_path / "lysosomes.json")], cfg)


@pytest.mark.parametrize("model_nm", ["0", "5.0"])
def test_what_is_pasted_has_the_pixels_of_the_crop(light_config, tiny_overrides, dataset, model_nm):
    cfg = load_config(light_config, [*tiny_overrides, "MITO.PIXEL_SIZE_NM", model_nm])
    mapper = MicrographMapper(cfg, 0)
    coarse, fine = (
        replace(load_records([str(dataset)], cfg)[0], pixel_size=PixelSize(nm, "user"))
        for nm in (8.0, 2.0)
    )
    assert mapper._zoom_of_source(fine, coarse) == mapper._zoom_to_model(coarse) / 4
    unknown = replace(fine, pixel_size=None)
    assert mapper._zoom_of_source(unknown, coarse) == 1


def test_look_alikes_of_a_training_image_are_shown_as_it_is(
    light_config, tiny_overrides, dataset, tmp_path, caplog
):
    """A prediction with --pixel-size-nm states a size that the training file does not."""
    cfg = load_config(light_config, tiny_overrides)
    records = [replace(i, pixel_size=None) for i in load_records([str(dataset)], cfg)]
    found = [replace(i, pixel_size=PixelSize(2.0, "user")) for i in records]
    write_coco(tmp_path / "false.json", found)
    words = ["MITO.AUGMENT.COPY_PASTE_MAX", "4", "MITO.AUGMENT.LOOKALIKES"]
    cfg = load_config(light_config, [*tiny_overrides, *words, f"('{tmp_path / 'false.json'}',)"])
    mapper = MicrographMapper(cfg, 0, records)
    assert {mapper._zoom_of_source(one, records[0]) for one in mapper.lookalikes} == {1.0}
    assert "state a pixel size" not in caplog.text
    MicrographMapper(cfg, 0, records[:1])
    assert "1 of 2 images of MITO.AUGMENT.LOOKALIKES state a pixel size" in caplog.text


def test_specks_are_neither_foreground_nor_background(light_config, tiny_overrides, dataset):
    words = [*tiny_overrides, *PLAIN[:-2], "MITO.AUGMENT.CROP_PX", "90"]
    records = load_records([str(dataset)], load_config(light_config, tiny_overrides))

    def example(least):
        cfg = load_config(light_config, [*words, "MITO.MIN_AREA_PX", least])
        return MicrographMapper(cfg, 0, records)(records[0], 1)

    kept, dropped = example("1"), example("100000")
    union = kept["instances"].gt_masks.tensor.any(dim=0)
    assert union.any()
    assert not len(dropped["instances"])
    assert (dropped["valid"] == kept["valid"] & ~union).all()


def test_look_alikes_need_copy_paste(light_config, tiny_overrides, dataset):
    overrides = [*tiny_overrides, "MITO.AUGMENT.LOOKALIKES", f"('{dataset}',)"]
    with pytest.raises(ConfigError, match="LOOKALIKES: none is shown while COPY_PASTE_MAX is 0"):
        MicrographMapper(load_config(light_config, overrides), 0)


def test_crops_show_the_pixel_size_of_the_config(light_config, tiny_overrides, dataset):

    overrides = [*tiny_overrides, *PLAIN, "MITO.PIXEL_SIZE_NM", "5.0"]
    cfg = load_config(light_config, [*overrides, "MITO.AUGMENT.CROP_PX", "500"])
    record = load_records([str(dataset)], cfg)[0]
    mapper = MicrographMapper(cfg, 0)
    for nm, image_hw in ((2.5, (64, 80)), (5.0, (128, 160)), (10.0, (256, 320))):
        example = mapper(replace(record, pixel_size=PixelSize(nm, "user")), 0)
        assert tuple(example["image"].shape[1:]) == image_hw
        assert example["zoom"] == nm / 5.0
        area_px = int(example["instances"].gt_masks.tensor.sum())
        expected = sum(rle.area_px(mask) for mask in record.masks) * (nm / 5.0) ** 2
        assert area_px == pytest.approx(expected, rel=0.03)
        assert example["pixel_size_nm"] == 5.0
    unknown = mapper(replace(record, pixel_size=None), 0)
    assert tuple(unknown["image"].shape[1:]) == (128, 160)
    assert unknown["pixel_size_nm"] is None


def calibrated(folder, nm=2.0):
    """A TIFF that states its pixel size, and a COCO JSON that does not."""
    import json

    import tifffile

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (60, 80), dtype=np.uint8)
    tifffile.imwrite(
        folder / "a.tif", pixels, resolution=(1e7 / nm, 1e7 / nm), resolutionunit="CENTIMETER"
    )
    image = {"id": 1, "file_name": "a.tif", "width": 80, "height": 60}
    found = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "iscrowd": 0,
             "area": 400, "segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]}  # fmt: skip
    categories = [{"id": 1, "name": "mitochondrion"}]
    content = {"images": [image], "annotations": [found], "categories": categories}
    (folder / "a.json").write_text(json.dumps(content))
    return folder / "a.json", content


def test_a_pixel_size_that_the_json_lacks_is_the_files(light_config, tiny_overrides, tmp_path):
    path, _ = calibrated(tmp_path)
    cfg = load_config(light_config, [*tiny_overrides, "MITO.PIXEL_SIZE_NM", "5"])
    (record,) = load_records([str(path)], cfg)
    assert record.pixel_size.nm == pytest.approx(2.0)
    example = MicrographMapper(cfg, seed=0)(record, position=0)
    assert example["zoom"] == pytest.approx(0.4, rel=0.7)  # times MITO.AUGMENT.SCALE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 81}, r"a.tif: image is \(60, 80\) \(height, width\) but its annotation says"),
        ({"frame": 3}, r"a.tif: page must be in 0 … 0, got 3"),
    ],
)
def test_an_annotation_of_another_image_is_refused_at_the_start(
    light_config, tiny_overrides, tmp_path, change, message
):
    import json

    path, content = calibrated(tmp_path)
    content["images"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=message):
        load_records([str(path)], load_config(light_config, tiny_overrides))


def test_unknown_pixel_sizes_are_counted_once(light_config, tiny_overrides, dataset, caplog):
    cfg = load_config(light_config, [*tiny_overrides, "MITO.AUGMENT.SCALE", "(0.8, 1.25)"])
    records = load_records([str(dataset)], cfg)
    caplog.set_level("INFO")
    mapper = MicrographMapper(cfg, 0, records)
    for position in range(3):
        mapper(records[2], position)
    said = [entry.getMessage() for entry in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("crops show 4 to 6.25 nm a pixel")
    assert said[1].startswith("1 of 3 training images have no known pixel size")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("ROTATION_DEG", "50.0", r"ROTATION_DEG: must be from 0 to 45, got 50"),
        ("ELASTIC_PX", "20.0", r"from 0 to 16, a quarter of ELASTIC_CELL_PX, got 20"),
        ("CLAHE_PROBABILITY", "1.5", r"CLAHE_PROBABILITY: must be from 0 to 1, got 1.5"),
        ("GREY_PROBABILITY", "-0.5", r"GREY_PROBABILITY: must be from 0 to 1, got -0.5"),
        ("SCALE", "(0.0, 1.0)", r"SCALE: must be two rising numbers above 0, got \(0.0, 1.0\)"),
        ("CONTRAST", "(1.2, 0.8)", r"CONTRAST: must be two rising numbers from 0 on, got"),
        ("CONTRAST", "(-0.1, 0.8)", r"CONTRAST: must be two rising numbers from 0 on, got"),
        (
            "BRIGHTNESS",
            "(-20.0, 20.0)",
            r"BRIGHTNESS: must be two rising fractions of 255, from -1",
        ),
        ("SCALE", "('a', 'b')", r"SCALE: must be two rising numbers above 0, got"),
        ("CROP_PX", "3", r"CROP_PX: must be at least 16, got 3"),
    ],
)
def test_augmentations_that_mean_nothing_are_refused(
    light_config, tiny_overrides, key, value, message
):
    cfg = load_config(light_config, [*tiny_overrides, f"MITO.AUGMENT.{key}", value])
    with pytest.raises(ConfigError, match=message):
        MicrographMapper(cfg, 0)


def test_doubtful_pixel_sizes_are_said_of_each(light_config, tiny_overrides, dataset, caplog):

    cfg = load_config(light_config, tiny_overrides)
    records = load_records([str(dataset)], cfg)
    sizes = (PixelSize(0.3, "imagej"), PixelSize(1.25, "coco"), PixelSize(20.1, "coco"))
    records = [
        replace(record, pixel_size=size) for record, size in zip(records, sizes, strict=True)
    ]
    MicrographMapper(cfg, 0, records)
    said = [entry.getMessage() for entry in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("1 of 3 training images state 0.3 nm a pixel (first: ")
    assert "MITO.PIXEL_SIZE_NM is 5 nm: learned resized by a factor of 0.06" in said[0]
    assert "state 20.1 nm a pixel" in said[1]
