"""Cuts at necks, and parts that are linked from slice to slice."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mito_instance.annotations.slice_tracks import SliceTracks
from mito_instance.annotations.watershed import watershed_parts


def draw(*shapes):
    mask = np.zeros((80, 200), np.uint8)
    for kind, *points in shapes:
        if kind == "disc":
            (x, y, radius) = points
            cv2.circle(mask, (x, y), radius, 1, -1)
        else:
            (start, end, width) = points
            cv2.line(mask, start, end, 1, width)
    return mask > 0


BEAN = (("disc", 40, 40, 14), ("line", (40, 40), (120, 40), 21), ("disc", 120, 40, 14))


@pytest.mark.parametrize(
    ("mask", "n_parts", "n_cuts"),
    [
        pytest.param(draw(), 0, 0, id="empty"),
        pytest.param(draw(("disc", 40, 40, 15)), 1, 0, id="disc"),
        pytest.param(draw(("line", (20, 20), (180, 60), 15)), 1, 0, id="elongated"),
        pytest.param(draw(*BEAN), 1, 0, id="slightly-constricted"),
        pytest.param(draw(("disc", 40, 40, 15), ("disc", 68, 40, 15)), 2, 1, id="touching"),
        pytest.param(
            draw(("disc", 40, 40, 15), ("disc", 68, 40, 15), ("disc", 96, 40, 15)), 3, 2, id="three"
        ),
        pytest.param(draw(("disc", 40, 40, 15), ("disc", 90, 40, 15)), 2, 0, id="apart"),
        pytest.param(draw(("disc", 40, 40, 15), ("disc", 57, 40, 4)), 1, 0, id="bud"),
        pytest.param(draw(("disc", 40, 0, 15), ("disc", 68, 0, 15)), 1, 0, id="neck-at-border"),
        pytest.param(
            draw(("disc", 40, 0, 15), ("disc", 68, 0, 15)) & (np.arange(80) > 1)[:, None],
            1,
            0,
            id="neck-near-border",
        ),
        pytest.param(np.ones((9, 9), bool), 1, 0, id="everything"),
        pytest.param(np.eye(3, dtype=bool), 1, 0, id="tiny"),
    ],
)
def test_cuts(mask, n_parts, n_cuts):
    parts, found = watershed_parts(mask, 8, 2.0, "a.png")
    assert (int(parts.max()), found) == (n_parts, n_cuts)
    assert np.array_equal(parts > 0, mask)
    assert np.unique(parts[mask]).tolist() == list(range(1, n_parts + 1))


def test_the_depth_is_in_pixels():
    mask = draw(("disc", 40, 40, 15), ("disc", 68, 40, 15))
    assert watershed_parts(mask, 8, 9.0, "a.png")[1] == 1
    assert watershed_parts(mask, 8, 11.0, "a.png")[1] == 0


def test_slices_touch_at_corners_only_with_connectivity_8():
    first, second = np.zeros((4, 4), np.int32), np.zeros((4, 4), np.int32)
    first[0, 0] = second[1, 1] = 1
    for connectivity, expected in ((8, [5, 5]), (4, [5, 6])):
        tracks = SliceTracks(connectivity)
        assert tracks.add_slice(first) == (0, 1)
        assert tracks.add_slice(second) == (1, 2)
        assert tracks.track_ids(5).tolist() == expected
    assert SliceTracks(8).track_ids().tolist() == []


def test_tracks_are_the_components_of_the_volume():
    from scipy import ndimage

    volume = np.random.default_rng(3).random((5, 20, 20)) < 0.16
    expected, n_expected = ndimage.label(volume, np.ones((3, 3, 3)))
    tracks = SliceTracks(8)
    sections = []
    for page in volume:
        _, labels = cv2.connectedComponents(page.astype(np.uint8), connectivity=8)
        tracks.add_slice(labels)
        sections.append(labels)
    ids = tracks.track_ids()
    assert len(set(ids)) == n_expected
    first = 0
    pairs = set()
    for labels, truth in zip(sections, expected, strict=True):
        for label in range(1, labels.max() + 1):
            pairs.add((int(ids[first + label - 1]), int(truth[labels == label][0])))
        first += int(labels.max())
    assert len(pairs) == n_expected
