"""Splits and merges by IoU > 0.1, and what they miss."""

import numpy as np
import pytest

from mito_instance.evaluation.iou_overlaps import IouOverlaps, count_iou_overlaps


@pytest.mark.parametrize(
    ("iou", "expected"),
    [
        pytest.param([[0.5, 0.4]], IouOverlaps(1, 0), id="split"),
        pytest.param([[0.5], [0.4]], IouOverlaps(0, 1), id="merge"),
        pytest.param([[0.92, 0.08]], IouOverlaps(0, 0), id="92-8-split-is-not-seen"),
        pytest.param([[1 / 12] * 12], IouOverlaps(0, 0), id="shatter-is-not-seen"),
        pytest.param(np.zeros((0, 0)), IouOverlaps(0, 0), id="empty"),
        pytest.param(np.zeros((2, 0)), IouOverlaps(0, 0), id="no-predictions"),
    ],
)
def test_counts(iou, expected):
    assert count_iou_overlaps(np.asarray(iou)) == expected
