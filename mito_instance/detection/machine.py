"""What the machine offers to the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from detectron2.config import CfgNode

from mito_instance.errors import ConfigError, is_out_of_memory

_FLAGS = ("amx_tile", "amx_bf16", "amx_int8", "avx512_bf16", "avx512f", "avx2")


def cpu_features() -> list[str]:
    """Instruction sets that decide how fast the network runs; what torch says where Linux does not.

    Returns:
        Such as ``["amx_bf16", "avx2"]``; ``["default"]`` where nothing is known.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        text = ""
    flags = set(text.split())
    return [flag for flag in _FLAGS if flag in flags] or [
        torch.backends.cpu.get_cpu_capability().lower()
    ]


def gpu_names() -> list[str]:
    """Name and memory of every GPU that torch sees; empty for none."""
    names = []
    for number in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(number)
        names.append(f"{properties.name}, {properties.total_memory / 1024**3:.0f} GiB")
    return names


def n_cpu_threads() -> int:
    """Threads that the network's arithmetic runs on."""
    return torch.get_num_threads()


@contextlib.contextmanager
def explained_out_of_memory(cfg: CfgNode, step: int) -> Iterator[None]:
    """A context in which too little memory is one line that says what to lower.

    Args:
        cfg: reads ``SOLVER.IMS_PER_BATCH`` and ``DATALOADER.NUM_WORKERS``.
        step: of the training that it is for, from 1.

    Raises:
        ConfigError: in place of the error of torch.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # What a reader raises itself begins with "Caught … in DataLoader worker process".
        if "dataloader worker (pid" in str(error).lower():
            raise ConfigError(
                f"DATALOADER.NUM_WORKERS {cfg.DATALOADER.NUM_WORKERS}: a process that reads images "
                f"ended at step {step}, mostly for lack of memory (in a container: of /dev/shm); "
                "lower it, 0 reads in the training's own process"
            ) from error
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH {cfg.SOLVER.IMS_PER_BATCH}: not enough memory at step "
            f"{step}; lower it, or MITO.AUGMENT.CROP_PX"
        ) from error
