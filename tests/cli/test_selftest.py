"""The check of an installation: right models pass, broken ones and missing parts do not."""

from dataclasses import replace

import numpy as np
import pytest

from mito_instance.cli import selftest
from mito_instance.errors import MissingDependencyError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.synthetic import make_micrograph

HW = (100, 200)


def squares(count, edge=10, shift=0):
    masks = [rle.place(np.ones((edge, edge), bool), shift + 15 * n, 5, HW) for n in range(count)]
    return ImageInstances("x", HW, tuple(masks))


@pytest.mark.parametrize(
    ("found", "good"),
    [
        pytest.param(squares(10), [True, True, True], id="the-truth"),
        pytest.param(squares(12), [True, True, True], id="two-more"),
        pytest.param(squares(0), [False, False, False], id="nothing"),
        pytest.param(squares(10, shift=8), [True, True, False], id="elsewhere"),
        pytest.param(squares(10, edge=6), [True, False, False], id="too-small"),
        pytest.param(squares(13, edge=9), [False, True, True], id="too-many"),
    ],
)
def test_tolerances(found, good):
    assert [check.is_good for check in selftest.result_checks(squares(10), found)] == good


class Oracle:
    """Knows the truth of the image of the selftest, or nothing."""

    score_threshold, pixel_size_nm, tile_px, tile_overlap_px = 0.5, None, 1024, 256

    def __init__(self, knows):
        truth = make_micrograph(np.random.default_rng(selftest.SEED)).instances
        self.truth = truth if knows else truth.select([])

    def prepare(self, pixels):
        return pixels

    def predict(self, tiles, min_score=0.0):
        return [replace(self.truth, scores=np.ones(len(self.truth))) for _ in tiles]

    def record(self):
        return {"device": "cpu", "precision": "fp32"}


@pytest.mark.parametrize(("knows", "status"), [(True, 0), (False, 1)])
def test_the_table_says_what_was_found(capsys, monkeypatch, knows, status):
    pytest.importorskip("torch")
    monkeypatch.setattr(selftest, "load_model", lambda _device: Oracle(knows))
    assert selftest.main([]) == status
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:1] == ["numpy"] for line in lines)
    assert "network runs on  cpu, fp32" in "\n".join(lines)
    assert lines[-1] == ("all is well" if knows else "failed: 3 of 6 checks")


def test_a_missing_library_is_named(capsys, monkeypatch):
    def missing(_device):
        raise MissingDependencyError("torch: this command needs it")

    monkeypatch.setattr(selftest, "load_model", missing)
    monkeypatch.setattr(selftest, "PACKAGES", ("numpy", "no-such-package"))
    assert selftest.main([]) == 1
    text = capsys.readouterr().out
    assert "no-such-package  not installed" in text
    assert "failed: no prediction is possible: torch: this command needs it" in text


@pytest.mark.acceptance
def test_the_model_in_the_package_passes(capsys):
    pytest.importorskip("detectron2")
    assert selftest.main(["--device", "cpu"]) == 0, capsys.readouterr().out
    assert "all is well" in capsys.readouterr().out
