"""Matching and the figures that follow from its counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.evaluation.matching import MatchCounts, count_matches, match


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param(MatchCounts(tp=1, iou_sum=0.8), 0.8, id="one-match"),
        pytest.param(MatchCounts(tp=2, fp=1, fn=1, iou_sum=1.5), 0.5, id="mixed"),
        pytest.param(MatchCounts(fp=2), 0.0, id="only-false-positives"),
        pytest.param(MatchCounts(fn=2), 0.0, id="only-missed"),
        pytest.param(MatchCounts(), math.nan, id="nothing-to-find"),
    ],
)
def test_pq(counts, expected):
    assert counts.pq == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        pytest.param(MatchCounts(tp=3, fp=1, fn=2), 3 / 4, 3 / 5, 6 / 9, id="mixed"),
        pytest.param(MatchCounts(fp=2), 0, math.nan, 0, id="no-truth"),
        pytest.param(MatchCounts(fn=2), math.nan, 0, 0, id="no-predictions"),
        pytest.param(MatchCounts(), math.nan, math.nan, math.nan, id="nothing"),
    ],
)
def test_fractions(counts, precision, recall, f1):
    found = (counts.precision, counts.recall, counts.f1)
    assert found == pytest.approx((precision, recall, f1), nan_ok=True)


def test_counts_are_added_before_they_are_divided():
    total = MatchCounts(tp=1, iou_sum=0.9) + MatchCounts(fp=3, fn=1) + MatchCounts()
    assert total == MatchCounts(tp=1, fp=3, fn=1, iou_sum=0.9)
    assert total.f1 == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("iou", "threshold", "expected"),
    [
        pytest.param([[0.5]], 0.5, MatchCounts(fp=1, fn=1), id="strictly-above"),
        pytest.param([[0.51]], 0.5, MatchCounts(tp=1, iou_sum=0.51), id="just-above"),
        pytest.param(
            [[0.9, 0.8], [0.7, 0.0]], 0.5, MatchCounts(tp=2, iou_sum=1.5), id="optimal-not-greedy"
        ),
        pytest.param([[0.9, 0.6]], 0.5, MatchCounts(tp=1, fp=1, iou_sum=0.9), id="duplicate"),
        pytest.param(np.zeros((0, 2)), 0.5, MatchCounts(fp=2), id="no-truth"),
        pytest.param(np.zeros((3, 0)), 0.5, MatchCounts(fn=3), id="no-predictions"),
        pytest.param(np.zeros((0, 0)), 0.5, MatchCounts(), id="empty"),
    ],
)
def test_count_matches(iou, threshold, expected):
    found = count_matches(np.asarray(iou, dtype=float), threshold)
    assert (found.tp, found.fp, found.fn) == (expected.tp, expected.fp, expected.fn)
    assert found.iou_sum == pytest.approx(expected.iou_sum)


def test_match_names_the_pairs():
    rows, columns = match(np.array([[0.0, 0.9], [0.3, 0.0], [0.8, 0.0]]), 0.5)
    assert rows.tolist() == [0, 2]
    assert columns.tolist() == [1, 0]


@pytest.mark.parametrize("threshold", [-0.1, 1.0, math.nan])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ValueError, match="0 <= threshold < 1"):
        match(np.zeros((1, 1)), threshold)


@given(
    iou=hnp.arrays(
        float, st.tuples(st.integers(0, 5), st.integers(0, 5)), elements=st.floats(0, 1)
    ),
    data=st.data(),
)
def test_counts_do_not_depend_on_the_order_of_the_instances(iou, data):
    rows = data.draw(st.permutations(range(iou.shape[0])))
    columns = data.draw(st.permutations(range(iou.shape[1])))
    shuffled = iou[np.array(rows, dtype=int)][:, np.array(columns, dtype=int)]
    first, second = count_matches(iou, 0.5), count_matches(shuffled, 0.5)
    assert (first.tp, first.fp, first.fn) == (second.tp, second.fp, second.fn)
    assert first.iou_sum == pytest.approx(second.iou_sum)
