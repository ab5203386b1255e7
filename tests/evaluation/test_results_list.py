"""COCO results lists as predictions."""

import json

import numpy as np
import pytest

from mito_instance.errors import AnnotationError
from mito_instance.evaluation.results_list import read_predictions
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.masks import rle

HW = (10, 12)
MASK = rle.place(np.ones((4, 5), dtype=bool), 1, 2, HW)
EMPTY = rle.place(np.zeros((1, 1), dtype=bool), 0, 0, HW)


@pytest.fixture
def truth(tmp_path):
    path = tmp_path / "truth.json"
    names = [str(tmp_path / name) for name in ("b.png", "a.png")]
    write_coco(path, [ImageInstances(name, HW, (MASK,)) for name in names])
    return path


def result(**changes):
    return {"image_id": 2, "category_id": 1, "segmentation": dict(MASK), "score": 0.5} | changes


def test_results_belong_to_the_images_of_the_truth(tmp_path, truth, caplog):
    path = tmp_path / "results.json"
    path.write_text(json.dumps([result(), result(score=1), result(segmentation=EMPTY)]))
    first, second = read_predictions(path, truth)
    assert first.image == str(tmp_path / "b.png")
    assert len(first) == 0
    assert second.masks == (MASK, MASK)
    assert second.scores is not None
    assert second.scores.tolist() == [0.5, 1.0]
    assert "1 results have no pixel, left out" in caplog.text


def test_no_results_are_no_detections(tmp_path, truth):
    path = tmp_path / "results.json"
    path.write_text("\n [ ]")
    assert [len(image) for image in read_predictions(path, truth)] == [0, 0]


def test_coco_json_is_read_as_such(tmp_path, truth):
    assert [len(image) for image in read_predictions(truth, truth)] == [1, 1]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        pytest.param([result(image_id=7)], "result 0: .* image_id is one of the 2 of", id="id"),
        pytest.param([result(image_id=[1])], "result 0: .* image_id", id="id-is-a-list"),
        pytest.param([3], "result 0: must be an object", id="no-object"),
        pytest.param([result(), {"image_id": 1}], "result 1: an RLE needs", id="no-mask"),
        pytest.param(
            [result(score=1.5)], r"result 0: score must lie in \[0, 1\], got 1.5", id="score"
        ),
        pytest.param([result(score=None)], "score: must be a number, got None", id="no-score"),
        pytest.param([result(score=float("nan"))], "score must lie .* got nan", id="nan"),
        pytest.param([result(score=10**400)], "score: must be a number", id="huge-score"),
        pytest.param([result(image_id=True)], "result 0: .* image_id", id="id-is-true"),
        pytest.param([result(segmentation={"size": [9, 9], "counts": "1"})], "9, 9", id="size"),
    ],
)
def test_bad_results(tmp_path, truth, results, message):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_predictions(path, truth)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[", "[1,,]", "[" * 100_000, '["\udcff"]'])
def test_files_that_are_no_json(tmp_path, truth, text):
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(AnnotationError, match=r"results.json: (not a JSON file|JSON is nested)"):
        read_predictions(path, truth)
