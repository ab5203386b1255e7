"""The loop of ``quantify``: each page once, results as they come, failures in their own row."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO, cast

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from mito_instance import __version__
from mito_instance.batch.file_names import FileNames
from mito_instance.batch.groups import group_of_all
from mito_instance.batch.interrupts import held_interrupt
from mito_instance.batch.outlined import OutlinedPages, PageLeftOut
from mito_instance.batch.outputs import Outputs, RoiZips
from mito_instance.batch.overlay_files import OverlayFiles, StackOverlays
from mito_instance.batch.page_work import Done, PageWork, Settings
from mito_instance.batch.result_store import ResultStore
from mito_instance.batch.threads import in_three_steps
from mito_instance.errors import ConfigError, DiskFullError, reason_of
from mito_instance.inference.predictor import MaskPredictor, StackPredictor, pages_at_once
from mito_instance.instances import ImageInstances
from mito_instance.io.imagej_position import stack_dimensions
from mito_instance.io.images import n_frames
from mito_instance.measure.groups import PageFigures
from mito_instance.measure.summary import Row, failed_row

logger = logging.getLogger(__name__)

N_NAMED = 20
"""Files that a warning names at most."""


@dataclass(frozen=True, slots=True)
class PageTask:
    """One page that is to be done.

    Args:
        path: image file.
        frame: 0-based page.
        problem: why the file cannot be opened; None if it can.
    """

    path: Path
    frame: int
    problem: Exception | None = None


@dataclass(slots=True)
class Results:
    """What a batch has found so far.

    Args:
        n_done: pages that were measured.
        failures: one line for each file or page that was not, and for each ROI zip or file of
            overlays that could not be written.
        objects: rows of ``objects.csv``, if they are wanted.
        instances: instances of each page, if they are wanted.
        figures: of each page, for the summary.
    """

    n_done: int = 0
    failures: list[str] = field(default_factory=list)
    objects: list[Row] = field(default_factory=list)
    instances: list[ImageInstances] = field(default_factory=list)
    figures: list[PageFigures] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be done with all images.

    Args:
        paths: image files.
        predictor: the model, or what a person outlined.
        settings: how it is used.
        outputs: which results are wanted, and where overlays and ROI zips go.
        resume: folder of finished pages; None to keep none.
        group_of: the group of an image in the summary.
        n_threads: that read, measure and draw beside the network; 0 for none.
        record: what `run_record` says of predictor and settings.
        keep_all: keep rows of objects and instances also where no file wants them.
        on_page: takes the row of counts of each page and what was done, None where it failed,
            with pictures for a report; None where there is no report.
    """

    paths: Sequence[Path]
    predictor: MaskPredictor | OutlinedPages
    settings: Settings = field(default_factory=Settings)
    outputs: Outputs = field(default_factory=Outputs)
    resume: Path | None = None
    group_of: Callable[[Path], str] = group_of_all
    n_threads: int = 0
    record: Mapping[str, Any] = field(default_factory=dict)
    keep_all: bool = False
    on_page: Callable[[Row, Done | None], None] | None = None

    def run(self, on_row: Callable[[Row], None], results: Results) -> None:
        """Work through the images; a row of counts for each page, whatever happens to it.

        Args:
            on_row: takes the rows of ``counts.csv``, one by one in the order of the pages.
            results: filled in place, so that an interruption loses nothing that is done.

        Raises:
            ConfigError: if the folder of finished pages cannot be used.
            DiskFullError: if a result cannot be kept; later pages would only fail like this one.
        """
        names = FileNames(list(self.paths))
        store = None if self.resume is None else ResultStore(self.resume, self.record)
        overlays = OverlayFiles(self.outputs.overlays, names)
        with_pictures = self.on_page is not None
        work = PageWork(self.predictor, self.settings, overlays, store, with_pictures)
        tasks = list(_tasks(self.paths))
        _warn_of_channels(tasks)
        outcomes = in_three_steps(
            tasks, lambda task: _load(work, task), work.predict, work.finish, self.n_threads,
            pages_at_once(self.predictor),
        )  # fmt: skip
        is_outlined = isinstance(self.predictor, OutlinedPages)
        n_left_out = n_stored = 0
        is_measured: dict[Path, bool] = {}
        last_frames = {task.path: task.frame for task in tasks}
        with (
            logging_redirect_tqdm(),
            RoiZips(self.outputs.rois, names) as rois,
            StackOverlays(overlays) as stacks,
            _opened_log(self.outputs.log) as log,
            tqdm(
                total=len(tasks),
                desc="measure" if is_outlined else "quantify",
                unit="page",
                file=sys.stderr,
            ) as progress,
            # Closed first: where a page ends the batch, no thread writes on behind its back.
            contextlib.closing(outcomes),
        ):

            @held_interrupt()
            def take(task: PageTask, outcome: Done | Exception) -> None:
                nonlocal n_left_out, n_stored, log
                progress.update()
                if isinstance(outcome, PageLeftOut):
                    stacks.add_failed(task.path)
                    end_of_file(task)
                    n_left_out += 1
                    return
                n_stored += isinstance(outcome, Done) and outcome.is_stored
                row = self._take(task, outcome, rois, stacks, results)
                is_measured[task.path] = is_measured.get(task.path, False) or row["status"] == "ok"
                on_row(row)
                if self.on_page is not None:
                    is_done = isinstance(outcome, Done) and row["status"] == "ok"
                    self.on_page(row, cast("Done", outcome) if is_done else None)
                if log is not None and not _log_page(log, task, row, outcome):
                    log = None
                end_of_file(task)

            def end_of_file(task: PageTask) -> None:
                if task.frame != last_frames[task.path]:
                    return
                for outlines_or_pictures in (rois, stacks):
                    with _beside_the_counts(task.path, results):
                        outlines_or_pictures.end(task.path)

            try:
                for task, outcome in outcomes:
                    take(task, outcome)
            except KeyboardInterrupt:
                # What was predicted before is not lost, also where it struck while this thread
                # wrote. Where it struck in one of the steps, all has come already.
                with contextlib.suppress(StopIteration):
                    take(*outcomes.throw(KeyboardInterrupt()))
                for task, outcome in outcomes:
                    take(task, outcome)
                raise
        if n_stored:
            logger.info("%d of %d pages were done already (%s)", n_stored, len(tasks), self.resume)
        if n_left_out:
            logger.warning("%d pages are not among the outlined ones; left out", n_left_out)
        failed = [path for path, measured in is_measured.items() if not measured]
        if left := self.outputs.left_over(names, failed):
            more = f" and {len(left) - N_NAMED} more" if len(left) > N_NAMED else ""
            logger.warning(
                "no results of this run, but of images that failed now: %s%s; delete these files, "
                "or make the images readable and run again",
                ", ".join(map(str, left[:N_NAMED])),
                more,
            )

    def _take(
        self,
        task: PageTask,
        outcome: Done | Exception,
        rois: RoiZips,
        stacks: StackOverlays,
        results: Results,
    ) -> Row:
        """Add a page to the results; its row of counts."""
        group = self.group_of(task.path)
        if isinstance(outcome, DiskFullError):
            raise outcome
        if isinstance(outcome, Exception):
            # Whatever it is, the other pages have nothing to do with it.
            logger.debug("%s", task.path, exc_info=outcome)
            stacks.add_failed(task.path)
            reason = reason_of(outcome, task.path)
            results.failures.append(reason)
            results.figures.append(PageFigures(group, is_failed=True))
            return failed_row(str(task.path), task.frame, reason)
        rois.add(task.path, outcome.n_frames, outcome.found)
        with _beside_the_counts(task.path, results):
            if outcome.unkept is not None:
                raise outcome.unkept
        with _beside_the_counts(task.path, results):
            if outcome.undrawn is not None:
                stacks.add_failed(task.path)
                raise outcome.undrawn
            stacks.add(task.path, task.frame, outcome.n_frames, outcome.stack_page)
        results.n_done += 1
        results.figures.append(replace(outcome.figures, group=group))
        if self.keep_all or self.outputs.objects is not None:
            results.objects.extend(outcome.objects)
        if self.keep_all or self.outputs.coco is not None:
            results.instances.append(outcome.found)
        return outcome.row


