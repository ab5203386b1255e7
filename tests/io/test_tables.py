"""CSV tables."""

import io
import math

import numpy as np
import pytest

from mito_instance.io.tables import TableWriter, cell, write_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(None, "", id="unknown"),
        pytest.param(math.nan, "", id="nan"),
        pytest.param(np.float32("nan"), "", id="numpy-nan"),
        pytest.param(True, "1", id="true"),
        pytest.param(np.False_, "0", id="numpy-false"),
        pytest.param(123456789, "123456789", id="integer-keeps-its-digits"),
        pytest.param(np.int64(-3), "-3", id="negative-number-is-no-formula"),
        pytest.param(0.1 + 0.2, "0.3", id="six-digits"),
        pytest.param(1234.5678, "1234.57", id="six-digits-of-a-large-one"),
        pytest.param(2.0, "2", id="whole-float"),
        pytest.param(-0.0, "0", id="minus-zero"),
        pytest.param("µm, ok", "µm, ok", id="text"),
        pytest.param("=1+1", "'=1+1", id="formula"),
        pytest.param("@x", "'@x", id="at"),
        pytest.param("bad\udcff.png", "bad\\udcff.png", id="name-that-is-no-unicode"),
    ],
)
def test_cell(value, text):
    assert cell(value) == text


def test_rows_as_they_come():
    stream = io.StringIO()
    table = TableWriter(stream, ["image", "count", "score"])
    assert stream.getvalue() == "image,count,score\n"
    table.write({"count": 3, "image": 'a, "b".png'})
    assert stream.getvalue().splitlines()[1] == '"a, ""b"".png",3,'


def test_unknown_column_is_our_own_error():
    with pytest.raises(KeyError, match="no column area"):
        TableWriter(io.StringIO(), ["image"]).write({"area": 1})


def test_file_with_and_without_rows(tmp_path):
    write_table(tmp_path / "a.csv", ["name", "n"], [{"name": "ü", "n": 1}])
    assert (tmp_path / "a.csv").read_bytes() == "name,n\nü,1\n".encode()
    write_table(tmp_path / "b.csv", ["name", "n"], [])
    assert (tmp_path / "b.csv").read_bytes() == b"name,n\n"
