"""Seconds and memory of one prediction, against Detectron2's own way and torchvision's.

    python benchmarks/bench_predict.py --weights backbone_or_model.pkl
    python benchmarks/bench_predict.py --isa avx2      as on a processor without AMX and AVX-512

One grey micrograph of 768 x 1024 px through Mask R-CNN with a ResNet-50 feature pyramid:

- ``ours``: this project's predictor, in the arithmetic that it chooses, then in fp32;
- ``detectron2``: ``DefaultPredictor``, as Detectron2's documentation shows it, the same weights;
- ``torchvision``: ``maskrcnn_resnet50_fpn``, random weights, as many boxes and classes;
- ``shipped``: the model in the package, in the arithmetic that it chooses.

None of them resizes the image; each keeps at most 100 detections. Without ``--weights``, random
weights are used, which find much: the mask head then works at its limit. Cases take turns in one
run, so that other work on the machine disturbs all alike; the peak memory of each is measured in a
process of its own. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from record import processor

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "configs" / "mask_rcnn_R_50_FPN.yaml"
IMAGE_HW = (768, 1024)
MAX_DETECTIONS = 100
MIN_SCORE = 0.05
CASES = ("ours", "ours fp32", "detectron2", "torchvision", "shipped")
PACKAGES = ("torch", "torchvision", "detectron2", "numpy", "mito-instance")

Image = npt.NDArray[np.uint8]
Predict = Callable[[Image], int]
"""Takes a grey image and returns the number of detections."""


def main() -> None:
    """Measure, here or in a process that sees an older processor."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="what Detectron2 can load; a backbone will do")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--isa", choices=("avx2", "avx512"), help="hide all newer instructions")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="write the JSON here, too")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    if args.isa and "MITO_BENCH_ISA" not in os.environ:
        isa = {"avx2": ("AVX2", "avx2"), "avx512": ("AVX512_CORE", "avx512")}[args.isa]
        hidden = {"ONEDNN_MAX_CPU_ISA": isa[0], "ATEN_CPU_CAPABILITY": isa[1]}
        environment = {**os.environ, **hidden, "MITO_BENCH_ISA": args.isa}
        raise SystemExit(subprocess.run([sys.executable, *sys.argv], env=environment).returncode)
    if args.peak is not None:
        predict = load(args.peak, args.folder, args)
        for _ in range(2):
            predict(micrograph())
        print(own_peak_mib())
        return
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), args)
    text = json.dumps(result, indent=1)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n", encoding="utf-8")


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Times of all cases, taken in turns, and their peak memory."""
    write_weights(folder / "weights.pth", args.weights)
    image = micrograph()
    cases = {name: load(name, folder, args) for name in args.cases}
    found = {name: predict(image) for name, predict in cases.items()}  # also warms up
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(args.runs):
        for name, predict in cases.items():
            start = time.perf_counter()
            predict(image)
            seconds[name].append(time.perf_counter() - start)
    results = {
        name: {
            "seconds_median": round(statistics.median(times), 4),
            "seconds_min": round(min(times), 4),
            "seconds_max": round(max(times), 4),
            "seconds": [round(value, 4) for value in times],
            "n_detections": found[name],
            "peak_mib": round(peak_mib(name, folder, args)),
        }
        for name, times in seconds.items()
    }
    return {
        "image_hw": IMAGE_HW,
        "weights": "random" if args.weights is None else args.weights.name,
        "device": args.device,
        "machine": machine(args),
        "versions": {name: version(name) for name in PACKAGES},
        "results": results,
    }


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """What the times depend on."""
    import torch

    from mito_instance.detection.machine import cpu_features, gpu_names

    return {
        "processor": processor(),
        "features": cpu_features(),
        "hidden_beyond": args.isa,
        "threads": torch.get_num_threads(),
        "gpus": gpu_names(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def micrograph() -> Image:
    """The same synthetic image in every process."""
    from mito_instance.synthetic import make_micrograph

    return make_micrograph(np.random.default_rng(0), IMAGE_HW).image


def plain_config(weights: Path, device: str) -> Any:
    """The recipe with Detectron2's own network, which takes the same weights."""
    from mito_instance.detection.config import load_config

    cfg = load_config(RECIPE, ["MODEL.DEVICE", device]).clone()
    cfg.defrost()
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "RPN"
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 1000
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = MIN_SCORE
    cfg.MODEL.WEIGHTS = str(weights)
    cfg.TEST.DETECTIONS_PER_IMAGE = MAX_DETECTIONS
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = IMAGE_HW
    return cfg


