"""Which example comes when: an endless order that any process can join at any position."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from mito_instance.annotations.image_files import page_of
from mito_instance.detection.architectures import Mapper, build_mapper
from mito_instance.detection.data import load_records
from mito_instance.detection.model_card import LOOKALIKES, DataFile
from mito_instance.errors import AnnotationError, ConfigError, MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco

logger = logging.getLogger(__name__)


class TrainingOrder(Sampler[tuple[int, int]]):
    """Endless order of the training: shuffled epochs, one after the other.

    Position and record depend on the seed alone. Processes share the order like cards: of
    every batch each takes its own.

    Args:
        repeats: (N,) how often an epoch shows each record, >= 0; a fraction is a chance.
        seed: of the shuffling.
        start: first position to yield, as after ``start`` examples.
        rank: this process.
        n_processes: all of them.

    Raises:
        ConfigError: if no record is ever shown.
    """

    def __init__(
        self,
        repeats: npt.NDArray[np.float64],
        seed: int,
        *,
        start: int = 0,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        if not (np.isfinite(repeats).all() and (repeats >= 0).all()):
            raise ConfigError(f"MITO: repeats must be 0 or more, got {repeats.min()}")
        if not (repeats > 0).any():
            raise ConfigError(
                "MITO: all repeats (DATASET_REPEATS, EMPTY_IMAGE_REPEATS) are 0; nothing is shown"
            )
        self.repeats = repeats
        self.seed = seed
        self.start = start
        self.rank = rank
        self.n_processes = n_processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Pairs of position in the order and index of the record."""
        order = enumerate(self._endless())
        return itertools.islice(order, self.start + self.rank, None, self.n_processes)

    def _endless(self) -> Iterator[int]:
        for epoch in itertools.count():
            rng = np.random.default_rng([self.seed, epoch])
            whole = np.floor(self.repeats).astype(np.int64)
            times = whole + (rng.random(len(whole)) < self.repeats - whole)
            yield from rng.permutation(np.repeat(np.arange(len(times)), times)).tolist()


class TrainingExamples(Dataset[dict[str, Any]]):
    """Examples by (position, record): the same for any number of workers.

    Args:
        records: from ``load_records``.
        mapper: makes an example of a record.
    """

    def __init__(self, records: Sequence[ImageInstances], mapper: Mapper) -> None:
        self.records = records
        self.mapper = mapper

    def __getitem__(self, position_and_record: tuple[int, int]) -> dict[str, Any]:
        """Example number ``position`` of the training, made of that record."""
        position, record = position_and_record
        return self.mapper(self.records[record], position)


def read_data(
    cfg: CfgNode, *, with_validation: bool
) -> tuple[list[ImageInstances], tuple[DataFile, ...]]:
    """Training images of all files, and what the model card says of each file.

    Crowd regions among them, which no loss knows, are said.

    Args:
        cfg: reads ``DATASETS`` and ``MITO.AUGMENT.LOOKALIKES``.
        with_validation: whether ``DATASETS.TEST`` is described as well.

    Raises:
        ConfigError, AnnotationError: as ``load_records``; AnnotationError also if a network of
            several classes is to learn a category id that two files give different names, or two
            training files that are shown outline a page differently.
    """
    records: list[ImageInstances] = []
    named: dict[int, tuple[str, str]] = {}
    outlined: dict[tuple[Path, int], tuple[ImageInstances, str]] = {}
    files = []
    if not cfg.DATASETS.TRAIN:
        load_records((), cfg)  # says that none is named
    times = zip(cfg.DATASETS.TRAIN, cfg.MITO.DATASET_REPEATS, strict=False)
    unshown = {path for path, n in times if not n}
    parts = [("training", path) for path in cfg.DATASETS.TRAIN]
    if cfg.MITO.AUGMENT.COPY_PASTE_MAX:
        parts += [(LOOKALIKES, path) for path in cfg.MITO.AUGMENT.LOOKALIKES]
    if with_validation:
        parts += [("validation", path) for path in cfg.DATASETS.TEST]
    for use, path in parts:
        images = load_records([path], cfg, has_classes=use != LOOKALIKES)
        if use != LOOKALIKES:
            _check_names(path, images, int(cfg.MODEL.ROI_HEADS.NUM_CLASSES), named)
        files.append(DataFile.describe(Path(path), use, images))
        if use == "training":
            if path not in unshown:
                _check_outlines(path, images, outlined)
            records += images
    _report_crowds(records)
    return records, tuple(files)


def _check_names(
    path: str, images: Sequence[ImageInstances], n_classes: int, named: dict[int, tuple[str, str]]
) -> None:
    """Refuse a file whose categories are others than those of a file before.

    Args:
        path: the COCO file.
        images: its content; without any instance, its names say nothing.
        n_classes: of the network; one takes mitochondria by any name.
        named: name and file of each category so far; the file's are added.
    """
    if n_classes == 1 or not any(map(len, images)):
        return
    for number, name in images[0].category_names.items():
        before, source = named.setdefault(number, (name, path))
        if 1 <= number <= n_classes and before.strip().casefold() != name.strip().casefold():
            raise AnnotationError(
                f"{path}: category {number} is {name!r}, but {before!r} in {source}; give all "
                "files the same categories"
            )


