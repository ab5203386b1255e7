import logging
from dataclasses import replace

import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.inference import second_look
from mito_instance.inference.augmentation import with_augmentation
from mito_instance.inference.copies import CopiesPredictor
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.predictor import familiar_px
from mito_instance.inference.second_look import Look, best_look, second_zoom
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle
from tests.dark_objects import DarkAt5nm


class Familiar(DarkAt5nm):
    """Finds dark squares, those of 12 px or more alone, and is sure of those of 20 to 100 px."""

    tile_px = 4096
    familiar_px = (30.0, 100.0)

    def predict(self, tiles, min_score=0.0):
        found = []
        for every in super().predict(tiles):
            sizes = np.array([rle.area_px(mask) ** 0.5 for mask in every.masks])
            scores = np.where((sizes >= 20) & (sizes <= 100), 0.9, 0.6)
            scored = replace(every, scores=scores)
            found.append(scored.select((sizes >= 12) & (scores >= min_score)))
        return found


def page(edges, tmp_path, nm=None, edge_px=300):
    """Squares of these edges in a row of a white page."""
    pixels = np.full((edge_px, edge_px * 2), 255, dtype=np.uint8)
    x = 5
    for edge in edges:
        pixels[10 : 10 + edge, x : x + edge] = 0
        x += edge + 5
    size = None if nm is None else PixelSize(nm, "user")
    return Page(path=tmp_path / "a.png", frame=0, n_frames=1, pixels=pixels, pixel_size=size)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param((30, 60, 90), 1.0, id="familiar"),
        pytest.param((30, 30, 30), 1.0, id="least"),
        pytest.param((100, 100, 100), 1.0, id="most"),
        pytest.param((10, 20, 90), 2.0, id="small"),
        pytest.param((5, 5, 5), 3.0, id="tiny-at-most-threefold"),
        pytest.param((150, 150, 150), 0.5, id="large"),
        pytest.param((900, 900, 900), 1 / 3, id="huge-at-most-a-third"),
        pytest.param((20,), 2.0, id="one-small"),
        pytest.param((200, 200), 1.0, id="too-few-large"),
        pytest.param((), 1.0, id="none"),
    ],
)
def test_the_median_decides(sizes, expected):
    assert second_zoom(sizes, (30.0, 100.0)) == pytest.approx(expected)


def test_small_instances_are_found_enlarged_and_brought_back(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(second_look, "_said", set())
    model = Familiar()
    # At 12 and 13 px three are seen; the three of 9 px only once the page is enlarged.
    small = page((13, 12, 13, 9, 9, 9), tmp_path)
    with caplog.at_level(logging.WARNING):
        found = predict_page(model, small)
        predict_page(model, small)
    assert len(found) == 6
    assert found.image_hw == (300, 600)
    areas = sorted(rle.area_px(mask) for mask in found.masks)
    np.testing.assert_allclose(areas, [81, 81, 81, 144, 169, 169], rtol=0.12)
    assert model.seen[:2] == [(300, 600), (900, 1800)]
    said = [record.message for record in caplog.records if "predicted once more" in record.message]
    assert len(said) == 1
    assert "a.png: its instances are smaller than the model finds best" in said[0]


def test_large_instances_are_looked_at_reduced(tmp_path):
    model = Familiar()
    found = predict_page(model, page((140, 140, 140), tmp_path))
    assert len(model.seen) == 2
    assert model.seen[1][0] < 200
    assert found.scores.tolist() == [0.9, 0.9, 0.9]
    assert [rle.area_px(mask) for mask in found.masks] == pytest.approx([19600] * 3, rel=0.03)


def test_a_page_of_familiar_sizes_is_looked_at_once(tmp_path):
    model = Familiar()
    predict_page(model, page((40, 50, 60), tmp_path))
    assert model.seen == [(300, 600)]


def test_sizes_are_those_that_the_model_sees(tmp_path):
    model = Familiar()
    found = predict_page(model, page((20, 20, 20), tmp_path, nm=10.0))
    assert model.seen == [(600, 1200)]  # 40 px there
    assert [rle.area_px(mask) for mask in found.masks] == [400] * 3


def test_a_second_look_that_shows_less_is_not_believed(tmp_path):
    class OnlyAtFirst(Familiar):
        def predict(self, tiles, min_score=0.0):
            found = super().predict(tiles, min_score)
            return found if len(self.seen) == 1 else [one.select([]) for one in found]

    model = OnlyAtFirst()
    assert len(predict_page(model, page((13, 13, 13), tmp_path))) == 3
    assert len(model.seen) == 2


@pytest.mark.parametrize(("n_smaller", "n_found"), [(2, 1), (3, 4)])
def test_one_small_instance_may_be_the_largest_of_many(n_smaller, n_found, tmp_path):
    """Of one or two, four or more must become: else an empty page would be filled."""
    model = Familiar()
    found = predict_page(model, page((13,) + (9,) * n_smaller, tmp_path))
    assert len(model.seen) == 2
    assert len(found) == n_found


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")]
)
@pytest.mark.parametrize("edge", [13, 110])
def test_a_further_look_without_the_memory_leaves_the_first(error, edge, tmp_path, caplog):
    class Small(Familiar):
        def predict(self, tiles, min_score=0.0):
            found = super().predict(tiles, min_score)
            if len(self.seen) > 1:
                raise error
            return found

    model = Small()
    big = page((edge,) * 4, tmp_path, edge_px=600)
    shortages = []
    found = predict_page(model, big, on_shortage=lambda: shortages.append(True))
    assert len(found) == 4
    assert shortages
    assert len(model.seen) == 3  # a coarse one, and one resized
    assert "not enough memory to predict the page once more" in caplog.text
    assert "a.png" in caplog.text


