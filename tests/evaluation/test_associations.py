"""Splits, merges, missed and false instances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.evaluation.associations import (
    Association,
    AssociationCounts,
    associate,
    count_associations,
    intersections_px,
)
from mito_instance.masks import rle


def groups(shared, areas_true, areas_pred):
    return associate(
        np.asarray(shared, dtype=np.int64).reshape(len(areas_true), len(areas_pred)),
        np.asarray(areas_true, dtype=np.int64),
        np.asarray(areas_pred, dtype=np.int64),
    )


@pytest.mark.parametrize(
    ("shared", "areas_true", "areas_pred", "kinds"),
    [
        pytest.param([[80]], [100], [90], ["one-to-one"], id="one-to-one"),
        pytest.param([[25]], [100], [200], ["one-to-one"], id="a-quarter-is-enough"),
        pytest.param([[24]], [100], [200], ["missed", "false"], id="less-than-a-quarter"),
        pytest.param([[92, 8]], [100], [92, 8], ["split"], id="92-8-split"),
        pytest.param([[8] * 12], [100], [8] * 12, ["split"], id="shatter"),
        pytest.param([[50], [50]], [50, 50], [100], ["merge"], id="merge"),
        pytest.param([[40, 0], [30, 30]], [40, 60], [70, 30], ["many-to-many"], id="chain"),
        pytest.param([[100, 100]], [100], [100, 100], ["split"], id="duplicate"),
        pytest.param([], [10, 20], [], ["missed", "missed"], id="no-predictions"),
        pytest.param([], [], [10, 20], ["false", "false"], id="no-truth"),
        pytest.param([], [], [], [], id="empty"),
        pytest.param([[0]], [0], [0], ["missed", "false"], id="masks-without-pixels"),
    ],
)
def test_kinds(shared, areas_true, areas_pred, kinds):
    assert [group.kind for group in groups(shared, areas_true, areas_pred)] == kinds


def test_groups_name_their_instances():
    found = groups([[0, 90, 0], [0, 0, 0], [50, 0, 50]], [100, 100, 100], [50, 90, 50])
    assert found == [
        Association((0,), (1,)),
        Association((1,), ()),
        Association((2,), (0, 2)),
    ]


def test_counts():
    found = [
        Association((0,), (0,)),
        Association((1,), ()),
        Association((), (1,)),
        Association((), (2,)),
        Association((2,), (3, 4, 5)),
        Association((3, 4), (6,)),
        Association((5, 6), (7, 8, 9)),
    ]
    assert count_associations(found) == AssociationCounts(
        n_one_to_one=1,
        n_missed=1,
        n_false=2,
        n_split=1,
        n_merge=1,
        n_many_to_many=1,
        excess_fragments=2 + 2,
        excess_merged=1 + 1,
    )
    assert count_associations([]) == AssociationCounts(0, 0, 0, 0, 0, 0, 0, 0)


masks = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.just(7), st.just(9)))


@given(masks_true=masks, masks_pred=masks)
def test_intersections_equal_those_of_pixel_arrays(masks_true, masks_pred):
    iou = rle.iou_matrix([rle.encode(m) for m in masks_true], [rle.encode(m) for m in masks_pred])
    shared = intersections_px(iou, masks_true.sum(axis=(1, 2)), masks_pred.sum(axis=(1, 2)))
    expected = np.einsum("ixy,jxy->ij", masks_true.astype(int), masks_pred.astype(int))
    np.testing.assert_array_equal(shared, expected)


@given(masks_true=masks, masks_pred=masks)
def test_every_instance_is_in_exactly_one_group(masks_true, masks_pred):
    shared = np.einsum("ixy,jxy->ij", masks_true.astype(int), masks_pred.astype(int))
    found = associate(shared, masks_true.sum(axis=(1, 2)), masks_pred.sum(axis=(1, 2)))
    assert sorted(i for group in found for i in group.true_indices) == list(range(len(masks_true)))
    assert sorted(j for group in found for j in group.pred_indices) == list(range(len(masks_pred)))
