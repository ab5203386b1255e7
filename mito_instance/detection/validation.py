"""Validation during training: the best model is kept, and no gain for long ends the training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from detectron2.engine import HookBase
from detectron2.utils import comm

from mito_instance.detection.logs import Writers
from mito_instance.detection.network_predictor import NetworkPredictor
from mito_instance.detection.processes import patient_group, shared_by_main
from mito_instance.errors import ConfigError, MitoInstanceError

logger = logging.getLogger(__name__)

Validate = Callable[[NetworkPredictor], dict[str, float]]
"""Scores a predictor on the validation data; the keys become curves in the logs."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far.

    Args:
        step: number of steps done.
        ap: its AP in [0, 1]; -inf where AP is undefined, as without any true instance.
        figures: all its figures, ``score_threshold`` among them if it was chosen.
        weights: SHA-256 of the file that it was stored in; empty in older checkpoints.
    """

    step: int
    ap: float
    figures: dict[str, float] = field(default_factory=dict)
    weights: str = ""


class Validation(HookBase):
    """Measures every so many steps and after the last, and keeps the model of the highest AP.

    Where AP is undefined, or is measured after the last step only, the newest model is kept, and
    the training never ends early.

    Args:
        measure: figures of the network as it is; called on the main process only.
        keep: stores the network as the best and gives the SHA-256 of its weights; called on the
            main process only.
        period: in steps; 0 measures after the last step only.
        patience: validations in a row without a higher AP that end the training; 0: none do.
        files: SHA-256 of what is measured on: figures on other files cannot be compared.
    """

    def __init__(
        self,
        measure: Callable[[], dict[str, float]],
        keep: Callable[[Best], str],
        period: int,
        patience: int,
        files: Sequence[str] = (),
    ) -> None:
        self.measure = measure
        self.keep = keep
        self.period = period
        self.patience = patience
        self.files = sorted(files)
        self.best: Best | None = None
        self.n_without_gain = 0
        self.last_step = -1
        self._last: dict[str, float] = {}
        self.is_due = False
        patient_group()

    @property
    def is_exhausted(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.n_without_gain

    def after_step(self) -> None:
        """Measure if it is time; all processes learn the outcome."""
        done = self.trainer.iter + 1
        if done < self.trainer.max_iter and not (self.period > 0 and done % self.period == 0):
            return
        self.measure_step()

    def measure_step(self) -> None:
        """Measure the network after the trainer's step; until that is done, it is due."""
        self.is_due = True
        measured = self.measure() if comm.is_main_process() else {}
        figures: dict[str, float] = shared_by_main(measured)
        done = self.last_step = self.trainer.iter + 1
        self._last = figures
        self.trainer.storage.put_scalars(
            **{f"validation/{name}": value for name, value in figures.items()},
            smoothing_hint=False,
        )
        ap = figures.get("ap", -math.inf)
        is_best = self.best is None or "ap" not in figures or ap > self.best.ap
        if self.period > 0 and not is_best:
            self.n_without_gain += 1
            self.is_due = False
            return
        best = Best(done, ap, figures)
        if comm.is_main_process():
            best = replace(best, weights=self.keep(best))
        self.best, self.n_without_gain, self.is_due = best, 0, False

    def forget(self, reason: str) -> None:
        """Seek the best model anew, with all patience, and say why; nothing before the first."""
        if self.best is not None:
            logger.warning("%s; the best model is sought anew", reason)
        self.best = None
        self.n_without_gain = 0

    def take_last(self, reason: str) -> Best:
        """Count the last weights as the best, with their own figures, and say why."""
        logger.warning("%s", reason)
        self.best = Best(self.last_step, self._last.get("ap", -math.inf), self._last)
        return self.best

    def state_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        best = None if self.best is None else asdict(self.best)
        return {
            "best": best,
            "n_without_gain": self.n_without_gain,
            "files": self.files,
            "is_due": self.is_due,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint; the best is forgotten if it was measured on other files."""
        best = state["best"]
        if best is not None:
            figures = {str(name): float(value) for name, value in best["figures"].items()}
            weights = str(best.get("weights", ""))
            self.best = Best(int(best["step"]), float(best["ap"]), figures, weights)
        self.n_without_gain = int(state["n_without_gain"])
        self.is_due = bool(state.get("is_due", False))  # older checkpoints are of none
        if list(state.get("files", self.files)) != self.files:  # older checkpoints do not tell
            self.forget("DATASETS.TEST: other validation files than those of the steps so far")


def measure_what_is_due(trainer: Any) -> None:
    """Measure the step before, if an error kept it from that.

    The last one of a finished training is measured, too, if its best model is sought anew.

    Args:
        trainer: at the start of ``train``, its checkpoint loaded.
    """
    validation: Validation | None = trainer.validation
    if validation is None:
        return
    is_sought = trainer.iter >= trainer.max_iter and validation.best is None
    was_due = validation.is_due
    if is_sought or was_due:
        trainer.iter = trainer.storage.iter = trainer.start_iter - 1
        validation.measure_step()
        for hook in trainer._hooks:
            if was_due and isinstance(hook, Writers):  # its row is not there yet
                hook.after_step()
        if trainer.periodic is not None:
            trainer.periodic.save()
        trainer.iter = trainer.start_iter


def save_what_was_not_measured(trainer: Any) -> None:
    """A checkpoint of the step whose validation failed: none of the training is lost.

    Of a training that cannot be resumed, its weights as a model.

    Args:
        trainer: during that step.
    """
    if trainer.periodic is None:
        return
    if not trainer.can_resume:
        if trainer.keeps_unmeasured:
            _export_unmeasured(trainer)
        return
    try:
        saved = trainer.periodic.save()
    except ConfigError as error:
        logger.warning("%s", error)
        return
    logger.warning(
        "the validation after step %d failed, or its model could not be stored; %s holds the "
        "training so far, and mito train-net --resume goes on with that validation",
        trainer.iter + 1,
        saved,
    )


def _export_unmeasured(trainer: Any) -> None:
    try:
        folder = trainer.export_unmeasured()
    except (MitoInstanceError, OSError) as error:  # what failed first is what the user is told
        logger.warning("%s", error)
        return
    logger.warning(
        "the validation after step %d failed; the model of that step is in %s, with the score "
        "threshold of the start",
        trainer.iter + 1,
        folder,
    )