def _check_outlines(
    path: str,
    images: Sequence[ImageInstances],
    outlined: dict[tuple[Path, int], tuple[ImageInstances, str]],
) -> None:
    """Refuse a page that a file before outlines differently: both would be learned as the truth.

    Args:
        path: the COCO file.
        images: its content.
        outlined: content and file of each page so far; the file's are added.
    """
    for image in images:
        before, source = outlined.setdefault(page_of(image), (image, path))
        mine, others = (
            sorted(zip((m["counts"] for m in one.masks), one.category_ids, strict=True))
            for one in (image, before)
        )
        if mine != others:
            raise AnnotationError(
                f"{path}: {image.image}, page {image.frame + 1}, has {len(image)} instances, but "
                f"{len(before)} or others in {source}; train on one of the two files"
            )


def _report_crowds(records: Sequence[ImageInstances]) -> None:
    """Say that crowd regions teach what is none: exports that mark instances so are common."""
    counts = [len(record.crowds) for record in records if record.crowds]
    if counts and comm.is_main_process():
        logger.warning(
            "%d of %d training images have crowd regions (iscrowd 1), %d in all: LEARNED AS "
            "BACKGROUND. CVAT exports every brush mask so; if they are instances, set iscrowd to 0 "
            "(mito check FILE.json --fix OUT.json --crowds-are-instances)",
            len(counts),
            len(records),
            sum(counts),
        )


def build_train_loader(
    cfg: CfgNode, records: Sequence[ImageInstances], seed: int, start: int = 0
) -> Iterable[Any]:
    """Endless loader of batches; with several processes, of this one's share of them.

    Args:
        cfg: reads ``SOLVER.IMS_PER_BATCH`` (of all processes together), ``DATALOADER``,
            ``DATASETS.TRAIN`` and ``MITO``.
        records: from ``load_records``; empty images are kept, they teach what is none.
        seed: example number k depends on the seed and k alone.
        start: number of examples already seen; none of their images is read again.

    Raises:
        ConfigError: if the batch cannot be shared, or the repeats do not fit the files.
    """
    n_processes = comm.get_world_size()
    batch, rest = divmod(cfg.SOLVER.IMS_PER_BATCH, n_processes)
    if rest or not batch:
        raise ConfigError(
            f"SOLVER.IMS_PER_BATCH: must be a multiple of the number of processes "
            f"({n_processes}), got {cfg.SOLVER.IMS_PER_BATCH}"
        )
    repeats = _repeats(cfg, records)
    order = TrainingOrder(
        repeats,
        seed,
        start=start,
        rank=comm.get_rank(),
        n_processes=n_processes,
    )
    loader: DataLoader[dict[str, Any]] = DataLoader(
        TrainingExamples(records, build_mapper(cfg, _learned(records, repeats), seed)),
        sampler=order,
        batch_size=batch,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
        # Else every new loader would draw a number from the generator that the losses use.
        generator=torch.Generator().manual_seed(seed),
    )
    return _Examples(loader)


class _Examples:
    """A loader whose workers' errors arrive as the one line that was raised there."""

    def __init__(self, loader: DataLoader[dict[str, Any]]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.loader
        except MitoInstanceError as error:
            last = str(error).strip().splitlines()[-1]
            name = f"{type(error).__module__}.{type(error).__qualname__}: "
            if not last.startswith(name):
                raise
            raise type(error)(last.removeprefix(name)) from None


def _learned(
    records: Sequence[ImageInstances], repeats: npt.NDArray[np.float64]
) -> list[ImageInstances]:
    """Without those whose instances are never shown: nothing of them is pasted either.

    Images without any stay, for they may lie between others of a stack.
    """
    return [record for record, n in zip(records, repeats, strict=True) if n > 0 or not len(record)]


def shown(cfg: CfgNode, records: Sequence[ImageInstances]) -> list[ImageInstances]:
    """The records that an epoch may show, of those from `read_data`.

    Raises:
        ConfigError: if ``MITO.DATASET_REPEATS`` does not fit the files.
    """
    return [record for record, n in zip(records, _repeats(cfg, records), strict=True) if n > 0]


def _repeats(cfg: CfgNode, records: Sequence[ImageInstances]) -> npt.NDArray[np.float64]:
    """How often an epoch shows each record."""
    repeats = np.ones(len(records))
    if len(cfg.MITO.DATASET_REPEATS):
        if len(cfg.MITO.DATASET_REPEATS) != len(cfg.DATASETS.TRAIN):
            raise ConfigError(
                f"MITO.DATASET_REPEATS: needs one number a file of DATASETS.TRAIN "
                f"({len(cfg.DATASETS.TRAIN)}), got {len(cfg.MITO.DATASET_REPEATS)}"
            )
        sizes = [len(read_coco(Path(path))) for path in cfg.DATASETS.TRAIN]
        repeats = np.repeat(np.asarray(cfg.MITO.DATASET_REPEATS, dtype=float), sizes)
    is_empty = np.array([not len(record) for record in records])
    return np.where(is_empty, repeats * float(cfg.MITO.EMPTY_IMAGE_REPEATS), repeats)
