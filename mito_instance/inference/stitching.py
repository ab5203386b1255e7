"""Objects of overlapping tiles become objects of the page: whole, and each only once.

An object is *complete* in a tile when it does not reach an edge of the tile that is not also
an edge of the page; otherwise the tile shows a *piece* of it. Two detections of different
tiles show the same object when they agree in the region that both tiles see. Complete
detections win over pieces; pieces that no tile shows complete are joined.

Where tiles overlap, one has the last word: that which sees the most around the detection. What
it does not find there is no object, whatever another sees at its edge; otherwise each further
tile would be one more chance to be counted, and small tiles would count more than large ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mito_instance.inference.tiling import Tile
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

SAME_OBJECT = 0.5
"""Least intersection over the smaller mask, in the region that both tiles see. Of two objects that
share so much, one is the other once more, a part of it, or both in one."""

LEAST_OF_LARGER = 0.25
"""Least intersection over the larger mask there: a sliver of a neighbour lies in any mask."""

EDGE_MARGIN_PX = 4
"""A network may stop a few pixels short of the edge that cuts its object."""

MASK_CELLS = 28
"""A mask of so many cells along its box may stop one of them short of that edge."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A mask inside its box, in page coordinates.

    Args:
        x: column of the mask's first pixel in the page.
        y: row of the mask's first pixel in the page.
        mask: bool (h, w), tight.
        score: in [0, 1].
        category_id: COCO category.
        tile: the tile that it was seen in.
        complete: whether no inner edge of that tile cuts it.
    """

    x: int
    y: int
    mask: npt.NDArray[np.bool_]
    score: float
    category_id: int
    tile: Tile
    complete: bool

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def box_xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom; right and bottom exclusive."""
        return self.x, self.y, self.x + self.mask.shape[1], self.y + self.mask.shape[0]


