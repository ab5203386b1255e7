"""Find, count and measure every single mitochondrion in electron micrographs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mito_instance.api import Quantification, load_model, quantify

__version__ = "0.1.0"

__all__ = ["Quantification", "__version__", "load_model", "quantify"]


def __getattr__(name: str) -> Any:
    """What the package offers at its top, imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("mito_instance.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
