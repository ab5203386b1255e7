"""How large an image may be, asked before memory is given to it."""

from __future__ import annotations

from mito_instance.errors import ImageError

MAX_PX = 4_000_000_000
MAX_EDGE_PX = 10_000_000
MAX_COMPRESSION = 2000
"""A micrograph is noise and compresses some 2 to 20 times; a decompression bomb 1000 and more."""
FREE_BYTES = 256 * 1024**2
"""Images that need no more memory than this may be compressed without limit."""


def check_size(where: str, width: int, height: int, *, channels: int, n_bytes: int) -> None:
    """Refuse an image that has no pixel, or more than the file can honestly hold.

    Args:
        where: the file, for the message.
        width: in pixels, as the header says.
        height: in pixels, as the header says.
        channels: bytes that each pixel will take.
        n_bytes: size of the file.

    Raises:
        ImageError: if the header's size is not usable.
    """
    if width < 1 or height < 1:
        raise ImageError(
            f"{where}: image must have at least 1 x 1 px, got {width} x {height}; export it again"
        )
    if width * height > MAX_PX or max(width, height) > MAX_EDGE_PX:
        raise ImageError(
            f"{where}: image must have <= {MAX_PX} px, got {width} x {height}; cut it into parts"
        )
    if width * height * channels > max(FREE_BYTES, MAX_COMPRESSION * n_bytes):
        raise ImageError(
            f"{where}: {n_bytes} bytes cannot hold an image of {width} x {height} px; "
            "the file is damaged, export it again"
        )