def detections_of(
    instances: ImageInstances, tile: Tile, image_hw: tuple[int, int]
) -> list[Detection]:
    """Detections of one tile in page coordinates, empty masks left out."""
    height, width = image_hw
    found = []
    scores = np.ones(len(instances)) if instances.scores is None else instances.scores
    for mask, score, category_id in zip(
        instances.masks, scores, instances.category_ids, strict=True
    ):
        x, y, box_width, box_height = rle.box_xywh(mask)
        if box_width == 0:
            continue
        across = max(EDGE_MARGIN_PX, -(-box_width // MASK_CELLS))
        down = max(EDGE_MARGIN_PX, -(-box_height // MASK_CELLS))
        cut = (
            (x < across and tile.x > 0)
            or (y < down and tile.y > 0)
            or (x + box_width > tile.width - across and tile.x + tile.width < width)
            or (y + box_height > tile.height - down and tile.y + tile.height < height)
        )
        pixels = rle.crop(mask, (x, y, box_width, box_height))
        found.append(
            Detection(tile.x + x, tile.y + y, pixels, float(score), category_id, tile, not cut)
        )
    return found


class _Neighbourhood:
    """Detections by where they lie, so that a page of 10,000 needs no 100 million comparisons."""

    CELL_PX = 256

    def __init__(self, detections: Iterable[Detection] = ()) -> None:
        self._cells: dict[tuple[int, int], list[tuple[int, Detection]]] = {}
        self._count = 0
        for detection in detections:
            self.add(detection)

    def add(self, detection: Detection) -> None:
        """Take a detection in."""
        for cell in self._cells_of(detection):
            self._cells.setdefault(cell, []).append((self._count, detection))
        self._count += 1

    def near(self, detection: Detection) -> list[tuple[int, Detection]]:
        """Those whose boxes overlap the detection's, with their number, in the order of adding."""
        x0, y0, x1, y1 = detection.box_xyxy
        found = {
            number: other
            for cell in self._cells_of(detection)
            for number, other in self._cells.get(cell, ())
            if other.x < x1
            and other.y < y1
            and other.x + other.mask.shape[1] > x0
            and other.y + other.mask.shape[0] > y0
        }
        return sorted(found.items())

    def _cells_of(self, detection: Detection) -> Iterator[tuple[int, int]]:
        x0, y0, x1, y1 = detection.box_xyxy
        for row in range(y0 // self.CELL_PX, (y1 - 1) // self.CELL_PX + 1):
            for column in range(x0 // self.CELL_PX, (x1 - 1) // self.CELL_PX + 1):
                yield row, column


def stitch(
    detections: Sequence[Detection], image: ImageInstances, tiles: Sequence[Tile]
) -> ImageInstances:
    """Whole objects of a page from the detections of all its tiles.

    Args:
        detections: of all tiles, in any order.
        image: identity and size of the page; its own masks are ignored.
        tiles: all tiles of the page, also those without detections.

    Returns:
        ``image`` with the objects, by falling score (then top to bottom, left to right).
    """
    ordered = _with_best_view(detections, tiles, image.image_hw)
    whole = _without_duplicates(d for d in ordered if d.complete)
    places = _Neighbourhood(whole)
    pieces = _without_twins(
        piece for piece in ordered if not piece.complete and not _is_seen_complete(piece, places)
    )
    objects = _without_duplicates(
        sorted([*whole, *_join(pieces)], key=lambda d: (-d.score, d.y, d.x))
    )
    return ImageInstances(
        image=image.image,
        image_hw=image.image_hw,
        masks=tuple(rle.place(d.mask, d.x, d.y, image.image_hw) for d in objects),
        scores=np.array([d.score for d in objects], dtype=np.float64),
        frame=image.frame,
        pixel_size=image.pixel_size,
        category_ids=tuple(d.category_id for d in objects),
        category_names=image.category_names,
    )


def _with_best_view(
    detections: Sequence[Detection], tiles: Sequence[Tile], image_hw: tuple[int, int]
) -> list[Detection]:
    """Detections that the tile with the best view of them confirms; its own come first.

    Returns:
        In the order in which they win over their duplicates: first those seen in their best
        tile, then the others, each by falling score.
    """
    inner = _inner_edges(tiles, image_hw)
    places = _Neighbourhood(detections)
    ranked: list[tuple[bool, Detection]] = []
    for detection in detections:
        best = tiles[_best_view(inner, detection)]
        is_own = best == detection.tile
        if is_own or any(
            other.tile == best and _confirms(other, detection)
            for _, other in places.near(detection)
        ):
            ranked.append((is_own, detection))
    ranked.sort(
        key=lambda one: (
            not one[0], -one[1].score, one[1].y, one[1].x, one[1].mask.shape,
            one[1].tile.y, one[1].tile.x,
        )
    )  # fmt: skip
    return [detection for _, detection in ranked]


def _confirms(other: Detection, detection: Detection) -> bool:
    """Whether a tile shows an object where another does, of the same category or as another."""
    if other.category_id == detection.category_id:
        return _same_object(detection, other)
    return detection.complete and _is_duplicate(detection, other)


def _inner_edges(tiles: Sequence[Tile], image_hw: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Left, top, right and bottom of each tile, (N, 4); far away where it is that of the page."""
    height, width = image_hw
    far = height + width
    edges = [
        (
            tile.x if tile.x > 0 else -far,
            tile.y if tile.y > 0 else -far,
            tile.x + tile.width if tile.x + tile.width < width else 2 * far,
            tile.y + tile.height if tile.y + tile.height < height else 2 * far,
        )
        for tile in tiles
    ]
    return np.array(edges, dtype=np.int64).reshape(-1, 4)


def _best_view(inner: npt.NDArray[np.int64], detection: Detection) -> int:
    """Number of the tile whose inner edges are farthest from a detection; the first of such.

    The nearest edge decides. Where it is as near in several tiles, as that which cuts the object
    in tiles side by side, the second nearest does, and so on.
    """
    x0, y0, x1, y1 = detection.box_xyxy
    distances = np.stack(
        [x0 - inner[:, 0], y0 - inner[:, 1], inner[:, 2] - x1, inner[:, 3] - y1], axis=1
    )
    distances[(distances > 0) & (distances < EDGE_MARGIN_PX)] = 0
    distances.sort(axis=1)
    return int(np.lexsort(-distances[:, ::-1].T)[0])


def _is_seen_complete(piece: Detection, complete: _Neighbourhood) -> bool:
    """Whether another tile shows most of what it sees of a piece in complete detections.

    A small detection inside the piece is not enough, nor the tip of a neighbour.
    """
    shared: dict[Tile, int] = {}
    for _, other in complete.near(piece):
        if other.tile != piece.tile and other.category_id == piece.category_id:
            common = _intersection(piece, other)
            if common >= LEAST_OF_LARGER * _seen_of(other, piece.tile):
                shared[other.tile] = shared.get(other.tile, 0) + common
    return any(
        common > 0 and common >= SAME_OBJECT * _seen_of(piece, tile)
        for tile, common in shared.items()
    )


def _without_duplicates(ordered: Iterable[Detection]) -> list[Detection]:
    """Drop every detection that mostly lies in, or contains, a higher-scored one.

    Of two categories, only one that is mostly the same as the other.
    """
    kept: list[Detection] = []
    places = _Neighbourhood()
    for detection in ordered:
        if not any(_is_duplicate(detection, other) for _, other in places.near(detection)):
            kept.append(detection)
            places.add(detection)
    return kept


def _without_twins(pieces: Iterable[Detection]) -> list[Detection]:
    """Drop pieces that better ones of their tile mostly cover: two in one, or one once more.

    They would join what these show apart. One that contains a small one alone is no such piece.
    """
    kept: list[Detection] = []
    places = _Neighbourhood()
    for piece in pieces:
        covered = sum(
            _intersection(piece, other)
            for _, other in places.near(piece)
            if other.tile == piece.tile and other.category_id == piece.category_id
        )
        if covered < SAME_OBJECT * piece.area_px:
            kept.append(piece)
            places.add(piece)
    return kept


def _is_duplicate(detection: Detection, other: Detection) -> bool:
    areas = detection.area_px, other.area_px
    # What lies in an object of another category is an object; what is as large is the same one.
    least = min(areas) if detection.category_id == other.category_id else max(areas)
    return _intersection(detection, other) >= SAME_OBJECT * least


def _join(pieces: list[Detection]) -> list[Detection]:
    """Unite pieces that show the same object; the score is that of the best piece."""
    groups = list(range(len(pieces)))

    def root(index: int) -> int:
        while groups[index] != index:
            groups[index] = groups[groups[index]]
            index = groups[index]
        return index

    places = _Neighbourhood()
    for first, piece in enumerate(pieces):
        for second, other in places.near(piece):
            if piece.tile != other.tile and _same_object(piece, other):
                groups[root(first)] = root(second)
        places.add(piece)
    members: dict[int, list[Detection]] = {}
    for index, piece in enumerate(pieces):
        members.setdefault(root(index), []).append(piece)
    return [_union(group) for group in members.values()]


def _union(group: list[Detection]) -> Detection:
    boxes = np.array([piece.box_xyxy for piece in group])
    left, top = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    mask = np.zeros((int(boxes[:, 3].max()) - top, int(boxes[:, 2].max()) - left), dtype=bool)
    for piece in group:
        x0, y0, x1, y1 = piece.box_xyxy
        mask[y0 - top : y1 - top, x0 - left : x1 - left] |= piece.mask
    best = max(group, key=lambda piece: piece.score)
    return Detection(left, top, mask, best.score, best.category_id, best.tile, complete=True)


def _same_object(first: Detection, second: Detection) -> bool:
    """Whether two detections of a category agree where both their tiles look."""
    common = _intersection(first, second)
    if common == 0 or first.category_id != second.category_id:
        return False
    seen = (_seen_of(first, second.tile), _seen_of(second, first.tile))
    return common >= SAME_OBJECT * min(seen) and common >= LEAST_OF_LARGER * max(seen)


def _seen_of(detection: Detection, tile: Tile) -> int:
    """Pixels of a detection that lie in its own tile and in another."""
    own = detection.tile
    x0, y0 = max(own.x, tile.x), max(own.y, tile.y)
    x1 = min(own.x + own.width, tile.x + tile.width)
    y1 = min(own.y + own.height, tile.y + tile.height)
    return int(np.count_nonzero(_window(detection, (x0, y0, x1, y1)))) if x0 < x1 and y0 < y1 else 0


def _window(detection: Detection, box_xyxy: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """View of the part of the mask that lies in a box of the page."""
    x0, y0, x1, y1 = box_xyxy
    rows = slice(max(0, y0 - detection.y), max(0, y1 - detection.y))
    columns = slice(max(0, x0 - detection.x), max(0, x1 - detection.x))
    return detection.mask[rows, columns]


def _intersection(first: Detection, second: Detection) -> int:
    """Pixels that two detections share."""
    a, b = first.box_xyxy, second.box_xyxy
    box = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    if box[2] <= box[0] or box[3] <= box[1]:
        return 0
    return int(np.count_nonzero(_window(first, box) & _window(second, box)))
