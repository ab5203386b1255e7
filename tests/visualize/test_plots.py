"""Plots: valid SVG whose colours are the page's."""

import math
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from mito_instance.visualize import plots

LABELS = plots.Labels('a "plot" <x>', "across $1_2$ & <x>", "up")


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.text]


@pytest.mark.parametrize(
    "svg",
    [
        pytest.param(plots.lines([], LABELS), id="no-lines"),
        pytest.param(
            plots.lines([plots.Line("a<b", [0, 1], [0, math.nan], "o")] * 2, LABELS), id="lines"
        ),
        pytest.param(plots.against_truth([], [], LABELS), id="no-points"),
        pytest.param(plots.against_truth([0, 0], [0, 0], LABELS), id="zeros"),
        pytest.param(plots.bland_altman([], [], LABELS), id="no-differences"),
        pytest.param(plots.bland_altman([3], [4], LABELS), id="one-difference"),
        pytest.param(plots.bland_altman([3, 5, 9], [4, 4, 9], LABELS), id="differences"),
        pytest.param(plots.stacked_bars(plots.Bars([]), LABELS), id="no-bars"),
        pytest.param(
            plots.stacked_bars(plots.Bars(["< 1", "≥ 1"], {"x": [1, 2], "y": [0, 3]}), LABELS),
            id="bars",
        ),
        pytest.param(plots.histogram([], LABELS), id="no-values"),
        pytest.param(plots.histogram([3.0], LABELS, limits=(0, 1)), id="one-value-beyond-limits"),
        pytest.param(plots.histogram([1, 2, 2, 9], LABELS), id="histogram"),
        pytest.param(plots.histogram([0.1 + 0.2, 0.3], LABELS), id="equal-but-for-rounding"),
        pytest.param(plots.histogram([0.0, 0.0], LABELS), id="zeros"),
        pytest.param(plots.in_order([], LABELS), id="no-counts"),
        pytest.param(plots.in_order([math.nan, 4], LABELS), id="counts"),
        pytest.param(plots.intervals([], [], [], LABELS), id="no-intervals"),
        pytest.param(
            plots.intervals(["a", "b"], [0, 1], [(-1, 1), (0, 2)], LABELS), id="intervals"
        ),
    ],
)
def test_plots_are_svg_in_the_colours_of_the_page(svg):
    assert "across $1_2$ & <x>" in texts(svg)
    assert "var(--ink)" in svg
    found = set(re.findall(r"#[0-9a-f]{6}\b", svg))
    assert found <= {"#000000", "#ffffff"}, found
    assert ElementTree.fromstring(svg).get("aria-label") == 'a "plot" <x>'
    assert ElementTree.fromstring(svg).get("width") is None


def test_bland_altman_shows_bias_and_limits():
    # Differences 1, -1, 3: bias 1, limits 1 - 3.92 and 1 + 3.92.
    assert {"bias 1", "4.92", "-2.92"} <= set(
        texts(plots.bland_altman([2, 4, 6], [3, 3, 9], LABELS))
    )


def test_large_values_have_no_powers_of_ten():
    shown = set(texts(plots.bland_altman([90000, 80000], [79000, 71000], LABELS)))
    assert {"bias -10000", "-7228", "-12772"} <= shown


def test_bland_altman_of_perfect_agreement_has_no_limits_and_a_plain_scale():
    shown = texts(plots.bland_altman([4, 9], [4, 9], LABELS))
    assert "bias 0" in shown
    assert not [text for text in shown if "e" in text and "−" in text]
    assert "0" not in shown


def test_equal_data_give_equal_plots():
    line = [plots.Line("a", [0, 1], [1, 0])]
    assert plots.lines(line, LABELS) == plots.lines(line, LABELS)


DRAW = """
import logging
logging.basicConfig(level=logging.INFO)
from mito_instance.visualize import plots
plots.lines([plots.Line("a", [0, 1], [0, 1])], plots.Labels("t", "x", "y"))
"""


@pytest.mark.slow
def test_an_unwritable_home_is_no_matter(tmp_path):
    hidden = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "XDG_CONFIG_HOME": "/proc/none"}
    environment = {**os.environ, **hidden, "TMPDIR": str(tmp_path)}
    environment.pop("MPLCONFIGDIR", None)
    command = [sys.executable, "-c", DRAW]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
