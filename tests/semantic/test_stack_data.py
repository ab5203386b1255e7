from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.calibration import PixelSize  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.instances import ImageInstances  # noqa: E402
from mito_instance.masks import rle  # noqa: E402
from mito_instance.semantic.stack_data import StackMapper  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "semantic" / "unet3d.yaml"
PLAIN = [
    "MODEL.DEVICE", "cpu", "MITO.AUGMENT.CROP_PX", "64", "MITO.AUGMENT.CROP_ON_INSTANCE", "0.0",
    "MITO.AUGMENT.SCALE", "(1.0, 1.0)", "MITO.AUGMENT.ORIENTATIONS", "False",
    "MITO.AUGMENT.CONTRAST", "(1.0, 1.0)", "MITO.AUGMENT.BRIGHTNESS", "(0.0, 0.0)",
    "MITO.CONTRAST_PERCENTILES", "(0.0, 100.0)", "MITO.SEMANTIC.PATCH_SLICES", "16",
]  # fmt: skip


@pytest.fixture
def stack(tmp_path):
    """Five slices of 80 × 80 px whose left strip of 4 px is an instance; slice n has grey 40 n."""
    records = []
    for number in range(5):
        grey = np.full((80, 80), 40 * number, dtype=np.uint8)
        grey[:2] = [[0], [255]]  # all grey levels, so that none is stretched
        mask = np.zeros((80, 80), dtype=bool)
        mask[:, :4] = True
        path = tmp_path / f"z{number}.png"
        cv2.imwrite(str(path), grey)
        records.append(ImageInstances(str(path), (80, 80), (rle.encode(mask),)))
    return records


def example(records, words=(), position=0, record=0):
    return StackMapper(load_config(CONFIG, [*PLAIN, *words]), records, 0)(records[record], position)


def test_a_short_stack_lies_between_repetitions_of_its_ends(stack):
    for position in range(4):
        patch = example(stack, position=position)
        numbers = patch["volume"][:, -1, -1].numpy() / 40
        real = patch["valid"].all(dim=(1, 2)).numpy()
        up = numbers[0] < numbers[-1]
        repeated = [0] * 5 + [0, 1, 2, 3, 4] + [4] * 6
        assert numbers.tolist() == (repeated if up else repeated[::-1])
        expected = np.repeat([False, True, False], [5, 5, 6])
        np.testing.assert_array_equal(real, expected if up else expected[::-1])
        assert patch["valid"].any(dim=(1, 2)).sum() == 5


def test_slices_that_nobody_outlined_are_shown_beside_the_run(stack):
    for position in range(4):
        patch = example(stack[1:3], position=position)
        numbers = patch["volume"][:, -1, -1].numpy() / 40
        up = numbers[0] < numbers[-1]
        expected = [0] * 7 + [1, 2, 3] + [4] * 6
        assert numbers.tolist() == (expected if up else expected[::-1])
        shown = [
            round(float(n))
            for n, real in zip(numbers, patch["valid"].any(dim=(1, 2)), strict=True)
            if real
        ]
        assert sorted(shown) == [1, 2]
        assert not patch["foreground"][~patch["valid"].any(dim=(1, 2))].any()


def test_a_slice_beside_the_run_that_is_of_no_use_is_passed_over(stack):
    Path(stack[0].image).write_bytes(b"no image")
    cv2.imwrite(stack[3].image, np.zeros((9, 9), np.uint8))
    numbers = example(stack[1:3])["volume"][:, -1, -1].numpy() / 40
    assert sorted(set(numbers.tolist())) == [1, 2, 4]


def test_the_first_page_of_another_stack_is_not_shown(stack):
    grey = [cv2.imread(record.image, cv2.IMREAD_GRAYSCALE) for record in stack]
    names = [str(Path(record.image).with_suffix(".tif")) for record in stack]
    for name, pixels in zip(names, grey, strict=True):
        tifffile.imwrite(name, pixels)
    tifffile.imwrite(names[0], np.stack(grey[:2]), photometric="minisblack")
    records = [replace(record, image=name) for record, name in zip(stack, names, strict=True)]
    numbers = example(records[1:3])["volume"][:, -1, -1].numpy() / 40
    assert set(numbers.tolist()) == {1, 2, 3, 4}


def test_specks_are_no_background(stack):
    tiny = rle.place(np.ones((2, 2), dtype=bool), 40, 40, (80, 80))
    records = [replace(record, masks=(*record.masks, tiny), category_ids=()) for record in stack]
    words = ["MITO.SEMANTIC.PATCH_SLICES", "5", "MITO.MIN_AREA_PX", "7", "MITO.PIXEL_SIZE_NM", "0"]
    for position in range(4):
        patch = example(records, words, position)
        plain = example(stack, words, position)
        assert torch.equal(patch["foreground"], plain["foreground"])
        assert (plain["valid"] & ~patch["valid"]).any()
        if (plain["valid"] & ~patch["valid"]).sum() == 20:
            return
    pytest.fail("no patch shows all of the specks")


def test_a_page_that_two_files_name_is_one_slice(stack, caplog):
    caplog.set_level("INFO")
    twice = [*stack[:3], *stack[1:]]
    patch = example(twice, record=4)
    assert "5 images in 1 stacks of 5 to 5 slices" in caplog.text
    assert patch["valid"].any(dim=(1, 2)).sum() == 5


def test_pixel_sizes_are_said_of_stacks_too(stack, caplog):
    known = [replace(record, pixel_size=PixelSize(10.0, "user")) for record in stack[:3]]
    example([*known, *stack[3:]])
    assert "2 of 5 training images have no known pixel size" in caplog.text


def test_specks_are_specks_in_the_pixels_of_the_model(stack):
    """The strip has 320 px at 10 nm, and 80 at 20 nm."""
    sized = [replace(record, pixel_size=PixelSize(10.0, "user")) for record in stack]
    words = ["MITO.AUGMENT.CROP_PX", "32", "MITO.AUGMENT.CROP_ON_INSTANCE", "1.0"]
    at_20_nm = [*words, "MITO.PIXEL_SIZE_NM", "20", "MITO.MIN_AREA_PX"]
    shown = [
        any(example(sized, [*at_20_nm, least], n)["foreground"].any() for n in range(8))
        for least in ("79", "81")
    ]
    assert shown == [True, False]


def test_a_training_that_turns_shows_the_images_border(stack):
    patches = [
        example(stack, ["MITO.AUGMENT.ROTATION_DEG", "15.0"], position) for position in range(100)
    ]
    # Of 17 equally likely places of a crop of 64 px, three show a column of the strip or more.
    n_shown = sum(bool(patch["foreground"][8].sum() >= 64) for patch in patches)
    assert 10 < n_shown < 30
    for patch in patches:
        assert patch["volume"].shape == (16, 64, 64)
        real = patch["valid"].any(dim=(1, 2))
        assert real.sum() == 5
        assert not (patch["foreground"] & ~patch["valid"])[real].any()
    assert any(not patch["valid"][8].all() for patch in patches)
