"""The commands: ``mito NAME`` is the same as ``tools/NAME.py``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from mito_instance import __version__

COMMANDS = {
    "convert-masks": "mask images to COCO JSON",
    "convert-polygons": "Labelme and YOLO polygons to COCO JSON",
    "convert-roi": "ImageJ ROI files to COCO JSON",
    "export-roi": "COCO JSON to ImageJ ROI zips, to correct in Fiji",
    "finetune": "adapt a model to a few outlined images",
    "preview": "what a training would see: augmented crops on one sheet",
    "train-net": "train or evaluate a model",
    "quantify": "count and measure mitochondria in micrographs",
    "measure": "count and measure mitochondria that are outlined already",
    "evaluate": "compare predictions with the truth",
    "compare": "differences between evaluations of several predictions",
    "check": "problems of a COCO JSON, and their repair",
    "split": "a COCO JSON to training, validation and test parts",
    "demo": "the whole way on a few synthetic micrographs",
    "selftest": "whether this installation works",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command's name and its arguments; by default those of the process.

    Returns:
        The command's exit code; 2 for an unknown command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    name = words[0].replace("_", "-") if words else "--help"
    if name in {"-h", "--help", "help"}:
        print(_usage())
        return 0
    if name == "--version":
        print(f"mito-instance {__version__}")
        return 0
    if name not in COMMANDS:
        print(
            f"error: {words[0]}: no such command; known are {', '.join(COMMANDS)}",
            file=sys.stderr,
        )
        return 2
    # Loaded only now: a converter must not wait for the libraries of the detector.
    module = importlib.import_module(f"mito_instance.cli.{name.replace('-', '_')}")
    status: int = module.main(words[1:])
    return status


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: mito COMMAND …   (mito COMMAND --help explains one)", "", "commands:", *lines]
    )
