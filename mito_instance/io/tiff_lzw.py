"""LZW strips of a TIFF, walked through before they are decoded: a decoder may trust its codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_CLEAR, _END, _FIRST_FREE = 256, 257, 258
_MOST_CODES = 5119
"""After so many codes without a Clear, every decoder's table is full. Source: libtiff."""


def _code_widths() -> npt.NDArray[np.int64]:
    """Bits of the codes after a Clear: one more as soon as the last free code but one is taken."""
    number = np.arange(_MOST_CODES)
    free = np.maximum(_FIRST_FREE, _CLEAR + 1 + number)
    return 9 + (free > 510).astype(np.int64) + (free > 1022) + (free > 2046)


_WIDTHS = _code_widths()
_OFFSETS = np.cumsum(_WIDTHS) - _WIDTHS
_MOST = np.minimum(np.maximum(_END, _CLEAR + 1 + np.arange(_MOST_CODES)), 4095)
"""Greatest code that may stand at each place after a Clear."""


def check_lzw(data: bytes) -> None:
    """Refuse LZW data with a code that no code before it has defined.

    Args:
        data: a strip or tile.

    Raises:
        ValueError: if a code is not defined, or the data is of the old kind with reversed bits.
    Source: TIFF 6.0, section 13.
    """
    if data[:1] == b"\0" and len(data) > 1 and data[1] & 1:
        raise ValueError("LZW with reversed bits, as before 1988, is not read")
    raw = np.frombuffer(data + b"\0\0\0", dtype=np.uint8).astype(np.uint32)
    n_bits = 8 * len(data)
    begin, is_first = 0, True
    while begin + 9 <= n_bits:
        starts = begin + _OFFSETS
        n_codes = int(np.searchsorted(starts + _WIDTHS, n_bits, side="right"))
        if not n_codes:
            return
        starts, widths = starts[:n_codes], _WIDTHS[:n_codes]
        place = starts >> 3
        window = (raw[place] << 16) | (raw[place + 1] << 8) | raw[place + 2]
        codes = (window >> (24 - (starts & 7) - widths)) & ((1 << widths) - 1)
        if is_first and codes[0] != _CLEAR:
            raise ValueError("LZW data does not begin with a Clear code")
        is_first = False
        special = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        end = int(special[0]) if len(special) else n_codes
        if (codes[:end] > _MOST[:end]).any():
            raise ValueError("an LZW code is not defined")
        if end == n_codes:
            if n_codes == _MOST_CODES:
                raise ValueError("LZW data goes on without a Clear code")
            return
        if codes[end] == _END:
            return
        begin = int(starts[end] + widths[end])
