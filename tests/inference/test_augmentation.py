"""Test-time augmentation: orientations, votes, scores, and the whole of ``quantify`` with it."""

import csv
import io
import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mito_instance
from mito_instance.cli import quantify
from mito_instance.errors import ConfigError
from mito_instance.inference.augmentation import (
    AugmentedPredictor,
    orientations,
    with_augmentation,
)
from mito_instance.inference.pipeline import predict_page
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle
from tests.dark_objects import DarkObjects, micrograph


class Oracle:
    """The truth of each tile, whose pixels are labels, or what a function makes of it."""

    score_threshold, pixel_size_nm, tile_px, tile_overlap_px = 0.5, 5.0, 96, 32

    def __init__(self, answer=None):
        self.answer, self.calls = answer, []

    def prepare(self, pixels):
        return pixels

    def predict(self, tiles, min_score=0.0):
        results = []
        for tile in tiles:
            number = len(self.calls)
            self.calls.append((tile.copy(), min_score))
            found = [
                (tile == label, 1 - label / 100, 1 + label % 2)
                for label in np.unique(tile)
                if label
            ]
            if self.answer is not None:
                found = self.answer(number, found)
            found = [one for one in found if one[1] >= min_score]
            results.append(
                ImageInstances(
                    "tile",
                    tile.shape,
                    tuple(rle.encode(mask) for mask, _, _ in found),
                    np.array([score for _, score, _ in found]),
                    category_ids=tuple(category for _, _, category in found),
                )
            )
        return results

    def record(self):
        return {"weights": "none"}


def labels(height=40, width=60):
    """An L and a bar, which no flip or turn leaves as they are."""
    image = np.zeros((height, width), np.uint8)
    image[3:20, 5:9] = image[16:20, 5:15] = 1
    image[2:4, 30:55] = 2
    return image


@given(
    array=hnp.arrays(np.uint8, st.tuples(st.integers(1, 7), st.integers(1, 7))),
    count=st.sampled_from([4, 8]),
)
def test_every_orientation_is_undone_exactly(array, count):
    seen = set()
    for orientation in orientations(count):
        turned = orientation.apply(array)
        back, x, y = orientation.undo(turned, 0, 0, turned.shape)
        assert (x, y) == (0, 0)
        assert np.array_equal(back, array)
        for corner in ((0, 0), (turned.shape[0] - 1, turned.shape[1] - 1)):
            part = turned[corner[0] :, corner[1] :]
            own, x, y = orientation.undo(part, corner[1], corner[0], turned.shape)
            assert np.array_equal(own, array[y : y + own.shape[0], x : x + own.shape[1]])
        seen.add((turned.shape, turned.tobytes()))
    assert len(seen) <= count


def test_the_orientations_are_all_different():
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for count in (4, 8):
        turned = [orientation.apply(array) for orientation in orientations(count)]
        assert len({(one.shape, one.tobytes()) for one in turned}) == count
        assert np.array_equal(turned[0], array)


@pytest.mark.parametrize("count", [4, 8])
def test_an_oracle_is_left_unchanged(count):
    oracle = Oracle()
    (plain,) = Oracle().predict([labels()])
    (merged,) = AugmentedPredictor(oracle, count).predict([labels()])
    assert len(oracle.calls) == count
    assert merged.masks == plain.masks
    assert merged.scores.tolist() == plain.scores.tolist()
    assert merged.category_ids == plain.category_ids == (2, 1)


@pytest.mark.parametrize("count", [4, 8])
def test_what_one_orientation_shows_is_worth_little(count):
    def blind(number, found):
        return found if number == 1 else found[:1]

    predictor = AugmentedPredictor(Oracle(blind), count)
    (merged,) = predictor.predict([labels()])
    assert merged.scores.tolist() == pytest.approx([0.99, 0.98 / count])
    assert np.array_equal(rle.decode(merged.masks[1]), labels() == 2)
    predictor.predictor.calls.clear()
    (merged,) = predictor.predict([labels()], 0.5)
    assert len(merged) == 1


def test_members_below_the_score_that_is_asked_for_count():
    scores = [0.9, 0.3, 0.9, 0.1]

    def varying(number, found):
        return [(found[0][0], scores[number], 1)]

    oracle = Oracle(varying)
    (merged,) = AugmentedPredictor(oracle).predict([labels()], 0.5)
    assert merged.scores.tolist() == pytest.approx([0.55])
    assert [min_score for _, min_score in oracle.calls] == [0.05] * 4
    scores[:] = [0.49] * 4
    oracle.calls.clear()
    assert len(AugmentedPredictor(oracle).predict([labels()], 0.5)[0]) == 0


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        pytest.param([10, 10, 10, 16], 10, id="one-is-outvoted"),
        pytest.param([10, 16, 16, 16], 16, id="three-win"),
        pytest.param([16, 10, None, None], 16, id="the-best-decides-wide"),
        pytest.param([10, 16, None, None], 10, id="the-best-decides-narrow"),
    ],
)
def test_pixels_are_voted_on(widths, expected):
    def varying(number, _):
        mask = np.zeros((20, 40), bool)
        mask[4:9, 12 : 12 + (widths[number] or 0)] = True
        score = 0.8 if number or widths[2] else np.nextafter(0.8, 1)
        own = orientations(4)[number].apply(mask)
        return [(own, score, 1)] if widths[number] else []

    (merged,) = AugmentedPredictor(Oracle(varying)).predict([labels(20, 40)])
    assert rle.box_xywh(merged.masks[0]) == (12, 4, expected, 5)


