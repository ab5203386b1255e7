"""Previews of cuts: where instances touch, and rings around it."""

from __future__ import annotations

import numpy as np
import pytest

from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.visualize.cut_preview import CUT_RGB, contact_lines, draw_cuts

HW = (40, 60)


def boxes(*places):
    """One instance for each x, y, of 10 x 10 px."""
    masks = tuple(rle.place(np.ones((10, 10), bool), x, y, HW) for x, y in places)
    return ImageInstances("a.tif", HW, masks)


@pytest.mark.parametrize(
    ("places", "n_px"),
    [
        pytest.param([(5, 5), (15, 5)], 20, id="side"),
        pytest.param([(5, 5), (15, 15)], 2, id="corner"),
        pytest.param([(15, 5), (5, 15)], 2, id="other-corner"),
        pytest.param([(5, 5), (16, 5)], 0, id="apart"),
        pytest.param([(5, 5)], 0, id="one"),
        pytest.param([], 0, id="none"),
    ],
)
def test_contact_lines(places, n_px):
    assert contact_lines(boxes(*places)).sum() == n_px


def test_every_contact_has_a_ring():
    grey = np.full(HW, 90, np.uint8)
    red = (draw_cuts(grey, boxes((5, 5), (15, 5), (40, 20), (50, 20))) == CUT_RGB).all(axis=2)
    assert red[5:15, 14:16].all()
    assert red[20:30, 49:51].all()
    outside = (draw_cuts(grey, boxes((5, 5), (15, 5))) == CUT_RGB).all(axis=2)
    outside[5:15, 14:16] = False
    rows, columns = np.nonzero(outside)
    # Half of the diagonal of the line of 2 x 10 px with 5 px around it, and 3 px: around (15, 10).
    assert np.hypot(columns - 15, rows - 10) == pytest.approx(15, abs=1)
    assert len(rows) > 60
    assert not (draw_cuts(grey, boxes((5, 5))) == CUT_RGB).all(axis=2).any()
