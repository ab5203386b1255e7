"""The list of licences names every dependency, and none that would bind those who pass it on."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs" / "licences.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listed():
    """Licence by package."""
    text = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| (\d\S*) \| (.+) \|$", text, re.MULTILINE)
    return {name: terms for name, _, terms in rows}


def test_every_dependency_is_listed(script, listed):
    needed = {
        script.normalised(text) for group in script.GROUPS for text in script.requirements(group)
    }
    assert len(needed) > 25
    assert needed | {"detectron2"} <= listed.keys()


def test_every_licence_is_known_and_fits(listed):
    assert [name for name, terms in listed.items() if terms in ("not stated", "UNKNOWN")] == []
    assert [name for name, terms in listed.items() if re.search(r"\bA?GPL", terms)] == []


def test_every_dependency_is_pinned_but_what_torch_brings(listed):
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {name.lower() for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    of_torch = re.compile(r"nvidia-|cuda-|triton$|detectron2$|setuptools$")
    assert [name for name in listed if name not in pinned and not of_torch.match(name)] == []
