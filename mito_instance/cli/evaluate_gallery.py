"""The worst errors of an evaluation, as pictures: image, truth and prediction side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mito_instance.cli.quantify_report_pages import names_of_files
from mito_instance.errors import MitoInstanceError
from mito_instance.evaluation.associations import Kind
from mito_instance.evaluation.evaluate import Metrics
from mito_instance.evaluation.image_result import GroupResult
from mito_instance.io.images import read_page, to_uint8
from mito_instance.visualize import crops, html

logger = logging.getLogger(__name__)

N_WORST = 6
_MAX_NUMBERS = 6

TITLES: Mapping[Kind, str] = {
    "merge": "Merges: several true, one predicted",
    "split": "Splits: one true, several predicted",
    "many-to-many": "Both at once: several true, several predicted",
    "missed": "Missed: true, not predicted",
    "false": "False: predicted, not true",
}
"""The classes of errors in the order in which they are shown."""

_ORDER: Mapping[Kind, Callable[[GroupResult], tuple[float, ...]]] = {
    "merge": lambda group: (len(group.association.true_indices), group.area_true_px),
    "split": lambda group: (len(group.association.pred_indices), group.area_true_px),
    "many-to-many": lambda group: (
        len(group.association.true_indices) + len(group.association.pred_indices),
        group.area_true_px,
    ),
    "missed": lambda group: (group.area_true_px,),
    "false": lambda group: (group.area_pred_px,),
}


@dataclass(frozen=True, slots=True)
class _Example:
    """One error: which image of the metrics it is on, and its group."""

    position: int
    group: GroupResult


def worst_errors(metrics: Metrics, n_worst: int = N_WORST) -> dict[Kind, list[_Example]]:
    """The largest errors of each class: most instances involved first, then most pixels.

    Args:
        metrics: of an evaluation.
        n_worst: at most so many of a class.

    Returns:
        Examples by class; classes without any are left out, and so are false ones where the
        truth is incomplete.
    """
    found: dict[Kind, list[_Example]] = {}
    for kind in TITLES:
        if kind == "false" and metrics.truth_incomplete:
            continue
        examples = [
            _Example(position, group)
            for position, image in enumerate(metrics.images)
            for group in image.groups
            if group.association.kind == kind
        ]
        examples.sort(key=lambda example: _ORDER[kind](example.group), reverse=True)
        if examples:
            found[kind] = examples[:n_worst]
    return found


def gallery(metrics: Metrics, pictures: tuple[bool, bool]) -> html.Html:
    """The section of the report that shows the worst errors.

    Args:
        metrics: of an evaluation.
        pictures: whether the truth and the prediction name their micrographs; where neither
            does, or a micrograph cannot be read, the outlines stand on a plain ground.

    Returns:
        A section; it says so if there are no errors.
    """
    worst = worst_errors(metrics)
    shown: dict[tuple[int, GroupResult], html.Html] = {}
    # In the order of the images, so that each is read once and only one is in memory.
    examples = sorted((e for group in worst.values() for e in group), key=lambda e: e.position)
    names = names_of_files([image.image for image in metrics.images])
    n_without = 0
    position, micrograph = -1, None
    for example in examples:
        if example.position != position:
            position = example.position
            micrograph = _micrograph(metrics, position, pictures)
            n_without += micrograph is None
        shown[position, example.group] = _figure(metrics, example, micrograph, names)
    parts: list[html.Html] = []
    for kind, group in worst.items():
        parts.append(html.element("h3", TITLES[kind]))
        parts.append(html.grid(*(shown[e.position, e.group] for e in group)))
    intro = (
        f"The {N_WORST} largest of each class. Left the image, in the middle the truth, right the "
        "prediction; the instances of the error are in colour, their neighbours thin and grey. "
        "associations.csv lists them all, and the ROI zips show them in Fiji."
    )
    if n_without:
        intro += f" Of {n_without} images the micrograph is not at hand (give --images)."
    return html.section("Worst errors", *(parts or [html.element("p", "None.")]), intro=intro)


def _figure(
    metrics: Metrics,
    example: _Example,
    micrograph: npt.NDArray[np.uint8] | None,
    names: Mapping[str, str],
) -> html.Html:
    """Three pictures and what they show."""
    truth, pred = metrics.pairs[example.position]
    result = metrics.images[example.position]
    group = example.group.association
    window = crops.window_around(example.group.box_xywh, truth.image_hw)
    plain = crops.blank(window) if micrograph is None else crops.enlarge(micrograph, window)
    # Only what was scored: predictions below the threshold would mislead here.
    kept_true, kept_pred = result.true.indices, result.pred.indices
    drawn = [
        ("image", plain),
        (
            "truth",
            crops.outline_members(
                plain, truth.select(kept_true), window, _places(kept_true, group.true_indices)
            ),
        ),
        (
            "prediction",
            crops.outline_members(
                plain, pred.select(kept_pred), window, _places(kept_pred, group.pred_indices)
            ),
        ),
    ]
    name = names[result.image] + (f", page {result.frame + 1}" if result.frame else "")
    panels = [
        html.element(
            "div",
            html.image(pixels, f"{group.kind} in {name}: {word}"),
            html.element("span", word),
        )
        for word, pixels in drawn
    ]
    return html.figure(
        html.element("div", *panels, class_="panels"), f"{name}: {_words(example, metrics)}"
    )


def _words(example: _Example, metrics: Metrics) -> str:
    """Numbers, scores and area of one error, as in ``associations.csv``."""
    group = example.group
    _, pred = metrics.pairs[example.position]
    words = []
    if group.association.true_indices:
        words.append(f"true {_numbers(group.association.true_indices)}")
    if group.association.pred_indices:
        words.append(f"predicted {_numbers(group.association.pred_indices)}")
        if pred.scores is not None:
            scores = pred.scores[list(group.association.pred_indices)]
            shown = ", ".join(f"{score:.2f}" for score in scores[:_MAX_NUMBERS])
            words.append(f"score {shown}" + (" …" if len(scores) > _MAX_NUMBERS else ""))
    area_px = group.area_true_px or group.area_pred_px
    pixel_size = metrics.images[example.position].pixel_size
    if metrics.unit == "um2" and pixel_size is not None:
        words.append(f"{pixel_size.area_um2(area_px):.3g} µm²")
    else:
        words.append(f"{area_px} px")
    return "; ".join(words)


def _numbers(indices: Sequence[int]) -> str:
    shown = ", ".join(f"#{index + 1}" for index in indices[:_MAX_NUMBERS])
    n_more = len(indices) - _MAX_NUMBERS
    return shown + (f" and {n_more} more" if n_more > 0 else "")


def _places(kept: npt.NDArray[np.intp], indices: Sequence[int]) -> list[int]:
    """Where members stand among the instances that were kept."""
    return [int(place) for place in np.searchsorted(kept, indices)]


def _micrograph(
    metrics: Metrics, position: int, pictures: tuple[bool, bool]
) -> npt.NDArray[np.uint8] | None:
    """The grey image of a pair, from the first side that names one of the right size."""
    for side, is_named in zip(metrics.pairs[position], pictures, strict=True):
        if not is_named:
            continue
        try:
            pixels = read_page(Path(side.image), side.frame).pixels
        except MitoInstanceError as error:
            logger.debug("no picture for the report: %s", error)
            continue
        if pixels.shape == side.image_hw:
            return to_uint8(pixels)
    return None
