"""From instances to metrics: synthetic splits and merges, undefined figures, options."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (60, 100)


def image(boxes=(), scores=None, name="a.png"):
    """Rectangles (x, y, width, height) as instances; scored ones if scores are given."""
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes)
    return ImageInstances(name, HW, masks, None if scores is None else np.array(scores, float))


def scored(boxes, name="a.png"):
    return image(boxes, np.linspace(0.9, 0.5, len(boxes)), name)


def test_split_merge_missed_and_false_are_found():
    truth = image(
        [(0, 0, 10, 10), (20, 0, 10, 10), (40, 0, 20, 10), (0, 20, 10, 10), (11, 20, 9, 10)]
    )
    pred = scored([(0, 0, 10, 10), (40, 0, 9, 10), (51, 0, 9, 10), (0, 20, 20, 10), (80, 40, 5, 5)])
    metrics = evaluate([truth], [pred])
    summary = metrics.summary()
    kinds = ("one_to_one", "missed", "false", "split", "merge", "many_to_many")
    assert [summary[f"n_{kind}"] for kind in kinds] == [1, 1, 1, 1, 1, 0]
    assert (summary["excess_fragments"], summary["excess_merged"]) == (1, 1)
    split = next(g for g in metrics.images[0].groups if g.association.kind == "split")
    assert split.association.true_indices == (2,)
    assert split.association.pred_indices == (1, 2)
    assert split.box_xywh == (40, 0, 20, 10)
    assert (split.area_true_px, split.area_pred_px) == (200, 180)


def test_figures_by_hand():
    # One match of IoU 0.8, one of 0.6, one missed, one false.
    truth = image([(0, 0, 10, 10), (20, 0, 10, 10), (40, 0, 10, 10)])
    pred = scored([(0, 0, 8, 10), (20, 0, 6, 10), (80, 40, 10, 10)])
    summary = evaluate([truth], [pred]).summary()
    assert summary["f1_50"] == pytest.approx(4 / 6)
    assert summary["f1_75"] == pytest.approx(2 / 6)
    assert summary["pq"] == pytest.approx(1.4 / 3)
    assert summary["iou_foreground"] == pytest.approx(140 / 400)
    assert summary["dice_foreground"] == pytest.approx(280 / 540)


def test_counts_are_added_over_images_and_divided_last():
    truth = [image([(0, 0, 5, 5)], name="a.png"), image([(0, 0, 9, 9)] * 1, name="b.png")]
    pred = [
        scored([(0, 0, 5, 5)], "a.png"),
        scored([(50, 0, 5, 5), (60, 0, 5, 5), (70, 0, 5, 5)], "b.png"),
    ]
    metrics = evaluate(truth, pred)
    summary = metrics.summary()
    assert [row["f1_50"] for row in metrics.image_figures()] == [1.0, 0.0]
    assert summary["f1_50"] == pytest.approx(2 / 6)  # not the mean of 1 and 0
    assert (summary["count_bias"], summary["count_mae"]) == (1.0, 1.0)
    assert (summary["n_true"], summary["n_pred"], summary["n_images"]) == (2, 4, 2)


FRACTIONS = (
    "ap",
    "ap50",
    "ap75",
    "ar",
    "f1_50",
    "f1_75",
    "pq",
    "iou_foreground",
    "dice_foreground",
)


@pytest.mark.parametrize(
    ("truth", "pred", "ap", "others"),
    [
        pytest.param(image(), scored([]), math.nan, math.nan, id="both-empty"),
        pytest.param(image(), image(), math.nan, math.nan, id="both-empty-without-scores"),
        pytest.param(image(), scored([(0, 0, 5, 5)]), math.nan, 0.0, id="no-truth"),
        pytest.param(image([(0, 0, 5, 5)]), image(), 0.0, 0.0, id="no-predictions"),
        pytest.param(image([(0, 0, 5, 5)]), scored([(0, 0, 5, 5)]), 1.0, 1.0, id="perfect"),
    ],
)
def test_undefined_is_nan_and_nothing_else_is(truth, pred, ap, others):
    summary = evaluate([truth], [pred]).summary()
    expected = [ap] * 4 + [others] * 5
    assert [summary[name] for name in FRACTIONS] == pytest.approx(expected, nan_ok=True)
    assert summary["count_mae"] == abs(len(pred) - len(truth))


def test_overlapping_truth_is_matched_one_to_one():
    boxes = [(0, 0, 10, 10), (8, 0, 10, 10)]
    summary = evaluate([image(boxes)], [scored(boxes[::-1])]).summary()
    assert (summary["f1_50"], summary["pq"], summary["ap"]) == (1.0, 1.0, 1.0)
    assert summary["n_one_to_one"] == 2
    assert summary["iou_foreground"] == 1.0


def test_a_duplicate_is_false_for_f1_and_a_split_for_associations():
    summary = evaluate([image([(0, 0, 10, 10)])], [scored([(0, 0, 10, 10)] * 2)]).summary()
    assert summary["f1_50"] == pytest.approx(2 / 3)
    assert (summary["n_split"], summary["n_false"], summary["excess_fragments"]) == (1, 0, 1)


def test_small_instances_leave_truth_and_predictions():
    truth = image([(0, 0, 2, 2), (20, 0, 5, 5)])
    pred = scored([(20, 0, 5, 5), (40, 0, 2, 2)])
    metrics = evaluate([truth], [pred], min_area_px=5)
    summary = metrics.summary()
    assert (summary["n_true"], summary["n_pred"], summary["ap"]) == (1, 1, 1.0)
    # Positions still are those of the file.
    assert metrics.images[0].groups[0].association.true_indices == (1,)
    assert evaluate([truth], [pred], min_area_px=4).summary()["n_true"] == 2


@pytest.mark.parametrize(
    ("box_true", "box_pred", "kinds", "ap50", "foreground"),
    [
        pytest.param((0, 0, 6, 4), (0, 0, 5, 5), [], math.nan, (0, 0, 0), id="truth-under"),
        pytest.param(
            (0, 0, 5, 5), (0, 0, 6, 4), ["one-to-one"], 1, (20, 4, 5), id="prediction-under"
        ),
        pytest.param(
            (0, 0, 6, 4), (40, 0, 5, 5), ["false"], math.nan, (0, 25, 0), id="false-and-truth-under"
        ),
        pytest.param((0, 0, 5, 5), (40, 0, 6, 4), ["missed"], 0, (0, 0, 25), id="false-under"),
    ],
)
def test_a_prediction_counts_where_its_partner_does(box_true, box_pred, kinds, ap50, foreground):
    """Boxes of 24 and 25 px, of which the limit leaves out the smaller one."""
    metrics = evaluate([image([box_true])], [scored([box_pred])], min_area_px=25)
    (result,), summary = metrics.images, metrics.summary()
    assert [group.association.kind for group in result.groups] == kinds
    assert summary["n_true"] == len(kinds) - kinds.count("false")
    assert summary["n_pred"] == len(kinds) - kinds.count("missed")
    assert summary["ap50"] == pytest.approx(ap50, nan_ok=True)
    assert (result.foreground.tp, result.foreground.fp, result.foreground.fn) == foreground
    n_false = [kinds.count("false")] if summary["n_pred"] else []
    assert [row.match.fp for row in metrics.sweep[:1]] == n_false


def test_an_object_on_the_edge_of_a_region_is_no_error():
    region = {("a.png", 0): rle.place(np.ones((60, 50), dtype=bool), 0, 0, HW)}
    outside, inside = (46, 0, 9, 10), (45, 0, 9, 10)  # 4 and 5 of 9 columns in the region
    for truth, pred, n in ((outside, inside, 0), (inside, outside, 1)):
        summary = evaluate([image([truth])], [scored([pred])], regions=region).summary()
        assert (summary["n_true"], summary["n_pred"], summary["n_one_to_one"]) == (n, n, n)


def test_what_is_not_scored_is_left_out_once_it_is_paired():
    truths = [image([(0, 0, 9, 9)]), replace(image([(0, 0, 9, 9)]), image="b.png")]
    preds = [scored([(0, 0, 9, 9)]), replace(scored([(30, 20, 9, 9)]), image="b.png")]
    metrics = evaluate(truths, preds, not_scored={("b.png", 0)})
    assert (metrics.summary()["n_images"], metrics.summary()["f1_50"]) == (1, 1.0)
    assert (metrics.unpaired_true, metrics.unpaired_pred) == ((), ())
    alone = evaluate(truths, preds[:1], not_scored={("b.png", 0)})
    assert alone.unpaired_true == ()
    with pytest.raises(AnnotationError, match=r"b\.png: none of the images .* is to be scored"):
        evaluate(truths[1:], preds[1:], not_scored={("b.png", 0)})
    # A name that pairs with two true images stays an error, whichever of them is scored.
    truths = [replace(truths[0], image=f"{folder}/cell.tif") for folder in ("wt", "ko")]
    with pytest.raises(AnnotationError, match="must be unique"):
        evaluate(truths, [replace(preds[0], image="cell.tif")], not_scored={("wt/cell.tif", 0)})


def test_score_threshold_leaves_ap_alone():
    truth = image([(0, 0, 5, 5), (20, 0, 5, 5)])
    pred = image([(0, 0, 5, 5), (20, 0, 5, 5)], [0.9, 0.4])
    summary = evaluate([truth], [pred], score_threshold=0.9).summary()
    assert (summary["n_pred"], summary["recall_50"], summary["ap"]) == (1, 0.5, 1.0)


def test_threshold_needs_scores():
    boxes = [(0, 0, 5, 5)]
    with pytest.raises(ConfigError, match=r"a.png: a score threshold of 0.5 needs scores"):
        evaluate([image(boxes)], [image(boxes)], score_threshold=0.5)


@pytest.mark.parametrize(
    "options", [{"min_area_px": -1}, {"score_threshold": 1.5}, {"score_threshold": math.nan}]
)
def test_options_out_of_range(options):
    with pytest.raises(ConfigError, match="minimum area must be >= 0 px and the score threshold"):
        evaluate([image()], [image()], **options)


def test_only_images_in_both_are_scored():
    truth = [image([(0, 0, 5, 5)], name="a.png"), image([(0, 0, 5, 5)], name="b.png")]
    pred = [scored([(0, 0, 5, 5)], "x/c.png"), scored([(0, 0, 5, 5)], "x/b.png")]
    metrics = evaluate(truth, pred)
    assert metrics.summary()["n_true"] == 1
    assert metrics.unpaired_true == (("a.png", 0),)
    assert metrics.unpaired_pred == (("x/c.png", 0),)


@pytest.mark.parametrize(
    ("truth", "pred"),
    [
        pytest.param([image(name="a.png")], [image(name="b.png")], id="other-images"),
        pytest.param([], [], id="no-images"),
    ],
)
def test_no_common_image(truth, pred):
    with pytest.raises(AnnotationError, match="truth and prediction share no image"):
        evaluate(truth, pred)


boxes = st.lists(
    st.tuples(st.integers(0, 80), st.integers(0, 40), st.integers(1, 20), st.integers(1, 20)),
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(boxes_true=boxes, boxes_pred=boxes, data=st.data())
def test_metrics_ignore_the_order_of_images_and_instances(boxes_true, boxes_pred, data):
    levels = st.lists(
        st.sampled_from([0.25, 0.5, 1.0]), min_size=len(boxes_pred), max_size=len(boxes_pred)
    )
    truth = [image(boxes_true, name="a.png"), image([(0, 0, 5, 5)], name="b.png")]
    pred = [image(boxes_pred, data.draw(levels), "a.png"), scored([(1, 0, 5, 5)], "b.png")]
    shuffled_true = [
        truth[1],
        truth[0].select(np.array(data.draw(st.permutations(range(len(boxes_true)))), dtype=int)),
    ]
    shuffled_pred = [
        pred[0].select(np.array(data.draw(st.permutations(range(len(boxes_pred)))), dtype=int)),
        pred[1],
    ]
    first = evaluate(truth, pred, score_threshold=0.5).summary()
    second = evaluate(shuffled_true, shuffled_pred, score_threshold=0.5).summary()
    # AP keeps the order of equal scores (see test_coco_ap.py for its own property).
    for summary in (first, second):
        for name in ("ap", "ap50", "ap75", "ar"):
            del summary[name]
    assert second == pytest.approx(first, nan_ok=True)


SWAPPED = {
    "precision_50": "recall_50",
    "precision_75": "recall_75",
    "precision_foreground": "recall_foreground",
    "precision_boundary": "recall_boundary",
    "n_true": "n_pred",
    "n_missed": "n_false",
    "n_split": "n_merge",
    "n_split_iou": "n_merge_iou",
    "excess_fragments": "excess_merged",
}
SAME = (
    *("f1_50", "f1_75", "f1_95", "detection_accuracy_50", "pq", "sq", "rq", "f1_boundary"),
    *("iou_foreground", "dice_foreground", "n_one_to_one", "n_many_to_many"),
    *("count_mae", "count_correlation", "area_mae_px", "area_correlation", "area_fraction_mae"),
)
NEGATED = ("count_bias", "area_bias_px", "area_fraction_bias")


@settings(max_examples=30, deadline=None)
@given(first=boxes, second=boxes)
def test_two_annotators_agree_alike_whoever_is_the_truth(first, second):
    sides = [[image(side), image([(0, 0, 5, 5)], name="b.png")] for side in (first, second)]
    there, back = evaluate(*sides).summary(), evaluate(*sides[::-1]).summary()
    expected = {name: there[name] for name in SAME} | {name: -there[name] for name in NEGATED}
    for one, other in SWAPPED.items():
        expected |= {one: there[other], other: there[one]}
    found = {name: back[name] for name in expected}
    assert found == pytest.approx(expected, nan_ok=True)