def write_weights(path: Path, given: Path | None) -> None:
    """All weights of the recipe's network: random, then what the given file has."""
    import torch
    from detectron2.modeling import build_model

    from mito_instance.detection.weights import SafeCheckpointer

    torch.manual_seed(0)
    network = build_model(plain_config(path, "cpu"))
    if given is not None:
        SafeCheckpointer(network).load(str(given))
    torch.save({"model": network.state_dict()}, path)


def write_recipe(path: Path) -> None:
    """The recipe without its foreground map, which Detectron2's own network does not have."""
    content = f'_BASE_: "{RECIPE}"\nMITO:\n  FOREGROUND:\n    ENABLED: False\n'
    path.write_text(content, encoding="utf-8")


def load(name: str, folder: Path, args: argparse.Namespace) -> Predict:
    """The predictor of a case."""
    if name == "detectron2":
        return load_detectron2(folder / "weights.pth", args.device)
    if name == "torchvision":
        return load_torchvision(args.device)
    return load_ours(name, folder / "weights.pth", args)


def load_ours(name: str, weights: Path, args: argparse.Namespace) -> Predict:
    """Our predictor with the recipe, or the model in the package."""
    from mito_instance.detection.predictor import load_predictor

    words = ["MODEL.DEVICE", args.device, "TEST.DETECTIONS_PER_IMAGE", str(MAX_DETECTIONS)]
    words += ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", str(MIN_SCORE)]
    # The choice of arithmetic looks at the processor, which cannot be hidden from it.
    if name == "ours fp32" or args.isa:
        words += ["MITO.PRECISION", "fp32"]
    recipe = weights.with_name("recipe.yaml")
    write_recipe(recipe)
    given = (None, None) if name == "shipped" else (weights, recipe)
    predictor = load_predictor(*given, words)

    def predict(image: Image) -> int:
        (found,) = predictor.predict([predictor.prepare(image)], MIN_SCORE)
        return len(found)

    return predict


def load_detectron2(weights: Path, device: str) -> Predict:
    """Detectron2's own predictor: a colour image in, masks of the image's size out."""
    from detectron2.engine import DefaultPredictor

    predictor = DefaultPredictor(plain_config(weights, device))

    def predict(image: Image) -> int:
        return len(predictor(np.repeat(image[:, :, None], 3, axis=2))["instances"].to("cpu"))

    return predict


def load_torchvision(device: str) -> Predict:
    """Torchvision's Mask R-CNN, as its documentation shows it."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    network = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=2,
        min_size=IMAGE_HW[0], max_size=IMAGE_HW[1],
        box_detections_per_img=MAX_DETECTIONS, box_score_thresh=MIN_SCORE,
    ).eval().to(device)  # fmt: skip

    @torch.inference_mode()
    def predict(image: Image) -> int:
        pixels = torch.from_numpy(image).to(device).float()[None].expand(3, -1, -1) / 255
        return len(network([pixels])[0]["masks"].cpu())

    return predict


def own_peak_mib() -> float:
    """Largest resident memory of this process (Linux): ``ru_maxrss`` has the parent's in it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def peak_mib(name: str, folder: Path, args: argparse.Namespace) -> float:
    """Peak memory in MiB of a process that does nothing but two predictions."""
    command = [sys.executable, __file__, "--peak", name, "--folder", str(folder)]
    command += ["--device", args.device, *(["--isa", args.isa] if args.isa else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
