"""Instances that were outlined by hand, in the place of those that a model finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mito_instance.annotations.image_files import page_of
from mito_instance.errors import AnnotationError, ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page


class PageLeftOut(ImageError):
    """A page of which nobody has said what it shows."""


class OutlinedPages:
    """Outlined pages by file and page number.

    Args:
        images: the outlined pages; each stands for itself, also one without any instance. Other
            pages of their files are left out.
        unusable: file and page of outlines that could not be used, and why not.
        incomplete: file and page of those of which an outline could not be used, and why not.
    """

    pixel_size_nm: float | None = None
    """No page is resampled."""

    def __init__(
        self,
        images: Sequence[ImageInstances],
        unusable: Mapping[tuple[Path, int], str] | None = None,
        incomplete: Mapping[tuple[Path, int], str] | None = None,
    ) -> None:
        self._images = {page_of(image): image for image in images}
        self._unusable, self._incomplete = (
            {(path.resolve(), frame): reason for (path, frame), reason in (given or {}).items()}
            for given in (unusable, incomplete)
        )

    def check(self, path: Path, frame: int) -> None:
        """Say that a page is left out or cannot be used, before it is read.

        Raises:
            PageLeftOut: if it is not among the outlined ones.
            AnnotationError: if its outlines could not be used.
        """
        self._outlined(path, frame)

    def find(self, page: Page) -> ImageInstances:
        """Instances of a page, under the page's own path, with the outlines' pixel size if any.

        Raises:
            PageLeftOut: if the page is not among the outlined ones.
        """
        outlined = self._outlined(page.path, page.frame)
        return ImageInstances(
            image=str(page.path),
            image_hw=outlined.image_hw,
            masks=outlined.masks,
            frame=page.frame,
            pixel_size=outlined.pixel_size,
        )

    def remark(self, path: Path, frame: int) -> str:
        """What is not counted on a page, though it was outlined; empty where all is."""
        reason = self._incomplete.get((path.resolve(), frame))
        return f"not all of its ROIs could be used: {reason}" if reason else ""

    def _outlined(self, path: Path, frame: int) -> ImageInstances:
        key = path.resolve(), frame
        if key in self._unusable:
            raise AnnotationError(self._unusable[key])
        try:
            return self._images[key]
        except KeyError:
            raise PageLeftOut(f"{path}: page {frame + 1} is not among the outlined ones") from None
