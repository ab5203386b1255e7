"""Where and in which arithmetic the network runs: device, autocast and memory format."""

from __future__ import annotations

import contextlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch

from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)

_ARCHITECTURE = re.compile(r"(sm|compute)_([0-9]+)([0-9])[a-z]?")

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def choose_device(requested: str) -> str:
    """Device name for ``MODEL.DEVICE``.

    Args:
        requested: ``"auto"`` (a GPU when there is one), or any torch device name.

    Raises:
        ConfigError: if a GPU is asked for by name or number that is not there, or torch knows no
            such device.
    """
    if requested == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        if gpu_is_supported("cuda"):
            return "cuda"
        logger.warning(
            "the GPU is not used: torch %s holds nothing for it; install one that does (README)",
            torch.__version__,
        )
        return "cpu"
    if requested.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE: {requested!r} asked for, but torch {torch.__version__} sees no GPU; "
            "use MODEL.DEVICE auto or cpu"
        )
    try:
        device = torch.device(requested)
    except RuntimeError as error:
        raise ConfigError(
            f"MODEL.DEVICE: must be auto, cpu, cuda or cuda:NUMBER, got {requested!r}"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"MODEL.DEVICE: {requested!r} asked for, but torch sees {torch.cuda.device_count()} "
            "GPUs, numbered from 0; use MODEL.DEVICE auto"
        )
    if device.type == "cuda" and not gpu_is_supported(requested):
        raise ConfigError(
            f"MODEL.DEVICE: {requested!r} asked for, but torch {torch.__version__} holds nothing "
            "for this GPU; install a torch that does, or use MODEL.DEVICE cpu"
        )
    return requested


def gpu_is_supported(device: str) -> bool:
    """Whether this torch was built for a GPU; another one is seen, but computes nothing.

    Args:
        device: ``"cuda"`` or ``"cuda:1"``.
    """
    named = map(_ARCHITECTURE.fullmatch, torch.cuda.get_arch_list())
    built = [(one[1], int(one[2]), int(one[3])) for one in named if one]
    if torch.version.hip or not built:
        return True
    major, minor = torch.cuda.get_device_capability(torch.device(device))
    return any(
        # Code of a minor version runs on later ones of its major; what is compiled later, on all.
        (major, minor) >= (its_major, its_minor) and (major == its_major or kind == "compute")
        for kind, its_major, its_minor in built
    )


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16).

    Elsewhere bf16 on the CPU is slower than fp32. False where it cannot be found out.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def gpu_has_bf16(device: str) -> bool:
    """Whether a GPU multiplies bfloat16 matrices in hardware.

    ``torch.cuda.is_bf16_supported`` counts emulation as well, which NVIDIA's GPUs below compute
    capability 8.0 resort to.

    Args:
        device: ``"cuda"`` or ``"cuda:1"``.
    """
    if torch.version.hip:
        return bool(torch.cuda.is_bf16_supported())
    return torch.cuda.get_device_capability(torch.device(device))[0] >= 8


@dataclass(frozen=True, slots=True)
class Precision:
    """Arithmetic of the network's forward pass on one device.

    Args:
        device_type: ``"cpu"`` or ``"cuda"``.
        dtype: autocast dtype, or None for plain fp32.
    """

    device_type: str
    dtype: torch.dtype | None

    @classmethod
    def choose(cls, requested: str, device: str) -> Precision:
        """The fastest safe arithmetic of a device, or the one asked for.

        Args:
            requested: one of ``PRECISIONS``; ``"auto"`` takes bf16 where the hardware has it,
                else fp16 on a GPU, else fp32.
            device: torch device name.

        Raises:
            ConfigError: for another word, or fp16 on a CPU.
        """
        device_type = device.split(":")[0]
        if requested not in PRECISIONS:
            raise ConfigError(
                f"MITO.PRECISION: must be one of {', '.join(PRECISIONS)}, got {requested!r}"
            )
        if requested == "fp16" and device_type == "cpu":
            raise ConfigError("MITO.PRECISION: fp16 needs a GPU; use auto, bf16 or fp32 on a CPU")
        if requested == "auto":
            if device_type == "cuda":
                requested = "bf16" if gpu_has_bf16(device) else "fp16"
            else:
                requested = "bf16" if device_type == "cpu" and cpu_has_bf16() else "fp32"
        dtypes = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
        return cls(device_type, dtypes[requested])

    @property
    def needs_loss_scaling(self) -> bool:
        """Whether gradients underflow without a scaler (fp16 only)."""
        return self.dtype is torch.float16

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """A context for ONE forward pass.

        Autocast keeps the casted weights until its context ends: around a whole training
        loop, the network would go on computing with the weights of the first step.
        """
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device_type, dtype=self.dtype)

    @property
    def name(self) -> str:
        """Short name for logs and run records."""
        return {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]
