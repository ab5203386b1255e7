"""Names of the files that belong to the images of a run: readable, and each once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mito_instance.annotations.pairing import MAX_FOLDERS, folders_and_name


class FileNames:
    """Unique file names of results, readable and the same in every run.

    ``image.png`` and ``image.zip`` for ``image.tif``; ``stack.tif`` and ``stack.zip`` for all pages
    of a stack; in front of all that share a name, as many folders as tell them apart
    (``wt_cell.zip``, ``mouse1_wt_cell.zip``); then a number.

    Args:
        paths: all inputs.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        # Some file systems do not tell upper from lower case.
        same: dict[str, list[Path]] = {}
        for path in paths:
            same.setdefault(path.stem.casefold(), []).append(path)
        # A name that one image alone bears is its own, whatever the others are called.
        taken = {stem for stem, bearers in same.items() if len(bearers) == 1}
        named = {
            path: name
            for bearers in same.values()
            if len(bearers) > 1
            for path, name in zip(bearers, _behind_folders(bearers), strict=True)
        }
        self.stems: dict[Path, str] = {}
        for path in paths:
            stem = candidate = named.get(path, path.stem)
            number = 2
            while path in named and candidate.casefold() in taken:
                candidate = f"{stem}_{number}"
                number += 1
            taken.add(candidate.casefold())
            self.stems[path] = candidate

    def overlay(self, path: Path, n_frames: int) -> str:
        """File name of the overlay of an image, or of all pages of a stack."""
        return f"{self.stems[path]}.{'tif' if n_frames > 1 else 'png'}"


def _behind_folders(same: Sequence[Path]) -> list[str]:
    """Names of images that share theirs, behind the fewest folders that tell them apart.

    Two images in one folder (``cell.tif``, ``cell.png``) have no such names: one folder then.
    """
    for depth in range(1, MAX_FOLDERS + 1):
        names = [folders_and_name(path, path.stem, depth) for path in same]
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [folders_and_name(path, path.stem, 1) for path in same]
