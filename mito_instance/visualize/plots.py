"""Kinds of plots: lines, points against a truth, bars, histograms, intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mito_instance.visualize.html import Html, short_number
from mito_instance.visualize.svg import GRID, INK, SERIES, Labels, draw_svg

__all__ = [
    "Bars",
    "Labels",
    "Line",
    "against_truth",
    "bland_altman",
    "histogram",
    "in_order",
    "intervals",
    "lines",
    "stacked_bars",
]

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot.

    Args:
        label: for the legend; empty for none.
        x: (N,) values.
        y: (N,) values; NaN leaves a gap.
        marker: Matplotlib's, such as ``o``; empty for none.
        dashes: Matplotlib's line style.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    marker: str = ""
    dashes: str = "-"


@dataclass(frozen=True, slots=True)
class Bars:
    """Stacked bars.

    Args:
        categories: names of the bars.
        parts: values (N,) of each bar by the name of the part, in the order of stacking.
    """

    categories: Sequence[str]
    parts: Mapping[str, Sequence[float]] = field(default_factory=dict)


def lines(
    series: Sequence[Line],
    labels: Labels,
    *,
    x_limits: tuple[float, float] | None = None,
    y_limits: tuple[float, float] | None = None,
    zero_line: bool = False,
) -> Html:
    """Lines over a common axis; an empty frame where there is no series."""

    def draw(axes: Axes) -> None:
        if zero_line:
            axes.axhline(0, color=INK, linewidth=0.8)
        for number, line in enumerate(series):
            axes.plot(
                line.x,
                line.y,
                line.dashes,
                color=SERIES[number % len(SERIES)],
                label=line.label,
                marker=line.marker,
                markersize=3.5,
            )
        _set_limits(axes, x_limits, y_limits)
        if sum(bool(line.label) for line in series) > 1:
            axes.legend()

    return draw_svg(draw, labels)


def against_truth(true: Sequence[float], pred: Sequence[float], labels: Labels) -> Html:
    """Predicted against true values, one point an image, with the line of equality."""

    def draw(axes: Axes) -> None:
        top = max([*true, *pred, 0.0]) * 1.05 or 1.0
        axes.plot([0, top], [0, top], color=INK, linewidth=0.8)
        axes.plot(true, pred, "o", color=SERIES[0], markersize=5, alpha=0.65)
        _set_limits(axes, (0, top), (0, top))

    return draw_svg(draw, labels)


def bland_altman(true: Sequence[float], pred: Sequence[float], labels: Labels) -> Html:
    """Difference against mean of the predicted and the true value, one point an image.

    The middle line is the bias, the dashed ones the 95 % limits of agreement; these need two
    images.

    Source: Bland & Altman 1986, Lancet 327:307-310.
    """

    def draw(axes: Axes) -> None:
        truth, found = np.asarray(true, dtype=float), np.asarray(pred, dtype=float)
        difference = found - truth
        axes.axhline(0, color=GRID, linewidth=1.0)
        axes.plot((truth + found) / 2, difference, "o", color=SERIES[0], markersize=5, alpha=0.65)
        if not len(difference):
            return
        bias = float(difference.mean())
        levels = [(bias, "-", f"bias {short_number(bias)}")]
        if len(difference) > 1:
            margin = _Z_95 * float(difference.std(ddof=1))
            if margin > 0:
                levels += [(bias + margin, "--", short_number(bias + margin))]
                levels += [(bias - margin, "--", short_number(bias - margin))]
        for height, dashes, text in levels:
            axes.axhline(height, color=SERIES[1], linestyle=dashes, linewidth=1.2)
            axes.annotate(
                text,
                (1, height),
                xycoords=("axes fraction", "data"),
                xytext=(-3, 3),
                textcoords="offset points",
                ha="right",
                color=INK,
            )
        axes.margins(y=0.15)
        if not difference.any():
            axes.set_ylim(-1, 1)  # Matplotlib would show rounding errors

    return draw_svg(draw, labels)


def stacked_bars(bars: Bars, labels: Labels) -> Html:
    """Bars whose parts are stacked; an empty frame without categories."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(bars.categories))
        base = np.zeros(len(places))
        for number, (name, values) in enumerate(bars.parts.items()):
            heights = np.asarray(values, dtype=float)
            axes.bar(places, heights, 0.7, base, color=SERIES[number % len(SERIES)], label=name)
            base = base + heights
        axes.set_xticks(places, list(bars.categories))
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.1)
        if bars.parts:
            axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return draw_svg(draw, labels)


def histogram(
    values: Sequence[float],
    labels: Labels,
    *,
    limits: tuple[float, float] | None = None,
) -> Html:
    """How often values occur, with a dashed line at their median; all values are shown.

    Args:
        values: (N,) finite numbers; none give an empty frame.
        labels: words of the plot.
        limits: the axis covers at least these; None for the range of the values.
    """
    from matplotlib.ticker import MaxNLocator  # slow to import

    def draw(axes: Axes) -> None:
        found = np.asarray(values, dtype=float)
        if not len(found):
            return
        low, high = float(found.min()), float(found.max())
        if limits is not None:
            low, high = min(low, limits[0]), max(high, limits[1])
        if high - low <= 1e-9 * max(abs(low), abs(high)):  # equal but for rounding
            room = 0.5 * abs(high) or 0.5
            low, high = low - room, high + room
        spread = float(np.subtract(*np.percentile(found, [75, 25])))
        # Freedman & Diaconis 1981, within what a reader can tell apart.
        width = 2 * spread / len(found) ** (1 / 3)
        n_bins = int(np.clip((high - low) / width if width > 0 else 0, 10, 60))
        edges = np.histogram_bin_edges(found, n_bins, (low, high))
        axes.hist(found, bins=edges.tolist(), color=SERIES[0])
        axes.axvline(float(np.median(found)), color=SERIES[1], linestyle="--", linewidth=1.2)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))

    return draw_svg(draw, labels)


def in_order(values: Sequence[float], labels: Labels) -> Html:
    """Values against their number from 1, none for NaN; the axis up begins at 0."""
    from matplotlib.ticker import MaxNLocator  # slow to import

    def draw(axes: Axes) -> None:
        numbers = range(1, len(values) + 1)
        axes.plot(numbers, values, "o", color=SERIES[0], markersize=5, alpha=0.65)
        axes.set_ylim(0, max([0.0, *(value for value in values if value > 0)]) * 1.08 or 1.0)
        axes.set_xlim(0.5, max(len(values), 1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if all(value == int(value) for value in values if math.isfinite(value)):
            axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))

    return draw_svg(draw, labels)


def intervals(
    names: Sequence[str],
    values: Sequence[float],
    ranges: Sequence[tuple[float, float]],
    labels: Labels,
) -> Html:
    """Values with their intervals, one a row, from top to bottom, and a line at 0."""

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=0.8)
        places = np.arange(len(names))[::-1]
        for place, value, (low, high) in zip(places, values, ranges, strict=True):
            axes.plot([low, high], [place, place], color=SERIES[0], linewidth=1.6)
            axes.plot([value], [place], "o", color=SERIES[0], markersize=5)
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="y")

    return draw_svg(draw, labels, height_in=0.9 + 0.28 * max(len(names), 1))


def _set_limits(
    axes: Axes, x_limits: tuple[float, float] | None, y_limits: tuple[float, float] | None
) -> None:
    if x_limits is not None:
        axes.set_xlim(*x_limits)
    if y_limits is not None:
        axes.set_ylim(*y_limits)
