"""Writes minimal DigitalMicrograph files, tag by tag."""

import struct

import numpy as np

TYPES = {
    "int16": 1, "float32": 2, "complex64": 3, "uint8": 6, "int32": 7, "int8": 9, "uint16": 10,
    "uint32": 11, "float64": 12,
}  # fmt: skip
_NUMBERS = {2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 9: "b", 10: "B", 11: "q", 12: "Q"}
_ELEMENTS = {
    "int16": 2, "int32": 3, "uint16": 4, "uint32": 5, "float32": 6, "float64": 7, "int8": 9,
    "uint8": 10, "complex64": 12,
}  # fmt: skip


class DmFile:
    """DM3 or DM4; data little-endian, as on every PC, or big-endian, as on old Macs."""

    def __init__(self, version=3, order="<"):
        self.version, self.order = version, order
        self.count = ">I" if version == 3 else ">Q"

    def number(self, kind, value):
        return self._tag((kind,), struct.pack(self.order + _NUMBERS[kind], value))

    def text(self, text):
        data = text.encode("utf-16-le" if self.order == "<" else "utf-16-be")
        return self._tag((20, 4, len(text)), data)

    def array(self, pixels):
        data = pixels.astype(pixels.dtype.newbyteorder(self.order)).tobytes()
        return self._tag((20, _ELEMENTS[pixels.dtype.name], pixels.size), data)

    def struct(self, *numbers):
        info = (15, 0, len(numbers), *(word for _ in numbers for word in (0, 6)))
        return self._tag(info, struct.pack(f"{self.order}{len(numbers)}f", *numbers))

    def _tag(self, info, data):
        words = struct.pack(f">{len(info)}{self.count[1]}", *info)
        return 21, b"%%%%" + struct.pack(self.count, len(info)) + words + data

    def group(self, entries, *, n_entries=None):
        """Entries of a dict by name, of a list without names."""
        named = entries.items() if isinstance(entries, dict) else (("", entry) for entry in entries)
        body = b""
        for name, (kind, content) in named:
            body += struct.pack(">BH", kind, len(name)) + name.encode("latin-1")
            body += struct.pack(">Q", len(content)) if self.version == 4 else b""
            body += content
        count = len(entries) if n_entries is None else n_entries
        return 20, struct.pack(">BB", 1, 0) + struct.pack(self.count, count) + body

    def image(self, pixels, scales=(), units=(), data_type=None):
        """Pixels (H, W) or (pages, H, W); scales and units from x on."""
        lengths = pixels.shape[::-1]
        axes = [
            self.group({
                "Origin": self.number(6, 0.0),
                "Scale": self.number(6, scale),
                "Units": self.text(unit),
            })
            for scale, unit in zip(scales, units, strict=True)
        ]  # fmt: skip
        data = {
            "Calibrations": self.group({"Dimension": self.group(axes)}),
            "Data": self.array(pixels),
            "DataType": self.number(5, data_type or TYPES[pixels.dtype.name]),
            "Dimensions": self.group([self.number(5, length) for length in lengths]),
            "PixelDepth": self.number(5, pixels.dtype.itemsize),
        }
        return self.group({"ImageData": self.group(data), "Name": self.text("sample")})

    def thumbnail(self):
        """A small picture in colour, as DigitalMicrograph puts it first."""
        return self.image(np.zeros((8, 8), np.int32), (1.0, 1.0), ("", ""), data_type=23)

    def bytes(self, images, *, thumbnails=True, more=None):
        listed = [self.number(3, 0)] if thumbnails else []
        root = {
            "ApplicationBounds": self.struct(0, 0, 100, 200),
            **(more or {}),
            "ImageList": self.group(images),
            "Thumbnails": self.group([self.group({"ImageIndex": entry}) for entry in listed]),
        }
        _, body = self.group(root)
        head = struct.pack(">I", self.version) + struct.pack(self.count, len(body))
        return head + struct.pack(">I", int(self.order == "<")) + body + bytes(8)
