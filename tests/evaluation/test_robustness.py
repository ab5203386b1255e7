"""Known corruptions of a synthetic truth, and odd input with the results that are promised."""

import itertools
import json
import logging

import numpy as np
import pytest

from mito_instance.evaluation.evaluate import evaluate
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle
from mito_instance.synthetic import make_micrograph


@pytest.fixture(scope="module")
def truth():
    """A synthetic micrograph with at least eight mitochondria."""
    micrograph = make_micrograph(np.random.default_rng(3), (512, 640), count=14)
    assert len(micrograph.instances) >= 8
    return micrograph.instances


def pieces(mask, n_pieces):
    """The mask cut into bands of rows, each with pixels."""
    pixels = rle.decode(mask)
    rows = np.flatnonzero(pixels.any(axis=1))
    found = []
    for band in np.array_split(rows, n_pieces):
        part = np.zeros_like(pixels)
        part[band] = pixels[band]
        found.append(rle.encode(part))
    return found


def predictions(truth, masks):
    scores = np.linspace(0.95, 0.5, len(masks))
    return ImageInstances(truth.image, truth.image_hw, tuple(masks), scores)


def kinds(summary):
    names = ("one_to_one", "missed", "false", "split", "merge", "many_to_many")
    return [summary[f"n_{name}"] for name in names]


def test_every_class_of_error_is_found(truth):
    masks = list(truth.masks)
    n = len(masks)
    false = np.zeros(truth.image_hw, dtype=bool)
    free = np.ones(truth.image_hw, dtype=bool)
    for mask in masks:
        free &= ~rle.decode(mask)
    false[:, :3] = free[:, :3]
    pred = [
        *pieces(masks[0], 2),  # split in two
        *pieces(masks[1], 12),  # split in twelve
        rle.union(masks[2:5], truth.image_hw),  # merge of three
        rle.encode(false),  # false
        *masks[6:],  # right; number 5 is missed
    ]
    metrics = evaluate([truth], [predictions(truth, pred)])
    summary = metrics.summary()
    assert kinds(summary) == [n - 6, 1, 1, 2, 1, 0]
    assert (summary["excess_fragments"], summary["excess_merged"]) == (1 + 11, 2)
    members = {g.association.kind: g.association for g in metrics.images[0].groups}
    assert members["merge"].true_indices == (2, 3, 4)
    assert members["missed"].true_indices == (5,)
    assert summary["count_bias"] == len(pred) - n


def test_truth_against_itself_is_perfect(truth):
    summary = evaluate([truth], [predictions(truth, truth.masks)]).summary()
    ones = "ap ap50 ap75 ar f1_50 f1_95 pq iou_foreground dice_foreground f1_boundary"
    assert [summary[name] for name in ones.split()] == [1.0] * 10
    assert kinds(summary) == [len(truth), 0, 0, 0, 0, 0]


def test_false_ones_do_not_change_what_was_found(truth):
    part = predictions(truth, truth.masks[:5])
    whole = evaluate([truth], [part]).summary()
    assert (whole["recall_50"], whole["precision_50"]) == (5 / len(truth), 1.0)


@pytest.mark.parametrize(
    ("n_true", "n_pred", "undefined", "zero"),
    [
        pytest.param(0, 3, "ap ar recall_50 sq recall_foreground", "f1_50 pq iou_foreground"),
        pytest.param(3, 0, "precision_50 precision_foreground sq", "ap ar f1_50 pq recall_50"),
        pytest.param(0, 0, "ap f1_50 pq sq iou_foreground f1_boundary", "count_bias count_mae"),
    ],
    ids=["empty-truth", "empty-prediction", "both-empty"],
)
def test_empty_sides(truth, n_true, n_pred, undefined, zero):
    image = truth.select(range(n_true))
    summary = evaluate([image], [predictions(truth, truth.masks[:n_pred])]).summary()
    assert all(np.isnan(summary[name]) for name in undefined.split())
    assert [summary[name] for name in zero.split()] == [0] * len(zero.split())
    assert (summary["n_false"], summary["n_missed"]) == (n_pred, n_true)


def test_counts_and_groups_add_up(truth):
    pred = [*pieces(truth.masks[0], 3), rle.union(list(truth.masks[1:4]), truth.image_hw)]
    summary = evaluate([truth], [predictions(truth, pred)]).summary()
    excess = summary["excess_fragments"] - summary["excess_merged"]
    unmatched = summary["n_false"] - summary["n_missed"]
    assert summary["n_pred"] - summary["n_true"] == excess + unmatched


def test_order_of_files_and_instances_is_of_no_matter(truth):
    names = ("a.png", "b.png", "c.png")
    images = [ImageInstances(name, truth.image_hw, truth.masks[:n]) for n, name in enumerate(names)]
    pred = [ImageInstances(name, truth.image_hw, truth.masks[1:4]) for name in names]
    expected = evaluate(images, pred).summary()
    for order in itertools.permutations(range(3)):
        shuffled = [pred[i].select([2, 0, 1]) for i in order]
        assert evaluate(images, shuffled).summary() == pytest.approx(expected, nan_ok=True)


def test_crowd_regions_are_no_instances_and_are_named(truth, tmp_path, caplog):
    path = tmp_path / "truth.json"
    write_coco(path, [truth.select([0, 1, 2])])
    document = json.loads(path.read_text())
    document["annotations"][2]["iscrowd"] = 1
    path.write_text(json.dumps(document))
    with caplog.at_level(logging.WARNING):
        (image,) = read_coco(path)
    assert "1 crowd regions (iscrowd 1) are no instances" in caplog.text
    assert image.crowds == (truth.masks[2],)
    # A prediction in a crowd region is neither right nor wrong; one beside it is false.
    pred = predictions(image, [*truth.masks[:3], *truth.masks[4:5]])
    metrics = evaluate([image], [pred])
    summary = metrics.summary()
    assert (summary["n_true"], summary["n_pred"], summary["n_false"]) == (2, 3, 1)
    assert (summary["precision_50"], summary["ap"]) == (2 / 3, 1.0)
    assert [group.association.pred_indices for group in metrics.images[0].groups][2] == (3,)
    # Its pixels are no false foreground, and not among those that are compared.
    areas = [rle.area_px(mask) for mask in truth.masks]
    assert summary["iou_foreground"] == (areas[0] + areas[1]) / (areas[0] + areas[1] + areas[4])
    inside = truth.image_hw[0] * truth.image_hw[1] - areas[2]
    assert metrics.images[0].considered_px == inside
    assert metrics.sweep[0].count_bias == 1


def test_instances_without_pixels_count_and_match_nothing(truth):
    empty = rle.union([], truth.image_hw)
    image = ImageInstances(truth.image, truth.image_hw, (*truth.masks[:2], empty))
    summary = evaluate([image], [predictions(image, [*truth.masks[:2], empty])]).summary()
    assert kinds(summary) == [2, 1, 1, 0, 0, 0]
