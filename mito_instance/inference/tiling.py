"""Where the tiles of a large page lie."""

from __future__ import annotations

from dataclasses import dataclass

from mito_instance.errors import ConfigError

MIN_TILE_PX = 64
MIN_OVERLAP_PX = 8
"""Pieces of an object are joined by what two tiles both show of it: they must both show some."""

EDGE_STEP_PX = 32
"""Networks pad to multiples of it anyway."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the page: columns x … x + width - 1, rows y … y + height - 1."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slice of the page's array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


def tile_starts(length_px: int, tile_px: int, overlap_px: int) -> list[int]:
    """First pixel of each tile on one axis; the last tile ends at the border.

    Args:
        length_px: length of the axis, >= 1.
        tile_px: edge of a tile.
        overlap_px: least overlap of neighbours; 0 <= overlap < tile.

    Raises:
        ConfigError: if the overlap is not smaller than the tile.
    """
    if not 0 <= overlap_px < tile_px:
        raise ConfigError(
            f"tile overlap must satisfy 0 <= overlap < tile ({tile_px} px), got {overlap_px} px"
        )
    last = max(0, length_px - tile_px)
    return [*range(0, last, tile_px - overlap_px), last]


def tiles_of(image_hw: tuple[int, int], tile_px: int, overlap_px: int) -> list[Tile]:
    """Tiles that cover a page, row by row; one tile if the page is no larger than a tile.

    They are as many as tiles of the given edge, but no larger than that many need to be: a page
    of 2048 px takes three of 864 px instead of three of 1024 px, and so a third less time.

    Args:
        image_hw: height and width of the page in pixels.
        tile_px: longest edge of a tile, at least 64.
        overlap_px: least overlap of neighbours.

    Raises:
        ConfigError: if the tile is too small or the overlap not smaller than the tile.
    """
    checked_tile_px(tile_px)
    height, rows = _axis(image_hw[0], tile_px, overlap_px)
    width, columns = _axis(image_hw[1], tile_px, overlap_px)
    return [Tile(x, y, width, height) for y in rows for x in columns]


def _axis(length_px: int, tile_px: int, overlap_px: int) -> tuple[int, list[int]]:
    """Edge of the tiles along one axis and the first pixel of each."""
    starts = tile_starts(length_px, tile_px, overlap_px)
    if len(starts) == 1:
        return length_px, starts
    needed = -(-(length_px + (len(starts) - 1) * overlap_px) // len(starts))
    edge = min(tile_px, max(MIN_TILE_PX, -(-needed // EDGE_STEP_PX) * EDGE_STEP_PX))
    return edge, tile_starts(length_px, edge, overlap_px)


def usable_overlap_px(overlap_px: int, tile_px: int) -> int:
    """A model's overlap for tiles of some edge: half an edge at most, so that tiles move on.

    Raises:
        ConfigError: if the overlap is too small to join what tiles cut.
    """
    if overlap_px < MIN_OVERLAP_PX:
        raise ConfigError(
            f"tile overlap must be at least {MIN_OVERLAP_PX} px, got {overlap_px} px; "
            "set MITO.TILE_OVERLAP_PX of the model's config to the longest object that you expect"
        )
    return min(overlap_px, tile_px // 2)


def checked_tile_px(tile_px: int | None) -> int | None:
    """An edge of tiles that a user gave; None stays None.

    Raises:
        ConfigError: if it is too small.
    """
    if tile_px is not None and tile_px < MIN_TILE_PX:
        raise ConfigError(f"tile edge must be at least {MIN_TILE_PX} px, got {tile_px} px")
    return None if tile_px is None else int(tile_px)
