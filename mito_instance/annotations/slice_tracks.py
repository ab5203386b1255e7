"""Components that go on from slice to slice get one number, one slice in memory at a time."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from mito_instance.masks.labels import LabelImage


class SliceTracks:
    """Links the 2D components of following slices to 3D components.

    Args:
        connectivity: 8: voxels that touch at a corner belong together, also across slices
            (26 neighbours); 4: only those that share a face (6 neighbours).
    """

    def __init__(self, connectivity: int) -> None:
        self._connectivity = connectivity
        self._previous: LabelImage | None = None
        self._previous_first = 0
        self._parents: list[int] = []

    def add_slice(self, components: LabelImage) -> tuple[int, int]:
        """Link the components of the next slice to those of the one before.

        Args:
            components: int32 (H, W), numbers 1 to N; a slice of another size starts anew.

        Returns:
            Positions in `track_ids` of the first and behind the last component.
        """
        first = len(self._parents)
        n_components = int(components.max(initial=0))
        self._parents.extend(range(first, first + n_components))
        if self._previous is not None and self._previous.shape == components.shape:
            for here, before in self._contacts(self._previous, components):
                self._join(first + here - 1, self._previous_first + before - 1)
        self._previous, self._previous_first = components, first
        return first, first + n_components

    def track_ids(self, first_id: int = 1) -> npt.NDArray[np.int64]:
        """The 3D component of every 2D component, in the order in which they came.

        Args:
            first_id: number of the first 3D component.

        Returns:
            int64 (N,), without gaps; empty without components.
        """
        numbers: dict[int, int] = {}
        roots = (self._root(position) for position in range(len(self._parents)))
        ids = [numbers.setdefault(root, first_id + len(numbers)) for root in roots]
        return np.asarray(ids, dtype=np.int64)

    def _contacts(self, before: LabelImage, here: LabelImage) -> list[tuple[int, int]]:
        """Pairs of components, here and before, that touch across the slices."""
        shifts = [0] if self._connectivity == 4 else [-1, 0, 1]
        height, width = here.shape
        pairs: set[tuple[int, int]] = set()
        padded = cv2.copyMakeBorder(before, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        for shift_y in shifts:
            for shift_x in shifts:
                moved = padded[1 + shift_y : 1 + shift_y + height, 1 + shift_x :][:, :width]
                both = (here > 0) & (moved > 0)
                keys = here[both].astype(np.int64) << 32 | moved[both].astype(np.int64)
                if keys.size:
                    keys = np.unique(keys[np.append(True, np.diff(keys) != 0)])
                pairs.update((int(key >> 32), int(key & 0xFFFFFFFF)) for key in keys)
        return sorted(pairs)

    def _root(self, position: int) -> int:
        """Representative of a component; shortens the way to it."""
        while self._parents[position] != position:
            self._parents[position] = self._parents[self._parents[position]]
            position = self._parents[position]
        return position

    def _join(self, one: int, other: int) -> None:
        """Make two components one; the earlier represents both."""
        one, other = self._root(one), self._root(other)
        self._parents[max(one, other)] = min(one, other)
