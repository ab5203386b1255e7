"""Rows of the tables."""

from pathlib import Path

import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.measure.schema import (
    COUNTS_COLUMNS,
    COUNTS_NAMES,
    OBJECTS_COLUMNS,
    OBJECTS_NAMES,
)
from mito_instance.measure.summary import (
    failed_row,
    image_cell,
    measure_objects,
    object_rows,
    summarise_image,
)

HW = (100, 200)


def boxes(*boxes_xywh, **changes):
    masks = tuple(rle.place(np.ones((h, w), bool), x, y, HW) for x, y, w, h in boxes_xywh)
    return ImageInstances("a.png", HW, masks, **changes)


def test_the_columns_are_the_published_ones():
    assert ",".join(COUNTS_NAMES) == (
        "image,frame,status,width_px,height_px,pixel_size_nm,pixel_size_source,count,"
        "count_touching_border,area_total_px,area_total_um2,area_mean_um2,area_median_um2,"
        "area_fraction,density_per_um2,score_mean,message"
    )
    assert ",".join(OBJECTS_NAMES) == (
        "image,frame,object_id,score,touches_border,centroid_x_px,centroid_y_px,bbox_x_px,"
        "bbox_y_px,bbox_w_px,bbox_h_px,area_px,area_um2,perimeter_px,perimeter_um,circularity,"
        "form_factor,aspect_ratio,roundness,solidity,feret_max_px,feret_max_um,feret_min_px,"
        "feret_min_um,major_axis_px,minor_axis_px,orientation_deg,intensity_mean,intensity_std"
    )


@pytest.mark.parametrize("column", [*COUNTS_COLUMNS, *OBJECTS_COLUMNS], ids=lambda c: c.name)
def test_a_column_has_a_definition_and_the_unit_of_its_name(column):
    assert column.definition
    assert "\n" not in column.definition
    for suffix, unit in (
        ("_um2", "µm"),
        ("_um", "µm"),
        ("_nm", "nm"),
        ("_px", "px"),
        ("_deg", "°"),
    ):
        if column.name.endswith(suffix):
            assert unit in column.unit


def test_counts_by_hand():
    # Two boxes of 100 px that share 20 px, and one of 50 px at the border.
    instances = boxes(
        (10, 10, 10, 10),
        (18, 10, 10, 10),
        (0, 50, 10, 5),
        scores=np.array([0.9, 0.6, 0.3]),
        pixel_size=PixelSize(100, "user"),
        frame=4,
    )
    row = summarise_image(instances)
    assert list(row) == list(COUNTS_NAMES)
    assert (row["image"], row["frame"], row["status"], row["message"]) == ("a.png", 4, "ok", "")
    assert (row["width_px"], row["height_px"]) == (200, 100)
    assert (row["pixel_size_nm"], row["pixel_size_source"]) == (100, "user")
    assert (row["count"], row["count_touching_border"], row["area_total_px"]) == (3, 1, 250)
    assert row["area_total_um2"] == pytest.approx(2.5)  # 100 nm: 100 px are 1 µm²
    assert row["area_mean_um2"] == pytest.approx(2.5 / 3)
    assert row["area_median_um2"] == pytest.approx(1.0)
    assert row["area_fraction"] == pytest.approx(230 / 20_000)  # the shared 20 px count once
    assert row["density_per_um2"] == pytest.approx(3 / 200)
    assert row["score_mean"] == pytest.approx(0.6)
    assert summarise_image(instances, measure_objects(instances)) == row


def test_without_pixel_size_no_um():
    instances = boxes((10, 10, 10, 10))
    row = summarise_image(instances)
    unknown = [name for name in COUNTS_NAMES if "um2" in name or name.startswith("pixel_size")]
    assert all(row[name] is None for name in unknown)
    (objects,) = object_rows(instances, measure_objects(instances))
    assert all(objects[name] is None for name in OBJECTS_NAMES if "_um" in name)
    assert objects["score"] is None


def test_image_without_instances():
    row = summarise_image(boxes(pixel_size=PixelSize(5, "ome")))
    assert (row["count"], row["area_total_px"], row["area_fraction"]) == (0, 0, 0)
    assert (row["area_total_um2"], row["density_per_um2"]) == (0, 0)
    assert (row["area_mean_um2"], row["area_median_um2"], row["score_mean"]) == (None, None, None)
    assert object_rows(boxes(), []) == []


def test_area_scales_with_nm_squared_and_length_with_nm():
    def measured(nm):
        instances = boxes((10, 10, 10, 10), pixel_size=PixelSize(nm, "user"))
        return object_rows(instances, measure_objects(instances))[0]

    small, large = measured(5), measured(15)
    assert large["area_um2"] == pytest.approx(9 * small["area_um2"])
    for name in ("perimeter_um", "feret_max_um", "feret_min_um"):
        assert large[name] == pytest.approx(3 * small[name])
    assert large["perimeter_px"] == small["perimeter_px"]


def test_object_rows_are_numbered_from_one():
    instances = boxes((0, 10, 10, 10), (50, 50, 3, 3), scores=np.array([0.5, 0.25]))
    rows = object_rows(instances, measure_objects(instances, np.full(HW, 7, np.uint8)))
    assert [list(row) for row in rows] == [list(OBJECTS_NAMES)] * 2
    assert [row["object_id"] for row in rows] == [1, 2]
    assert [row["score"] for row in rows] == [0.5, 0.25]
    assert [row["touches_border"] for row in rows] == [True, False]
    assert [row["intensity_mean"] for row in rows] == [7, 7]


def test_failed_image_keeps_a_row_without_a_count():
    row = failed_row("b.tif", 2, "b.tif: the TIFF\nis cut off")
    assert list(row) == list(COUNTS_NAMES)
    assert (row["image"], row["frame"], row["status"]) == ("b.tif", 2, "error")
    assert row["message"] == "b.tif: the TIFF is cut off"
    assert row["count"] is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("=cmd.png", "./=cmd.png", id="formula"),
        pytest.param("-1.png", "./-1.png", id="minus"),
        pytest.param("/data/=x.png", "/data/=x.png", id="absolute"),
        pytest.param("a.png", "a.png", id="plain"),
    ],
)
def test_image_names_are_no_formulas_and_still_paths(name, expected):
    assert image_cell(name) == expected


@pytest.mark.parametrize("column", [*COUNTS_COLUMNS, *OBJECTS_COLUMNS], ids=lambda c: c.name)
def test_the_document_has_the_schema(column):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"| `{column.name}` | {column.unit} | {column.definition} |" in text
