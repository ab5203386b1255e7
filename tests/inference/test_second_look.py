import logging

import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.inference import second_look
from mito_instance.inference.augmentation import with_augmentation
from mito_instance.inference.copies import CopiesPredictor
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.second_look import second_zoom
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles


class Familiar:
    """Finds dark squares, those of 12 px or more alone, and is sure of those of 20 to 100 px."""

    score_threshold = 0.5
    pixel_size_nm = 5.0
    tile_px = 4096
    tile_overlap_px = 32
    familiar_px = (30.0, 100.0)

    def __init__(self):
        self.seen = []

    def prepare(self, pixels):
        return pixels

    def predict(self, tiles, min_score=0.0):
        self.seen += [tile.shape for tile in tiles]
        found = []
        for tile in tiles:
            masks = [m for m in component_rles(tile < 128) if rle.area_px(m) >= 144]
            sizes = np.array([rle.area_px(m) ** 0.5 for m in masks])
            scores = np.where((sizes >= 20) & (sizes <= 100), 0.9, 0.6)
            found.append(ImageInstances("tile", tile.shape, tuple(masks), scores))
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
        pytest.param((20, 20), 1.0, id="too-few"),
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


def test_a_page_that_cannot_be_enlarged_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("mito_instance.inference.resampling.MAX_PX", 200_000)
    model = Familiar()
    assert len(predict_page(model, page((13, 13, 13), tmp_path))) == 3
    assert len(model.seen) == 1


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
    large = page((240, 280, 240, 16), tmp_path, edge_px=600)
    found = predict_page(model, large)
    assert model.seen == [(600, 1200), (150, 300)]
    assert len(found) == 3
    assert sum(rle.area_px(mask) for mask in found.masks) == pytest.approx(193_600, rel=0.03)
    # What is known to be small is small.
    model = Blind()
    known = page((240, 280, 240, 16), tmp_path, nm=5.0, edge_px=600)
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


def test_wrapped_models_know_the_sizes_of_theirs():
    assert CopiesPredictor([Familiar(), Familiar()]).familiar_px == (30.0, 100.0)
    assert with_augmentation(Familiar(), 4).familiar_px == (30.0, 100.0)
