"""Real ImageJ, headless, as judge of what our code reads and writes."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mito_instance.masks import rle

GOLDEN = Path(__file__).parent / "golden"
JARS = (Path("/usr/share/java/ij.jar"), Path("/usr/share/java/bsh.jar"))  # libij-java, bsh


@dataclass(frozen=True)
class ImageJMask:
    """An area ROI as ImageJ sees it; ``mask`` bool (H, W) with its corner at ``x``, ``y``."""

    file: int
    entry: str
    name: str
    kind: int
    position: int
    czt: tuple[int, int, int]
    group: int
    x: int
    y: int
    mask: np.ndarray


def has_imagej():
    """Whether Debian's ImageJ and BeanShell can be run here."""
    return shutil.which("java") is not None and all(jar.is_file() for jar in JARS)


def require_imagej():
    """Skip the test where ImageJ cannot be run."""
    if not has_imagej():
        pytest.skip("no ImageJ; run: apt-get install libij-java bsh")


def require_windows():
    """Skip the test where ImageJ's windows have no virtual display to open on."""
    require_imagej()
    if shutil.which("xvfb-run") is None:
        pytest.skip("no virtual display; run: apt-get install xvfb")


def run_script(name, *arguments, windows=False):
    """Run one of the scripts in the golden folder in ImageJ, with windows if it opens some."""
    command = ["xvfb-run", "-a", "java"] if windows else ["java", "-Djava.awt.headless=true"]
    command += ["-cp", ":".join(map(str, JARS))]
    command += ["bsh.Interpreter", str(GOLDEN / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr


def imagej_masks(files, folder):
    """Every area ROI of the files as ImageJ fills it; ``folder`` is for temporary files."""
    (folder / "list.txt").write_text("\n".join(map(str, files)) + "\n")
    run_script("imagej_masks.bsh", folder / "list.txt", folder / "masks.bin")
    data = (folder / "masks.bin").read_bytes()
    found, place = [], 0

    def take(form):
        nonlocal place
        values = struct.unpack_from(f">{form}", data, place)
        place += struct.calcsize(f">{form}")
        return values

    def text():
        nonlocal place
        (length,) = take("H")
        place += length
        return data[place - length : place].decode()

    while place < len(data):
        (file,) = take("i")
        entry, name = text(), text()
        kind, position, c, z, t, group, x, y, width, height = take("10i")
        pixels = np.frombuffer(data, np.uint8, width * height, place).reshape(height, width)
        place += width * height
        found.append(
            ImageJMask(file, entry, name, kind, position, (c, z, t), group, x, y, pixels > 0)
        )
    return found


def area_rois(folder):
    """Every ROI file of a folder of any depth, by its name from there."""
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in (".roi", ".zip", ".tif"))
    return {path.relative_to(folder).as_posix(): path for path in files}


def pixels_of(item):
    """What the golden file keeps of an ROI: its box and the run lengths in it."""
    return [item.x, item.y, item.mask.shape[1], item.mask.shape[0], rle.encode(item.mask)["counts"]]


def judged(files):
    """Pixels of every area ROI of named files, in the order of the files, by ImageJ."""
    with tempfile.TemporaryDirectory() as folder:
        found = imagej_masks(list(files.values()), Path(folder))
    return {
        name: [pixels_of(item) for item in found if item.file == number]
        for number, name in enumerate(files)
    }


def stored(name):
    """The same from the golden file, where ImageJ cannot be run."""
    content = json.loads((GOLDEN / "imagej_masks.json").read_text())
    counts = content["counts"]
    return {
        file: [[*box, counts[number]] for *box, number in rois]
        for file, rois in content[name].items()
    }


def _store():
    """Write the golden files anew: python -m tests.imagej (from the root of the checkout)."""
    run_script("imagej_kinds.bsh", GOLDEN / "imagej_kinds.zip")
    root = Path(__file__).parents[1]
    shared = Path(os.environ.get("MITO_SHARED_DATA", root.parent / "shared" / "data"))
    sets = {
        "kinds": judged({"imagej_kinds.zip": GOLDEN / "imagej_kinds.zip"}),
        "shared": judged(area_rois(shared / "imagej_rois")),
    }
    counts = {}
    content = {
        name: {
            file: [[*box, counts.setdefault(text, len(counts))] for *box, text in rois]
            for file, rois in files.items()
        }
        for name, files in sets.items()
    }
    text = json.dumps({"counts": list(counts), **content}, separators=(",", ":"))
    (GOLDEN / "imagej_masks.json").write_text(text.replace("]],", "]],\n") + "\n")


if __name__ == "__main__":
    _store()