def test_another_error_in_a_further_look_is_one(tmp_path):
    class Broken(Familiar):
        def predict(self, tiles, min_score=0.0):
            if self.seen:
                raise RuntimeError("shapes do not match")
            return super().predict(tiles, min_score)

    with pytest.raises(RuntimeError, match="shapes"):
        predict_page(Broken(), page((13, 13, 13), tmp_path))


@pytest.mark.parametrize(
    ("most_px", "looks"),
    [
        pytest.param(200_000, [(300, 600)], id="not-at-all"),
        pytest.param(90_000, [(300, 600)], id="larger-than-that"),
        pytest.param(4 * 180_000, [(300, 600), (600, 1200)], id="less"),
    ],
)
def test_a_large_page_is_enlarged_as_far_as_possible(tmp_path, monkeypatch, caplog, most_px, looks):
    monkeypatch.setattr(second_look, "MOST_PX", most_px)
    monkeypatch.setattr(second_look, "_said", set())
    model = Familiar()
    for _ in range(2):
        assert len(predict_page(model, page((13, 13, 13), tmp_path))) == 3
    assert model.seen == looks * 2
    said = [record.message for record in caplog.records if "too large to be" in record.message]
    assert len(said) == 1
    edge = int(most_px**0.5 / 3)
    assert said[0].endswith(f"cut it into pieces of at most {edge} x {edge} px")


def test_instances_beyond_all_measure_are_found_at_a_quarter_of_the_size(tmp_path):
    class Blind(Familiar):
        """Sees nothing of more than 150 px."""

        def predict(self, tiles, min_score=0.0):
            found = super().predict(tiles, min_score)
            return [
                one.select([n for n, m in enumerate(one.masks) if rle.area_px(m) <= 150**2])
                for one in found
            ]

    model = Blind()
    edges = (200, 200, 210, 200, 200, 40)
    zooms = []
    found = predict_page(model, page(edges, tmp_path, edge_px=600), on_zoom=zooms.append)
    assert model.seen == [(600, 1200), (150, 300)]
    assert zooms == [0.25]
    assert len(found) == 5
    assert sum(rle.area_px(mask) for mask in found.masks) == pytest.approx(204_100, rel=0.03)
    # At a known scale nothing is sought at another.
    model = Blind()
    known = page(edges, tmp_path, nm=5.0, edge_px=600)
    assert len(predict_page(model, known)) == 1
    assert model.seen == [(600, 1200)]


def test_a_coarse_look_that_shows_less_changes_nothing(tmp_path):
    model = Familiar()
    found = predict_page(model, page((40, 50, 60), tmp_path, edge_px=512))
    assert model.seen == [(512, 1024), (128, 256)]
    assert [rle.area_px(mask) for mask in found.masks] == [1600, 2500, 3600]


def test_what_does_not_count_has_no_say(tmp_path):
    """At a low threshold as at the model's own."""

    class Doubtful(Familiar):
        def predict(self, tiles, min_score=0.0):
            found = super().predict(tiles, min_score)
            return [
                ImageInstances(one.image, one.image_hw, one.masks, np.asarray(one.scores) - 0.2)
                for one in found
            ]

    model = Doubtful()
    small = page((13, 13, 13, 40, 40, 40), tmp_path)  # 0.4 three times, 0.7 three times
    assert len(predict_page(model, small, score_threshold=0.1)) == 6
    assert model.seen == [(300, 600)]


