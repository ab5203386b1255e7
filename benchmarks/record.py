"""What every benchmark notes: the machine, versions, the median and spread of runs, peak memory."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RUNS = 5
PACKAGES = (
    *("mito-instance", "numpy", "scipy", "opencv-python-headless", "scikit-image", "tifffile"),
    *("imagecodecs", "pycocotools", "faster-coco-eval", "roifile"),
)

_COMMAND = """
import sys
from mito_instance.cli import main
status = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(line.split()[1], file=sys.stderr)
sys.exit(status)
"""


def machine() -> dict[str, Any]:
    """What the times of everything but the network depend on."""
    return {
        "processor": processor(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    """Its name and number of cores, as Linux knows them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Version of each package that is installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """Median, least and most of the runs, and each of them."""
    return {
        "seconds_median": round(statistics.median(seconds), 4),
        "seconds_min": round(min(seconds), 4),
        "seconds_max": round(max(seconds), 4),
        "seconds": [round(value, 4) for value in seconds],
    }


def in_turns(cases: Mapping[str, Callable[[], Any]], runs: int = RUNS) -> dict[str, list[float]]:
    """Seconds of each run of each case; other work on the machine disturbs all alike.

    Args:
        cases: what to run, by name; each runs once before it is timed.
        runs: how often.
    """
    for work in cases.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, work in cases.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio_of_medians(peer: Sequence[float], ours: Sequence[float]) -> float:
    """How many times faster ours is."""
    return round(statistics.median(peer) / statistics.median(ours), 2)


def run_mito(words: Sequence[str | Path]) -> tuple[float, float, str]:
    """A command of ``mito`` in a process of its own.

    Returns:
        Wall seconds with the start, its own peak memory in MiB, the last line of its stderr.
    """
    command = [sys.executable, "-c", _COMMAND, *map(str, words)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    *said, peak_kib = done.stderr.splitlines()
    return seconds, int(peak_kib) / 1024, said[-1] if said else ""


def repeat_mito(words: Sequence[str | Path], runs: int = RUNS) -> dict[str, Any]:
    """`run_mito` some times: median and spread, the largest peak memory, and what it said last."""
    done = [run_mito(words) for _ in range(runs)]
    return {
        **spread([seconds for seconds, _, _ in done]),
        "peak_mib": round(max(peak for _, peak, _ in done)),
        "summary": done[-1][2].split(": ", 1)[-1],
    }
