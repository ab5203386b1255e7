"""Paired differences between evaluations of the same images, from their ``metrics.json``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.evaluation import figures
from mito_instance.evaluation.bootstrap import intervals, resample_weights, resampled_figures
from mito_instance.evaluation.coco_ap import IOU_THRESHOLDS
from mito_instance.evaluation.precision_recall import Detections
from mito_instance.io.json_file import read_json

FIGURES = (
    *("ap", "ap50", "ap75", "ar", "f1_50", "precision_50", "recall_50", "f1_75", "pq", "sq"),
    *("iou_foreground", "dice_foreground", "f1_boundary"),
    *("count_mae", "count_bias", "area_fraction_mae", "area_fraction_bias"),
    *("n_pred", "n_missed", "n_false", "n_split", "n_merge", "n_many_to_many"),
)
"""What is compared; all have the same unit in every evaluation."""

_Key = tuple[str, int]

_REMEDY = "evaluate both against one truth, with the same --min-area-px and --region"
_FOLDER = "folder"
_REGION = {True: "a region", False: "no region"}


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What one ``metrics.json`` holds of its images.

    Args:
        path: the file.
        counts: counts of each image by (image, frame).
        detections: detections of the same images.
        truth_incomplete: whether precision-type figures are undefined.
        min_area_px: smallest instance that counted; None where the file does not say.
        region: SHA-256 of the file of the region, `_FOLDER` for a folder, ``""`` for none; None
            where the file does not say.
    """

    path: Path
    counts: dict[_Key, dict[str, float]]
    detections: dict[_Key, Detections]
    truth_incomplete: bool
    min_area_px: float | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two evaluations, over the images that stand in both.

    Args:
        name: of the figure.
        base: its value in the first evaluation.
        other: its value in the other.
        low: lower end of the 95 % interval of other - base; NaN without an interval.
        high: upper end.
    """

    name: str
    base: float
    other: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Other - base; NaN where one is undefined."""
        return self.other - self.base

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def read_evaluation(path: Path) -> Evaluation:
    """Read the images of a ``metrics.json`` of ``mito evaluate``.

    Raises:
        AnnotationError: if the file cannot be read or is no such file.
    """
    document = _load(path)
    images = document.get("images")
    if not isinstance(images, list) or not images:
        raise AnnotationError(
            f"{path}: must be a metrics.json of mito evaluate with at least one image; "
            "evaluate the predictions again"
        )
    counts: dict[_Key, dict[str, float]] = {}
    detections: dict[_Key, Detections] = {}
    for position, entry in enumerate(images):
        try:
            key = (str(entry["image"]), int(entry["frame"]))
            counts[key] = {name: _number(entry["counts"][name]) for name in figures.TALLY_NAMES}
            scores = np.asarray([_number(score) for score in entry["detection_scores"]], float)
            matched = _levels(entry, "detection_matches", len(scores))
            ignored = None
            if "detection_ignored" in entry:
                ignored = _levels(entry, "detection_ignored", len(scores))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())[:80]
            raise AnnotationError(
                f"{path}: images[{position}] is not as mito evaluate of this version writes it "
                f"({type(error).__name__}: {reason}); evaluate the predictions again"
            ) from error
        n_true = round(counts[key]["n_true"])
        detections[key] = Detections(n_true, scores, matched, ignored)
    incomplete = document.get("truth_incomplete") is True
    return Evaluation(path, counts, detections, incomplete, *_settings(document.get("run")))


def _settings(run: Any) -> tuple[float | None, str | None]:
    """``min_area_px`` and ``region`` of an evaluation, as far as its record of the run says."""
    options = run.get("options") if isinstance(run, dict) else None
    if not isinstance(options, dict):
        return None, None
    area = options.get("min_area_px")
    region = "" if options.get("region") is None else None
    inputs = run.get("inputs")
    if region is None and isinstance(inputs, dict) and isinstance(inputs.get("region"), dict):
        region = str(inputs["region"].get("sha256", _FOLDER))
    return (float(area) if isinstance(area, int | float) else None), region


