"""Reports: everything from outside is escaped, and nothing is loaded from outside."""

import base64
import hashlib
import math
import re

import cv2
import numpy as np
import pytest

from mito_instance.visualize import html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;", id="markup"),
        pytest.param("a\x00b\u202etxt", "a\\u0000b\\u202etxt", id="control-and-direction"),
        pytest.param("µm² – 線粒體", "µm² – 線粒體", id="unicode-stays"),
        pytest.param("b\udce4d.png", "b\\udce4d.png", id="no-unicode"),
        pytest.param(12, "12", id="number"),
        pytest.param(html.Html("<b>"), "<b>", id="markup-of-ours"),
    ],
)
def test_escape(text, expected):
    assert html.escape(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0.00042, "0.00042", id="small"),
        pytest.param(-0.0004, "-0.0004", id="small-negative"),
        pytest.param(0.0095, "0.0095", id="two-digits"),
        pytest.param(0.0105, "0.011", id="shown"),
        pytest.param(0.0, "0.000", id="none"),
        pytest.param(12.3456, "12.346", id="large"),
        pytest.param(3, "3", id="whole"),
        pytest.param(math.nan, "–", id="unknown"),
    ],
)
def test_a_small_number_is_not_0(value, expected):
    assert html.number(value) == expected


def test_elements_escape_content_and_attributes():
    found = html.element("p", "a < b", html.element("b", "c"), title='x" onclick="y', class_="k")
    assert found == ('<p title="x&quot; onclick=&quot;y" class="k">a &lt; b<b>c</b></p>')


def test_a_page_loads_nothing_and_runs_our_script_only():
    page = html.page("<title>", "sub", [html.section("S", html.element("p", "text"))])
    assert "<title>&lt;title&gt;</title>" in page
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\(""", page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"sha256-{digest}" in page
    assert "prefers-color-scheme: dark" in page


def test_a_table_holds_values_to_sort_by():
    columns = [html.Column("name"), html.Column("value", is_number=True, digits=2)]
    found = html.table(columns, [["<x>", 1234.5678], ["y", math.nan], ["z", None], ["w", 7]])
    assert "<td>&lt;x&gt;</td>" in found
    assert '<td class="number" data-value="1234.5678">1234.57</td>' in found
    assert found.count('<td class="number" data-value="">–</td>') == 2
    assert '<td class="number" data-value="7">7</td>' in found


def test_an_empty_table_has_its_headings():
    assert "<tbody></tbody>" in html.table([html.Column("name")], [])


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_pictures_are_embedded(shape):
    pixels = np.full(shape, 90, dtype=np.uint8)
    found = html.image(pixels, 'a "quoted" picture')
    assert 'width="30" height="20"' in found
    assert 'alt="a &quot;quoted&quot; picture"' in found
    data = base64.b64decode(re.search(r"base64,([^\"]+)", found).group(1))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (20, 30, 3)
    assert abs(int(decoded.mean()) - 90) <= 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (-0.012345, "-0.0123"), (999.4, "999"), (999.6, "1000"), (-10845.25, "-10845")],
)
def test_short_numbers_have_no_powers_of_ten(value, expected):
    assert html.short_number(value) == expected
