"""Damage to files: bytes and words changed, cut, moved and repeated, the same for the same seed."""

from __future__ import annotations

import random
import re
import struct
import zlib

NUMBERS = [
    struct.pack(form, value)
    for form in ("<H", ">H", "<I", ">I", "<Q", ">Q")
    for value in (0, 1, 0x7FFF, 0xFFFF)
] + [
    struct.pack(form, value)
    for form in ("<I", ">I")
    for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FC00000, 0x7F800000)
]
"""Integers at the edges of their types, NaN and infinity, as bytes."""

WORDS = [
    *["0", "-1", "1", "2", "-0.0", "0.5", "1e999", "-1e999", "NaN", "Infinity", "1e-320"],
    *["4294967296", "9223372036854775808", "9" * 400, "null", "true", "false", '""', '"x"'],
    *['"\\u0000"', '"\\ud800"', '"' + "a" * 300 + '"', "🙂", "\x00", "\n", ",", ";", "\t", " "],
    *["[]", "{}", "[[]]", "[1]", "[0,0,1e9,1e9,-1e9,5]", '{"size":[3,3],"counts":"04"}', "[" * 50],
]
"""Values that a text file may hold in the place of a right one."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[-+.\w]+|\s+|.', re.DOTALL)
_PNG = b"\x89PNG\r\n\x1a\n"


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """The data with one to sixteen bytes or numbers changed, cut, inserted or copied.

    Half of the changes fall into the first 200 bytes, where headers are.
    """
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        place = rng.randrange(min(len(changed), rng.choice((70, 200, 10**9, 10**9))))
        kind = rng.randrange(12)
        if kind < 4:
            changed[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind < 5:
            changed[place] ^= 1 << rng.randrange(8)
        elif kind < 7:
            number = rng.choice(NUMBERS)
            changed[place : place + len(number)] = number
        elif kind < 8:
            del changed[place:]
        elif kind < 9:
            del changed[place : place + rng.randrange(1, 9)]
        elif kind < 10:
            changed[place:place] = rng.randbytes(rng.randrange(1, 9))
        elif kind < 11:
            other = rng.randrange(len(changed))
            length = rng.choice((2, 4, 8, 32))
            changed[place : place + length] = changed[other : other + length]
        else:
            length = rng.randrange(1, 65)
            changed[place : place + length] = changed[place : place + length] * rng.randrange(2, 5)
    return bytes(changed)


def mutate_text(data: bytes, rng: random.Random) -> bytes:
    """The text with one to eight words replaced, left out, repeated or swapped."""
    if rng.random() < 0.2:
        return mutate_bytes(data, rng)
    words = _TOKEN.findall(data.decode("utf-8", "replace"))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        if not words:
            break
        place = rng.randrange(len(words))
        kind = rng.randrange(8)
        if kind < 4:
            words[place] = rng.choice(WORDS)
        elif kind < 5:
            del words[place]
        elif kind < 6:
            words.insert(place, rng.choice((rng.choice(WORDS), rng.choice(words))))
        elif kind < 7:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        else:
            end = place + rng.randrange(1, 12)
            words[place:end] = words[place:end] * rng.randrange(0, 4)
    return "".join(words).encode("utf-8", "surrogatepass")


def mutate_png(data: bytes, rng: random.Random) -> bytes:
    """As `mutate_bytes`; half of the files get right checksums, so that decoders see the damage."""
    changed = bytearray(mutate_bytes(data, rng))
    if rng.random() < 0.5 or not changed.startswith(_PNG):
        return bytes(changed)
    place = len(_PNG)
    while place + 12 <= len(changed):
        (length,) = struct.unpack_from(">I", changed, place)
        end = place + 12 + length
        if end > len(changed):
            break
        checksum = zlib.crc32(changed[place + 4 : end - 4])
        struct.pack_into(">I", changed, end - 4, checksum)
        place = end
    return bytes(changed)
