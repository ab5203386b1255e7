"""Where the tiles of a large page lie."""

from __future__ import annotations

from dataclasses import dataclass

from mito_instance.errors import ConfigError

MIN_TILE_PX = 64


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

    Args:
        image_hw: height and width of the page in pixels.
        tile_px: edge of a square tile, at least 64.
        overlap_px: least overlap of neighbours.

    Raises:
        ConfigError: if the tile is too small or the overlap not smaller than the tile.
    """
    checked_tile_px(tile_px)
    height, width = image_hw
    return [
        Tile(x, y, min(tile_px, width), min(tile_px, height))
        for y in tile_starts(height, tile_px, overlap_px)
        for x in tile_starts(width, tile_px, overlap_px)
    ]


def checked_tile_px(tile_px: int | None) -> int | None:
    """An edge of tiles that a user gave; None stays None.

    Raises:
        ConfigError: if it is too small.
    """
    if tile_px is not None and tile_px < MIN_TILE_PX:
        raise ConfigError(f"tile edge must be at least {MIN_TILE_PX} px, got {tile_px} px")
    return tile_px
