r"""Seconds of a training step on this CPU in bf16 and in fp32, the cases in turns.

    python benchmarks/bench_train_step.py configs/mask_rcnn_light.yaml configs/semantic/unet2d.yaml

A step is that of ``mito train-net``: losses, gradients, clipping and the optimizer. It starts from
the weights that the config names, at a learning rate that hardly moves them. All cases see the same
crops of synthetic micrographs, which are made beforehand. Prints one JSON object. Where the
processor has no units for bf16, ``mito train-net`` stays in fp32, and bf16 is slower.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from record import in_turns, machine, ratio_of_medians, spread, versions

from mito_instance.detection.config import load_config
from mito_instance.detection.data import load_records
from mito_instance.detection.loader import build_train_loader
from mito_instance.detection.model import build_network
from mito_instance.detection.optimizer import build_optimizer
from mito_instance.detection.precision import cpu_has_bf16
from mito_instance.detection.weights import SafeCheckpointer
from mito_instance.synthetic import write_dataset

LIGHT = Path(__file__).parents[1] / "configs" / "mask_rcnn_light.yaml"
N_BATCHES = 3
RUNS = 9
KINDS = ("fp32", "bf16")


def stepping(cfg: Any, batches: list[Any]) -> Callable[[], None]:
    """One step of a network in Detectron2's loop, over the batches in turn."""
    network = build_network(cfg).train()
    if cfg.MODEL.WEIGHTS:
        SafeCheckpointer(network).load(cfg.MODEL.WEIGHTS)
    loop = SimpleTrainer(network, itertools.cycle(batches), build_optimizer(cfg, network))
    step: Callable[[], None] = loop.run_step
    return step


def measure(config: Path, data: Path, words: list[str], runs: int) -> dict[str, Any]:
    """Both kinds of arithmetic on one config."""
    fixed = ["DATASETS.TRAIN", f"('{data}',)", "MODEL.DEVICE", "cpu", "SOLVER.BASE_LR", "1e-6"]
    cfgs = {kind: load_config(config, [*fixed, *words, "MITO.PRECISION", kind]) for kind in KINDS}
    cfg = cfgs["fp32"]
    loader = build_train_loader(cfg, load_records(cfg.DATASETS.TRAIN, cfg), seed=0)
    batches = list(itertools.islice(loader, N_BATCHES))
    with EventStorage():
        seconds = in_turns({kind: stepping(cfgs[kind], batches) for kind in KINDS}, runs)
    return {
        "batch": cfg.SOLVER.IMS_PER_BATCH,
        "crop_px": cfg.MITO.AUGMENT.CROP_PX,
        **{kind: spread(seconds[kind]) for kind in KINDS},
        "bf16_speedup": ratio_of_medians(seconds["fp32"], seconds["bf16"]),
    }


def main() -> None:
    """Draw synthetic micrographs, and measure every config on them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", type=Path, nargs="*", default=[LIGHT])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    args = parser.parse_args()
    words = [word for pair in args.set for word in pair]
    with tempfile.TemporaryDirectory() as folder:
        data = write_dataset(Path(folder), 2, seed=0)
        cases = {path.name: measure(path, data, words, args.runs) for path in args.configs}
    told = {"machine": machine(), "cpu_has_bf16": cpu_has_bf16()}
    print(json.dumps({**told, "versions": versions(("torch",)), "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
