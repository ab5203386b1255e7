"""Label stacks: clustering errors against scikit-image, matches and groups by hand."""

import math
import re

import numpy as np
import pytest
import tifffile
from skimage import metrics as reference

from mito_instance.errors import AnnotationError
from mito_instance.evaluation.slice_numbers import check_slice_numbers
from mito_instance.evaluation.volume import (
    adapted_rand_error,
    count_overlaps,
    evaluate_overlaps,
    label_pages,
    variation_of_information,
)


def overlaps(truth, pred):
    return count_overlaps(np.asarray(truth, np.int64), np.asarray(pred, np.int64))


def slices(folder, names):
    folder.mkdir()
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", np.ones((4, 5), np.uint8))
    return folder


@pytest.mark.parametrize(
    ("names", "line"),
    [
        pytest.param(["z010", "z011", "z012"], None, id="the-same"),
        pytest.param(["p7_010", "p7_011", "p7_012"], None, id="other-names"),
        pytest.param(
            ["z000", "z001", "z002"], "z000.tif: is compared with .*z010.tif", id="from-0"
        ),
        pytest.param(["a", "b", "c"], None, id="names-do-not-tell"),
        pytest.param(["z010_c0", "z011_c0", "z012_c0"], None, id="a-channel-at-the-end"),
        pytest.param(["p10", "p15", "p20"], "p10.tif: is compared with .*z010.tif", id="steps"),
    ],
)
def test_slices_of_two_folders_are_compared_by_order(tmp_path, names, line):
    truth = slices(tmp_path / "t", ["z010", "z011", "z012"])
    found = check_slice_numbers(truth, slices(tmp_path / "p", names))
    assert (found is None) if line is None else re.search(line, found)
    assert check_slice_numbers(truth, tmp_path / "p.tif") is None


def test_folders_that_lack_different_slices_are_refused(tmp_path):
    truth = slices(tmp_path / "t", ["z1", "z2", "z4"])
    pred = slices(tmp_path / "p", ["z1", "z3", "z4"])
    with pytest.raises(AnnotationError, match=r"z3.tif: would be compared with .*z2.tif"):
        check_slice_numbers(truth, pred)
    renumbered = slices(tmp_path / "r", ["z101", "z103", "z104"])
    with pytest.raises(AnnotationError, match=r"z103.tif: would be compared with .*z2.tif"):
        check_slice_numbers(truth, renumbered)


def test_the_pair_that_does_not_fit_is_named(tmp_path):
    truth = slices(tmp_path / "t", ["z2", "z3", "z4"])
    pred = slices(tmp_path / "p", ["z1", "z3", "z4"])
    with pytest.raises(AnnotationError, match=r"z1.tif: would be compared with .*z2.tif"):
        check_slice_numbers(truth, pred)


@pytest.mark.parametrize("seed", range(4))
def test_clustering_errors_equal_those_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (4, 9, 8))
    pred = np.where(rng.random(truth.shape) < 0.7, truth * 1000, rng.integers(0, 9, truth.shape))
    found = overlaps(truth, pred)
    expected = reference.variation_of_information(truth, pred, ignore_labels=(0,))
    assert variation_of_information(found) == pytest.approx(tuple(expected), abs=1e-9)
    error = reference.adapted_rand_error(truth, pred, ignore_labels=(0,))[0]
    assert adapted_rand_error(found) == pytest.approx(error, abs=1e-9)


def test_a_split_raises_voi_split_and_a_merge_voi_merge():
    whole, halves = np.ones((1, 2, 8)), np.ones((1, 2, 8))
    halves[..., 4:] = 7
    assert variation_of_information(overlaps(whole, halves)) == (1.0, 0.0)
    assert variation_of_information(overlaps(halves, whole)) == (0.0, 1.0)


def test_every_class_of_error_in_three_dimensions():
    truth, pred = np.zeros((2, 4, 12, 40), dtype=int)
    truth[:, 1:4, 1:6], pred[:, 1:4, 1:6] = 3, 70  # equal but for the id
    truth[:, 1:4, 8:14] = 90  # missed
    pred[:, 1:4, 16:20] = 5  # false
    truth[:, 6:9, 1:11], pred[:2, 6:9, 1:11], pred[2:, 6:9, 1:11] = 8, 11, 12  # split over pages
    truth[:2, 6:9, 14:20], truth[2:, 6:9, 14:20], pred[:, 6:9, 14:20] = 21, 22, 30  # merge
    found = overlaps(truth, pred)
    metrics = evaluate_overlaps(found)
    groups = {group.kind: (group.true_indices, group.pred_indices) for group in metrics.groups}
    assert groups == {
        "one-to-one": ((3,), (70,)),
        "missed": ((90,), ()),
        "false": ((), (5,)),
        "split": ((8,), (11, 12)),
        "merge": ((21, 22), (30,)),
    }
    assert (metrics.n_true, metrics.n_pred, metrics.match_50.tp) == (5, 5, 1)
    assert found.boxes_true[8] == (0, 4, 6, 9, 1, 11)
    assert found.boxes_pred[12] == (2, 4, 6, 9, 1, 11)


def test_a_stack_against_itself_is_perfect():
    truth = np.zeros((3, 5, 9), dtype=int)
    truth[:2, 1:3, 1:3], truth[1:, 3:, 5:] = 1000, 7
    metrics = evaluate_overlaps(overlaps(truth, truth))
    assert (metrics.match_50.pq, metrics.iou_foreground, metrics.dice_foreground) == (1, 1, 1)
    assert (metrics.voi_split, metrics.voi_merge, metrics.adapted_rand_error) == (0, 0, 0)
    assert {group.kind for group in metrics.groups} == {"one-to-one"}


def test_empty_truth_is_undefined():
    metrics = evaluate_overlaps(overlaps(np.zeros((2, 3, 3)), np.ones((2, 3, 3))))
    assert (metrics.n_true, metrics.n_pred, metrics.match_50.f1) == (0, 1, 0)
    assert math.isnan(metrics.voi_split)
    assert math.isnan(metrics.adapted_rand_error)
    assert metrics.groups[0].kind == "false"
    both = evaluate_overlaps(overlaps(np.zeros((2, 3, 3)), np.zeros((2, 3, 3))))
    assert math.isnan(both.match_50.f1)
    assert both.groups == ()


@pytest.mark.parametrize(
    ("truth", "pred", "message"),
    [
        pytest.param((2, 3, 3), (1, 3, 3), r"page 2: the truth is \(3, 3\) .* absent", id="pages"),
        pytest.param((1, 3, 3), (1, 3, 4), r"page 1: .*\(3, 3\).*\(3, 4\)", id="size"),
        pytest.param((0, 3, 3), (0, 3, 3), "at least one page", id="none"),
    ],
)
def test_stacks_must_fit(truth, pred, message):
    with pytest.raises(AnnotationError, match=message):
        overlaps(np.zeros(truth), np.zeros(pred))


def test_a_folder_of_slices_is_the_stack_of_one_file(tmp_path):
    pages = np.zeros((2, 12, 12), np.uint16)
    pages[0, 2:10, 2:10] = 1
    pages[1] = 1
    pages[1, 4:7, 4:7] = 2
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    (tmp_path / "slices").mkdir()
    for number, page in enumerate(pages):
        tifffile.imwrite(tmp_path / "slices" / f"{number}.tif", page)
    notices = []
    for path in (tmp_path / "stack.tif", tmp_path / "slices"):
        np.testing.assert_array_equal(list(label_pages(path, notices)), pages)
    assert notices == []
