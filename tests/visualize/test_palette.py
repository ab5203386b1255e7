"""Colours of classes and series are told apart, also by people who do not see red or green."""

import itertools
import re

import numpy as np
import pytest

from mito_instance.cli.evaluate_rois import STYLES
from mito_instance.visualize.html_style import STYLE

# Machado, Oliveira & Fernandes 2009, severity 1, on linear RGB.
DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
PROTANOPIA = np.array(
    [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
)
LEAST_DIFFERENCE = 20  # of CIE L*a*b*; 2.3 is just noticeable side by side


def linear(rgb):
    value = np.asarray(rgb, dtype=float) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(light):
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(light, 0, 1) / (0.9505, 1.0, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def palettes():
    light, dark = (
        [[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes]
        for codes in (
            re.findall(r"--c\d: #(\w{6})", part)
            for part in STYLE.split("prefers-color-scheme: dark")
        )
    )
    rois = [style.stroke_rgb for style in STYLES.values()]
    return {"light page": light, "dark page": dark, "ROIs": rois}


@pytest.mark.parametrize("name", palettes())
@pytest.mark.parametrize(
    "sight", [np.eye(3), DEUTERANOPIA, PROTANOPIA], ids=["all", "green", "red"]
)
def test_colours_are_told_apart(name, sight):
    colours = palettes()[name]
    assert len(colours) == 6
    seen = [lab(sight @ linear(colour)) for colour in colours]
    for one, other in itertools.combinations(range(6), 2):
        difference = np.linalg.norm(seen[one] - seen[other])
        assert difference > LEAST_DIFFERENCE, (colours[one], colours[other])
