"""Checkpoints of a training: written whole or not at all, read without running code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase

from mito_instance.detection.weights import SafeCheckpointer
from mito_instance.errors import ConfigError, WeightsError
from mito_instance.io.files import write_text_atomic

KEPT = 2


class TrainingCheckpointer(SafeCheckpointer):
    """Writes beside the target and renames: a kill while writing leaves the last one whole."""

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
            reason = str(error).strip().splitlines()[0][:200]
            raise ConfigError(
                f"{path}: cannot write the checkpoint ({reason}); free some space or choose "
                "another OUTPUT_DIR, then continue with --resume"
            ) from error
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Name the checkpoint that ``--resume`` starts from."""
        write_text_atomic(Path(self.save_dir) / "last_checkpoint", last_filename_basename)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """The last checkpoint if there is one and ``resume``, else the weights at ``path``.

        Raises:
            WeightsError: if the checkpoint belongs to another network or is no checkpoint.
        """
        try:
            loaded: dict[str, Any] = super().resume_or_load(path, resume=resume)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if not (resume and self.has_checkpoint()):
                raise
            raise WeightsError(
                f"{self.get_checkpoint_file()}: does not fit this training "
                f"({type(error).__name__}: {str(error).strip().splitlines()[0][:200]}); resume "
                "with the config that it was started with, or start anew without --resume"
            ) from error
        return loaded


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
        """Save if it is time."""
        done = self.trainer.iter + 1
        if self.trainer.is_last_step:
            self.checkpointer.save("model_final")
        elif self.period > 0 and done % self.period == 0:
            name = f"model_{self.trainer.iter:07d}"
            old, self.recent = self.recent, [*self.recent, name][-KEPT:]
            self.checkpointer.save(name)
            for outdated in set(old) - set(self.recent):
                (Path(self.checkpointer.save_dir) / f"{outdated}.pth").unlink(missing_ok=True)

    def state_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return {"recent": self.recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint: names of this training's files only."""
        names = [str(name) for name in state["recent"]]
        self.recent = [name for name in names if name.startswith("model_") and name[6:].isdigit()]