@pytest.mark.parametrize(
    ("first", "coarse", "is_believed"),
    [
        pytest.param((16,) * 5, (40,) * 5, True, id="more"),
        pytest.param((40,) * 5, (40,) * 5, False, id="not-more"),
        pytest.param((40,) * 6, (40,) * 7, False, id="not-clearly-more"),
        pytest.param((16,) * 5, (40,) * 3, False, id="too-few"),
        pytest.param((100, 90, 80, 16), (12,) * 7, False, id="smaller-in-all"),
    ],
)
def test_a_coarse_look_must_clearly_show_more(first, coarse, is_believed):
    """Sizes in the pixels of each look; those of 16 px score 0.5, others 0.9."""
    page_of_its_own = ImageInstances("a", (1200, 1600))

    def look(zoom):
        sizes = first if zoom == 1.0 else coarse
        hw = (round(1200 * zoom), round(1600 * zoom))
        masks = [rle.place(np.ones((size, size), bool), 0, 0, hw) for size in sizes]
        scores = np.array([0.5 if size == 16 else 0.9 for size in sizes])
        found = ImageInstances("a", hw, tuple(masks), scores)
        return Look(zoom, found, found)

    best = best_look(look, page_of_its_own, 1.0, (10.0, 100.0), scale_is_known=False)
    assert best.zoom == (0.25 if is_believed else 1.0)


def test_a_page_is_made_smaller_twice_at_most(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(second_look, "_said", set())

    def look(zoom):
        hw = (round(12800 * zoom), round(12800 * zoom))
        seen.append(zoom)
        sizes = [20 + len(seen)] * 5 * 2 ** len(seen)
        masks = [rle.place(np.ones((size, size), bool), 0, 0, hw) for size in sizes]
        found = ImageInstances("a.tif", hw, tuple(masks), np.full(len(masks), 0.9))
        return Look(zoom, found, found)

    seen = []
    page_of_its_own = ImageInstances("a.tif", (12800, 12800))
    best = best_look(look, page_of_its_own, 1.0, (10.0, 100.0), scale_is_known=False)
    assert seen == [1.0, 0.25, 0.0625]
    assert best.zoom == 0.0625
    assert "a.tif: its instances are larger than the model finds best" in caplog.text
    assert "reduced 16 times" in caplog.text


def test_what_is_asked_for_does_not_decide_the_scale(tmp_path):
    model = Familiar()
    small = page((13, 12, 13, 9, 9, 9), tmp_path)
    all_found = predict_page(model, small)
    # The first look's scores are 0.6, and those of the enlarged page 0.9.
    sure = predict_page(Familiar(), small, score_threshold=0.8)
    assert len(sure) == len(all_found) == 6


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_reduced_look_must_cover_half_of_the_area(tmp_path, share):
    class Partly(Familiar):
        def predict(self, tiles, min_score=0.0):
            (found,) = super().predict(tiles, min_score)
            n_kept = len(found) if len(self.seen) == 1 else round(share * len(found))
            return [found.select(range(n_kept))]

    zooms = []
    large = page((140,) * 5, tmp_path, edge_px=400)
    found = predict_page(Partly(), large, on_zoom=zooms.append)
    assert len(found) == (5 if share < 0.5 else 3)
    assert (zooms[0] < 1) == (share > 0.5)


def test_a_few_coarse_detections_are_not_believed(tmp_path):
    """What looks like mitochondria on an empty page that is made small enough."""

    class Imagining(Familiar):
        def predict(self, tiles, min_score=0.0):
            (found,) = super().predict(tiles, min_score)
            return [found if len(self.seen) > 1 else found.select([])]

    model = Imagining()
    assert len(predict_page(model, page((160,) * 3, tmp_path, edge_px=600))) == 0
    assert model.seen == [(600, 1200), (150, 300)]
    assert len(predict_page(Imagining(), page((160,) * 5, tmp_path, edge_px=600))) == 5


def test_a_model_without_a_pixel_size_learns_no_scale_from_that_of_the_page(tmp_path):
    class OfNoSize(Familiar):
        pixel_size_nm = None

    for nm in (None, 5.0):
        model = OfNoSize()
        predict_page(model, page((40, 50, 60), tmp_path, nm, edge_px=512))
        assert model.seen == [(512, 1024), (128, 256)]


def test_a_model_that_looks_at_neighbouring_slices_looks_once():
    class OfStacks(Familiar):
        prepare_page = files_beside = is_whole = Familiar.prepare

    assert familiar_px(Familiar()) == (30.0, 100.0)
    assert familiar_px(OfStacks()) == ()


def test_wrapped_models_know_the_sizes_of_theirs():
    assert CopiesPredictor([Familiar(), Familiar()]).familiar_px == (30.0, 100.0)
    assert with_augmentation(Familiar(), 4).familiar_px == (30.0, 100.0)
