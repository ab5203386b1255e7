"""Training in several processes, one a GPU, on one machine or more."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any

import torch
from detectron2.engine import launch
from detectron2.utils import comm
from torch import nn
from torch.multiprocessing.spawn import ProcessException

from mito_instance.errors import ConfigError

_PATIENCE = timedelta(days=7)
"""How long processes wait for the one that measures; torch's own 30 minutes would end a training
whose validation takes longer."""


def launch_processes(
    worker: Callable[..., None],
    args: tuple[Any, ...],
    *,
    device: str,
    num_gpus: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "auto",
) -> None:
    """Run ``worker(*args)`` in one process a GPU; with one GPU or a CPU, in this process.

    Args:
        worker: a function at the top of a module.
        args: its arguments; they travel to other processes.
        device: ``MODEL.DEVICE``.
        num_gpus: processes on this machine.
        num_machines: machines, each with as many GPUs.
        machine_rank: number of this machine, from 0.
        dist_url: where the processes meet; ``"auto"`` on one machine.

    Raises:
        ConfigError: if the GPUs are not there, the numbers contradict, or a process failed.
    """
    if num_gpus > 1 and not device.startswith("cuda"):
        raise ConfigError(
            f"--num-gpus {num_gpus}: this training runs on the CPU (MODEL.DEVICE {device}); "
            "leave --num-gpus out, one process uses all cores"
        )
    is_shared = num_gpus * num_machines > 1
    if is_shared and not device.startswith("cuda") and torch.cuda.is_available():
        raise ConfigError(
            f"MODEL.DEVICE {device}: several processes of machines with GPUs use these; use cuda, "
            "or hide them by CUDA_VISIBLE_DEVICES="
        )
    if is_shared and ":" in device:
        raise ConfigError(
            f"MODEL.DEVICE {device}: names one GPU for several processes; use cuda, and choose "
            "GPUs by CUDA_VISIBLE_DEVICES"
        )
    if num_gpus > 1 and num_gpus > torch.cuda.device_count():
        raise ConfigError(
            f"--num-gpus {num_gpus}: this machine has {torch.cuda.device_count()}; "
            "ask for that many or fewer"
        )
    if num_machines > 1 and dist_url == "auto":
        raise ConfigError(
            f"--num-machines {num_machines}: --dist-url auto works on one machine only; "
            "pass tcp://ADDRESS:PORT of the first"
        )
    if machine_rank >= num_machines:
        raise ConfigError(
            f"--machine-rank {machine_rank}: must be below --num-machines ({num_machines}); "
            "the first machine is 0"
        )
    try:
        launch(
            partial(and_leave, worker),
            num_gpus,
            num_machines=num_machines,
            machine_rank=machine_rank,
            dist_url=dist_url,
            args=args,
        )
    except ProcessException as error:
        last = str(error).strip().splitlines()[-1]
        raise ConfigError(f"--num-gpus {num_gpus}: a process failed: {last}") from error


def and_leave(worker: Callable[..., None], *args: Any) -> None:
    """Run ``worker(*args)``, and leave the process at once if it was started for that.

    Threads of the process group outlive it; one that frees a tensor while Python ends aborts its
    process, and the others are ended then, be it while they save the model.
    """
    worker(*args)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        if multiprocessing.parent_process() is not None:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def share_batch_statistics(network: nn.Module, device: str) -> nn.Module:
    """The network with batch norms that see the batch of all processes, as one process would.

    Without it, each process normalises its own part, and the running statistics of the first
    alone are kept. On CPUs, where PyTorch has no such norm, and for one process, it is unchanged.

    Args:
        network: on its device; names of its tensors stay as they are.
        device: ``MODEL.DEVICE``.
    """
    if comm.get_world_size() == 1 or not device.startswith("cuda"):
        return network
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return converted


@lru_cache(maxsize=1)
def patient_group() -> Any:
    """All processes as a group that waits for days; made by all of them at the same time.

    Returns:
        The group; None for one process.
    """
    if comm.get_world_size() == 1:
        return None
    return torch.distributed.new_group(backend="gloo", timeout=_PATIENCE)


def shared_by_main(value: Any) -> Any:
    """The main process's value in all processes, however long it takes to come.

    Args:
        value: what the main process has; of no meaning in others.
    """
    group = patient_group()
    if group is None:
        return value
    box = [value]
    torch.distributed.broadcast_object_list(box, src=0, group=group)
    return box[0]


def check_same_start(start_iter: int, output_dir: str) -> None:
    """Refuse processes that go on from different steps: each looks at its own disk.

    Args:
        start_iter: steps that this process has behind it.
        output_dir: where it looked for a checkpoint.

    Raises:
        ConfigError: in every process, if one has another number than the others.
    """
    starts = comm.all_gather(start_iter)
    if len(set(starts)) > 1:
        raise ConfigError(
            f"{output_dir}: processes would go on from different steps ({min(starts)} to "
            f"{max(starts)}); put OUTPUT_DIR on a disk that all machines share"
        )
