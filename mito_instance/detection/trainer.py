"""The training loop: Detectron2's, with our data, safe weights, and logs on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import AMPTrainer, DefaultTrainer, SimpleTrainer, create_ddp_model, hooks
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from torch import nn

from mito_instance.detection.averaging import WeightAverage
from mito_instance.detection.data import load_records
from mito_instance.detection.loader import build_train_loader
from mito_instance.detection.model import build_network
from mito_instance.detection.precision import Precision
from mito_instance.detection.predictor import MaskRCNNPredictor
from mito_instance.detection.weights import CONFIG_NAME, WEIGHTS_NAME, SafeCheckpointer, save_model

logger = logging.getLogger(__name__)

Validate = Callable[[MaskRCNNPredictor], dict[str, float]]
"""Scores a predictor on the validation data; the keys become curves in the logs."""


class _LateWriter(hooks.PeriodicWriter):
    """Opens its log files when training starts: none is left open if the weights do not load."""

    def __init__(self, build_writers: Callable[[], list[Any]]) -> None:
        super().__init__([], period=20)
        self._build_writers = build_writers

    def before_train(self) -> None:
        """Open the log files."""
        self._writers = self._build_writers()


class Trainer(DefaultTrainer):
    """Trains the network of a config.

    Args:
        cfg: from ``load_config``.
        validate: called every ``TEST.EVAL_PERIOD`` steps and at the end, on the main process.
        seed: of data order and augmentation.
    """

    def __init__(self, cfg: CfgNode, validate: Validate | None, seed: int) -> None:
        TrainerBase.__init__(self)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        self.cfg = cfg
        self.validate = validate
        precision = Precision.choose(cfg.MITO.PRECISION, cfg.MODEL.DEVICE)
        network = build_network(cfg)
        optimizer = self.build_optimizer(cfg, network)
        records = load_records(cfg.DATASETS.TRAIN, cfg)
        loader: Iterable[Any] = build_train_loader(cfg, records, seed)
        logger.info(
            "%d images with %d instances, %s parameters, %s on %s",
            len(records),
            sum(len(record) for record in records),
            f"{sum(p.numel() for p in network.parameters()):,}",
            precision.name,
            cfg.MODEL.DEVICE,
        )
        network = create_ddp_model(network, broadcast_buffers=False)
        # The network enters autocast itself; only fp16 needs the loss scaled as well.
        loop = AMPTrainer if precision.needs_loss_scaling else SimpleTrainer
        self._trainer = loop(network, loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        decay = float(cfg.MITO.EMA_DECAY)
        self.average = WeightAverage(self.network, decay) if decay else None
        self.checkpointer: DetectionCheckpointer = SafeCheckpointer(
            network, cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        self.best_score_threshold = float(cfg.MITO.SCORE_THRESHOLD)
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.register_hooks(self.build_hooks())

    def build_hooks(self) -> list[Any]:
        """Timing, schedule, checkpoints, validation, and the writers last."""
        period = self.cfg.TEST.EVAL_PERIOD
        steps: list[Any] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if self.average is not None:
            steps.append(self.average)
        if comm.is_main_process():
            steps.append(
                hooks.PeriodicCheckpointer(
                    self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD, max_to_keep=2
                )
            )
        if self.validate is not None:
            steps.append(hooks.EvalHook(period, self._run_validation))
        if comm.is_main_process():
            steps.append(_LateWriter(self.build_writers))
        return steps

    def _run_validation(self) -> dict[str, float]:
        if not comm.is_main_process() or self.validate is None:
            return {}
        with self.averaged():
            results = self.validate(MaskRCNNPredictor(self.cfg, self.network))
        logger.info(
            "validation: %s", ", ".join(f"{key} {value:.4g}" for key, value in results.items())
        )
        self.best_score_threshold = results.get("score_threshold", self.best_score_threshold)
        return {f"validation/{key}": value for key, value in results.items()}

    @property
    def network(self) -> nn.Module:
        """The bare network, without the wrapper for several processes."""
        model: nn.Module = self._trainer.model
        return model.module if hasattr(model, "module") else model  # type: ignore[return-value]

    def save_final_model(self) -> Path:
        """Write ``OUTPUT_DIR/model``: all that prediction needs, and return its path."""
        folder = Path(self.cfg.OUTPUT_DIR) / "model"
        with self.averaged():
            export_model(self.cfg, self.network, folder, self.best_score_threshold)
        return folder

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the network holds its averaged weights, if there are any."""
        return self.average.applied() if self.average is not None else contextlib.nullcontext()


def export_model(cfg: CfgNode, network: nn.Module, folder: Path, score_threshold: float) -> None:
    """Write weights and config of a network as a model folder, each file atomically.

    Args:
        cfg: the config that it was trained with.
        network: its weights are stored in fp16.
        folder: made if absent.
        score_threshold: the score from which a detection counts, stored in the config.
    """
    folder.mkdir(parents=True, exist_ok=True)
    portable = cfg.clone()
    portable.defrost()
    portable.MODEL.DEVICE = "auto"
    portable.MODEL.WEIGHTS = ""
    portable.MITO.SCORE_THRESHOLD = score_threshold
    portable.OUTPUT_DIR = "./output"
    portable.DATASETS.TRAIN = ()
    portable.DATASETS.TEST = ()
    temporary = folder / f".{WEIGHTS_NAME}.{os.getpid()}"
    save_model(network, temporary)
    temporary.replace(folder / WEIGHTS_NAME)
    temporary = folder / f".{CONFIG_NAME}.{os.getpid()}"
    temporary.write_text(portable.dump(), encoding="utf-8")
    temporary.replace(folder / CONFIG_NAME)


def seed_everything(seed: int) -> None:
    """Seed torch's own generators: weights of new layers, sampling of proposals."""
    torch.manual_seed(seed)
