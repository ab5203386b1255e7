"""Curves of a training on disk: ``metrics.json`` and TensorBoard, whole also after a resume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.engine import hooks
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    JSONWriter,
    TensorboardXWriter,
)

from mito_instance.errors import ConfigError
from mito_instance.io.files import write_text_atomic
from mito_instance.io.json_file import MARK_OF_EVALUATION

METRICS_NAME = "metrics.json"
PERIOD = 20
# The writers smooth over this many steps.
WINDOW = 20


class Writers(hooks.PeriodicWriter):
    """Writes every 20 steps, after a validation and at the end.

    The files are opened when training starts: none is left open if the weights do not load.

    Args:
        folder: where the curves lie.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__([], period=PERIOD)
        self.folder = folder

    def before_train(self) -> None:
        """Open the log files, without the rows that will be written again."""
        start = self.trainer.start_iter
        metrics = self.folder / METRICS_NAME
        drop_rows(metrics, start)
        self._writers = [
            CommonMetricPrinter(self.trainer.max_iter),
            JSONWriter(str(metrics), window_size=WINDOW),
            TensorboardXWriter(str(self.folder), window_size=WINDOW, purge_step=start),
        ]

    def after_step(self) -> None:
        """Write if it is time."""
        done = self.trainer.iter + 1
        if done % PERIOD == 0 or self.trainer.is_last_step or self.trainer.was_validated(done):
            for writer in self._writers:
                writer.write()

    def after_train(self) -> None:
        """Close the files. The last step's row is there; an interrupted one's would be odd."""
        for writer in self._writers:
            writer.close()


def check_curves(folder: Path) -> None:
    """Refuse a folder where an evaluation lies in the place of the curves.

    Args:
        folder: ``OUTPUT_DIR``.

    Raises:
        ConfigError: names the file.
    """
    metrics = folder / METRICS_NAME
    if metrics.is_file() and MARK_OF_EVALUATION in metrics.read_text("utf-8", errors="replace"):
        raise ConfigError(
            f"{metrics}: is of mito evaluate, and is not replaced; move it, or choose another "
            "OUTPUT_DIR"
        )


def drop_rows(metrics: Path, start: int) -> None:
    """Leave out the rows of ``metrics.json`` from iteration ``start`` on, and broken ones.

    Steps between a checkpoint and a kill are done again after the resume: their rows come anew.

    Args:
        metrics: the file; nothing happens if there is none.
        start: first iteration that the training will do.
    """
    if not metrics.is_file():
        return
    kept = []
    for line in metrics.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        iteration = row.get("iteration") if isinstance(row, dict) else None
        if isinstance(iteration, int) and iteration < start:
            kept.append(line + "\n")
    write_text_atomic(metrics, "".join(kept))


def recent_curves(storage: EventStorage) -> dict[str, list[tuple[float, int]]]:
    """What the writers smooth over: (value, iteration) of the last steps, for the checkpoint.

    Times are left out: those of another process foretell nothing.
    """
    smoothed = storage.smoothing_hints()
    return {
        name: [(float(value), int(iteration)) for value, iteration in history.values()[-WINDOW:]]
        for name, history in storage.histories().items()
        if smoothed[name] and not name.endswith("time")
    }


def restore_curves(storage: EventStorage, curves: Mapping[str, Any]) -> None:
    """The opposite of ``recent_curves``, into an empty storage."""
    for name, points in curves.items():
        for value, iteration in points:
            storage.put_scalar(str(name), float(value), cur_iter=int(iteration))
