"""Parts of self-contained HTML reports: page, tables, figures; text is escaped by default."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mito_instance.visualize.html_style import SCRIPT, STYLE
from mito_instance.visualize.jpeg import Jpeg

# Control characters, and those that turn the direction of the text around them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Html(str):
    """Markup. Every other text, whatever it holds, is escaped before it gets into a page."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        title: heading.
        is_number: right-aligned, sorted as numbers.
        digits: digits after the point of floats.
        hint: explanation that shows when the pointer rests on the heading.
        is_long: text that is broken into lines.
    """

    title: str
    is_number: bool = False
    digits: int = 3
    hint: str = ""
    is_long: bool = False


def escape(text: Any) -> Html:
    """Text as markup that shows it; `Html` as it is.

    Control characters and such as turn the direction of writing become visible escapes, and
    so does what is not valid Unicode.
    """
    if isinstance(text, Html):
        return text
    shown = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    shown = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", shown)
    return Html(html.escape(shown, quote=True))


def element(name: str, *content: Any, **attributes: str) -> Html:
    """An element with escaped content and attributes.

    Args:
        name: its tag.
        content: text, or `Html` that is taken as it is.
        attributes: by name; a trailing ``_`` is dropped (``class_``), others become ``-``.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{shown}>{''.join(escape(part) for part in content)}</{name}>")


def page(title: str, subtitle: str, sections: Sequence[Html]) -> str:
    """A whole page in one file: it loads nothing, and no script but ours runs in it.

    Args:
        title: of the window and the page.
        subtitle: one line below.
        sections: from `section`.

    Returns:
        The document; it follows the light or dark scheme of the reader's system, and fits
        narrow windows.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    header = element("header", element("h1", title), element("p", subtitle, class_="muted"))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{header}\n<main>\n{''.join(sections)}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(title: str, *content: Any, intro: str = "") -> Html:
    """A part of the page with a heading and, below it, a line that explains it."""
    explanation = element("p", intro, class_="muted") if intro else Html("")
    return Html(f"{element('section', element('h2', title), explanation, *content)}\n")


def cards(items: Sequence[tuple[str, str, str]]) -> Html:
    """The headline figures.

    Args:
        items: name, value and remark of each.
    """
    return element(
        "div",
        *(
            element(
                "div",
                element("span", name, class_="name"),
                element("span", value, class_="value"),
                element("span", remark, class_="muted"),
                class_="card",
            )
            for name, value, remark in items
        ),
        class_="cards",
    )


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Any]],
    caption: str = "",
    *,
    is_sortable: bool = True,
) -> Html:
    """A table that is sorted by a click on a heading, and scrolls by itself when too wide.

    Args:
        columns: headings.
        rows: values; NaN and None show as a dash, floats with the column's digits.
        caption: a line above.
        is_sortable: False for few rows whose order says something.
    """
    head = "".join(
        element(
            "th",
            element("button", column.title, type="button") if is_sortable else column.title,
            class_="number" if column.is_number else "text",
            scope="col",
            title=column.hint,
        )
        for column in columns
    )
    body = "".join(
        element("tr", *(_cell(value, column) for value, column in zip(row, columns, strict=True)))
        for row in rows
    )
    top = element("caption", caption) if caption else ""
    kind = ' class="sortable"' if is_sortable else ""
    return Html(
        f'<div class="scroll"><table{kind}>{top}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def definitions(items: Sequence[tuple[str, Any]]) -> Html:
    """A list of names and values, such as the options of a run."""
    return element(
        "dl",
        *(part for name, value in items for part in (element("dt", name), element("dd", value))),
    )


def figure(content: Html, caption: str) -> Html:
    """A picture or a plot with a caption."""
    return element("figure", content, element("figcaption", caption))


def grid(*items: Html, wide: bool = False) -> Html:
    """Figures side by side: two where there is room for them if ``wide``, else three."""
    return element("div", *items, class_="grid wide" if wide else "grid")


def image(picture: npt.NDArray[np.uint8] | Jpeg, description: str) -> Html:
    """A picture, embedded as JPEG.

    Args:
        picture: uint8, grey (H, W) or RGB (H, W, 3); or JPEG already.
        description: what it shows, for those who cannot see it.
    """
    jpeg = picture if isinstance(picture, Jpeg) else Jpeg.of(picture)
    text = base64.b64encode(jpeg.data).decode()
    return Html(
        f'<img src="data:image/jpeg;base64,{text}" width="{jpeg.width_px}" '
        f'height="{jpeg.height_px}" alt="{escape(description)}">'
    )


def number(value: float | int | None, digits: int = 3) -> str:
    """A number for a reader, small ones by their first digits; a dash for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, int):
        return f"{value:d}"
    is_small = 0 < abs(value) < 10.0 ** (1 - digits)
    return f"{value:.2g}" if is_small else f"{value:.{digits}f}"


def short_number(value: float) -> str:
    """Three digits, and all those before the point: no powers of ten for large areas."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _cell(value: Any, column: Column) -> Html:
    if not column.is_number:
        return element("td", value, class_="long") if column.is_long else element("td", value)
    is_known = value is not None and not (isinstance(value, float) and math.isnan(value))
    return element(
        "td",
        number(value, column.digits),
        class_="number",
        data_value=f"{float(value):.9g}" if is_known else "",
    )
