"""Instances that were outlined by hand, in the place of those that a model finds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mito_instance.annotations.image_files import page_of
from mito_instance.errors import ImageError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page


class OutlinedPages:
    """Outlined pages by file and page number.

    Args:
        images: the outlined pages; each stands for itself, also one without any instance.
        whole_files: files of which all pages were looked at: a page that is not among
            ``images`` shows nothing.
    """

    pixel_size_nm: float | None = None
    """No page is resampled."""

    def __init__(
        self, images: Sequence[ImageInstances], whole_files: Collection[Path] = ()
    ) -> None:
        self._images = {page_of(image): image for image in images}
        self._whole_files = {path.resolve() for path in whole_files}

    def find(self, page: Page) -> ImageInstances:
        """Instances of a page, under the page's own path, with the outlines' pixel size if any.

        Raises:
            ImageError: if nobody has said what the page shows.
        """
        image_hw = (int(page.pixels.shape[0]), int(page.pixels.shape[1]))
        shown = ImageInstances(image=str(page.path), image_hw=image_hw, frame=page.frame)
        path = page.path.resolve()
        outlined = self._images.get((path, page.frame))
        if outlined is not None:
            return ImageInstances(
                image=shown.image,
                image_hw=outlined.image_hw,
                masks=outlined.masks,
                frame=page.frame,
                pixel_size=outlined.pixel_size,
            )
        if path in self._whole_files:
            return shown
        raise ImageError(
            f"{page.path}: page {page.frame + 1} is not among the outlined ones; list it without "
            "annotations if it shows no mitochondrion"
        )
