"""Plots as inline SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import io
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mito_instance.visualize.html import Html, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where its cache folder cannot be written, it uses another one; users need not know.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

_INK, _GRID, _PAPER = "#010203", "#040506", "#070809"
_SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06")
_VARIABLES = {
    _INK: "var(--ink)",
    _GRID: "var(--line)",
    _PAPER: "var(--surface)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(_SERIES, start=1)},
}
"""Colours that stand for the page's own until the plot is written."""

_SIZE_IN = (5.0, 3.5)
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
class Labels:
    """Words of a plot.

    Args:
        description: what it shows, for those who cannot see it.
        x: of the axis across.
        y: of the axis up.
    """

    description: str
    x: str
    y: str


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
            axes.axhline(0, color=_INK, linewidth=0.8)
        for number, line in enumerate(series):
            axes.plot(
                line.x,
                line.y,
                line.dashes,
                color=_SERIES[number % len(_SERIES)],
                label=line.label,
                marker=line.marker,
                markersize=3.5,
            )
        _set_limits(axes, x_limits, y_limits)
        if sum(bool(line.label) for line in series) > 1:
            axes.legend()

    return _svg(draw, labels)


def against_truth(true: Sequence[float], pred: Sequence[float], labels: Labels) -> Html:
    """Predicted against true values, one point an image, with the line of equality."""

    def draw(axes: Axes) -> None:
        top = max([*true, *pred, 0.0]) * 1.05 or 1.0
        axes.plot([0, top], [0, top], color=_INK, linewidth=0.8)
        axes.plot(true, pred, "o", color=_SERIES[0], markersize=5, alpha=0.65)
        _set_limits(axes, (0, top), (0, top))

    return _svg(draw, labels)


def bland_altman(true: Sequence[float], pred: Sequence[float], labels: Labels) -> Html:
    """Difference against mean of the predicted and the true value, one point an image.

    The middle line is the bias, the dashed ones the 95 % limits of agreement; these need two
    images.

    Source: Bland & Altman 1986, Lancet 327:307-310.
    """

    def draw(axes: Axes) -> None:
        truth, found = np.asarray(true, dtype=float), np.asarray(pred, dtype=float)
        difference = found - truth
        axes.axhline(0, color=_GRID, linewidth=1.0)
        axes.plot((truth + found) / 2, difference, "o", color=_SERIES[0], markersize=5, alpha=0.65)
        if not len(difference):
            return
        bias = float(difference.mean())
        levels = [(bias, "-", f"bias {bias:.3g}")]
        if len(difference) > 1:
            margin = _Z_95 * float(difference.std(ddof=1))
            if margin > 0:
                levels += [(bias + margin, "--", f"{bias + margin:.3g}")]
                levels += [(bias - margin, "--", f"{bias - margin:.3g}")]
        for height, dashes, text in levels:
            axes.axhline(height, color=_SERIES[1], linestyle=dashes, linewidth=1.2)
            axes.annotate(
                text,
                (1, height),
                xycoords=("axes fraction", "data"),
                xytext=(-3, 3),
                textcoords="offset points",
                ha="right",
                color=_INK,
            )
        axes.margins(y=0.15)
        if not difference.any():
            axes.set_ylim(-1, 1)  # Matplotlib would show rounding errors

    return _svg(draw, labels)


