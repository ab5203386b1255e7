"""The foreground map completes masks that their boxes cut, and takes away what is none."""

import numpy as np
import pytest

from mito_instance.detection.outlines import REACH_PX, TWIN, Placed, correct_outlines
from mito_instance.inference.stitching import SAME_OBJECT

STRIDE = 4
HW = (96, 160)
CORNERS_PX = 4
"""Where a map of cells rounds a rectangle off."""


def rod(x0, x1, y0=40, y1=56, image_hw=HW):
    """bool (H, W): a rectangle."""
    image = np.zeros(image_hw, dtype=bool)
    image[y0:y1, x0:x1] = True
    return image


def placed(mask, pad=0):
    """The mask in its box, with a margin inside the image."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    y0, x0 = max(0, rows[0] - pad), max(0, columns[0] - pad)
    return Placed(mask[y0 : rows[-1] + 1 + pad, x0 : columns[-1] + 1 + pad].copy(), x0, y0)


def map_of(foreground):
    """Probabilities of the cells: the share of the foreground in each."""
    height, width = foreground.shape
    cells = foreground.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE).mean((1, 3))
    return cells.astype(np.float32)


def corrected(masks, foreground, claims=None, limits=(0.5, 0.5), image_hw=HW):
    """What becomes of masks of an image, as bool (H, W) each."""
    claims = [1] * len(masks) if claims is None else claims
    probability = foreground if foreground.dtype == np.float32 else map_of(foreground)
    found = correct_outlines(masks, probability, STRIDE, image_hw, limits, claims)
    images = []
    for one in found:
        image = np.zeros(image_hw, dtype=bool)
        one.of(image)[...] = one.mask
        images.append(image)
    return images


def differing_px(first, second):
    return int((first ^ second).sum())


@pytest.mark.parametrize("pad", [0, 5])
def test_the_end_that_a_box_cuts_off_is_given_back(pad):
    (found,) = corrected([placed(rod(20, 60), pad)], rod(20, 84))
    assert differing_px(found, rod(20, 84)) <= 2 * 16  # the border of the map, not of the pixels
    assert differing_px(found, rod(20, 60)) > 300


def test_what_is_too_far_away_is_something_else():
    image_hw = (96, 320)
    mask, foreground = (rod(20, x1, image_hw=image_hw) for x1 in (60, 300))
    (found,) = corrected([placed(mask)], foreground, image_hw=image_hw)
    assert not found[:, 60 + REACH_PX + 2 * STRIDE :].any()
    assert found[48, 60 + REACH_PX - 1]


def test_foreground_between_two_goes_to_the_nearer_one():
    left, right = corrected([placed(rod(20, 50)), placed(rod(70, 100))], rod(20, 100))
    assert not (left & right).any()
    assert differing_px(left | right, rod(20, 100)) <= CORNERS_PX
    assert differing_px(left, rod(20, 60)) <= 2 * STRIDE * 16


def test_a_touching_neighbour_is_not_taken():
    left, right = corrected([placed(rod(20, 60)), placed(rod(60, 100))], rod(20, 100))
    assert differing_px(left, rod(20, 60)) <= CORNERS_PX
    assert differing_px(right, rod(60, 100)) <= CORNERS_PX


def test_foreground_that_touches_no_mask_is_nobody_s():
    (found,) = corrected([placed(rod(20, 60))], rod(20, 60) | rod(72, 100))
    assert differing_px(found, rod(20, 60)) <= CORNERS_PX


def test_pixels_that_are_no_foreground_leave():
    (found,) = corrected([placed(rod(20, 60))], rod(20, 40))
    assert differing_px(found, rod(20, 40)) <= 2 * 16
    (none,) = corrected([placed(rod(20, 60))], np.zeros(HW, dtype=bool))
    assert not none.any()


def test_what_does_not_count_neither_takes_nor_keeps_anything():
    cut, beyond = placed(rod(20, 60)), placed(rod(66, 84))
    (alone,) = corrected([cut], rod(20, 84))
    first, second = corrected([cut, beyond], rod(20, 84), [1, 0])
    assert differing_px(first, alone) == 0
    assert differing_px(second, rod(66, 84)) <= 2 * 16
    counted, _ = corrected([cut, beyond], rod(20, 84))
    assert not counted[:, 66:].any()


def test_a_twin_of_a_better_one_keeps_nothing_from_it():
    cut, twin = placed(rod(20, 60)), placed(rod(30, 84))
    first, _ = corrected([cut, twin], rod(20, 84))
    (alone,) = corrected([cut], rod(20, 84))
    assert differing_px(first, alone) == 0


def test_an_object_in_one_of_another_category_takes_nothing_of_it():
    inner, outer = placed(rod(48, 56, 44, 52)), placed(rod(20, 84))
    first, second = corrected([inner, outer], rod(20, 84), [2, 1])
    assert differing_px(first, rod(48, 56, 44, 52)) == 0
    assert differing_px(second, rod(20, 84)) <= CORNERS_PX


def test_nothing_is_reached_through_the_padding():
    probability = np.ones((32, 64), np.float32)
    probability[:16, 10:] = 0
    image_hw = (64, 256)
    foreground = probability.copy()
    foreground[:16, 12:20] = 1
    (found,) = corrected([placed(rod(0, 40, 0, 64, image_hw))], foreground, image_hw=image_hw)
    assert not found[:, 48:].any()


def test_twins_are_what_the_stitching_takes_for_one_object():
    assert TWIN == SAME_OBJECT


def test_a_hole_of_the_mask_alone_is_filled_and_one_of_both_is_not():
    ring = rod(20, 84, 24, 72) & ~rod(44, 60, 40, 56)
    (found,) = corrected([placed(ring)], rod(20, 84, 24, 72))
    assert differing_px(found, rod(20, 84, 24, 72)) <= CORNERS_PX
    (kept,) = corrected([placed(ring)], ring)
    assert differing_px(kept, ring) <= 4 * 16


@pytest.mark.parametrize("image_hw", [(10, 13), (97, 33), (64, 96)])
def test_images_smaller_than_the_padded_map(image_hw):
    padded = np.ones((128, 128), dtype=bool)
    height, width = image_hw
    mask = rod(0, width // 2, 0, height, image_hw)
    (found,) = corrected([placed(mask)], map_of(padded), image_hw=image_hw)
    reach = min(width, width // 2 + REACH_PX)
    assert found[:, :reach].all()


@pytest.mark.parametrize("axis", [0, 1])
def test_padding_is_no_evidence_at_the_border(axis):
    """A whole cell of it is called background, as it was learned."""
    padded = np.ones((128, 128), dtype=bool)
    padded[96:] = padded[:, 96:] = False
    mask = np.zeros((96, 96), dtype=bool)
    mask[20:95, 20:95] = True  # a pixel short of both borders
    (found,) = corrected([placed(mask)], 0.65 * map_of(padded), image_hw=(96, 96))
    assert found[40:80, -1].all() if axis else found[-1, 40:80].all()


def test_no_masks_and_empty_ones():
    assert corrected([], rod(20, 84)) == []
    nothing = Placed(np.zeros((0, 0), dtype=bool), 0, 0)
    blank = Placed(np.zeros((4, 6), dtype=bool), 7, 9)
    found = corrected([nothing, blank, placed(rod(20, 60))], rod(20, 84))
    assert not found[0].any()
    assert not found[1].any()
    assert found[2].any()


@pytest.mark.parametrize("seed", range(5))
def test_a_map_that_agrees_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    union = np.zeros(HW, dtype=bool)
    masks = []
    for _ in range(6):
        x, y = (STRIDE * int(rng.integers(0, edge // STRIDE - 6)) for edge in reversed(HW))
        mask = rod(x, x + 20, y, y + 16) & ~union
        if mask.any():
            masks.append(mask)
            union |= mask
    probability = np.where(map_of(union) > 0, 0.9, 0.1).astype(np.float32)
    expected = [placed(mask) for mask in masks]
    found = corrected(expected, probability, limits=(0.4, 0.6))
    for before, after in zip(masks, found, strict=True):
        assert differing_px(before, after) == 0
