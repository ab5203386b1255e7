"""What a conversion yields: the instances, what was noticed and what failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_roi import SkippedRoi


@dataclass(frozen=True, slots=True)
class MaskReport:
    """What was seen in one mask (file, page or folder) and what was done with it.

    Args:
        where: file and page.
        saw: form and values, in words.
        did: decisions, in words.
        repairs: changes of the mask itself, in words.
        n_instances: instances that are kept.
        n_specks: very small instances among them (`mask_conversion.SPECK_PX`).
        n_cuts: cuts through touching objects; None without watershed.
    """

    where: str
    saw: str
    did: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    n_instances: int = 0
    n_specks: int = 0
    n_cuts: int | None = None


@dataclass(slots=True)
class Conversion:
    """Result of converting many files; grows while the files are read.

    Args:
        images: one entry for each converted image or page, also for those without instances.
        notices: one line each: decisions that the user should know of; nothing is lost.
        failures: one line each: an input that could not be converted.
        skipped: ROIs that gave no instance.
        reports: one for each mask page or folder of masks.
        incomplete: image and 0-based page of those of which an outline could not be used, or may
            not have been, as its page is not known; with the reason, which is among the failures.
        unusable: image and 0-based page of those that have outlines of which none could be used,
            with the reason, which is among the failures as well; the first page for a whole stack.
    """

    images: list[ImageInstances] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: list[SkippedRoi] = field(default_factory=list)
    reports: list[MaskReport] = field(default_factory=list)
    incomplete: dict[tuple[Path, int], str] = field(default_factory=dict)
    unusable: dict[tuple[Path, int], str] = field(default_factory=dict)

    @property
    def n_instances(self) -> int:
        """Number of instances on all images."""
        return sum(len(image) for image in self.images)
