import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mito_instance.errors import ConfigError
from mito_instance.inference.tiling import MIN_OVERLAP_PX, tile_starts, tiles_of, usable_overlap_px


@pytest.mark.parametrize(
    ("length", "tile", "overlap", "expected"),
    [
        pytest.param(50, 64, 8, [0], id="shorter-than-a-tile"),
        pytest.param(64, 64, 8, [0], id="exactly-a-tile"),
        pytest.param(65, 64, 8, [0, 1], id="one-pixel-more"),
        pytest.param(200, 100, 0, [0, 100], id="no-overlap"),
        pytest.param(240, 100, 20, [0, 80, 140], id="last-tile-ends-at-the-border"),
    ],
)
def test_tile_starts(length, tile, overlap, expected):
    assert tile_starts(length, tile, overlap) == expected


def test_overlap_must_be_smaller_than_the_tile():
    with pytest.raises(ConfigError, match=r"0 <= overlap < tile \(100 px\), got 100 px"):
        tile_starts(500, 100, 100)


def test_tiny_tiles_are_refused():
    with pytest.raises(ConfigError, match="at least 64 px, got 10 px"):
        tiles_of((500, 500), 10, 0)


@pytest.mark.parametrize(
    ("overlap", "tile", "expected"), [(256, 1024, 256), (256, 300, 150), (8, 64, 8)]
)
def test_a_models_overlap_is_at_most_half_a_tile(overlap, tile, expected):
    assert usable_overlap_px(overlap, tile) == expected


def test_an_overlap_that_joins_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"at least 8 px, got 7 px; set MITO\.TILE"):
        usable_overlap_px(MIN_OVERLAP_PX - 1, 64)


@given(
    length=st.integers(1, 3000),
    tile=st.integers(64, 600),
    fraction=st.floats(0, 0.9),
)
def test_tiles_cover_every_pixel_with_at_least_the_overlap(length, tile, fraction):
    overlap = int(tile * fraction)
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] + min(tile, length) == length
    for first, second in itertools.pairwise(starts):
        assert first < second
        assert first + tile - second >= overlap
