"""Writes docs/licences.md: every dependency with its licence, as its own metadata states it.

Run it with the Python of an environment that has all extras:

    .venv/bin/python docs/licences.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "licences.md"
GROUPS = {
    "LIGHT": "Converting, measuring, evaluating, drawing",
    "DETECTION": "Detection and training",
    "DEV": "Development and tests",
}
OF_LICENCE_FILE = {  # where the metadata are silent or speak in sentences
    "cuda-toolkit": "NVIDIA proprietary",
    "detectron2": "Apache-2.0",
    "faster-coco-eval": "Apache-2.0",
    "fvcore": "Apache-2.0",
    "iopath": "MIT",
    "kiwisolver": "BSD-3-Clause",
    "matplotlib": "PSF-based (matplotlib licence)",
    "scikit-image": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
}
INTRODUCTION = """\
# Licences of the dependencies

mito-instance itself is Apache-2.0. Its dependencies, with the versions that were tested and the
licence that each states; written by `docs/licences.py`. None of them binds what is made with it.
The parts of CUDA that PyTorch brings are NVIDIA's own, free of charge, and are not needed on a
CPU. The model in the package has terms of its own: see its
[card](../mito_instance/models/mask_rcnn_light/MODEL_CARD.md).
"""


def main() -> None:
    """Write the list."""
    lines = [INTRODUCTION]
    listed: set[str] = set()
    for group, title in GROUPS.items():
        names = {normalised(requirement) for requirement in requirements(group)}
        if group == "DETECTION":
            names.add("detectron2")
        lines += [f"## {title}", "", *_table(names - listed)]
        listed |= names
    brought = closure(listed) - listed - {"mito-instance"}
    lines += ["## What these bring", "", *_table(brought)]
    OUTPUT.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def requirements(group: str) -> list[str]:
    """What setup.py lists under a name."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == group:
            return list(ast.literal_eval(node.value))
    raise ValueError(f"setup.py has no list {group}")


def normalised(requirement: str) -> str:
    """The name of a requirement, as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", Requirement(requirement).name).lower()


def closure(names: Iterable[str]) -> set[str]:
    """The names and all that they need here, as far as it is installed."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        for text in needed:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(normalised(text))
    return found


def licence(name: str) -> str:
    """The licence of an installed package."""
    if name in OF_LICENCE_FILE:
        return OF_LICENCE_FILE[name]
    stated = metadata.metadata(name)
    expression = stated.get("License-Expression")
    if expression:
        return expression
    classes = [
        text.rsplit("::", 1)[1].strip()
        for text in stated.get_all("Classifier", [])
        if text.startswith("License :: ")
    ]
    text = (stated.get("License") or "").splitlines()
    if classes:
        return ", ".join(classes)
    return text[0] if len(text) == 1 else "not stated"


def _table(names: Iterable[str]) -> list[str]:
    rows = [f"| {name} | {metadata.version(name)} | {licence(name)} |" for name in sorted(names)]
    return ["| package | version | licence |", "|---|---|---|", *rows, ""]


if __name__ == "__main__":
    main()
