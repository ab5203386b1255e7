"""What a page must show to be counted in."""

from __future__ import annotations

import numpy as np

from mito_instance.errors import ImageError
from mito_instance.io.images import Page


def with_values(page: Page) -> Page:
    """The page, if it shows anything.

    Raises:
        ImageError: if no pixel is a finite number: nobody has counted anything there.
    """
    if page.pixels.dtype.kind == "f" and not np.isfinite(page.pixels).any():
        raise ImageError(
            f"{page.path}: page {page.frame + 1} holds no finite grey value, only NaN or infinity; "
            "export it again"
        )
    return page