def common_images(evaluations: Sequence[Evaluation]) -> list[list[_Key]]:
    """The images that stand in every evaluation, as each of them names them.

    By frame and by the last parts of the path, down to the file name: who names ``/data/wt/a.tif``
    and who names ``wt/a.tif`` means one image, and ``ko/a.tif`` is another. Fewer parts count where
    they find more images, all of those before among them, and these have the same truth.

    Args:
        evaluations: at least one.

    Returns:
        For each evaluation, its keys of the N common images, in the order of the first.

    Raises:
        ConfigError: if no image is common, or what was to be found is not the same in all of
            them: smallest instance, region, number or pixels of the true instances of an image.
    """
    for evaluation in evaluations[1:]:
        _check_settings(evaluation, evaluations[0])
    paths = {image for evaluation in evaluations for image, _ in evaluation.counts}
    most_parts = max((len(PurePath(path).parts) for path in paths), default=0)
    shared: list[tuple[_Key, ...]] = []
    for n_parts in range(most_parts, 0, -1):
        tables = [_unique(evaluation.counts, n_parts) for evaluation in evaluations]
        in_all = (key for key in tables[0] if all(key in table for table in tables))
        pairs = [tuple(table[key] for table in tables) for key in in_all]
        added = set(pairs) - set(shared)
        is_sure = set(shared) <= set(pairs) and all(_agree(evaluations, pair) for pair in added)
        if pairs and (not shared or is_sure):
            shared = pairs
    if not shared:
        raise ConfigError(
            f"{evaluations[-1].path}: shares no image with {evaluations[0].path}; "
            "compare evaluations of the same images"
        )
    found = [[pair[number] for pair in shared] for number in range(len(evaluations))]
    for evaluation, keys in zip(evaluations, found, strict=True):
        for base_key, key in zip(found[0], keys, strict=True):
            expected = evaluations[0].counts[base_key]["n_true"]
            n_true = evaluation.counts[key]["n_true"]
            if n_true != expected:
                raise ConfigError(
                    f"{evaluation.path}: {key[0]} has {n_true:g} true instances, but {expected:g} "
                    f"in {evaluations[0].path}; {_REMEDY}"
                )
            true_px, expected_px = (
                counts["foreground_tp"] + counts["foreground_fn"]
                for counts in (evaluation.counts[key], evaluations[0].counts[base_key])
            )
            if true_px != expected_px:
                raise ConfigError(
                    f"{evaluation.path}: the true instances of {key[0]} cover {true_px:g} px, but "
                    f"{expected_px:g} px in {evaluations[0].path}; {_REMEDY}"
                )
    return found


def _agree(evaluations: Sequence[Evaluation], keys: Sequence[_Key]) -> bool:
    """Whether what was to be found in an image is the same in all evaluations."""
    truths = set()
    for evaluation, key in zip(evaluations, keys, strict=True):
        counts = evaluation.counts[key]
        truths.add((counts["n_true"], counts["foreground_tp"] + counts["foreground_fn"]))
    return len(truths) == 1


def _check_settings(evaluation: Evaluation, base: Evaluation) -> None:
    areas = evaluation.min_area_px, base.min_area_px
    if None not in areas and areas[0] != areas[1]:
        raise ConfigError(
            f"{evaluation.path}: was made with --min-area-px {areas[0]:g}, {base.path} with "
            f"{areas[1]:g}; {_REMEDY}"
        )
    regions = evaluation.region, base.region
    if None in regions or (_FOLDER in regions and "" not in regions):
        return
    if regions[0] != regions[1]:
        raise ConfigError(
            f"{evaluation.path}: was made with {_REGION[bool(regions[0])]}, {base.path} with "
            f"{_REGION[bool(regions[1])] if '' in regions else 'another one'}; {_REMEDY}"
        )


