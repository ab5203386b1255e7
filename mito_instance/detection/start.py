"""Start of the detector's libraries without torch's compiler, which prediction does not use."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo.utils"


class _Compiler(ModuleType):
    """Stands in for `torch._dynamo.utils` and loads it when anything of it is used."""

    def __getattr__(self, name: str) -> Any:
        """What the module has under this name; the one function that torchvision imports waits."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _is_compile_supported if name == "is_compile_supported" else _of_compiler(name)


def import_quickly() -> None:
    """Import torchvision and Detectron2's layers; torch's compiler only if something compiles.

    Loading the compiler takes as long as loading all the rest of torch. torchvision imports it
    for one function, which it calls for deterministic pooling only; Detectron2 asks it before
    each convolution whether it is at work. Afterwards, all is as an ordinary import leaves it,
    but Detectron2 asks torch's public function instead, which has the same answer.
    """
    if "torchvision" not in sys.modules and _COMPILER not in sys.modules:
        stand_in = _Compiler(_COMPILER)
        sys.modules[_COMPILER] = stand_in
        try:
            importlib.import_module("torchvision")
        finally:
            if sys.modules.get(_COMPILER) is stand_in:
                del sys.modules[_COMPILER]
    wrappers: Any = importlib.import_module("detectron2.layers.wrappers")
    compiler: Any = importlib.import_module("torch.compiler")
    if hasattr(wrappers, "check_if_dynamo_compiling"):
        wrappers.check_if_dynamo_compiling = compiler.is_dynamo_compiling


def _is_compile_supported(*args: Any, **kwargs: Any) -> Any:
    """Torch's function of this name."""
    return _of_compiler("is_compile_supported")(*args, **kwargs)


def _of_compiler(name: str) -> Any:
    """A name of the real module."""
    if isinstance(sys.modules.get(_COMPILER), _Compiler):
        del sys.modules[_COMPILER]
    return getattr(importlib.import_module(_COMPILER), name)
