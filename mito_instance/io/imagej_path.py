"""Composite selections of ImageJ: a path of lines and curves to closed rings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.masks.curves import flattened
from mito_instance.masks.polygons import Ring

_MOVE, _LINE, _QUADRATIC, _CUBIC, _CLOSE = range(5)
_MAX_VERTICES = 1_000_000
_N_NUMBERS = {_MOVE: 2, _LINE: 2, _QUADRATIC: 4, _CUBIC: 6, _CLOSE: 0}


def path_rings(path: npt.NDArray[Any]) -> Iterator[Ring]:
    """Closed rings of a path; rings of fewer than three vertices enclose nothing and are left out.

    Args:
        path: float (N,): an operation (0 move, 1 line, 2 quadratic, 3 cubic, 4 close), then its
            coordinates, and so on.

    Raises:
        ValueError: if the operations and the coordinates do not add up, or there are more than a
            million vertices.
    Source: ImageJ 1.53t, ``ShapeRoi.getMask``: curves are flattened to 0.01 px.
    """
    numbers = path.astype(np.float64).tolist()
    vertices: list[tuple[float, float]] = []
    place = n_vertices = 0
    while place < len(numbers):
        operation = numbers[place]
        if operation not in _N_NUMBERS:
            raise ValueError(f"unknown path operation {operation!r}")
        count = _N_NUMBERS[int(operation)]
        values = numbers[place + 1 : place + 1 + count]
        place += 1 + count
        if len(values) < count:
            raise ValueError("path ends inside an operation")
        points = list(zip(values[0::2], values[1::2], strict=True))
        if operation == _MOVE:
            yield from _ring(vertices)
            vertices = points
        elif operation == _CLOSE:
            yield from _ring(vertices)
            vertices = vertices[:1]
        elif not vertices:
            raise ValueError("path does not begin with a move")
        elif operation == _LINE:
            vertices.extend(points)
        else:
            points = flattened([vertices[-1], *points])
            vertices.extend(points)
        n_vertices += len(points)
        if n_vertices > _MAX_VERTICES:
            raise ValueError(f"path of more than {_MAX_VERTICES} vertices")
    yield from _ring(vertices)


def _ring(vertices: list[tuple[float, float]]) -> Iterator[Ring]:
    """The ring of three vertices or more, or nothing."""
    if len(vertices) >= 3:
        yield np.array(vertices, dtype=np.float64)
