from dataclasses import replace
from types import SimpleNamespace

import cv2
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.cli.cross_validation import cross_validate
from mito_instance.cli.validation import LeastArea, validation_of
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles
from tests.dark_objects import DarkObjects, micrograph

CFG = SimpleNamespace(MITO=SimpleNamespace(MIN_AREA_PX=25))


class Trained(DarkObjects):
    """Finds the dark squares; its scores and its foreground threshold are those given."""

    cfg = CFG

    def __init__(self, score, foreground_threshold):
        super().__init__()
        self.score, self.foreground_threshold = score, foreground_threshold

    def predict(self, tiles, min_score=0.0):
        found = super().predict(tiles)
        scored = [
            ImageInstances(f.image, f.image_hw, f.masks, 0 * f.scores + self.score) for f in found
        ]
        return [f.select(f.scores >= min_score) for f in scored]

    def calibrate(self, truth):
        if self.foreground_threshold is None:
            return {}
        return {"foreground_threshold": self.foreground_threshold}


@pytest.fixture
def outlined(tmp_path):
    """Three images of two, one and three outlined squares; the second has two dark ones more."""
    squares = [(10, 10, 20), (60, 20, 30), (100, 70, 25)]
    images = []
    for name, n_outlined, more in (("a", 2, []), ("b", 1, [(60, 20, 9), (9, 80, 9)]), ("c", 3, [])):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), micrograph(*squares[:n_outlined], *more))
        masks = tuple(component_rles(micrograph(*squares[:n_outlined]) < 100))
        images.append(ImageInstances(str(path), (120, 150), masks))
    return images


def trained_on_parts(images, scores, foreground):
    """Figures, and what was trained on and measured on in each part."""
    parts = []

    def train(rest, held_out, label, validate):
        number = len(parts)
        parts.append((rest, held_out, label))
        validate(Trained(scores[number], foreground[number]))

    return cross_validate(images, train)("any predictor"), parts


def test_each_image_is_measured_by_a_model_that_did_not_see_it(outlined):
    figures, parts = trained_on_parts(outlined, (0.9, 0.4, 0.7), (0.2, 0.9, 0.4))
    a, b, c = outlined
    assert parts == [
        ([b, c], [a], "part 1 of 3"),
        ([a, c], [b], "part 2 of 3"),
        ([a, b], [c], "part 3 of 3"),
    ]
    # From 0.45 on, the one square of b is missed and its two false ones are left out: best F1.
    assert 0.4 < figures["score_threshold"] <= 0.7
    assert figures["f1_50"] == pytest.approx(2 * 5 / (6 + 5))
    assert figures["count_mae"] == pytest.approx(1 / 3)
    assert figures["foreground_threshold"] == 0.4


def test_a_model_without_a_foreground_threshold_gets_none(outlined):
    figures, _ = trained_on_parts(outlined, (0.9, 0.9, 0.9), (None, None, None))
    assert "foreground_threshold" not in figures
    assert figures["score_threshold"] == 0.9
    assert figures["count_bias"] == pytest.approx(2 / 3)


def test_specks_are_specks_in_the_pixels_of_the_model(outlined):
    """Squares of 20, 30 and 25 px at 10 nm have a quarter of these pixels at the model's 20 nm."""
    images = [replace(image, pixel_size=PixelSize(10.0, "user")) for image in outlined]
    least = LeastArea(area_px=150, model_nm=20.0)
    assert [least.is_kept(image).sum() for image in images] == [1, 0, 2]
    assert [least.is_kept(image).sum() for image in outlined] == [2, 1, 3]
    assert [LeastArea(150, None).is_kept(image).sum() for image in images] == [2, 1, 3]


def test_a_model_is_not_blamed_for_specks_that_it_leaves_out(outlined):
    class AtTwentyNm(Trained):
        cfg = SimpleNamespace(MITO=SimpleNamespace(MIN_AREA_PX=150))
        pixel_size_nm = 20.0

        def predict(self, tiles, min_score=0.0):
            found = super().predict(tiles, min_score)
            return [f.select([rle.area_px(mask) >= 150 for mask in f.masks]) for f in found]

    images = [replace(outlined[0], pixel_size=PixelSize(10.0, "user"))]
    figures = validation_of(images)(AtTwentyNm(0.9, None))
    assert figures["count_bias"] == 0
    assert figures["f1_50"] == 1


def test_one_image_is_refused_before_any_training():
    image = ImageInstances("a.png", (4, 4))
    with pytest.raises(AnnotationError, match="needs 2 or more"):
        trained_on_parts([image], (), ())
