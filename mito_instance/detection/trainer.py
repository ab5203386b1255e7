"""The training loop: Detectron2's parts, our data, and a state that survives any interruption."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import AMPTrainer, DefaultTrainer, SimpleTrainer, create_ddp_model, hooks
from detectron2.engine.train_loop import TrainerBase
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn

from mito_instance.detection.architectures import build_predictor
from mito_instance.detection.averaging import WeightAverage
from mito_instance.detection.checkpoints import (
    PeriodicCheckpoint,
    TrainingCheckpointer,
    rates_of_config,
)
from mito_instance.detection.config_ranges import (
    check_training,
    warn_of_frozen_noise,
    warn_of_idle_keys,
)
from mito_instance.detection.export import export_model, with_choices, with_data, write_card
from mito_instance.detection.image_list import IMAGE_LIST_NAME, learned_images, write_image_list
from mito_instance.detection.loader import build_train_loader, read_data, shown
from mito_instance.detection.logs import Writers, check_curves, recent_curves, restore_curves
from mito_instance.detection.machine import explained_out_of_memory
from mito_instance.detection.model import build_network
from mito_instance.detection.model_card import LOOKALIKES, TrainingRecord, sha256
from mito_instance.detection.optimizer import build_optimizer
from mito_instance.detection.precision import Precision
from mito_instance.detection.processes import check_same_start, share_batch_statistics
from mito_instance.detection.resuming import (
    check_best_stays,
    check_origin,
    check_steps_left,
    settings_of,
)
from mito_instance.detection.start_model import check_start, start_images
from mito_instance.detection.validation import (
    Best,
    Validate,
    Validation,
    measure_what_is_due,
    save_what_was_not_measured,
)
from mito_instance.detection.weights import WEIGHTS_NAME
from mito_instance.errors import ConfigError

logger = logging.getLogger(__name__)
# It logs a traceback of every loss that is not finite; we turn that into one line.
logging.getLogger("detectron2.engine.train_loop").setLevel(logging.CRITICAL)


UNMEASURED = "model_not_measured"
"""Beside the model: that of a step whose validation failed."""


class Trainer(DefaultTrainer):
    """Trains the network of a config.

    A training that is killed at any moment and resumed does the same steps as an undisturbed
    one: on a CPU the weights are equal bit for bit. What a step does depends on the weights, the
    optimizer's state, the seed and the step's number alone; the checkpoint holds these.

    Args:
        cfg: from ``load_config``.
        validate: called every ``TEST.EVAL_PERIOD`` steps and at the end, on the main process.
        seed: of data order, augmentation and the sampling of boxes, >= 0.
        notes: sentences for the model card.

    Raises:
        ConfigError: if the data cannot be shared among the processes, or keys contradict.
        AnnotationError: if the data is damaged.
    """

    def __init__(
        self, cfg: CfgNode, validate: Validate | None, seed: int, notes: tuple[str, ...] = ()
    ) -> None:
        TrainerBase.__init__(self)
        check_training(cfg)
        if comm.is_main_process():
            warn_of_idle_keys(cfg, has_validation=validate is not None)
        cfg = DefaultTrainer.auto_scale_workers(cfg, comm.get_world_size())
        check_training(cfg)  # another number of GPUs has another rate and other steps
        self.cfg = cfg
        self.seed = seed
        self.notes = notes
        self.can_resume = True
        self.keeps_unmeasured = True
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.n_seen_at_start = 0
        self._curves: Mapping[str, Any] = {}
        precision = Precision.choose(cfg.MITO.PRECISION, cfg.MODEL.DEVICE)
        network = share_batch_statistics(build_network(cfg), cfg.MODEL.DEVICE)
        optimizer = build_optimizer(cfg, network)
        # Now: it may lie where this training writes its own.
        start = start_images(cfg.MODEL.WEIGHTS)
        self._learned_before = [] if start is None else learned_images(start)
        self.records, self.files = read_data(cfg, with_validation=validate is not None)
        self.model_cfg = with_data(cfg, shown(cfg, self.records))
        loader = build_train_loader(cfg, self.records, seed)
        logger.info(
            "%d images with %d instances, %s parameters, %s on %s",
            len(self.records),
            sum(map(len, self.records)),
            f"{sum(p.numel() for p in network.parameters()):,}",
            precision.name,
            cfg.MODEL.DEVICE,
        )
        on_gpu = {} if cfg.MODEL.DEVICE.startswith("cuda") else {"device_ids": None}
        network = create_ddp_model(network, broadcast_buffers=False, **on_gpu)
        # The network enters autocast itself; only fp16 needs the loss scaled as well.
        loop = AMPTrainer if precision.needs_loss_scaling else SimpleTrainer
        scaler = {"grad_scaler": torch.amp.GradScaler("cuda")} if loop is AMPTrainer else {}
        self._trainer = loop(network, loader, optimizer, **scaler)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        decay = float(cfg.MITO.EMA_DECAY)
        self.average = WeightAverage(self.network, decay) if decay else None
        # What a config says of prediction is found wrong before the first step, not after the last.
        build_predictor(self.model_cfg, self.network)
        self.validation = None if validate is None else self._validation(validate)
        checkpointer = TrainingCheckpointer(network, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.checkpointer: TrainingCheckpointer = checkpointer
        self.register_hooks(self.build_hooks())

    def _validation(self, validate: Validate) -> Validation:
        # Hooks must not keep the trainer alive: its log files would stay open.
        me = weakref.proxy(self)

        def measure() -> dict[str, float]:
            try:
                with me.averaged():
                    figures = validate(build_predictor(me.model_cfg, me.network))
            except Exception:
                save_what_was_not_measured(me)
                raise
            words = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            logger.info("validation: %s", words)
            return figures

        def keep(best: Best) -> str:
            try:
                me._export(best.step, best.step, best.figures)
            except Exception:
                if me.can_resume:  # another folder would have no more room
                    save_what_was_not_measured(me)
                raise
            return sha256(me.model_folder / WEIGHTS_NAME)

        period, patience = self.cfg.TEST.EVAL_PERIOD, self.cfg.MITO.EARLY_STOPPING_PATIENCE
        files = self._hashes("validation")
        return Validation(measure, keep, int(period), int(patience), files)

    def build_hooks(self) -> list[Any]:
        """Timing, schedule, averaging, validation, logs, and the checkpoint of all that."""
        steps: list[Any] = [hooks.IterationTimer(), hooks.LRScheduler()]
        steps += [hook for hook in (self.average, self.validation) if hook is not None]
        if comm.is_main_process():
            steps.append(Writers(Path(self.cfg.OUTPUT_DIR)))
            steps.append(
                PeriodicCheckpoint(self.checkpointer, int(self.cfg.SOLVER.CHECKPOINT_PERIOD))
            )
        return steps

    @property
    def periodic(self) -> PeriodicCheckpoint | None:
        """The hook that saves checkpoints; there is one on the main process."""
        return next((hook for hook in self._hooks if isinstance(hook, PeriodicCheckpoint)), None)

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue from the last checkpoint in ``OUTPUT_DIR``, or start from ``MODEL.WEIGHTS``.

        Args:
            resume: without a checkpoint, or if False, the training starts anew.

        Raises:
            WeightsError: if weights cannot be had, or the checkpoint is of another network.
            ConfigError: if the model at the start was fed otherwise, the checkpoint was made with
                another seed or optimizer, or with a validation whose best model would be lost, or
                not all processes found the same one.
        """
        check_curves(Path(self.cfg.OUTPUT_DIR))
        if not (resume and self.checkpointer.has_checkpoint()):
            check_start(self.cfg, warns=comm.is_main_process())
            if resume:
                logger.info("%s: no checkpoint yet, starting anew", self.cfg.OUTPUT_DIR)
        super().resume_or_load(resume)
        check_same_start(self.start_iter, self.cfg.OUTPUT_DIR)
        if not self.start_iter:
            self.checkpointer.forget_last()
            if comm.is_main_process():
                warn_of_frozen_noise(self.cfg)
            return
        self._trainer.reset_data_loader(
            lambda: build_train_loader(self.cfg, self.records, self.seed, self.n_seen_at_start)
        )
        if self.validation is not None and not self._holds(self.validation.best):
            self.validation.forget(f"{self.model_folder}: not the best model of the steps so far")

    def train(self) -> None:
        """Do the steps from ``start_iter`` to ``SOLVER.MAX_ITER``, or until nothing is gained.

        Raises:
            ConfigError: if the loss is no longer finite, memory is not enough, or a checkpoint
                cannot be written.
        """
        self.iter = self.start_iter
        logger.info("training from step %d to %d", self.start_iter, self.max_iter)
        with EventStorage(self.start_iter) as self.storage:
            restore_curves(self.storage, self._curves)
            try:
                self.before_train()
                measure_what_is_due(self)
                while self.iter < self.max_iter and not self.is_exhausted:
                    self.before_step()
                    with explained_out_of_memory(self.cfg, self.iter + 1):
                        self.run_step()
                    self.after_step()
                    self.iter += 1
            except FloatingPointError as error:
                raise ConfigError(
                    f"SOLVER.BASE_LR {self.cfg.SOLVER.BASE_LR:g}: the loss became infinite at "
                    f"step {self.iter + 1}; lower it, or lengthen SOLVER.WARMUP_ITERS"
                ) from error
            finally:
                self.after_train()
        if self.is_exhausted and self.iter < self.max_iter:
            logger.info("no gain in %d validations: ended early", self.validation.patience)  # type: ignore[union-attr]

    def run_step(self) -> None:
        """One step; its random numbers depend on nothing but its number."""
        seed_everything(self.seed, self.iter, comm.get_rank())
        super().run_step()

    @property
    def is_exhausted(self) -> bool:
        """Whether validation has shown no gain for too long."""
        return self.validation is not None and self.validation.is_exhausted

    @property
    def is_last_step(self) -> bool:
        """Whether no step follows the one being done; true only after its validation."""
        return self.iter + 1 >= self.max_iter or self.is_exhausted

    def was_validated(self, n_steps: int) -> bool:
        """Whether the state after that many steps has just been measured."""
        return self.validation is not None and self.validation.last_step == n_steps

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, besides the weights."""
        state: dict[str, Any] = super().state_dict()
        n_steps = self.iter + 1 - self.start_iter
        state["progress"] = {
            **self._origin(),
            "n_seen": self.n_seen_at_start + n_steps * int(self.cfg.SOLVER.IMS_PER_BATCH),
            "curves": recent_curves(self.storage),
        }
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint's state."""
        progress = state["progress"]
        check_origin(progress, self._origin(), self.cfg.OUTPUT_DIR)
        check_steps_left(int(state["iteration"]) + 1, self.cfg)
        if self.validation is None:
            best = state.get("hooks", {}).get(Validation.__qualname__, {}).get("best")
            check_best_stays(best, self.model_folder / WEIGHTS_NAME)
        scaler = getattr(self._trainer, "grad_scaler", None)
        if scaler is not None and "grad_scaler" not in state["_trainer"]:
            logger.info("the steps so far were not done in fp16: its loss scale starts anew")
            inner = {**state["_trainer"], "grad_scaler": scaler.state_dict()}
            state = {**state, "_trainer": inner}
        set_rates = rates_of_config(self._trainer.optimizer, self.scheduler)
        super().load_state_dict(state)
        set_rates()
        self.n_seen_at_start = int(progress["n_seen"])
        self._curves = progress["curves"]

    def _origin(self) -> dict[str, Any]:
        """What a resumed training must have in common with the one before."""
        return {
            "seed": self.seed,
            "optimizer": str(self.cfg.MITO.OPTIMIZER),
            "steps": int(self.cfg.SOLVER.MAX_ITER),
            # Where it is set, batch, rate and steps have been brought to this number.
            "processes": comm.get_world_size() if self.cfg.SOLVER.REFERENCE_WORLD_SIZE else 0,
            "settings": settings_of(self.cfg),
            "files": self._hashes("training"),
            "look-alikes": self._hashes(LOOKALIKES),
        }

    def _hashes(self, use: str) -> list[str]:
        return [file.sha256 for file in self.files if file.use == use]

    @property
    def network(self) -> nn.Module:
        """The bare network, without the wrapper for several processes."""
        model: nn.Module = self._trainer.model
        return model.module if hasattr(model, "module") else model  # type: ignore[return-value]

    @property
    def model_folder(self) -> Path:
        """Where the model for predictions goes."""
        return Path(self.cfg.OUTPUT_DIR) / "model"

    @property
    def has_chosen_threshold(self) -> bool:
        """Whether that comes from the validation; it does not where nothing right was found."""
        best = None if self.validation is None else self.validation.best
        return best is not None and "score_threshold" in best.figures

    @property
    def best_score_threshold(self) -> float:
        """The score threshold that goes with the exported model."""
        default = float(self.cfg.MITO.SCORE_THRESHOLD)
        best = None if self.validation is None else self.validation.best
        return default if best is None else best.figures.get("score_threshold", default)

    def save_final_model(self) -> Path:
        """``OUTPUT_DIR/model``, all that prediction needs: the best on validation, else the last.

        Returns:
            The folder.
        """
        best = None if self.validation is None else self.validation.best
        if self.validation is None or best is None:
            self._export(self.iter, self.iter, {})
        elif not self._holds(best):
            reason = "not the best model any more; the last weights are exported"
            last = self.validation.take_last(f"{self.model_folder}: {reason}")
            self._export(self.iter, self.iter, last.figures)
        else:
            record = self._record(best.step, self.iter, best.figures)
            cfg = with_choices(self.model_cfg, best.figures)
            write_card(cfg, self.model_folder, self.best_score_threshold, record)
        write_image_list(self.model_folder / IMAGE_LIST_NAME, self.files, self._learned_before)
        return self.model_folder

    def export_unmeasured(self) -> Path:
        """A model of the step that is being done, beside that which was the best so far.

        Returns:
            Its folder.
        """
        folder = self.model_folder.with_name(UNMEASURED)
        self._export(self.iter + 1, self.iter + 1, {}, folder)
        return folder

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """A context in which the network holds its averaged weights, if there are any."""
        return self.average.applied() if self.average is not None else contextlib.nullcontext()

    def _holds(self, best: Best | None) -> bool:
        """Whether the model folder has these weights: those of a later step may be there."""
        weights = self.model_folder / WEIGHTS_NAME
        return best is None or (weights.is_file() and best.weights in ("", sha256(weights)))

    def _export(
        self, step: int, steps_done: int, figures: Mapping[str, float], folder: Path | None = None
    ) -> None:
        threshold = figures.get("score_threshold", float(self.cfg.MITO.SCORE_THRESHOLD))
        record = self._record(step, steps_done, figures)
        folder = folder or self.model_folder
        # That of an earlier training in this folder; this one's is written at the end.
        (folder / IMAGE_LIST_NAME).unlink(missing_ok=True)
        with self.averaged():
            cfg = with_choices(self.model_cfg, figures)
            export_model(cfg, self.network, folder, threshold, record)

    def _record(self, step: int, steps_done: int, figures: Mapping[str, float]) -> TrainingRecord:
        return TrainingRecord(
            files=self.files,
            start=self.cfg.MODEL.WEIGHTS,
            seed=self.seed,
            step=step,
            steps_planned=self.max_iter,
            steps_done=steps_done,
            validation=dict(figures),
            notes=self.notes,
        )


def seed_everything(*numbers: int) -> None:
    """Seed torch's generators: weights of new layers, sampling of boxes.

    Args:
        numbers: what the random numbers shall depend on, such as seed, step and process, >= 0.
    """
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))
