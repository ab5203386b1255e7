"""Unions of many masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.masks import rle

HW = (40, 50)


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 300])
def test_the_union_has_the_pixels_of_all(count):
    rng = np.random.default_rng(count)
    masks = [rng.random(HW) < 0.02 for _ in range(count)]
    expected = np.any(masks, axis=0) if masks else np.zeros(HW, bool)
    merged = rle.union([rle.encode(mask) for mask in masks], HW)
    assert merged["size"] == list(HW)
    assert (rle.decode(merged) == expected).all()


@settings(max_examples=50)
@given(st.permutations(range(20)))
def test_the_order_does_not_matter(order):
    squares = [rle.place(np.ones((9, 9), bool), 2 * n, n, HW) for n in range(20)]
    assert rle.union([squares[n] for n in order], HW) == rle.union(squares, HW)
