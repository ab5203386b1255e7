"""What reading a zip can raise that is damaged, encrypted or packed in an unknown way."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib

ZIP_DAMAGE: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    RuntimeError,  # encrypted; NotImplementedError: an unknown compression
    ValueError,
    LookupError,
)
"""For `except`: all of it means that the zip or its entry cannot be read."""
