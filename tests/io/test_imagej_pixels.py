"""Area ROIs cover the very pixels that ImageJ fills: 0 px of difference, without exception."""

from __future__ import annotations

import numpy as np
import pytest

from mito_instance.io.imagej_roi import ImageJRoi, read_rois
from mito_instance.masks import rle
from mito_instance.masks.polygons import fill
from tests.imagej import GOLDEN, area_rois, has_imagej, judged, stored

KINDS = {"imagej_kinds.zip": GOLDEN / "imagej_kinds.zip"}


def differences(files, expected):
    """ROIs whose pixels are not those of ImageJ, and the number compared."""
    different, n_compared = [], 0
    for name, path in files.items():
        rois = [roi for roi in read_rois(path) if isinstance(roi, ImageJRoi)]
        assert len(rois) == len(expected[name]), name
        for roi, (x, y, width, height, counts) in zip(rois, expected[name], strict=True):
            n_compared += 1
            corners = np.concatenate(roi.rings)
            left, top = np.minimum(np.floor(corners.min(axis=0)), (x, y)).astype(int) - 1
            right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1
            right, bottom = max(right, x + width), max(bottom, y + height)
            theirs = np.zeros((bottom - top, right - left), dtype=bool)
            mask = rle.decode({"size": [height, width], "counts": counts})
            theirs[y - top : y - top + height, x - left : x - left + width] = mask
            ours = fill(roi.rings, (int(left), int(top), theirs.shape[1], theirs.shape[0]))
            if (ours != theirs).any():
                different.append(f"{roi.source} {roi.name}: {int((ours != theirs).sum())} px")
    return different, n_compared


def test_every_kind_against_stored_results():
    assert differences(KINDS, stored("kinds")) == ([], 188)


@pytest.mark.skipif(not has_imagej(), reason="no ImageJ; run: apt-get install libij-java bsh")
def test_every_kind_against_imagej_itself():
    assert differences(KINDS, judged(KINDS)) == ([], 188)


@pytest.mark.acceptance
def test_real_files(shared_data):
    files = area_rois(shared_data / "imagej_rois")
    expected = judged(files) if has_imagej() else stored("shared")
    different, n_compared = differences(files, expected)
    assert different == []
    assert n_compared > 400
    if has_imagej():
        assert expected == stored("shared")  # the stored results are still those of ImageJ