def compare(
    evaluations: Sequence[Evaluation],
    group_of: Callable[[str], str],
    n_resamples: int,
    rng: np.random.Generator,
) -> list[list[Difference]]:
    """Differences of every evaluation to the first, with paired bootstrap intervals.

    All evaluations are resampled alike: the same images, or groups of images, at a time. What
    is hard in an image is hard for all of them, so that differences vary less than figures.

    Args:
        evaluations: at least two.
        group_of: group of an image, by its name in the first evaluation.
        n_resamples: 0 for no intervals; there are none with fewer than two groups either.
        rng: source of randomness.

    Returns:
        For each evaluation after the first, one difference for each of `FIGURES`.

    Raises:
        ConfigError: as `common_images`.
    """
    keys = common_images(evaluations)
    groups = [group_of(image) for image, _ in keys[0]]
    n_used = n_resamples if len(set(groups)) > 1 else 0
    weights = resample_weights(groups, n_used, rng)
    once = np.ones((1, len(groups)), dtype=np.int64)
    incomplete = any(evaluation.truth_incomplete for evaluation in evaluations)
    values, samples = [], []
    for evaluation, chosen in zip(evaluations, keys, strict=True):
        counts = [evaluation.counts[key] for key in chosen]
        detections = [evaluation.detections[key] for key in chosen]
        found = resampled_figures(counts, detections, once, "px", incomplete=incomplete)
        values.append({name: float(numbers[0]) for name, numbers in found.items()})
        samples.append(
            resampled_figures(counts, detections, weights, "px", incomplete=incomplete)
            if n_used
            else {}
        )
    return [
        _differences(values[0], values[i], samples[0], samples[i])
        for i in range(1, len(evaluations))
    ]


_LEVELS = len(IOU_THRESHOLDS)


def _differences(
    base: Mapping[str, float],
    other: Mapping[str, float],
    samples_base: Mapping[str, Any],
    samples_other: Mapping[str, Any],
) -> list[Difference]:
    ranges = intervals(
        {n: samples_other[n] - samples_base[n] for n in FIGURES if n in samples_base}
    )
    nowhere = (math.nan, math.nan)
    return [Difference(n, base[n], other[n], *ranges.get(n, nowhere)) for n in FIGURES]


_ShortKey = tuple[tuple[str, ...], int]
"""Last parts of a path, and the frame."""


def _unique(counts: Mapping[_Key, Any], n_parts: int) -> dict[_ShortKey, _Key]:
    """Images by the last parts of their paths; those that share them are left out."""
    found: dict[_ShortKey, _Key] = {}
    twice: set[_ShortKey] = set()
    for key in counts:
        short = (PurePath(key[0]).parts[-n_parts:], key[1])
        if short in found:
            twice.add(short)
        found[short] = key
    return {short: key for short, key in found.items() if short not in twice}


def _levels(entry: Any, name: str, n_detections: int) -> npt.NDArray[np.bool_]:
    """One bit of each number for each IoU threshold, as bool (10, D)."""
    codes = np.asarray([int(code) for code in entry[name]], np.int64)
    if len(codes) != n_detections or (codes < 0).any() or (codes >= 1 << _LEVELS).any():
        raise ValueError(f"{name} do not fit detection_scores")
    shifts = np.arange(_LEVELS - 1, -1, -1)[:, None]
    bits: npt.NDArray[np.bool_] = (codes[None, :] >> shifts) & 1 == 1
    return bits


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:20]!r} is no number")
    return float(value)


def _load(path: Path) -> dict[str, Any]:
    """The JSON object of a file."""
    document = read_json(path, "metrics.json")
    if not isinstance(document, dict):
        raise AnnotationError(
            f"{path}: must be the metrics.json of mito evaluate, got a {type(document).__name__}; "
            "give that file"
        )
    return document
