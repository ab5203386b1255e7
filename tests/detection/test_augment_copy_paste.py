import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.detection.augment.copy_paste import CopyPaste, Crop, Cutting, blend


def square(edge, grey=50, margin=5, category=0):
    size = edge + 2 * margin
    mask = np.zeros((size, size), dtype=np.uint8)
    mask[margin : margin + edge, margin : margin + edge] = 1
    return Cutting(np.where(mask, grey, 150).astype(np.uint8), mask, category)


def block(rows, columns, image_hw=(60, 60)):
    mask = np.zeros(image_hw, dtype=np.uint8)
    mask[rows, columns] = 1
    return mask


def crop_of(*masks, image_hw=(60, 60)):
    return Crop(np.full(image_hw, 150, dtype=np.uint8), list(masks), [0] * len(masks))


def paste_at(crop, cutting, top, left, min_area_px=1):
    """Paste at the one place that is left when the random numbers are fixed."""

    class Fixed:
        def __init__(self):
            self.numbers = [top, left] * 8

        def integers(self, _):
            return self.numbers.pop(0)

    return CopyPaste(Fixed(), 1, 0.0, min_area_px, None)(crop, cutting)


def test_areas_add_up_and_masks_are_disjoint():
    crop = crop_of(block(slice(0, 20), slice(0, 20)))
    done = paste_at(crop, square(10, margin=0), 15, 15)
    assert [int(mask.sum()) for mask in done.masks] == [400 - 25, 100]
    assert sum(done.masks).max() == 1
    np.testing.assert_array_equal(np.nonzero(done.image == 50), np.nonzero(done.masks[1]))
    assert crop.masks[0].sum() == 400  # the crop given is left alone


def test_a_look_alike_is_shown_but_is_no_instance():
    crop = crop_of(block(slice(0, 20), slice(0, 20)))
    done = paste_at(crop, square(10, margin=0, category=None), 15, 15)
    assert [int(mask.sum()) for mask in done.masks] == [400 - 25]
    assert int((done.image == 50).sum()) == 100


def test_a_place_that_would_cut_an_instance_in_two_is_refused():
    crop = crop_of(block(slice(28, 32), slice(5, 55)))
    assert paste_at(crop, square(10, margin=0), 25, 25) is crop


def test_a_place_that_hides_more_than_half_is_refused():
    crop = crop_of(block(slice(20, 30), slice(20, 30)))
    assert paste_at(crop, square(10, margin=0), 20, 24) is crop  # 60 of 100 px
    assert len(paste_at(crop, square(10, margin=0), 20, 26).masks) == 2  # 40 of 100 px


def test_a_place_inside_another_instance_is_refused():
    crop = crop_of(block(slice(10, 40), slice(10, 40)))
    assert paste_at(crop, square(10, margin=0), 20, 20) is crop


def test_specks_that_remain_are_dropped():
    # Two columns are hidden; of the rest, 10 px lie apart.
    mask = block(slice(20, 30), slice(10, 23))
    crop = crop_of(mask)
    done = paste_at(crop, square(10, margin=0), 20, 20, min_area_px=11)
    assert int(done.masks[0].sum()) == 100
    apart = block(slice(20, 30), slice(10, 24))
    apart[:, 22] = 0
    done = paste_at(crop_of(apart), square(4, margin=0), 17, 18, min_area_px=11)
    assert done.masks[0][:, 23].sum() == 0
    assert int(done.masks[0].sum()) == 120 - 4


def test_a_cutting_larger_than_the_crop_is_not_pasted():
    crop = crop_of()
    rng = np.random.default_rng(0)
    assert CopyPaste(rng, 1, 0.0, 1, None)(crop, square(100)) is crop


def test_random_places_keep_the_truth_exact():
    rng = np.random.default_rng(3)
    paste = CopyPaste(rng, 5, 1.5, 25, None)
    crop = crop_of(image_hw=(120, 140))
    for number in range(30):
        before = len(crop.masks)
        crop = paste(crop, square(12 + number % 7, category=number % 2))
        assert len(crop.masks) in (before, before + 1)
    assert len(crop.masks) > 10
    assert sum(crop.masks).max() == 1
    assert len(crop.classes) == len(crop.masks)
    inside, outside = sum(crop.masks) > 0, sum(crop.masks) == 0
    assert crop.image[inside].mean() < 70
    assert crop.image[outside].mean() > 140


def test_half_the_weight_lies_on_the_outline():
    image = np.full((30, 30), 200, dtype=np.uint8)
    cutting = Cutting(np.full((20, 20), 100, dtype=np.uint8), square(10).mask, 0)
    cutting.image[square(10).mask == 0] = 200
    pasted, mask = blend(image, cutting, (5, 5), 2.0)
    row = pasted[15]
    # The outline lies between columns 9 | 10; 2 px to either side only one image counts.
    assert row[12] == 100
    assert row[7] == 200
    np.testing.assert_array_equal(mask[5:25, 5:25], cutting.mask)
    assert row[:8].min() == 200


@pytest.mark.parametrize(("around", "inside"), [(150, 50), (160, 60), (200, 62), (90, 38)])
def test_grey_levels_follow_the_surroundings_a_little(around, inside):
    image = np.full((30, 30), around, dtype=np.uint8)
    pasted, mask = blend(image, square(10), (5, 5), 0.0)  # 50 on 150 at home
    assert set(pasted[mask > 0]) == {inside}
    assert set(pasted[mask == 0]) == {around}


def test_no_instances_are_asked_for_none():
    assert CopyPaste(np.random.default_rng(0), 0, 1.0, 1, None).draw_count() == 0
    counts = {CopyPaste(np.random.default_rng(i), 3, 1.0, 1, None).draw_count() for i in range(40)}
    assert counts == {0, 1, 2, 3}
