"""``report.html`` of a batch: what was found, page by page, in one file."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mito_instance.batch.page_work import Done
from mito_instance.cli.quantify_report_pages import (
    ReportPages,
    common_folder,
    many,
    page_names,
)
from mito_instance.cli.quantify_report_pictures import thumbnail_section, uncertain_section
from mito_instance.io.files import write_text_atomic
from mito_instance.measure.summary import Row
from mito_instance.visualize import html, plots


def report(
    pages: ReportPages, run: Mapping[str, Any], folder: Path, *, is_complete: bool = True
) -> str:
    """The report as one HTML document.

    Args:
        pages: what was collected; none gives a report that says so.
        run: the run record.
        folder: where the report will lie; links to overlays start there.
        is_complete: whether all pages were worked on; False says that the run was interrupted.
    """
    names = page_names([page.row for page in pages.pages])
    done = [page.row for page in pages.pages if page.row["status"] == "ok"]
    failed = [n for n, page in enumerate(pages.pages) if page.row["status"] != "ok"]
    sections = [_headline(pages, done, len(failed), is_complete=is_complete)]
    if failed:
        sections.append(_failures(pages, names, failed))
    sections += [
        _table(pages, names),
        thumbnail_section(pages, names, folder),
        _plots(pages, done),
        uncertain_section(pages, names),
        _run(run),
    ]
    n_images = len({page.row["image"] for page in pages.pages})
    subtitle = f"{many(n_images, 'image')}, {many(len(pages.pages), 'page')}"
    common = common_folder([page.row for page in pages.pages])
    return html.page(
        "Mitochondria in micrographs", f"{subtitle} from {common}" if common else subtitle, sections
    )


class BatchReport:
    """The report of a running batch.

    Args:
        args: of the command.
        record: what masks are made with.
    """

    def __init__(self, args: argparse.Namespace, record: Mapping[str, Any]) -> None:
        options = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(args).items()
            if name != "images" and value is not None and value is not False
        }
        self._run = {**record, "options": options}
        self._pages = ReportPages(exclude_border=args.exclude_border)
        self.is_complete = False

    def add(self, row: Row, done: Done | None) -> None:
        """Take a page; what was done is None where it failed."""
        if done is None:
            self._pages.add(row)
        else:
            self._pages.add(row, done.objects, done.pictures, done.overlay)

    def write(self, file: Path) -> None:
        """Write the report; the file is either whole or not there.

        Raises:
            ConfigError: if it cannot be written.
        """
        run, folder = self._run, file.absolute().parent
        write_text_atomic(file, report(self._pages, run, folder, is_complete=self.is_complete))


def _headline(
    pages: ReportPages, done: Sequence[Row], n_failed: int, *, is_complete: bool
) -> html.Html:
    counts = [int(row["count"] or 0) for row in done]
    fractions = [float(row["area_fraction"] or 0.0) for row in done]
    unit, areas = _areas(pages, done)
    cards = [
        ("Mitochondria", str(sum(counts)), f"in {many(len(done), 'page')}"),
        ("Per page", _mean(counts), "mean ± SD over pages"),
        ("Area fraction", _mean(fractions), "mean ± SD over pages"),
        (f"Median area ({unit})", _median(areas), f"of {many(len(areas), 'object')}"),
    ]
    densities = [row["density_per_um2"] for row in done if row["density_per_um2"] is not None]
    if done and len(densities) == len(done):
        cards.insert(2, ("Density (1/µm²)", _mean(densities), "mean ± SD over pages"))
    if n_failed:
        cards.append(("Failed", str(n_failed), "pages or files, named below"))
    notes = []
    if not is_complete:
        notes.append("The run was interrupted: this report holds only the pages done until then.")
    if not pages.pages:
        notes.append("No page was worked on.")
    n_unknown = sum(row["pixel_size_nm"] is None for row in done)
    if n_unknown:
        notes.append(
            f"The pixel size of {n_unknown} of {many(len(done), 'page')} is unknown: figures "
            "over all objects are in pixels. --pixel-size-nm or --pixel-size-csv give it."
        )
    return html.section(
        "At a glance", html.cards(cards), *(html.element("p", note) for note in notes)
    )


def _failures(pages: ReportPages, names: Sequence[str], failed: Sequence[int]) -> html.Html:
    items = [(names[n], pages.pages[n].row["message"] or "no reason known") for n in failed]
    return html.section(
        "Failed", html.definitions(items), intro="No count is known of these; they enter no mean."
    )


def _table(pages: ReportPages, names: Sequence[str]) -> html.Html:
    done = [page.row for page in pages.pages if page.row["status"] == "ok"]
    n_known = sum(row["pixel_size_nm"] is not None for row in done)
    in_px, in_um = n_known < len(done) or not done, n_known > 0
    columns = [
        html.Column("no.", is_number=True, hint="as on the axis of the plot of counts"),
        html.Column("image", is_long=True),
        html.Column("count", is_number=True, hint="mitochondria"),
    ]
    if in_um:
        columns += [
            html.Column("area (µm²)", is_number=True, hint="sum over the mitochondria"),
            html.Column("density (1/µm²)", is_number=True, hint="count by area searched"),
        ]
    if in_px:
        columns += [
            html.Column("area (px²)", is_number=True, hint="sum over the mitochondria"),
            html.Column("density (1/Mpx)", is_number=True, hint="count by million px searched"),
        ]
    columns += [
        html.Column("area fraction", is_number=True, hint="of the area searched"),
        html.Column("pixel size (nm)", is_number=True, digits=2),
        html.Column("status"),
        html.Column("message", is_long=True),
    ]
    rows = []
    for n, page in enumerate(pages.pages):
        row = page.row
        name = names[n]
        if page.thumbnail is not None:
            name = html.element("a", name, href=f"#page-{n + 1}")
        cells: list[Any] = [n + 1, name, row["count"]]
        if in_um:
            cells += [row["area_total_um2"], row["density_per_um2"]]
        if in_px:
            cells += [row["area_total_px"], _density_per_mpx(row)]
        cells += [row["area_fraction"], row["pixel_size_nm"], row["status"], row["message"]]
        rows.append(cells)
    return html.section(
        "Pages", html.table(columns, rows), intro="A click on a heading sorts; again, backwards."
    )


def _density_per_mpx(row: Row) -> float | None:
    """Count by million pixels searched, which are those of the region where there is one."""
    if row["count"] is None:
        return None
    searched = row.get("region_area_px")
    if searched is None:
        searched = float(row["width_px"] or 0) * float(row["height_px"] or 0)
    return float(row["count"]) * 1e6 / float(searched) if searched else None


def _plots(pages: ReportPages, done: Sequence[Row]) -> html.Html:
    unit, areas = _areas(pages, done)
    counts = [
        float(row["count"]) if row["count"] is not None else math.nan
        for row in (page.row for page in pages.pages)
    ]
    known = [count for count in counts if not math.isnan(count)]
    figures = [
        html.figure(
            plots.in_order(
                counts,
                plots.Labels("Count of each page", "no. of the page in the table", "mitochondria"),
            ),
            f"Count of each page: {_mean(known)} (mean ± SD), "
            + (f"from {min(known):.0f} to {max(known):.0f}." if known else "no page is known."),
        )
    ]
    for values, title, limits in (
        (areas, f"area ({unit})", None),
        (list(pages.values.aspect_ratio), "aspect ratio", None),
        (list(pages.values.circularity), "circularity", (0.0, 1.0)),
    ):
        finite = [value for value in values if math.isfinite(value)]
        n_without = len(values) - len(finite)
        caption = f"{title[0].upper()}{title[1:]} of {many(len(finite), 'object')}"
        caption += f"; median {_median(finite)} (dashed)." if finite else "."
        if n_without:
            caption += f" It is undefined for {n_without} more."
        figures.append(
            html.figure(
                plots.histogram(
                    finite, plots.Labels(f"Histogram of the {title}", title, "objects"),
                    limits=limits,
                ),
                caption,
            )
        )  # fmt: skip
    n_cut = pages.values.n_touching_border
    intro = ""
    if n_cut:
        fate = "they are left out here" if pages.values.exclude_border else "they are shown here"
        intro = (
            f"{n_cut} of {many(pages.values.n_objects, 'object')} touch the border of their image "
            f"and are measured as far as they are seen; {fate}."
        )
    return html.section("Distributions", html.grid(*figures, wide=True), intro=intro)


def _run(run: Mapping[str, Any]) -> html.Html:
    plain = [(name, value) for name, value in run.items() if _is_short(value)]
    nested = [(name, value) for name, value in run.items() if not _is_short(value)]
    parts = [html.definitions(plain)]
    for name, value in nested:
        text = value if isinstance(value, str) else json.dumps(value, indent=1, default=str)
        parts += [
            html.element("h3", name),
            html.element("pre", *(html.element("div", line) for line in text.splitlines())),
        ]
    return html.section("Run", *parts)


def _is_short(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple) and "\n" not in str(value)


def _areas(pages: ReportPages, done: Sequence[Row]) -> tuple[str, list[float]]:
    """Unit and areas of the objects; µm² only if the pixel size of every page is known."""
    if done and all(row["pixel_size_nm"] is not None for row in done):
        return "µm²", list(pages.values.area_um2)
    return "px²", list(pages.values.area_px)


def _mean(values: Sequence[Any]) -> str:
    """Mean ± standard deviation; the latter from two values on."""
    if not values:
        return "–"
    mean = _short(statistics.fmean(values))
    return f"{mean} ± {_short(statistics.stdev(values), 2)}" if len(values) > 1 else mean


def _median(values: Sequence[float]) -> str:
    return _short(statistics.median(values)) if values else "–"


def _short(value: float, digits: int = 3) -> str:
    """A number to some significant digits, without an exponent where it is large."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".removesuffix(".")