def run_record(predictor: MaskPredictor, settings: Settings) -> dict[str, Any]:
    """What masks are made with, before any region or pixel size: finished pages depend on it."""
    threshold, tile_px = settings.score_threshold, settings.tile_px
    of_slices = {} if tile_px is None else {"slices_tile_px": tile_px}
    return {
        "description": "mitochondria found by mito quantify",
        "mito_instance": __version__,
        **predictor.record(),
        "score_threshold": predictor.score_threshold if threshold is None else threshold,
        "tile_px": predictor.tile_px if tile_px is None else tile_px,
        "tile_overlap_px": predictor.tile_overlap_px,
        **(of_slices if isinstance(predictor, StackPredictor) else {}),
    }


def _tasks(paths: Sequence[Path]) -> Iterator[PageTask]:
    """Every page of every file; for a file that cannot be opened, its error instead."""
    for path in paths:
        try:
            count = n_frames(path)
        except Exception as error:  # becomes the row of the file
            yield PageTask(path, 0, error)
            continue
        for frame in range(count):
            yield PageTask(path, frame)


def _warn_of_channels(tasks: Sequence[PageTask]) -> None:
    """Say that channels are pages, which count each for itself."""
    n_pages = Counter(task.path for task in tasks)
    found = [
        (path, sizes.channels)
        for path, count in n_pages.items()
        if count > 1
        and (sizes := stack_dimensions(path)) is not None
        and sizes.channels > 1
        and sizes.fits(count)
    ]
    if found:
        path, n_channels = found[0]
        logger.warning(
            "%s%s: has %d channels, and each page of each is counted for itself; keep the one to "
            "be counted (Fiji: Image > Duplicate)",
            path,
            f" and {len(found) - 1} more files" if len(found) > 1 else "",
            n_channels,
        )


