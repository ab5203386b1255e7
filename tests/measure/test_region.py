"""Counting in a region, and leaving out what touches the border."""

from pathlib import Path

import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.measure.region import region_cells, within
from mito_instance.measure.schema import REGION_COLUMNS
from mito_instance.measure.summary import Extent, summarise_image

HW = (100, 200)


def box(x, y, width, height, image_hw=HW):
    return rle.place(np.ones((height, width), bool), x, y, image_hw)


@pytest.mark.parametrize(
    ("x", "counts"),
    [
        pytest.param(20, True, id="inside"),
        pytest.param(95, True, id="half-inside"),
        pytest.param(96, False, id="less-than-half"),
        pytest.param(120, False, id="outside"),
    ],
)
def test_an_instance_counts_from_half_of_its_pixels(x, counts):
    instances = ImageInstances("a.png", HW, (box(x, 10, 10, 10),))
    inside, extent = within(instances, box(0, 0, 100, 100))
    assert inside.tolist() == [counts]
    assert extent == Extent(10_000, 10 * max(0, min(10, 100 - x)))


def test_what_is_cut_in_half_counts_on_one_side():
    bar, arch = np.ones((6, 4), bool), np.ones((6, 4), bool)
    arch[2:, 1:3] = False  # its centroid is none of its pixels
    masks = (
        rle.place(bar, 98, 20, HW), rle.place(bar, 20, 47, HW), rle.place(arch, 98, 60, HW),
        rle.union([], HW),
    )  # fmt: skip
    instances = ImageInstances("a.png", HW, masks)
    for one, other in (
        (box(0, 0, 100, 100), box(100, 0, 100, 100)),
        (box(0, 0, 200, 50), box(0, 50, 200, 50)),
    ):
        counted = [within(instances, region)[0] for region in (one, other)]
        assert (counted[0][:3] ^ counted[1][:3]).all()
        assert not counted[0][3] and not counted[1][3]  # noqa: PT018 - no pixel, no side
    assert within(instances, box(0, 0, 100, 100))[0].tolist() == [True, True, True, False]


def test_the_region_is_the_denominator():
    instances = ImageInstances(
        "a.png",
        HW,
        # In; in and overlapping by half; out, but with 20 px in the region.
        (box(10, 10, 10, 10), box(15, 10, 10, 10), box(98, 50, 10, 10)),
        pixel_size=PixelSize(100, "user"),
    )
    region = box(0, 0, 100, 100)
    inside, extent = within(instances, region)
    row = summarise_image(instances.select(inside), extent=extent)
    assert row["count"] == 2
    assert row["area_total_px"] == 200
    assert row["area_fraction"] == pytest.approx((150 + 20) / 10_000)
    assert row["density_per_um2"] == pytest.approx(2 / 100)
    cells = region_cells(extent, instances.pixel_size)
    assert cells == {"region_area_px": 10_000, "region_area_um2": pytest.approx(100)}
    assert region_cells(extent, None)["region_area_um2"] is None


def test_an_image_without_instances_has_a_region():
    inside, extent = within(ImageInstances("a.png", HW), box(0, 0, 3, 3))
    assert inside.tolist() == []
    assert extent == Extent(9, 0)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        pytest.param(box(0, 0, 5, 5, (9, 9)), "region is for an image of", id="other-size"),
        pytest.param(rle.union([], HW), "no pixel inside the image", id="empty"),
    ],
)
def test_regions_that_do_not_fit(region, message):
    with pytest.raises(AnnotationError, match=message):
        within(ImageInstances("a.png", HW), region)


def test_excluded_instances_count_but_enter_no_mean():
    instances = ImageInstances(
        "a.png", HW, (box(0, 10, 30, 10), box(50, 50, 10, 10)), pixel_size=PixelSize(100, "user")
    )
    kept, left_out = (summarise_image(instances, exclude_border=flag) for flag in (False, True))
    means = ("area_mean_um2", "area_median_um2")
    assert [kept[name] for name in means] == pytest.approx([2, 2])
    assert [left_out[name] for name in means] == pytest.approx([1, 1])
    assert {**kept, **dict.fromkeys(means)} == {**left_out, **dict.fromkeys(means)}
    at_border = summarise_image(instances.select([0]), exclude_border=True)
    assert (at_border["count"], at_border["area_mean_um2"]) == (1, None)


@pytest.mark.parametrize("column", REGION_COLUMNS, ids=lambda c: c.name)
def test_the_document_has_the_region_columns(column):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"| `{column.name}` | {column.unit} | {column.definition} |" in text
