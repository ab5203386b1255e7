"""Checkpoints of a training: written whole or not at all, read without running code."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase

from mito_instance.detection.logs import METRICS_NAME
from mito_instance.detection.weights import SafeCheckpointer, first_line
from mito_instance.errors import ConfigError, WeightsError
from mito_instance.io.files import write_text_atomic

logger = logging.getLogger(__name__)

KEPT = 2


class TrainingCheckpointer(SafeCheckpointer):
    """Writes beside the target and renames: a kill while writing leaves the last one whole."""

    _is_resumed = False

    def save(self, name: str, **kwargs: Any) -> None:
        """Write weights and all that ``--resume`` needs to ``name.pth``, then name it the last.

        Raises:
            ConfigError: if it cannot be written, for example because the disk is full.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        content = {
            "model": self.model.state_dict(),
            **{key: value.state_dict() for key, value in self.checkpointables.items()},
            **kwargs,
        }
        path = Path(self.save_dir) / f"{name}.pth"
        # Always the same name, so that what a kill left behind is overwritten, not collected.
        temporary = path.with_name(".checkpoint.tmp")
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except (OSError, RuntimeError) as error:
            temporary.unlink(missing_ok=True)
            raise ConfigError(
                f"{path}: cannot write the checkpoint ({first_line(error)}); free some space or "
                "choose another OUTPUT_DIR, then continue with --resume"
            ) from error
        self.tag_last_checkpoint(path.name)

    def forget_last(self) -> None:
        """A training starts anew in this folder: ``--resume`` must not go on with the one before.

        Its files stay until they are written over; its curves and the name of its last checkpoint
        are kept under other names.
        """
        named = Path(self.save_dir) / "last_checkpoint"
        if self.save_to_disk and named.is_file():
            former = named.with_name("last_checkpoint.before")
            logger.warning(
                "%s: holds an earlier training; this one starts anew, and replaces its curves and "
                "model (to go back, stop now, rename %s to %s and %s to %s, and pass --resume)",
                self.save_dir,
                former.name,
                named.name,
                f"{METRICS_NAME}.before",
                METRICS_NAME,
            )
            named.replace(former)
            metrics = named.with_name(METRICS_NAME)
            if metrics.is_file():
                metrics.replace(metrics.with_name(f"{METRICS_NAME}.before"))

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint that ``--resume`` starts from."""
        write_text_atomic(Path(self.save_dir) / "last_checkpoint", last_filename_basename)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """The last checkpoint if there is one and ``resume``, else the weights at ``path``.

        Raises:
            WeightsError: if the checkpoint belongs to another network or is no checkpoint.
        """
        resume = self._is_resumed = resume and self.has_checkpoint()
        source = self.get_checkpoint_file() if resume else path
        if resume and not Path(source).is_file():
            raise WeightsError(
                f"{source}: the checkpoint that last_checkpoint names is gone; put it back, or "
                "start anew without --resume"
            )
        try:
            loaded: dict[str, Any] = super().resume_or_load(path, resume=resume)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            what, remedy = (
                ("training", "resume with the config that it was started with, or start anew "
                 "without --resume")
                if resume
                else ("network", "pass weights of this architecture, or '' to start from random "
                      "weights")
            )  # fmt: skip
            raise WeightsError(
                f"{source}: does not fit this {what} "
                f"({type(error).__name__}: {first_line(error)}); {remedy}"
            ) from error
        return loaded

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        """What a start may lack, a training that goes on may not."""
        shapes = (name for name, *_ in incompatible.incorrect_shapes)
        unfit = list(dict.fromkeys([*incompatible.missing_keys, *shapes]))
        if self._is_resumed and unfit:
            raise WeightsError(
                f"{self._source}: does not fit this training ({len(unfit)} tensors are not in it "
                f"or have another shape, first: {unfit[0]}); resume with the config that it was "
                "started with, or start anew without --resume"
            )
        super()._log_incompatible_keys(incompatible)


class PeriodicCheckpoint(HookBase):
    """Saves every so many steps and after the last; keeps the two newest.

    It comes last among the hooks, so that a checkpoint holds the outcome of its step's
    validation, and the logs are on disk when it is.

    Args:
        checkpointer: writes them.
        period: in steps; 0 saves after the last step only.
    """

    def __init__(self, checkpointer: TrainingCheckpointer, period: int) -> None:
        self.checkpointer = checkpointer
        self.period = period
        self.recent: list[str] = []

    def after_step(self) -> None:
        """Save if it is time; nothing of a training that cannot be resumed."""
        done = self.trainer.iter + 1
        if not self.trainer.can_resume:
            return
        if self.trainer.is_last_step or (self.period > 0 and done % self.period == 0):
            self.save()

    def save(self) -> Path:
        """Save the step that has just been done.

        Returns:
            The file.

        Raises:
            ConfigError: if it cannot be written.
        """
        name, old = "model_final", self.recent
        if not self.trainer.is_last_step:
            name = f"model_{self.trainer.iter:07d}"
            self.recent = [*(other for other in old if other != name), name][-KEPT:]
        self.checkpointer.save(name)
        folder = Path(self.checkpointer.save_dir)
        for outdated in set(old) - set(self.recent):
            (folder / f"{outdated}.pth").unlink(missing_ok=True)
        return folder / f"{name}.pth"

    def state_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return {"recent": self.recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint: names of this training's files only."""
        names = [str(name) for name in state["recent"]]
        self.recent = [name for name in names if name.startswith("model_") and name[6:].isdigit()]


def rates_of_config(optimizer: torch.optim.Optimizer, scheduler: Any) -> Callable[[], None]:
    """Remember the learning rate, momentum and decay that a config gave.

    Args:
        optimizer: as built from the config.
        scheduler: its schedule, with ``base_lrs`` and ``get_lr``.

    Returns:
        Sets them again once the state of a checkpoint has been loaded, whose own would stay
        otherwise; where they are the same, nothing changes.
    """
    base = list(scheduler.base_lrs)
    groups = [
        {key: value for key, value in group.items() if key not in ("params", "lr")}
        for group in optimizer.param_groups
    ]

    def restore() -> None:
        pairs = zip(groups, optimizer.param_groups, strict=True)
        loaded = [{key: group.get(key) for key in options} for options, group in pairs]
        if loaded != groups or list(scheduler.base_lrs) != base:
            logger.warning(
                "learning rate, momentum or weight decay differ from those of the steps so far; "
                "it goes on with this config's"
            )
        scheduler.base_lrs = base
        for group, options, rate in zip(
            optimizer.param_groups, groups, scheduler.get_lr(), strict=True
        ):
            group.update(options, lr=rate)

    return restore