def _load(work: PageWork, task: PageTask) -> Any:
    if task.problem is not None:
        raise task.problem
    return work.load(task.path, task.frame)


@contextlib.contextmanager
def _beside_the_counts(path: Path, results: Results) -> Iterator[None]:
    """What fails here is named and costs no page its row; a full disk ends the batch."""
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        logger.debug("%s", path, exc_info=True)
        results.failures.append(reason_of(error, path))


@contextlib.contextmanager
def _opened_log(path: Path | None) -> Iterator[TextIO | None]:
    """The log, to be added to, so that it can be followed and outlives an interruption."""
    if path is None:
        yield None
        return
    try:
        stream = path.open("a", encoding="utf-8", buffering=1, errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot write the log ({error.strerror})") from error
    try:
        yield stream
    finally:
        with contextlib.suppress(OSError):  # a line that could not be written was named before
            stream.close()


def _log_page(log: TextIO, task: PageTask, row: Row, outcome: Done | Exception) -> bool:
    """One line on a page; False where it cannot be written, which is no reason to stop."""
    done = outcome if isinstance(outcome, Done) else None
    event = {
        "time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "image": str(task.path),
        "frame": task.frame,
        "status": row["status"],
        "count": row["count"],
        "seconds": None if done is None else round(done.seconds, 3),
        "zoom": None if done is None else round(done.zoom, 4),
        "from_resume": done is not None and done.is_stored,
        "message": row["message"],
    }
    try:
        log.write(json.dumps(event) + "\n")
        log.flush()
    except OSError as error:
        logger.warning("%s: no further lines of the log (%s)", log.name, error.strerror)
        return False
    return True
