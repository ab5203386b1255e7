"""Damaged files end in one of our errors, or are read; `benchmarks/fuzz.py` tries many more."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.errors import MitoInstanceError
from tests.fuzz.mutate import mutate_png, mutate_text
from tests.fuzz.readers import READERS

N_INPUTS = 150


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_raise_only_our_errors(tmp_path, reader):
    if reader.needs is not None:
        pytest.importorskip(reader.needs)
    seeds = reader.seeds()
    path = tmp_path / f"input{reader.suffix}"
    for number in range(N_INPUTS):
        reader.try_one(seeds, f"{reader.name} {number}", path)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_files_that_are_damaged_were_right(tmp_path, reader):
    if reader.needs is not None:
        pytest.importorskip(reader.needs)
    path = tmp_path / f"input{reader.suffix}"
    refused = []
    for data in reader.seeds():
        path.write_bytes(data)
        try:
            reader.read(path)
        except MitoInstanceError as error:
            refused.append(str(error))
    assert refused == []


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("id"), inner),
    max_leaves=4,
)


def places(document, place=()):
    """The way to every value of a JSON document."""
    yield place
    is_list = isinstance(document, list)
    keys = range(len(document)) if is_list else document if isinstance(document, dict) else ()
    for key in keys:
        yield from places(document[key], (*place, key))


def with_value(document, place, value):
    """The document with one value replaced."""
    if not place:
        return value
    copied = dict(document) if isinstance(document, dict) else list(document)
    copied[place[0]] = with_value(document[place[0]], place[1:], value)
    return copied


@pytest.mark.parametrize("name", ["coco", "check", "labelme"])
@settings(max_examples=100)
@given(number=st.integers(0, 10**6), value=VALUE)
def test_any_value_anywhere_in_a_json_raises_only_our_errors(tmp_path_factory, name, number, value):
    (reader,) = (reader for reader in READERS if reader.name == name)
    document = json.loads(reader.seeds()[-2 if name == "coco" else 0])
    every = list(places(document))
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_text(json.dumps(with_value(document, every[number % len(every)], value)))
    with contextlib.suppress(MitoInstanceError):
        reader.read(path)


def test_the_same_seed_makes_the_same_damage():
    data = READERS[2].seeds()[0]
    assert mutate_png(data, random.Random(1)) == mutate_png(data, random.Random(1))
    assert mutate_text(b'{"a": 1}', random.Random(5)) == mutate_text(b'{"a": 1}', random.Random(5))


@pytest.mark.skipif(find_spec("atheris") is not None, reason="it is installed")
def test_the_guided_fuzzer_says_what_it_needs():
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz_atheris.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: atheris is not installed; run: pip install atheris\n"
