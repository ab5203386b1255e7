"""Mutated ROI files and zips give ROIs, records of damage or our own errors; nothing else."""

from __future__ import annotations

import contextlib
import io
import random
import warnings
import zipfile

import pytest

from mito_instance.errors import MitoInstanceError
from mito_instance.io.imagej_roi import SkippedRoi, decode_roi, read_rois
from mito_instance.masks.polygons import rasterise
from tests.imagej import GOLDEN

NASTY = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xc0\0\0", b"\x7f\x80\0\0", b"\0\0\0\0")


def mutated(data, rng):
    """The data with one to sixteen bytes changed, cut, inserted or copied, mostly in the header."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        if not changed:
            break
        place = rng.randrange(min(len(changed), rng.choice([70, 70, 200, 10**9])))
        kind = rng.randrange(10)
        if kind < 5:
            changed[place] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        elif kind < 6:
            changed[place : place + 4] = rng.choice(NASTY)
        elif kind < 7:
            del changed[place:]
        elif kind < 8:
            del changed[place : place + rng.randrange(1, 9)]
        elif kind < 9:
            changed[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            other = rng.randrange(len(changed))
            changed[place : place + 8] = changed[other : other + 8]
    return bytes(changed)


def check(results):
    """Each result is a record of one line, or an ROI that can be filled or says why not."""
    for roi in results:
        if isinstance(roi, SkippedRoi):
            assert "\n" not in roi.reason
            continue
        with contextlib.suppress(MitoInstanceError):
            rasterise(roi.rings, (768, 1024), "x")


@pytest.fixture(scope="module")
def rois():
    with zipfile.ZipFile(GOLDEN / "imagej_kinds.zip") as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_mutated_rois(rois):
    rng = random.Random(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(1500):
            check([decode_roi(mutated(rng.choice(rois), rng), "x", "x.roi")])


def test_mutated_zips(rois, tmp_path):
    rng = random.Random(2)
    path = tmp_path / "a.zip"
    for _ in range(300):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", rng.choice([0, 8])) as archive:
            for number in range(3):
                archive.writestr(f"{number}.roi", rng.choice(rois))
        path.write_bytes(mutated(buffer.getvalue(), rng))
        with contextlib.suppress(MitoInstanceError):
            check(read_rois(path))
