"""Seconds of one micrograph through the networks that one would take instead of ours.

    python3 -m venv peers
    peers/bin/pip install torch torchvision 'cellpose<4' cztile dask zarr
    peers/bin/pip install --no-deps empanada-dl
    python benchmarks/bench_peers.py --python peers/bin/python --weights model.safetensors

One grey image of 768 x 1024 px, each network in a process of its own, in turns:

- ``mito R50``, ``mito shipped``: this project, image in, masks out;
- ``detectron2``: its own ``DefaultPredictor`` with the same R50-FPN;
- ``cellpose``: the network of Cellpose 3 (``CPnet``, cyto3's size) on its own tiles. Network only:
  random weights give no flow to follow to masks, which would take further time;
- ``mitonet``: empanada's PanopticDeepLab with PointRend (MitoNet's), and its instances.

The peers have random weights: their times hardly depend on them. What is not installed is left out
and named. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_predict import own_peak_mib
from record import spread

IMAGE_HW = (768, 1024)
CASES = ("mito R50", "mito shipped", "detectron2", "cellpose", "mitonet")
OURS = CASES[:3]

Image = Any
"""Grey uint8 array (H, W)."""


def main() -> None:
    """Start a process for each case and let them take turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="that of the peers")
    parser.add_argument("--weights", type=Path, help="of R50-FPN; random without it")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--output", type=Path, help="write the JSON here, too")
    parser.add_argument("--worker", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    if args.worker is not None:
        work(args.worker, args.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        result = measure(Path(name), args)
    text = json.dumps(result, indent=1)
    print(text)
    if args.output is not None:
        args.output.write_text(text + "\n", encoding="utf-8")


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Times of all cases, taken in turns."""
    from bench_predict import machine, micrograph, write_weights

    np.save(folder / "image.npy", micrograph())
    write_weights(folder / "weights.pth", args.weights)
    workers: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}
    for name in args.cases:
        worker = Worker(sys.executable if name in OURS else args.python, name, folder)
        said = worker.answer()
        if "error" in said:
            missing[name] = said["error"]
        else:
            workers[name], versions[name] = worker, said["version"]
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    peaks: dict[str, float] = {}
    for turn in range(args.runs + 1):
        for name, worker in workers.items():
            said = worker.run()
            if "error" in said:
                raise SystemExit(f"{name}: {said['error']}")
            peaks[name] = said["peak_mib"]
            if turn:  # the first run warms up
                seconds[name].append(said["seconds"])
    for worker in workers.values():
        worker.end()
    args.isa = None
    return {
        "image_hw": IMAGE_HW,
        "machine": machine(args),
        "missing": missing,
        "results": {
            name: {
                "version": versions[name],
                **spread(times),
                "peak_mib": round(peaks[name]),
            }
            for name, times in seconds.items()
        },
    }


class Worker:
    """A process that holds one network and predicts when told to.

    Args:
        python: its interpreter.
        name: the case.
        folder: where the image and the weights lie.
    """

    def __init__(self, python: str, name: str, folder: Path) -> None:
        command = [python, __file__, "--worker", name, "--folder", str(folder)]
        # Libraries print as they please: only lines that are JSON are answers.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def answer(self) -> dict[str, Any]:
        """The next thing that it says; an error if it ended."""
        for line in self._process.stdout or ():
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found
        return {"error": f"ended with {self._process.wait()}"}

    def run(self) -> dict[str, Any]:
        """Predict once; how long it took."""
        if self._process.stdin is not None:
            self._process.stdin.write(b"run\n")
            self._process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Let it go."""
        self._process.communicate()


def work(name: str, folder: Path) -> None:
    """Load one network; for each line of stdin, predict once."""
    image = np.load(folder / "image.npy")
    try:
        predict, version = load(name, folder)
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
        return
    print(json.dumps({"version": version}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        predict(image)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "peak_mib": own_peak_mib()}), flush=True)


def load(name: str, folder: Path) -> tuple[Callable[[Image], Any], str]:
    """The prediction of a case, and the version of what does it."""
    from importlib.metadata import version

    if name == "cellpose":
        return load_cellpose(), f"cellpose {version('cellpose')}"
    if name == "mitonet":
        return load_mitonet(), f"empanada-dl {version('empanada-dl')}"
    import bench_predict

    args = argparse.Namespace(device="cpu", isa=None)
    case = {"mito R50": "ours", "mito shipped": "shipped"}.get(name, name)
    package = "detectron2" if name == "detectron2" else "mito-instance"
    return bench_predict.load(case, folder, args), f"{package} {version(package)}"


def load_cellpose() -> Callable[[Image], Any]:
    """Cellpose's network with the channels of cyto3, in its own loop over tiles."""
    from cellpose import core, resnet_torch

    network = resnet_torch.CPnet([2, 32, 64, 128, 256], 3, sz=3).eval()

    def predict(image: Image) -> Any:
        pixels = np.stack([image, np.zeros_like(image)], axis=2).astype(np.float32) / 255
        return core.run_net(network, pixels[None])

    return predict


def load_mitonet() -> Callable[[Image], Any]:
    """MitoNet's architecture and the engine that turns its output to instances."""
    import torch
    from empanada.inference.engines import PanopticDeepLabEngine
    from empanada.models import PanopticDeepLabPR

    engine = PanopticDeepLabEngine(
        PanopticDeepLabPR(encoder="resnet50", num_classes=1), thing_list=[1]
    )

    @torch.inference_mode()
    def predict(image: Image) -> Any:
        return engine(torch.from_numpy(image)[None, None].float() / 255)

    return predict


if __name__ == "__main__":
    main()
