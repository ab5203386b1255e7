"""The columns of the tables that ``quantify`` writes: name, unit, definition; nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        name: header; a unit at its end is the unit of the values.
        unit: ``px``, ``px²``, ``µm``, ``µm²``, ``1/µm²``, ``°``, ``nm``, ``grey level``, ``1/Mpx``,
            ``1`` for pure numbers, or an empty text where a unit means nothing.
        definition: one line.
    """

    name: str
    unit: str
    definition: str


COUNTS_COLUMNS: tuple[Column, ...] = (
    Column("image", "", "image file, as it was given"),
    Column("frame", "", "page of the file, counted from 0"),
    Column("status", "", "ok, or error where the page could not be measured"),
    Column("width_px", "px", "width of the image"),
    Column("height_px", "px", "height of the image"),
    Column("pixel_size_nm", "nm", "edge of one pixel; empty when unknown, never guessed"),
    Column("pixel_size_source", "", "where the pixel size comes from: user, imagej, ome, …"),
    Column("count", "1", "number of instances"),
    Column("count_touching_border", "1", "instances with a pixel in the image's outermost rows"),
    Column("area_total_px", "px²", "sum of the instances' areas"),
    Column("area_total_um2", "µm²", "sum of the instances' areas"),
    Column("area_mean_um2", "µm²", "mean area of an instance; empty without instances"),
    Column("area_median_um2", "µm²", "median area of an instance; empty without instances"),
    Column("area_fraction", "1", "pixels in any instance, each once, divided by all pixels"),
    Column("density_per_um2", "1/µm²", "instances divided by the area of the image"),
    Column("score_mean", "1", "mean score of the instances; empty without scores"),
    Column(
        "message",
        "",
        "why the page failed; what of an ok page's outlines could not be used, mostly empty",
    ),
)

OBJECTS_COLUMNS: tuple[Column, ...] = (
    Column("image", "", "image file, as it was given"),
    Column("frame", "", "page of the file, counted from 0"),
    Column("object_id", "", "number of the instance in its page, counted from 1"),
    Column("score", "1", "confidence of the detection, in [0, 1]; empty for drawn instances"),
    Column("touches_border", "", "1 if a pixel lies in the image's outermost rows, else 0"),
    Column("centroid_x_px", "px", "mean x of the pixels; the centre of pixel 0 is at 0.5"),
    Column("centroid_y_px", "px", "mean y of the pixels, downwards; as centroid_x_px"),
    Column("bbox_x_px", "px", "leftmost pixel column"),
    Column("bbox_y_px", "px", "topmost pixel row"),
    Column("bbox_w_px", "px", "width of the tight box"),
    Column("bbox_h_px", "px", "height of the tight box"),
    Column("area_px", "px²", "number of pixels"),
    Column("area_um2", "µm²", "area_px times the area of a pixel"),
    Column("perimeter_px", "px", "length of the outer outlines, corners cut as ImageJ does"),
    Column("perimeter_um", "µm", "perimeter_px times the edge of a pixel"),
    Column("circularity", "1", "4π area / perimeter², at most 1"),
    Column(
        "form_factor",
        "1",
        "perimeter² / (4π area); 1.1 for a large disc of pixels, greater if branched, below 1 for "
        "a few pixels",
    ),
    Column("aspect_ratio", "1", "major axis / minor axis of the fitted ellipse"),
    Column("roundness", "1", "4 area / (π major axis²)"),
    Column("solidity", "1", "area / area of the convex hull"),
    Column("feret_max_px", "px", "greatest distance of two points of the outline"),
    Column("feret_max_um", "µm", "feret_max_px times the edge of a pixel"),
    Column("feret_min_px", "px", "least distance of two parallel lines that enclose the object"),
    Column("feret_min_um", "µm", "feret_min_px times the edge of a pixel"),
    Column("major_axis_px", "px", "long axis of the ellipse of equal area and second moments"),
    Column("minor_axis_px", "px", "short axis of the ellipse of equal area and second moments"),
    Column("orientation_deg", "°", "major axis against the x axis, counter-clockwise, [0, 180)"),
    Column("intensity_mean", "grey level", "mean grey level of the pixels, in the image's own"),
    Column("intensity_std", "grey level", "sample standard deviation (n - 1) of the grey levels"),
)

REGION_COLUMNS: tuple[Column, ...] = (
    Column("region_area_px", "px²", "pixels of the region that counts and fractions refer to"),
    Column("region_area_um2", "µm²", "region_area_px times the area of a pixel"),
)
"""Follow `COUNTS_COLUMNS` where counting was restricted to outlined regions."""

SUMMARY_COLUMNS: tuple[Column, ...] = (
    Column("group", "", "folder, or what --group-by found in the path; `all` without it"),
    Column("n_images", "1", "images, or pages of stacks, of the group"),
    Column("n_failed", "1", "those that could not be measured; they enter no mean"),
    Column("n_with_objects", "1", "measured images with at least one instance"),
    Column("n_objects", "1", "instances in all measured images"),
    Column("pixel_size_nm_min", "nm", "least known edge of a pixel in the group"),
    Column("pixel_size_nm_max", "nm", "greatest known edge of a pixel in the group"),
    Column("count_mean", "1", "mean over images of count"),
    Column("count_sd", "1", "standard deviation over images of count"),
    Column("density_per_mpx_mean", "1/Mpx", "mean over images of instances per million pixels"),
    Column("density_per_mpx_sd", "1/Mpx", "standard deviation over images of the same"),
    Column("density_per_um2_mean", "1/µm²", "mean over images of density_per_um2"),
    Column("density_per_um2_sd", "1/µm²", "standard deviation over images of density_per_um2"),
    Column("area_fraction_mean", "1", "mean over images of area_fraction"),
    Column("area_fraction_sd", "1", "standard deviation over images of area_fraction"),
    Column("area_median_px_mean", "px²", "mean over images of the median area of an instance"),
    Column("area_median_px_sd", "px²", "standard deviation over images of the median area"),
    Column("area_median_um2_mean", "µm²", "mean over images of area_median_um2"),
    Column("area_median_um2_sd", "µm²", "standard deviation over images of area_median_um2"),
)

COUNTS_NAMES: tuple[str, ...] = tuple(column.name for column in COUNTS_COLUMNS)
OBJECTS_NAMES: tuple[str, ...] = tuple(column.name for column in OBJECTS_COLUMNS)
REGION_NAMES: tuple[str, ...] = tuple(column.name for column in REGION_COLUMNS)
SUMMARY_NAMES: tuple[str, ...] = tuple(column.name for column in SUMMARY_COLUMNS)
