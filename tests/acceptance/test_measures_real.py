"""Shapes of outlines that ImageJ traced on real slices: what ImageJ itself measures of them."""

import json
from pathlib import Path

import pytest

from mito_instance.io.imagej_roi import read_rois
from mito_instance.masks.polygons import rasterise
from mito_instance.measure.morphology import measure_object
from tests.imagej import has_imagej, run_script

pytestmark = pytest.mark.acceptance

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "imagej_measures.json").read_text())
ROIS = "imagej_rois/ij_generated_epfl/train_001-005_stack_traced.zip"


@pytest.fixture(scope="module")
def measured(shared_data):
    """Our measures of 103 mitochondria by the name of their ROI."""
    return {
        roi.name: measure_object(rasterise(roi.rings, (768, 1024), roi.name).rle)
        for roi in read_rois(shared_data / ROIS)
    }


def test_areas_are_equal_ferets_within_a_tenth_and_shapes_to_four_digits(measured):
    assert len(measured) == len(GOLDEN["rois"]) == 103
    for name, values in GOLDEN["rois"].items():
        imagej, shape = dict(zip(GOLDEN["columns"], values, strict=True)), measured[name]
        assert shape.area_px == imagej["area_px"], name
        for column in ("feret_max_px", "feret_min_px"):
            assert getattr(shape, column) == pytest.approx(imagej[column], abs=0.1), name
        for column in ("perimeter_px", "circularity", "aspect_ratio", "roundness", "solidity"):
            assert getattr(shape, column) == pytest.approx(imagej[column], rel=1e-4), name


def test_every_measure_has_imagejs_digits(measured):
    for name, values in GOLDEN["rois"].items():
        for column, value in zip(GOLDEN["columns"], values, strict=True):
            assert getattr(measured[name], column) == pytest.approx(value, rel=1e-7, abs=1e-7), name


@pytest.mark.slow
def test_the_golden_values_are_those_of_this_imagej(shared_data, tmp_path):
    if not has_imagej():
        pytest.skip("no ImageJ; run: apt-get install libij-java bsh")
    run_script("imagej_measures.bsh", shared_data / ROIS, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 103
    for line in lines:
        name, *values = line.split(",")
        golden = GOLDEN["rois"][name.removesuffix(".roi")]
        assert [float(value) for value in values] == pytest.approx(golden, rel=1e-8)
