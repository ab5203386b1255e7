"""Run lengths that come from files: decoding and the check of what strangers wrote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from mito_instance.errors import AnnotationError
from mito_instance.masks import rle

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))
HW = (2, 3)


@given(mask=MASKS)
def test_decode_undoes_encode(mask):
    assert np.array_equal(rle.decode(rle.encode(mask)), mask)


@given(mask=MASKS, repeat=st.integers(1, 300))
def test_run_lengths_are_those_of_the_flattened_mask(mask, repeat):
    tall = np.repeat(mask, repeat, axis=0)
    runs = rle.run_lengths(rle.encode(tall))
    values = np.arange(len(runs)) % 2 == 1
    assert np.array_equal(np.repeat(values, runs), tall.ravel(order="F"))


@given(mask=MASKS)
def test_check_accepts_what_pycocotools_writes_and_changes_nothing(mask):
    encoded = rle.encode(mask)
    assert rle.check(encoded, mask.shape, "test") == encoded
    runs = rle.run_lengths(encoded).tolist()
    assert rle.check({"size": list(mask.shape), "counts": runs}, mask.shape, "test") == encoded


@pytest.mark.parametrize(
    ("runs", "canonical"),
    [
        pytest.param([1, 0, 2, 3], [3, 3], id="empty-foreground-run"),
        pytest.param([1, 2, 0, 3], [1, 5], id="empty-background-run"),
        pytest.param([0, 0, 6], [6], id="starts-with-nothing"),
        pytest.param([0, 6, 0, 0], [0, 6], id="ends-with-nothing"),
        pytest.param([0, 6], [0, 6], id="leading-background-is-canonical"),
    ],
)
def test_check_joins_empty_runs(runs, canonical):
    checked = rle.check({"size": [2, 3], "counts": runs}, HW, "test")
    assert rle.run_lengths(checked).tolist() == canonical


def test_a_box_is_not_widened_by_an_empty_run():
    checked = rle.check({"size": [2, 3], "counts": [0, 0, 4, 1, 1]}, HW, "test")
    assert rle.box_xywh(checked) == (2, 0, 1, 1)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        pytest.param({"size": 3, "counts": "6"}, "but its image is", id="size-is-a-number"),
        pytest.param({"size": [2, 3], "counts": ["6"]}, "whole numbers", id="text-in-list"),
        pytest.param({"size": [2, 3], "counts": [6.0]}, "whole numbers", id="float-run"),
        pytest.param({"size": [2, 3], "counts": [10**30]}, "whole numbers", id="huge-run"),
        pytest.param({"size": [2, 3], "counts": [5]}, "add up to 6 px, got 5", id="too-short"),
        pytest.param({"size": [2, 3], "counts": []}, "add up to 6 px, got 0", id="nothing"),
        pytest.param({"size": [2, 3], "counts": ""}, "add up to 6 px, got 0", id="empty-text"),
        pytest.param({"size": [2, 3], "counts": "P" * 20 + "0"}, "40 bits", id="endless-run"),
        pytest.param({"size": [2, 3], "counts": "\x7f"}, "illegal character", id="control"),
        pytest.param({"size": [2, 3], "counts": "ü"}, "run-length string", id="not-ascii"),
        pytest.param({"size": [2, 3], "counts": 6}, "text or a list", id="number"),
    ],
)
def test_check_refuses_with_one_line(encoded, message):
    with pytest.raises(AnnotationError, match=message):
        rle.check(encoded, HW, "a.json: annotations[0]")


@given(text=st.text(alphabet=[chr(code) for code in range(48, 112)], max_size=40))
def test_no_text_harms_pycocotools_after_the_check(text):
    try:
        checked = rle.check({"size": [2, 3], "counts": text}, HW, "test")
    except AnnotationError:
        return
    assert rle.area_px(checked) == rle.decode(checked).sum()
    assert coco_mask.area({"size": [2, 3], "counts": checked["counts"].encode()}) <= 6


@given(mask=MASKS, data=st.data())
def test_crop_is_the_part_of_the_whole_mask(mask, data):
    height, width = mask.shape
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    w, h = data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y))
    assert np.array_equal(rle.crop(rle.encode(mask), (x, y, w, h)), mask[y : y + h, x : x + w])


def test_crop_of_a_mask_over_whole_columns():
    assert rle.crop(rle.encode(np.ones((5, 7), bool)), (2, 1, 3, 2)).all()
