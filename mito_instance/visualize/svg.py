"""Matplotlib's drawings as inline SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mito_instance.visualize.html import Html, escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Where its cache folder cannot be written, it uses another one; users need not know.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

INK, GRID, PAPER = "#010203", "#040506", "#070809"
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06")
_VARIABLES = {
    INK: "var(--ink)",
    GRID: "var(--line)",
    PAPER: "var(--surface)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES, start=1)},
}
"""Colours that stand for the page's own until the plot is written."""

SIZE_IN = (5.0, 3.5)


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


def draw_svg(draw: Callable[[Axes], None], labels: Labels, height_in: float = SIZE_IN[1]) -> Html:
    """One plot as an SVG element."""
    from matplotlib.figure import Figure  # slow to import

    with _settings():
        canvas = Figure(figsize=(SIZE_IN[0], height_in), layout="constrained")
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
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": GRID,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "xtick.color": GRID,
        "xtick.labelcolor": INK,
        "ytick.color": GRID,
        "ytick.labelcolor": INK,
        "legend.frameon": True,
        "legend.facecolor": PAPER,
        "legend.edgecolor": GRID,
        "legend.fontsize": 9,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(values)
        yield
