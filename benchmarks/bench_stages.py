"""Where the seconds of one prediction go, stage by stage, and how far each is from the machine.

    python benchmarks/bench_stages.py [--weights MODEL_FOLDER]      (default: the shipped model)

One micrograph of 768 x 1024 px. For each stage of the network: mean milliseconds, the floating
point operations of its convolutions and matrix products, and the floor: these operations over the
speed that the machine reached in this run on a large matrix product. Prints one JSON
object. Stages that compute little (sorting, suppression, pooling) have a floor of next to nothing:
there, memory and overhead cost the time.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bench_predict import IMAGE_HW, PACKAGES, machine, micrograph
from record import spread, versions
from torch.utils.flop_counter import FlopCounterMode

RUNS = 9
MATRIX_PX = 2048
COPY_BYTES = 1 << 28


def main() -> None:
    """Measure the machine, then the stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--output", type=Path, help="write the JSON here, too")
    args = parser.parse_args()
    args.isa = None
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    peak = {name: matrix_gflops(kind) for name, kind in KINDS.items()}
    result = {
        "image_hw": IMAGE_HW,
        "machine": machine(args),
        "versions": versions(PACKAGES),
        "matrix_gflop_per_s": {name: round(value) for name, value in peak.items()},
        "copy_gb_per_s": round(copy_gb_per_s(), 1),
        **stages(args.weights, peak),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n", encoding="utf-8")


KINDS = {"bf16": torch.bfloat16, "fp32": torch.float32}


def matrix_gflops(kind: torch.dtype) -> float:
    """Speed of the best of some large matrix products."""
    a, b = (torch.randn(MATRIX_PX, MATRIX_PX).to(kind) for _ in range(2))
    return 2 * MATRIX_PX**3 / best(lambda: a @ b) / 1e9


def copy_gb_per_s() -> float:
    """Bytes read and written a second in the best of some large copies."""
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / best(lambda: target.copy_(source)) / 1e9


def best(work: Callable[[], Any]) -> float:
    """Least seconds of some runs."""
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def stages(weights: Path | None, peak: dict[str, float]) -> dict[str, Any]:
    """Seconds and operations of each part of the network, and of the whole prediction."""
    from mito_instance.detection.predictor import load_predictor

    predictor = load_predictor(weights)
    image = predictor.prepare(micrograph())
    parts = timed_parts(predictor.network)
    seconds: dict[str, list[float]] = defaultdict(list)
    for name, (module, method) in parts.items():
        clocked(module, method, seconds[name])
    whole: list[float] = []
    predictor.predict([image], predictor.score_threshold)
    for times in seconds.values():
        times.clear()
    for _ in range(RUNS):
        start = time.perf_counter()
        predictor.predict([image], predictor.score_threshold)
        whole.append(time.perf_counter() - start)
    middle = {name: sum(times) / RUNS for name, times in seconds.items()}
    operations = count_operations(predictor, image, parts)
    for values in (middle, operations):
        values["pyramid"] -= values["backbone, bottom up"]
    total = statistics.mean(whole)
    kind = predictor.record()["precision"]
    table = {
        name: {
            "ms": round(1000 * value, 1),
            "share": round(value / total, 3),
            "gflop": round(operations[name] / 1e9, 2),
            "floor_ms": round(operations[name] / peak[kind] / 1e6, 1),
        }
        for name, value in middle.items()
    }
    rest = total - sum(middle.values())
    table["the rest"] = {"ms": round(1000 * rest, 1), "share": round(rest / total, 3)}
    return {
        "weights": "shipped" if weights is None else weights.name,
        "precision": kind,
        "ms": round(1000 * total, 1),
        "whole": spread(whole),
        "gflop": round(operations["whole"] / 1e9, 1),
        "floor_ms": round(operations["whole"] / peak[kind] / 1e6, 1),
        "stages": table,
    }


def timed_parts(network: Any) -> dict[str, tuple[Any, str]]:
    """The stages by name: disjoint, in the order of the computation."""
    heads = network.roi_heads
    parts = {
        "backbone, bottom up": (network.backbone.bottom_up, "forward"),
        "pyramid": (network.backbone, "forward"),  # what is inside it is taken off later
        "proposals: head": (network.proposal_generator.rpn_head, "forward"),
        "proposals: choice": (network.proposal_generator, "predict_proposals"),
        "boxes: pooling": (heads.box_pooler, "forward"),
        "boxes: head": (heads.box_head, "forward"),
        "boxes: choice": (heads.box_predictor, "inference"),
        "masks: pooling": (heads.mask_pooler, "forward"),
        "masks: head": (heads.mask_head, "forward"),
    }
    if getattr(network, "foreground", None) is not None:
        parts["foreground map"] = (network.foreground, "forward")
        parts["foreground: scores and masks"] = (network.foreground, "judge")
    return parts


def clocked(module: Any, method: str, seconds: list[float]) -> None:
    """Have a method note how long it takes."""
    original = getattr(module, method)

    def timed(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        found = original(*args, **options)
        seconds.append(time.perf_counter() - start)
        return found

    setattr(module, method, timed)


def count_operations(
    predictor: Any, image: Any, parts: dict[str, tuple[Any, str]]
) -> dict[str, float]:
    """Operations of convolutions and matrix products in each part and in the whole."""
    found = dict.fromkeys(parts, 0.0)
    for name, (module, method) in parts.items():
        counted(module, method, found, name)
    with FlopCounterMode(display=False) as counter:
        predictor.predict([image], predictor.score_threshold)
        found["whole"] = float(counter.get_total_flops())
    return found


def counted(module: Any, method: str, found: dict[str, float], name: str) -> None:
    """Have a method note its operations."""
    original = getattr(module, method)

    def counting(*args: Any, **options: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = original(*args, **options)
        found[name] += float(counter.get_total_flops())
        return result

    setattr(module, method, counting)


if __name__ == "__main__":
    main()
