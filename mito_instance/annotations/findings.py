"""What a check finds: one finding for each thing that a trainer would trip over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "notice"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "notice")

LEFT_OUT = "left out"

KINDS: dict[str, Severity] = {
    # An error stops the training, or makes an instance or an image unusable.
    "no-list": "error",
    "entry-type": "error",
    "image-id": "error",
    "image-id-twice": "error",
    "image-twice": "error",
    "image-name": "error",
    "image-size": "error",
    "image-frame": "error",
    "image-missing": "error",
    "image-unreadable": "error",
    "image-size-differs": "error",
    "image-page-missing": "error",
    "image-lost": "error",
    "pixel-size": "error",
    "annotation-id": "error",
    "annotation-id-twice": "error",
    "annotation-image-id": "error",
    "annotation-without-image": "error",
    "id-type-differs": "error",
    "category-id": "error",
    "mask-missing": "error",
    "mask-damaged": "error",
    "polygon-form": "error",
    "polygon-part": "error",
    "crowd-mark": "error",
    "score": "error",
    # With a warning the training runs, but not on what the author meant.
    "mask-empty": "warning",
    "mask-out-of-bounds": "warning",
    "mask-twice": "warning",
    "mask-inside": "warning",
    "polygon-hole": "warning",
    "crowd": "warning",
    "category-unknown": "warning",
    "category-entry": "warning",
    "category-number": "warning",
    "image-name-form": "warning",
    "score-partial": "warning",
    "area-differs": "warning",
    "box-differs": "warning",
    "speck": "warning",
    # A notice is no problem: something to know.
    "polygon": "notice",
    "uncompressed-rle": "notice",
    "overlap": "notice",
    "overlap-unchecked": "notice",
    "box-or-area-missing": "notice",
    "category-unused": "notice",
    "image-empty": "notice",
}
"""Every kind of finding and how grave it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found.

    Args:
        kind: a key of `KINDS`.
        where: the image and annotation, ready to print; empty for the file as a whole.
        message: what is wrong, with the values.
        repair: what a repair does about it; empty when it changes nothing.
    """

    kind: str
    where: str
    message: str
    repair: str = ""

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return KINDS[self.kind]


@dataclass(slots=True)
class Findings:
    """All findings of one file, in the order in which they were made.

    Args:
        items: the findings.
    """

    items: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: str, message: str, repair: str = "") -> None:
        """Note one finding; see `Finding`."""
        self.items.append(Finding(kind, where, message, repair))

    def count(self, severity: Severity) -> int:
        """Number of findings of this severity."""
        return sum(item.severity == severity for item in self.items)

    def repairs(self) -> dict[tuple[str, str], int]:
        """How often each repair is made, by kind and repair; the gravest kinds first."""
        counts = Counter((item.kind, item.repair) for item in self.items if item.repair)
        order = list(KINDS)
        return dict(sorted(counts.items(), key=lambda pair: order.index(pair[0][0])))


def printable(value: Any, limit: int = 100) -> str:
    """Text of a stranger as it can stand in one line of a terminal.

    Args:
        value: any JSON value.
        limit: number of characters after which it is cut.
    """
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = value if isinstance(value, str) else repr(value)
    text = text[: limit + 1]
    if not text.isprintable() or text == "":
        text = repr(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
