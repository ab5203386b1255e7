"""LZW strips of a TIFF, walked through before they are decoded: a decoder may trust its codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_CLEAR, _END, _FIRST_FREE = 256, 257, 258
_MOST_CODES = 5119
"""After so many codes without a Clear, every decoder's table is full. Source: libtiff."""

_FEW_CODES = 64
_MOST_EMPTY = 64
"""Clear codes with nothing between them; an encoder writes one, or two where a strip begins."""


def _code_widths() -> npt.NDArray[np.int64]:
    """Bits of the codes after a Clear: one more as soon as the last free code but one is taken."""
    number = np.arange(_MOST_CODES)
    free = np.maximum(_FIRST_FREE, _CLEAR + 1 + number)
    return 9 + (free > 510).astype(np.int64) + (free > 1022) + (free > 2046)


_WIDTHS = _code_widths()
_OFFSETS = np.cumsum(_WIDTHS) - _WIDTHS
_MOST = np.minimum(np.maximum(_END, _CLEAR + 1 + np.arange(_MOST_CODES)), 4095)
"""Greatest code that may stand at each place after a Clear."""


def check_lzw(data: bytes, n_bytes: int) -> None:
    """Refuse LZW data with a code that no code before it has defined.

    What comes after ``n_bytes`` decoded ones is not looked at: decoders stop there, and some
    writers fill the strip up.

    Args:
        data: a strip or tile, most significant bit first.
        n_bytes: size of the decoded strip.

    Raises:
        ValueError: if a code is not defined, or the data is of the old kind with reversed bits.
    Source: TIFF 6.0, section 13.
    """
    if data[:1] == b"\0" and len(data) > 1 and data[1] & 1:
        raise ValueError("LZW with reversed bits, as before 1988, is not read")
    raw = np.frombuffer(data + b"\0\0\0", dtype=np.uint8).astype(np.uint32)
    begin = n_codes = n_empty = 0
    before: list[npt.NDArray[np.uint32]] = []
    while n_codes < n_bytes:  # each stands for one byte at least
        codes = _codes(raw, begin, 8 * len(data))
        if not len(codes):
            return
        if not begin and codes[0] != _CLEAR:
            raise ValueError("LZW data does not begin with a Clear code")
        special = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        end = int(special[0]) if len(special) else len(codes)
        wrong = np.flatnonzero(codes[:end] > _MOST[:end])
        if len(wrong):
            if sum(map(_n_decoded, [*before, codes[: wrong[0]]])) >= n_bytes:
                return
            raise ValueError("an LZW code is not defined")
        if end == _MOST_CODES:
            if sum(map(_n_decoded, [*before, codes])) >= n_bytes:
                return
            raise ValueError("LZW data goes on without a Clear code")
        if end == len(codes) or codes[end] == _END:
            return
        n_empty = 0 if end else n_empty + 1
        if n_empty > _MOST_EMPTY:
            raise ValueError("LZW data consists of Clear codes")
        before.append(codes[:end])
        n_codes += end
        begin += int(_OFFSETS[end] + _WIDTHS[end])


def _codes(raw: npt.NDArray[np.uint32], begin: int, n_bits: int) -> npt.NDArray[np.uint32]:
    """Codes from a Clear on: up to the next one if that comes soon, else all that can be."""
    for most in (_FEW_CODES, _MOST_CODES):
        held = int(np.searchsorted(_OFFSETS[:most] + _WIDTHS[:most], n_bits - begin, "right"))
        starts, widths = begin + _OFFSETS[:held], _WIDTHS[:held]
        place = starts >> 3
        window = (raw[place] << 16) | (raw[place + 1] << 8) | raw[place + 2]
        codes: npt.NDArray[Any] = (window >> (24 - (starts & 7) - widths)) & ((1 << widths) - 1)
        if held < most or ((codes == _CLEAR) | (codes == _END)).any():
            break
    found: npt.NDArray[np.uint32] = codes.astype(np.uint32)
    return found


def _n_decoded(codes: npt.NDArray[np.uint32]) -> int:
    """Bytes that the codes between two Clears stand for."""
    lengths: list[int] = []
    for code in codes.tolist():
        # An entry is the string of the code that it was made at, and one byte more.
        lengths.append(1 if code < _CLEAR else lengths[code - _FIRST_FREE] + 1)
    return sum(lengths)
