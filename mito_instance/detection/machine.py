"""What the machine offers to the network."""

from __future__ import annotations

from pathlib import Path

import torch

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
