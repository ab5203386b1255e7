"""Every test that docs/reliability.md names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tests_behind_the_promises_exist():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named, file = [], None
    for path, name in re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", text):
        file = path or file
        if path or name:
            named.append((file, name))
    assert len(named) > 40
    for file, name in named:
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in source, f"{file}::{name}"