def test_a_vote_has_the_weight_of_its_score():
    def varying(number, _):
        mask = np.zeros((20, 40), bool)
        mask[4:9, 12 : 12 + (16 if number == 0 else 10)] = True
        return [(orientations(4)[number].apply(mask), 0.9 if number == 0 else 0.2, 1)]

    (merged,) = AugmentedPredictor(Oracle(varying)).predict([labels(20, 40)])
    assert rle.area_px(merged.masks[0]) == 5 * 16
    assert merged.scores.tolist() == pytest.approx([1.5 / 4])


def test_neighbours_twins_and_other_categories_stay_apart():
    def doubled(_, found):
        mask, _, _ = found[0]
        return [(mask, 0.9, 1), (mask, 0.6, 1), (mask, 0.5, 2)]

    (merged,) = AugmentedPredictor(Oracle(doubled)).predict([labels()])
    assert list(zip(merged.scores.tolist(), merged.category_ids, strict=True)) == [
        (pytest.approx(0.9), 1),
        (pytest.approx(0.6), 1),
        (pytest.approx(0.5), 2),
    ]


def test_nothing_is_found_in_nothing():
    predictor = AugmentedPredictor(Oracle(), 8)
    assert predictor.predict([]) == []
    (merged,) = predictor.predict([np.zeros((5, 9), np.uint8)])
    assert (len(merged), merged.image_hw, merged.scores.shape) == (0, (5, 9), (0,))
    empty = AugmentedPredictor(Oracle(lambda *_: [(np.zeros((5, 9), bool), 0.9, 1)]))
    assert len(empty.predict([np.zeros((5, 9), np.uint8)])[0]) == 0


def test_large_pages_are_cut_first_and_turned_then(tmp_path):
    rng = np.random.default_rng(2)
    page = np.zeros((220, 260), np.uint8)
    for label in range(1, 40):
        x, y = int(rng.integers(0, 240)), int(rng.integers(0, 205))
        if not page[y : y + 15, x : x + 20].any():
            cv2.ellipse(page, (x + 9, y + 7), (9, 6), 30.0, 0, 360, label, -1)
    whole = Page(tmp_path / "a.png", 0, 1, page, None)
    plain = predict_page(Oracle(), whole)
    merged = predict_page(AugmentedPredictor(Oracle(), 8), whole)
    assert len(plain) > 15
    assert merged.masks == plain.masks


@pytest.mark.parametrize("count", [0, 1, 3, 16])
def test_other_numbers_are_errors(count):
    with pytest.raises(ConfigError, match=f"tta: must be 4 or 8 orientations, got {count}"):
        AugmentedPredictor(Oracle(), count)
    with pytest.raises(ConfigError, match="tta: must be 4 or 8"):
        mito_instance.quantify("absent.png", DarkObjects(), tta=count)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), micrograph((10, 10, 20), (60, 60, 10)))
    cv2.imwrite(str(folder / "b.png"), micrograph())
    return folder


def test_from_python(images):
    plain = mito_instance.quantify(images, DarkObjects())
    merged = mito_instance.quantify(images, DarkObjects(), tta=8)
    assert [page.masks for page in merged.instances] == [page.masks for page in plain.instances]


@pytest.mark.parametrize(
    ("option", "count"),
    [(["--tta"], 4), (["--tta", "8"], 8), (["--tta=4"], 4), ([], None)],
    ids=["alone", "8", "4", "off"],
)
def test_the_option_and_the_record(images, tmp_path, capsys, monkeypatch, option, count):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())
    coco = tmp_path / "pred.json"
    assert quantify.main([str(images), *option, "--coco", str(coco)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["count"] for row in rows] == ["2", "0"]
    assert json.loads(coco.read_text())["info"].get("tta_orientations") == count


def test_results_with_and_without_are_kept_apart(images, tmp_path, capsys, monkeypatch):
    calls, resume = tmp_path / "calls", str(tmp_path / "resume")
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects(calls=calls))
    for option, expected in (([], 2), (["--tta"], 10), (["--tta"], 10), ([], 10)):
        quantify.main([str(images), "--resume", resume, *option])
        assert len(calls.read_text().splitlines()) == expected


def test_an_option_that_takes_the_images_is_told(images, capsys):
    with pytest.raises(SystemExit) as left:
        quantify.main(["--tta", str(images)])
    assert left.value.code == 2
    assert "must be 4 or 8, got" in capsys.readouterr().err


def test_a_model_of_several_slices_is_not_turned():
    class Stacks(Oracle):
        def prepare_page(self, page, tile_px=None):
            return page.pixels

        def files_beside(self, path):
            return []

        def is_whole(self, page):
            return True

    assert isinstance(with_augmentation(Stacks(), None), Stacks)
    with pytest.raises(ConfigError, match="sees them in one orientation"):
        with_augmentation(Stacks(), 4)
