"""Binary or label image, foreground or background, told from the values."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mito_instance.annotations.mask_edges import has_soft_edges
from mito_instance.annotations.mask_values import integer_labels, read_mask
from mito_instance.errors import AnnotationError

NOISY = np.array([[0, 3, 255, 251], [0, 0, 240, 255]], np.uint8)


def grey(*values, dtype=np.uint8):
    return np.array([values], dtype)


def inverted(background=255, foreground=0, dtype=np.uint8):
    mask = np.full((10, 10), background, dtype)
    mask[3:6, 3:6] = foreground
    return mask


def read(mask, *, is_jpeg=False, **options):
    return read_mask(mask, "a.tif", is_jpeg=is_jpeg, **options)


@pytest.mark.parametrize(
    ("mask", "is_jpeg", "kind"),
    [
        pytest.param(np.zeros((2, 3), np.uint8), False, "empty", id="empty"),
        pytest.param(grey(0, 9, 12), True, "empty", id="jpeg-of-nothing"),
        pytest.param(grey(0, 1), False, "binary", id="0-1"),
        pytest.param(grey(0, 255), False, "binary", id="0-255"),
        pytest.param(grey(64, 192), False, "binary", id="two-greys"),
        pytest.param(grey(False, True, dtype=bool), False, "binary", id="bool"),
        pytest.param(grey(0.0, 0.25, 1.0, dtype=float), False, "binary", id="fractions"),
        pytest.param(grey(0, 70000, dtype=np.uint32), False, "binary", id="32-bit"),
        pytest.param(NOISY, True, "binary", id="jpeg"),
        pytest.param(NOISY, False, "binary", id="png-of-a-jpeg"),
        pytest.param(grey(0, 1, 2), False, "labels", id="labels"),
        pytest.param(np.arange(256, dtype=np.uint8).repeat(3)[None], False, "labels", id="255"),
        pytest.param(grey(0, 700, 2, dtype=np.uint16), False, "labels", id="16-bit"),
        pytest.param(grey(0, 700, 10**6, dtype=np.int32), False, "labels", id="32-bit-labels"),
        pytest.param(grey(0.0, 3.0, 2.0, dtype=float), False, "labels", id="float-labels"),
    ],
)
def test_kind(mask, is_jpeg, kind):
    assert read(mask, is_jpeg=is_jpeg).kind == kind


@pytest.mark.parametrize(
    ("mask", "is_jpeg", "expected"),
    [
        pytest.param(grey(0, 0), False, [0, 0], id="empty"),
        pytest.param(grey(0, 0, 1), False, [0, 0, 1], id="0-1"),
        pytest.param(grey(64, 64, 192), False, [0, 0, 1], id="two-greys"),
        pytest.param(grey(0, 0, 0, 127, 255, 255, 255), False, [0, 0, 0, 0, 1, 1, 1], id="stray"),
        pytest.param(grey(0, 0, 127, 128, 250, 255, 255, 250), True, [0] * 3 + [1] * 5, id="jpeg"),
        pytest.param(grey(0, 7, 16, 3), True, [0, 0, 0, 0], id="jpeg-noise"),
        pytest.param(grey(0, 0, 2, 90, 100), True, [0, 0, 0, 1, 1], id="dark-jpeg"),
        pytest.param(grey(60, 64, 64, 190, 192), True, [0, 0, 0, 1, 1], id="two-greys-jpeg"),
        pytest.param(grey(0.1, 0.4, 0.6, dtype=float), False, [0, 0, 1], id="probability"),
        pytest.param(grey(0.0, np.nan, 1.0, dtype=float), False, [0, 0, 1], id="nan"),
    ],
)
def test_foreground(mask, is_jpeg, expected):
    result = read(mask, is_jpeg=is_jpeg, foreground="bright")
    assert result.foreground.astype(int).tolist() == [expected]


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(inverted(), id="0-255"),
        pytest.param(inverted(1), id="0-1"),
        pytest.param(inverted(1.0, 0.0, np.float32), id="float"),
    ],
)
def test_the_side_that_surrounds_the_other_is_background(mask):
    result = read(mask)
    assert int(result.foreground.sum()) == 9
    assert result.repairs == ("inverted: bright is 91% and surrounds the rest",)
    assert int(read(mask, foreground="bright").foreground.sum()) == 91
    assert int(read(mask, foreground="dark").foreground.sum()) == 9
    assert read(mask, foreground="dark").repairs == ()


def test_only_bright_is_an_inverted_mask_of_nothing():
    assert read(np.full((4, 4), 255, np.uint8)).kind == "empty"
    assert read(np.full((4, 4), 255, np.uint8), foreground="bright").foreground.all()
    assert read(np.zeros((4, 4), np.uint8), foreground="dark").foreground.all()


def test_a_tissue_full_of_mitochondria_is_not_inverted():
    mask = np.zeros((60, 60), np.uint8)
    for y in range(0, 60, 20):
        for x in range(0, 60, 20):
            mask[y : y + 17, x : x + 17] = 255  # 72 % of the image, in nine pieces
    result = read(mask)
    assert result.repairs == ()
    assert int(result.foreground.sum()) == 9 * 17 * 17


def test_the_background_of_labels_need_not_be_0():
    mask = inverted(1, 2)
    mask[7, 7] = 3
    result = read(mask)
    assert result.kind == "labels"
    assert np.unique(result.labels).tolist() == [0, 2, 3]
    assert result.repairs == ("no 0: 1, which surrounds the rest, is background",)


def test_labels_read_as_binary_keep_their_low_values():
    result = read(grey(0, 1, 0, 200, 90), kind="binary", foreground="bright")
    assert result.foreground.astype(int).tolist() == [[0, 1, 0, 1, 1]]


def soft(radius, values=(255,), blur=1.0):
    """Discs in a row, each of one value, with edges that fade."""
    mask = np.zeros((60, 60 * len(values)), np.uint8)
    for number, value in enumerate(values):
        cv2.circle(mask, (30 + 60 * number, 30), radius, value, -1)
    return cv2.GaussianBlur(mask, (0, 0), blur)


@pytest.mark.parametrize("kind", ["auto", "binary"])
@pytest.mark.parametrize("radius", [4, 6, 12])
def test_soft_edges_are_no_labels(radius, kind):
    reading = read(soft(radius, (255, 255)), kind=kind)
    assert reading.kind == "binary"
    assert reading.foreground.sum() == pytest.approx(2 * np.pi * radius**2, rel=0.2)
    assert "cut at 127.5" in reading.repairs[0]


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(soft(10, (90, 255)), id="another-value-apart"),
        pytest.param(soft(10, (255, 255), blur=4), id="wide-bands"),
        pytest.param(np.kron(np.arange(256).reshape(16, 16), np.ones((4, 4))), id="255-labels"),
    ],
)
def test_other_values_are_no_soft_edges(mask):
    assert not has_soft_edges(mask.astype(np.uint8), 255)


@pytest.mark.parametrize(
    ("picture", "options"),
    [
        pytest.param(lambda grey: grey + 1, {"kind": "binary"}, id="as-components"),
        pytest.param(lambda grey: grey / 255, {}, id="fractions"),
    ],
)
def test_a_micrograph_is_no_binary_mask_either(picture, options):
    grey = np.random.default_rng(0).normal(128, 30, (40, 40)).clip(0, 240).round()
    mask = picture(grey)
    with pytest.raises(AnnotationError, match=r"^a\.tif: .* looks like a micrograph"):
        read(mask if options == {} else mask.astype(np.uint8), **options)


def test_an_unsure_map_of_probabilities_is_a_mask_where_that_is_said():
    unsure = np.full((40, 40), 0.35) + np.random.default_rng(0).uniform(-0.08, 0.08, (40, 40))
    unsure[5:15, 5:15] = 0.98
    unsure[0, 0] = 0.02
    with pytest.raises(AnnotationError, match="or --instances components if it is a map of"):
        read(unsure)
    assert read(unsure, kind="binary").foreground.sum() == 100


def test_a_faded_object_on_an_empty_page_is_no_micrograph():
    faded = np.zeros((60, 60), np.uint8)
    faded[20:33, 20:33] = np.arange(40, 209).reshape(13, 13)
    assert read(faded, kind="binary").foreground.sum() == 169


def test_a_map_of_probabilities_is_a_mask():
    grey = cv2.GaussianBlur(soft(12, (255, 255)).astype(np.float32) / 255, (0, 0), 3)
    assert read(grey).kind == "binary"
    assert "NONE ABOVE IT" in read(grey * 0.4).repairs[0]


@pytest.mark.parametrize("is_jpeg", [False, True])
def test_a_micrograph_is_no_mask(is_jpeg):
    picture = np.random.default_rng(0).normal(128, 30, (40, 40)).clip(0, 240).astype(np.uint8)
    with pytest.raises(AnnotationError, match=r"^a\.tif: .* looks like a micrograph"):
        read(picture, is_jpeg=is_jpeg, foreground="bright")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        pytest.param([[0.0, 0.5]], "got fractions", id="fractions"),
        pytest.param([[0.0, np.nan]], "whole numbers >= 0", id="nan"),
        pytest.param([[0.0, 1e30]], "whole numbers >= 0", id="huge"),
        pytest.param([[0, -3]], r"a\.tif: label values must be .* got -3 to 0", id="negative"),
    ],
)
def test_values_that_are_no_labels(mask, message):
    with pytest.raises(AnnotationError, match=message):
        integer_labels(np.array(mask), "a.tif")


def test_labels_do_not_survive_jpeg():
    labels = np.zeros((80, 80), np.uint8)
    for number in range(16):
        y, x = divmod(number, 4)
        labels[20 * y + 2 : 20 * y + 12, 20 * x + 2 : 20 * x + 12] = 10 + 4 * number
    coded = cv2.imdecode(cv2.imencode(".jpg", labels)[1], cv2.IMREAD_GRAYSCALE)
    with pytest.raises(AnnotationError, match="labels do not survive JPEG, save the mask as PNG"):
        read(coded, is_jpeg=True)
    two_greys = cv2.imencode(".jpg", np.where(labels, 90, 20).astype(np.uint8))[1]
    found = read(cv2.imdecode(two_greys, cv2.IMREAD_GRAYSCALE), is_jpeg=True)
    assert (found.foreground == (labels > 0)).mean() > 0.99
    with pytest.raises(AnnotationError, match="labels do not survive JPEG"):
        read(coded, is_jpeg=True, kind="labels")


def test_infinity_is_refused():
    with pytest.raises(AnnotationError, match="must be finite, got infinity"):
        read(grey(0.0, np.inf, dtype=float))
