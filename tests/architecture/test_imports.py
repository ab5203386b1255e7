"""Everything but detection starts without torch and Detectron2, and starts fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mito_instance.cli import COMMANDS
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import write_coco
from mito_instance.masks import rle

ROOT = Path(__file__).parents[2]
TOOLS = sorted([*(ROOT / "tools").glob("*.py"), *(ROOT / "datasets").glob("*.py")])

HEAVY = ("detectron2", "fvcore", "torch", "torchvision")
# None of these is needed to explain a command: parsing the arguments must not wait for them.
NOT_FOR_HELP = (
    *HEAVY,
    "cv2",
    "faster_coco_eval",
    "imagecodecs",
    "matplotlib",
    "numpy",
    "pandas",
    "pycocotools",
    "scipy",
    "shapely",
    "skimage",
    "tifffile",
)
# CPU time, which other work on the machine does not stretch. Importing torch alone takes longer.
START_LIMIT_S = 0.3

REPORT = f"""
import json, sys, time
heavy = [name for name in {NOT_FOR_HELP!r} if name in sys.modules]
print(json.dumps({{"heavy": heavy, "cpu_s": time.process_time()}}), file=sys.stderr)
"""

IMPORT_ALL_BUT_DETECTION = f"""
import importlib, pkgutil
import mito_instance
names = ["mito_instance"]
def import_all(package):
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name in ("mito_instance.detection", "mito_instance.semantic"):
            continue
        module = importlib.import_module(found.name)
        names.append(found.name)
        if found.ispkg:
            import_all(module)
import_all(mito_instance)
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


def test_every_command_is_a_tool():
    tools = {path.stem.replace("_", "-") for path in (ROOT / "tools").glob("*.py")}
    assert tools == set(COMMANDS)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.stem)
def test_help_of_scripts_comes_as_fast(tool):
    code = f"""
import runpy, sys
sys.argv = [{str(tool)!r}, "--help"]
try:
    runpy.run_path({str(tool)!r}, run_name="__main__")
except SystemExit as leave:
    if leave.code:
        raise
{REPORT}
"""
    help_text, report = run_code(code)
    assert "usage: " in help_text
    assert report["heavy"] == []
    assert report["cpu_s"] < START_LIMIT_S


LIGHT_WORK = {
    "check": ["check", "{folder}/truth.json"],
    "convert-masks": [
        "convert-masks", "--images", "{folder}/a.png", "--masks", "{folder}/mask.png",
        "-o", "{folder}/out.json",
    ],
    "dry-run": ["quantify", "{folder}/a.png", "--dry-run"],
    "export-roi": ["export-roi", "{folder}/truth.json", "-o", "{folder}/rois"],
    "measure": ["measure", "--coco", "{folder}/truth.json"],
}  # fmt: skip


@pytest.mark.parametrize("name", LIGHT_WORK)
def test_light_work_is_done_without_torch_and_plots(tmp_path, name):
    image = np.full((40, 50), 200, np.uint8)
    mask = np.zeros((40, 50), np.uint8)
    mask[5:20, 5:20] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    square = rle.encode(mask > 0)
    write_coco(
        tmp_path / "truth.json", [ImageInstances(str(tmp_path / "a.png"), (40, 50), (square,))]
    )
    words = [word.format(folder=tmp_path) for word in LIGHT_WORK[name]]
    code = f"""
from mito_instance.cli import main
if main({words!r}) != 0:
    raise SystemExit("failed")
{REPORT}
"""
    _, report = run_code(code)
    assert not {*HEAVY, "faster_coco_eval", "matplotlib", "pandas", "skimage"} & {*report["heavy"]}


def test_no_module_outside_detection_imports_torch():
    names, report = run_code(IMPORT_ALL_BUT_DETECTION)
    assert {"mito_instance.cli", "mito_instance.masks", "mito_instance.io"} <= set(names.split())
    assert not {*HEAVY} & {*report["heavy"]}


def test_the_check_sees_a_heavy_import():
    _, report = run_code(f"import sys\nsys.modules['torch'] = sys\n{REPORT}")
    assert report["heavy"] == ["torch"]


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.name)
def test_tools_can_be_imported_by_the_processes_that_they_start(path):
    code = path.read_text(encoding="utf-8")
    assert "SystemExit(" not in code or '\nif __name__ == "__main__":' in code
