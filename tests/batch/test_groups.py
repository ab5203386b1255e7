"""Groups of images, and the means over them."""

import math
from pathlib import Path

import pytest

from mito_instance.batch.groups import grouping
from mito_instance.calibration import PixelSize
from mito_instance.errors import ConfigError
from mito_instance.measure.groups import PageFigures, summary_rows
from mito_instance.measure.schema import SUMMARY_COLUMNS, SUMMARY_NAMES

PATHS = [Path("data/wt_1/a.tif"), Path("data/wt_2/a.tif"), Path("data/ko_1/a.tif")]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(None, ["all", "all", "all"], id="all"),
        pytest.param("folder", ["data/wt_1", "data/wt_2", "data/ko_1"], id="folder"),
        pytest.param(r"/(wt|ko)_\d", ["wt", "wt", "ko"], id="expression"),
        pytest.param(r"(?:data)/(wt)", ["wt", "wt", ""], id="not-found-is-a-group"),
        pytest.param(r"data/(k)?", ["", "", "k"], id="optional-group"),
    ],
)
def test_groups(rule, expected):
    group_of = grouping(rule, PATHS)
    assert [group_of(path) for path in PATHS] == expected


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        pytest.param("(wt", "not a regular expression", id="no-expression"),
        pytest.param("wt", "exactly one group in parentheses, got 0", id="no-group"),
        pytest.param("(w)(t)", "exactly one group in parentheses, got 2", id="two-groups"),
        pytest.param("(nothing)", "finds nothing in any path, such as data/wt_1", id="no-match"),
    ],
)
def test_rules_are_checked(rule, message):
    with pytest.raises(ConfigError, match=message):
        grouping(rule, PATHS)


def test_means_and_deviations_by_hand():
    five = PixelSize(100, "user")  # 100 px² are 1 µm²
    pages = [
        PageFigures("wt", False, 2, 1000, 0.1, 50, five),
        PageFigures("ko", False, 3, 1000, 0.2, 70, None),
        PageFigures("wt", False, 6, 2000, 0.3, 150, five),
        PageFigures("wt", True),
        PageFigures("wt", False, 0, 1000, 0.0, None, five),
    ]
    wt, ko = summary_rows(pages)
    assert list(wt) == list(SUMMARY_NAMES)
    assert (wt["group"], wt["n_images"], wt["n_failed"]) == ("wt", 4, 1)
    assert (wt["n_with_objects"], wt["n_objects"]) == (2, 8)
    assert wt["count_mean"] == pytest.approx(8 / 3)
    assert wt["count_sd"] == pytest.approx(math.sqrt(28 / 3))  # 2, 6 and 0
    assert wt["density_per_mpx_mean"] == pytest.approx((2000 + 3000 + 0) / 3)
    assert wt["density_per_um2_mean"] == pytest.approx((0.2 + 0.3 + 0) / 3)
    assert wt["area_fraction_mean"] == pytest.approx(0.4 / 3)
    assert wt["area_median_px_mean"] == pytest.approx(100)
    assert wt["area_median_px_sd"] == pytest.approx(100 / math.sqrt(2))
    assert wt["area_median_um2_mean"] == pytest.approx(1)
    assert (ko["count_mean"], ko["count_sd"]) == (3, None)
    assert ko["area_median_px_mean"] == 70
    assert [name for name in SUMMARY_NAMES if "um2" in name and ko[name] is not None] == []


def test_one_image_without_pixel_size_empties_um_columns():
    sized = PageFigures("a", False, 1, 100, 0.1, 10, PixelSize(5, "ome"))
    (row,) = summary_rows([sized, PageFigures("a", False, 1, 100, 0.1, 10, None)])
    assert (row["density_per_um2_mean"], row["area_median_um2_mean"]) == (None, None)
    assert (row["pixel_size_nm_min"], row["pixel_size_nm_max"]) == (5, 5)
    # A failed image has no pixel size and is no reason.
    (row,) = summary_rows([sized, PageFigures("a", is_failed=True)])
    assert row["density_per_um2_mean"] is not None


def test_nothing_and_failures_alone():
    assert summary_rows([]) == []
    (row,) = summary_rows([PageFigures("a", is_failed=True)])
    known = {name: value for name, value in row.items() if value is not None}
    counts = dict.fromkeys(("n_with_objects", "n_objects"), 0)
    assert known == {"group": "a", "n_images": 1, "n_failed": 1, **counts}


@pytest.mark.parametrize("column", SUMMARY_COLUMNS, ids=lambda c: c.name)
def test_the_document_has_the_summary(column):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert f"| `{column.name}` | {column.unit} | {column.definition} |" in text
