"""COCO AP: by hand, against pycocotools, and beyond 100 instances."""

import contextlib
import copy
import io
import logging
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mito_instance.evaluation.coco_ap import AveragePrecision, average_precision
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (120, 160)


def instances(boxes, scores=None, image="a.png", image_hw=HW):
    """Rectangles (x, y, width, height) as instances."""
    masks = tuple(rle.place(np.ones((h, w), dtype=bool), x, y, image_hw) for x, y, w, h in boxes)
    return ImageInstances(image, image_hw, masks, None if scores is None else np.array(scores))


def random_pair(rng, image, n=30):
    """Truth, and predictions that are shifted truth, duplicates and false ones."""
    boxes_true = [
        (int(x), int(y), int(w), int(h))
        for x, y, w, h in zip(
            rng.integers(0, 140, n),
            rng.integers(0, 100, n),
            rng.integers(4, 20, n),
            rng.integers(4, 20, n),
            strict=True,
        )
    ]
    boxes_pred = [
        (x + int(rng.integers(-2, 3)), y + int(rng.integers(-2, 3)), w, h)
        for x, y, w, h in [*boxes_true[: n - 5], *boxes_true[:5]]
    ]
    boxes_pred += [(int(x), 50, 9, 9) for x in rng.integers(0, 140, 6)]
    scores = rng.permutation(len(boxes_pred) * 7)[: len(boxes_pred)] / (len(boxes_pred) * 7)
    return instances(boxes_true, image=image), instances(boxes_pred, scores, image=image)


def reference(pairs):
    """The same figures by pycocotools, whose standard limit is 100 detections."""
    dataset = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "m"}], "info": {}}
    results = []
    for image_id, (truth, pred) in enumerate(pairs, start=1):
        dataset["images"].append({"id": image_id, "height": HW[0], "width": HW[1]})
        for mask in truth.masks:
            dataset["annotations"].append(
                {
                    "id": len(dataset["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "area": rle.area_px(mask),
                    "segmentation": dict(mask),
                }
            )
        results += [
            {
                "image_id": image_id,
                "category_id": 1,
                "segmentation": dict(mask),
                "score": float(score),
            }
            for mask, score in zip(pred.masks, pred.scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth_api = COCO()
        truth_api.dataset = dataset
        truth_api.createIndex()
        evaluation = COCOeval(truth_api, truth_api.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return AveragePrecision(*(float(evaluation.stats[i]) for i in (0, 1, 2, 8)))


def figures(found):
    return (found.ap, found.ap50, found.ap75, found.ar)


@pytest.mark.parametrize("seed", range(4))
def test_figures_equal_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    pairs = [random_pair(rng, f"{i}.png") for i in range(4)]
    pairs.append((instances([], image="8.png"), instances([(3, 3, 9, 9)], [0.4], image="8.png")))
    found = average_precision(pairs)
    assert 0.1 < found.ap < 0.9  # the case is not trivial
    assert figures(found) == pytest.approx(figures(reference(pairs)), abs=1e-12)


def test_300_perfect_detections_are_perfect():
    boxes = [(5 * (i % 30), 10 * (i // 30), 4, 8) for i in range(300)]
    truth, pred = instances(boxes), instances(boxes, np.linspace(0.1, 1, 300))
    assert figures(average_precision([(truth, pred)])) == (1.0, 1.0, 1.0, 1.0)
    assert reference([(truth, pred)]).ap < 0.4  # what the limit of 100 does


def test_figures_by_hand():
    # IoU 0.8 (8 of 10 columns): found at IoU 0.50 to 0.80, that is 7 of 10 thresholds.
    found = average_precision([(instances([(0, 0, 10, 10)]), instances([(0, 0, 8, 10)], [0.9]))])
    assert figures(found) == pytest.approx((0.7, 1.0, 1.0, 0.7))


@pytest.mark.parametrize(
    ("truth", "pred", "expected"),
    [
        pytest.param(instances([]), instances([]), math.nan, id="both-empty"),
        pytest.param(instances([]), instances([(0, 0, 5, 5)], [0.5]), math.nan, id="no-truth"),
        pytest.param(instances([(0, 0, 5, 5)]), instances([]), 0.0, id="no-predictions"),
        pytest.param(
            instances([(0, 0, 5, 5)]),
            instances([(0, 0, 5, 5), (0, 0, 5, 5)], [0.9, 0.8]),
            1.0,
            id="duplicate-after-the-match",
        ),
    ],
)
def test_edge_cases(truth, pred, expected):
    found = figures(average_precision([(truth, pred)]))
    assert found == pytest.approx((expected,) * 4, nan_ok=True)


def test_a_false_detection_with_a_higher_score_halves_the_precision():
    pred = instances([(50, 50, 5, 5), (0, 0, 5, 5)], [0.9, 0.8])
    found = average_precision([(instances([(0, 0, 5, 5)]), pred)])
    assert figures(found) == pytest.approx((0.5, 0.5, 0.5, 1.0))


def test_no_images():
    assert all(math.isnan(value) for value in figures(average_precision([])))


def test_predictions_without_scores_count_as_certain(caplog):
    boxes = [(0, 0, 5, 5), (20, 0, 5, 5)]
    with caplog.at_level(logging.WARNING):
        found = average_precision([(instances(boxes), instances(boxes))])
    assert figures(found) == (1.0, 1.0, 1.0, 1.0)
    assert "without scores" in caplog.text


def test_input_is_not_changed_and_nothing_is_printed(capsys):
    truth, pred = random_pair(np.random.default_rng(1), "a.png")
    before = copy.deepcopy((truth.masks, pred.masks, pred.scores.tolist()))
    average_precision([(truth, pred)])
    assert (truth.masks, pred.masks, pred.scores.tolist()) == before
    assert capsys.readouterr() == ("", "")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), is_scored=st.booleans())
def test_figures_do_not_depend_on_order(seed, is_scored):
    """Not on that of images and instances with scores, nor on that of labels without."""
    rng = np.random.default_rng(seed)
    pairs = []
    for i in range(3):
        truth = instances(
            [(x, y, 12, 12) for x in range(0, 120, 20) for y in (0, 30)], image=f"{i}"
        )
        boxes = [
            (20 * int(x) + int(dx), 30 * int(y) + int(dy), 12, 12)
            for x, y, dx, dy in rng.integers(0, (6, 3, 6, 6), (12, 4))
        ]
        scores = rng.permutation(1000)[: len(boxes)] / 1000 + i / 3000
        pairs.append((truth, instances(boxes, scores if is_scored else None, image=f"{i}")))
    shuffled = [
        (t.select(rng.permutation(len(t))), p.select(rng.permutation(len(p)))) for t, p in pairs
    ]
    shuffled.reverse()
    assert average_precision(shuffled) == average_precision(pairs)


def test_equal_scores_keep_the_order_of_the_file_as_in_pycocotools():
    truth = instances([(0, 0, 5, 5)])
    right, wrong = (0, 0, 5, 5), (50, 50, 5, 5)
    for boxes, ap in (([right, wrong], 1.0), ([wrong, right], 0.5)):
        pair = (truth, instances(boxes, [0.5, 0.5]))
        assert average_precision([pair]).ap == pytest.approx(ap)
        assert reference([pair]).ap == pytest.approx(ap)
