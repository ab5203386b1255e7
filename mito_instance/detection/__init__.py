"""Mask R-CNN on Detectron2: config, data, training and prediction."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec

from mito_instance.errors import MissingDependencyError

# Detectron2, fvcore and torch speak of their own future to users who can do nothing about it.
warnings.filterwarnings("ignore", message=r"`torch\.jit\.script` is deprecated")
logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")


def require_detectron2() -> None:
    """Check that the detector's libraries are installed, without importing them.

    Raises:
        MissingDependencyError: says what to install and how.
    """
    for package, remedy in (
        ("torch", "pip install torch torchvision"),
        ("torchvision", "pip install torchvision"),
        ("detectron2", "pip install ./third_party/detectron2 in a clone of mito-instance"),
    ):
        if find_spec(package) is None:
            raise MissingDependencyError(
                f"{package}: this command needs it, and it is not installed; "
                f"run `make setup`, or {remedy}"
            )
