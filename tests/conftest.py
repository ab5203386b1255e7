"""What all tests share: the optional real data, and skips that say what is missing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# A slow first import or a busy machine is no defect: no example is timed.
settings.register_profile("mito", deadline=None)
settings.load_profile("mito")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real micrographs and ROI files; tests that need it are skipped without it."""
    folder = Path(os.environ.get("MITO_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MITO_SHARED_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def detectron2() -> ModuleType:
    """Detectron2, for tests that build or run a network."""
    pytest.importorskip("torch", reason="torch is not installed; run `make setup`")
    return pytest.importorskip("detectron2", reason="Detectron2 is missing; run `make setup`")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` where no CUDA device is to be had."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not _has_cuda():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _has_cuda() -> bool:
    try:
        import torch  # only here: most test runs need no torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, also where this process was started in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
