"""Pictures in the report of a batch: small overlays, and the least certain objects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from mito_instance.calibration import PixelSize
from mito_instance.cli.quantify_report_pages import ReportPage, ReportPages, many
from mito_instance.visualize import html
from mito_instance.visualize.page_pictures import THUMBNAIL_PX


def thumbnail_section(pages: ReportPages, names: Sequence[str], folder: Path) -> html.Html:
    """Small overlays of all pages, as far as they have room.

    Args:
        pages: what was collected.
        names: of the pages.
        folder: where the report will lie.
    """
    shown = [n for n, page in enumerate(pages.pages) if page.thumbnail is not None]
    parts = []
    for place, n in enumerate(shown):
        before = shown[place - 1] if place else None
        after = shown[place + 1] if place + 1 < len(shown) else None
        parts.append(_thumbnail(pages.pages[n], n, names[n], (before, after), folder))
    intro = (
        f"A click enlarges, to {pages.side_px} px at most; ← and → turn the pages, Esc closes. "
        "Numbers are those of objects.csv; pictures with more than 40 objects have none."
    )
    notes = []
    if pages.side_px < THUMBNAIL_PX and parts:
        notes.append(
            f"There are many pictures: they have {pages.side_px} px instead of {THUMBNAIL_PX}. "
            "--overlays writes them in full size."
        )
    if pages.n_left_out:
        notes.append(
            f"Only the first {len(shown)} pictures are in this report, so that it stays below "
            f"20 MB; {pages.n_left_out} are left out. --overlays writes a picture of every page."
        )
    return html.section(
        "Pictures",
        *(html.element("p", note) for note in notes),
        html.element("div", *parts, class_="thumbnails") if parts else html.element("p", "None."),
        intro=intro if parts else "",
    )


def _thumbnail(
    page: ReportPage, n: int, name: str, beside: tuple[int | None, int | None], folder: Path
) -> html.Html:
    """A picture that fills the window when its own address is called."""
    if page.thumbnail is None:
        return html.Html("")
    words = f"{name}: {many(int(page.row['count'] or 0), 'object')}"
    caption: list[Any] = [words]
    if page.overlay is not None:
        text = "full size"
        if page.overlay.suffix == ".tif":  # browsers do not show it
            text += f" (page {int(page.row['frame'] or 0) + 1} of a TIFF)"
        link = html.element("a", text, href=_link(page.overlay, folder))
        caption += [", ", link]
    links = [html.element("a", "close", href=f"#page-{n + 1}", class_="close")]
    for other, text, kind in zip(
        beside, ("← previous", "next →"), ("previous", "next"), strict=True
    ):
        if other is not None:
            links.append(html.element("a", text, href=f"#picture-{other + 1}", class_=kind))
    opened = html.element(
        "figure",
        html.element("a", html.image(page.thumbnail, words), href=f"#picture-{n + 1}"),
        html.element("figcaption", *caption),
        html.element("nav", *links),
        class_="thumbnail",
        id=f"picture-{n + 1}",
    )
    return html.element("div", opened, id=f"page-{n + 1}")


def _link(file: Path, folder: Path) -> str:
    """Address of a file as seen from the report; it cannot be taken for another protocol."""
    try:
        relative = os.path.relpath(file, folder)
    except ValueError:  # on another drive
        return file.absolute().as_uri()
    return "./" + quote(PurePath(relative).as_posix(), errors="surrogateescape")


def uncertain_section(pages: ReportPages, names: Sequence[str]) -> html.Html:
    """The objects with the lowest scores, close up."""
    crops = pages.crops()
    if not crops:
        return html.section("Least certain objects", html.element("p", "None."))
    name_of = {id(page): name for page, name in zip(pages.pages, names, strict=True)}
    figures = []
    for page, crop in crops:
        size_nm = page.row["pixel_size_nm"]
        area = f"{crop.area_px} px²"
        if size_nm is not None:
            area = f"{PixelSize(float(size_nm), 'report').area_um2(crop.area_px):.3g} µm²"
        words = f"{name_of[id(page)]}, #{crop.number}: score {crop.score:.3f}, {area}"
        figures.append(html.figure(html.image(crop.picture, words), words))
    return html.section(
        "Least certain objects",
        html.grid(*figures),
        intro=f"The {len(crops)} lowest scores of those that count: left the image, right the "
        "object in colour and its neighbours thin and grey. If many of them are wrong, a higher "
        "--score-threshold counts better.",
    )