def stacked_bars(bars: Bars, labels: Labels) -> Html:
    """Bars whose parts are stacked; an empty frame without categories."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(bars.categories))
        base = np.zeros(len(places))
        for number, (name, values) in enumerate(bars.parts.items()):
            heights = np.asarray(values, dtype=float)
            axes.bar(places, heights, 0.7, base, color=_SERIES[number % len(_SERIES)], label=name)
            base = base + heights
        axes.set_xticks(places, list(bars.categories))
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.1)
        if bars.parts:
            axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    return _svg(draw, labels)


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
        spread = float(np.subtract(*np.percentile(found, [75, 25])))
        # Freedman & Diaconis 1981, within what a reader can tell apart.
        width = 2 * spread / len(found) ** (1 / 3)
        n_bins = int(np.clip((high - low) / width if width > 0 else 0, 10, 60))
        edges = np.histogram_bin_edges(found, n_bins, (low, high))
        axes.hist(found, bins=edges.tolist(), color=_SERIES[0])
        axes.axvline(float(np.median(found)), color=_SERIES[1], linestyle="--", linewidth=1.2)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))

    return _svg(draw, labels)


def in_order(values: Sequence[float], labels: Labels) -> Html:
    """Values against their number from 1, none for NaN; the axis up begins at 0."""
    from matplotlib.ticker import MaxNLocator  # slow to import

    def draw(axes: Axes) -> None:
        numbers = range(1, len(values) + 1)
        axes.plot(numbers, values, "o", color=_SERIES[0], markersize=5, alpha=0.65)
        axes.set_ylim(0, max([0.0, *(value for value in values if value > 0)]) * 1.08 or 1.0)
        axes.set_xlim(0.5, max(len(values), 1) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if all(value == int(value) for value in values if math.isfinite(value)):
            axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))

    return _svg(draw, labels)


def intervals(
    names: Sequence[str],
    values: Sequence[float],
    ranges: Sequence[tuple[float, float]],
    labels: Labels,
) -> Html:
    """Values with their intervals, one a row, from top to bottom, and a line at 0."""

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=_INK, linewidth=0.8)
        places = np.arange(len(names))[::-1]
        for place, value, (low, high) in zip(places, values, ranges, strict=True):
            axes.plot([low, high], [place, place], color=_SERIES[0], linewidth=1.6)
            axes.plot([value], [place], "o", color=_SERIES[0], markersize=5)
        axes.set_yticks(places, names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="y")

    return _svg(draw, labels, height_in=0.9 + 0.28 * max(len(names), 1))


def _svg(draw: Callable[[Axes], None], labels: Labels, height_in: float = _SIZE_IN[1]) -> Html:
    """One plot as an SVG element."""
    from matplotlib.figure import Figure  # slow to import

    with _settings():
        canvas = Figure(figsize=(_SIZE_IN[0], height_in), layout="constrained")
        axes = canvas.subplots()
        axes.set_xlabel(labels.x)
        axes.set_ylabel(labels.y)
        draw(axes)
        stream = io.StringIO()
        canvas.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    # The page decides how wide it is; Matplotlib's metadata say nothing about the plot.
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'^<svg ([^>]*?)width="[^"]*"', r"<svg \1", text)
    text = re.sub(r'^<svg ([^>]*?)height="[^"]*"', r"<svg \1", text)
    text = text.replace("<svg ", f'<svg role="img" aria-label="{escape(labels.description)}" ', 1)
    return Html(text)


@contextmanager
def _settings() -> Iterator[None]:
    """Matplotlib settings of these plots, whatever the user's own are."""
    import matplotlib

    values: Any = {
        "svg.fonttype": "none",  # text stays text: small, and drawn in the page's font
        "svg.hashsalt": "mito-instance",  # equal plots are equal files
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 10,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _GRID,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": _GRID,
        "grid.linewidth": 0.6,
        "xtick.color": _GRID,
        "xtick.labelcolor": _INK,
        "ytick.color": _GRID,
        "ytick.labelcolor": _INK,
        "legend.frameon": True,
        "legend.facecolor": _PAPER,
        "legend.edgecolor": _GRID,
        "legend.fontsize": 9,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(values)
        yield


def _set_limits(
    axes: Axes, x_limits: tuple[float, float] | None, y_limits: tuple[float, float] | None
) -> None:
    if x_limits is not None:
        axes.set_xlim(*x_limits)
    if y_limits is not None:
        axes.set_ylim(*y_limits)
