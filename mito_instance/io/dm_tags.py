"""The tag tree of Gatan DigitalMicrograph files, read without trusting it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_DEPTH = 32
MAX_TAGS = 300_000
"""A file of a microscope has some 1,000 to 50,000 tags."""
MAX_TEXT = 256
PIXELS = "Data"
"""Name of the array that is never text, though it may have 16 bits as texts do."""
_MAX_INFO = 4096
_GROUP, _DATA = 20, 21
_STRING, _STRUCT, _ARRAY, _UINT16 = 18, 15, 20, 4
_SIMPLE = {
    2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 8: "?", 9: "b", 10: "B", 11: "q", 12: "Q",
}  # fmt: skip

TagGroup = dict[str, Any]
"""Tags by name; those without a name have the number of their place in the group, from 0."""


@dataclass(frozen=True, slots=True)
class TagArray:
    """Place of an array in the file.

    Args:
        offset: of its first byte.
        n_bytes: its length.
    """

    offset: int
    n_bytes: int


def is_dm(head: bytes) -> bool:
    """Whether a file begins as a DM3 or DM4 file does.

    Args:
        head: its first 16 bytes or more.
    """
    version = head[:4]
    order = head[8:12] if version == b"\0\0\0\3" else head[12:16]
    is_known = version in (b"\0\0\0\3", b"\0\0\0\4")
    return is_known and order in (b"\0\0\0\0", b"\0\0\0\1")


class TagReader:
    """Reads the tags of one file.

    Only numbers, short texts and the places of arrays are kept; nothing of the size that a file
    announces is read or held.

    Args:
        stream: the file, at its start.
        n_bytes: size of the file.

    Raises:
        ValueError: if the tree is damaged, too deep or too large.
    Source: the form that G. Jefferis and others found out (DM3, DM4): all numbers of the tree
        are big-endian, those of the data as the header says; DM4 has 64-bit counts.
    """

    def __init__(self, stream: BinaryIO, n_bytes: int) -> None:
        self._stream, self._n_bytes = stream, n_bytes
        self._n_tags = 0
        (version,) = self._unpack(">I")
        self._is_dm4 = version == 4
        self._count = ">Q" if self._is_dm4 else ">I"
        self._unpack(self._count)  # size of the file, often wrong
        (is_little,) = self._unpack(">I")
        self.order = "<" if is_little else ">"

    def read(self) -> TagGroup:
        """The tree from its root."""
        return self._group(0)

    def _group(self, depth: int) -> TagGroup:
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} groups in one another")
        self._unpack(">BB")  # sorted, open
        (n_entries,) = self._unpack(self._count)
        tags: TagGroup = {}
        for number in range(n_entries):
            self._n_tags += 1
            if self._n_tags > MAX_TAGS:
                raise ValueError(f"more than {MAX_TAGS} tags")
            kind, length = self._unpack(">BH")
            name = self._text(length) or str(number)
            if self._is_dm4:
                self._unpack(">Q")  # length of the entry
            if kind == _GROUP:
                tags[name] = self._group(depth + 1)
            elif kind == _DATA:
                tags[name] = self._value(may_be_text=name != PIXELS)
            else:
                raise ValueError(f"a tag of kind {kind}")
        return tags

    def _text(self, length: int) -> str:
        """A name; of a long one, which is none that is looked for, the beginning."""
        data = self._take(min(length, MAX_TEXT))
        self._skip(length - len(data))
        return data.decode("latin-1")

    def _value(self, *, may_be_text: bool) -> Any:
        """A number, a short text, or the place of an array; None for what is not looked for."""
        if self._take(4) != b"%%%%":
            raise ValueError("a tag without its mark")
        (n_info,) = self._unpack(self._count)
        if not 1 <= n_info <= _MAX_INFO:
            raise ValueError(f"a tag with {n_info} words of description")
        info = self._unpack(f">{n_info}{self._count[1]}")
        if info[0] in _SIMPLE:
            (value,) = self._unpack(self.order + _SIMPLE[info[0]])
            return value
        n_bytes, _ = self._size(info, 0, 0)
        start = self._stream.tell()
        if start + n_bytes > self._n_bytes:
            raise ValueError("an array reaches beyond the end of the file")
        if info[0] != _ARRAY:
            self._skip(n_bytes)
            return None
        if may_be_text and len(info) == 3 and info[1] == _UINT16 and n_bytes <= 2 * MAX_TEXT:
            encoding = "utf-16-le" if self.order == "<" else "utf-16-be"
            return self._take(n_bytes).decode(encoding, "replace").rstrip("\0")
        self._skip(n_bytes)
        return TagArray(start, n_bytes)

    def _size(self, info: tuple[int, ...], place: int, depth: int) -> tuple[int, int]:
        """Bytes of what a description says from a place on, and the place after it."""
        if depth > MAX_DEPTH or place >= len(info):
            raise ValueError("a tag with a damaged description")
        kind = info[place]
        if kind in _SIMPLE:
            return struct.calcsize(f"<{_SIMPLE[kind]}"), place + 1
        if kind == _STRING and place + 1 < len(info):
            return info[place + 1], place + 2
        if kind == _STRUCT and place + 2 < len(info):
            total, following = 0, place + 3
            for _ in range(info[place + 2]):
                size, following = self._size(info, following + 1, depth + 1)
                total += size
            return total, following
        if kind == _ARRAY:
            size, following = self._size(info, place + 1, depth + 1)
            if following < len(info):
                return size * info[following], following + 1
        raise ValueError(f"a tag of unknown type {kind}")

    def _unpack(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self._take(struct.calcsize(form)))

    def _take(self, length: int) -> bytes:
        data = self._stream.read(length)
        if len(data) < length:
            raise ValueError("the end is missing")
        return data

    def _skip(self, length: int) -> None:
        self._stream.seek(length, 1)
