"""Everything but detection starts without torch and Detectron2, and starts fast."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mito_instance.cli import COMMANDS

HEAVY = ("detectron2", "fvcore", "torch", "torchvision")
# CPU time, which other work on the machine does not stretch. Importing torch alone takes longer.
START_LIMIT_S = 2.0

REPORT = f"""
import json, sys, time
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps({{"heavy": heavy, "cpu_s": time.process_time()}}), file=sys.stderr)
"""

IMPORT_ALL_BUT_DETECTION = f"""
import importlib, pkgutil
import mito_instance
names = ["mito_instance"]
def fail(name):
    raise ImportError(name)
for module in pkgutil.walk_packages(mito_instance.__path__, "mito_instance.", onerror=fail):
    if not module.name.startswith("mito_instance.detection"):
        importlib.import_module(module.name)
        names.append(module.name)
print(" ".join(names))
{REPORT}
"""


def run_code(code: str) -> tuple[str, dict]:
    """Stdout of the code in a fresh Python, and the report that it leaves on stderr."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_comes_fast_and_without_torch(command):
    code = f"""
from mito_instance.cli import main
try:
    main([{command!r}, "--help"])
except SystemExit as leave:
    if leave.code:
        raise
{REPORT}
"""
    help_text, report = run_code(code)
    assert "usage: " in help_text
    assert "example" in help_text.lower()
    assert report["heavy"] == []
    assert report["cpu_s"] < START_LIMIT_S


def test_no_module_outside_detection_imports_torch():
    names, report = run_code(IMPORT_ALL_BUT_DETECTION)
    assert {"mito_instance.cli", "mito_instance.masks", "mito_instance.io"} <= set(names.split())
    assert report["heavy"] == []


def test_the_check_sees_a_heavy_import():
    _, report = run_code(f"import sys\nsys.modules['torch'] = sys\n{REPORT}")
    assert report["heavy"] == ["torch"]
