"""Which part of a page each of several overlapping tiles decides."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from mito_instance.inference.tiling import Tile

Part = tuple[slice, slice]


def owned_parts(tiles: Sequence[Tile]) -> list[tuple[Part, Part]]:
    """The part that each tile gives to the page: every pixel comes from exactly one tile.

    Neighbours meet in the middle of their overlap, so that a pixel near a tile's edge, where
    the network sees little around it, comes from the neighbour.

    Args:
        tiles: all tiles of one page, from ``tiles_of``.

    Returns:
        For each tile the part (rows, columns) in the page, and the same part in the tile.
    """
    rows = _cuts(sorted({(tile.y, tile.height) for tile in tiles}))
    columns = _cuts(sorted({(tile.x, tile.width) for tile in tiles}))
    parts = []
    for tile in tiles:
        (top, bottom), (left, right) = rows[tile.y], columns[tile.x]
        in_page = (slice(top, bottom), slice(left, right))
        in_tile = (
            slice(top - tile.y, bottom - tile.y),
            slice(left - tile.x, right - tile.x),
        )
        parts.append((in_page, in_tile))
    return parts


def _cuts(spans: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """First and last (exclusive) pixel that each span of (start, length) owns, by its start."""
    middles = [
        (next_start + start + length) // 2
        for (start, length), (next_start, _) in itertools.pairwise(spans)
    ]
    firsts = [spans[0][0], *middles]
    lasts = [*middles, spans[-1][0] + spans[-1][1]]
    return {
        start: (first, last) for (start, _), first, last in zip(spans, firsts, lasts, strict=True)
    }
