"""Which example comes when: an endless order that any process can join at any position."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

from mito_instance.detection.data import MicrographMapper
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco


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
            raise ConfigError(f"MITO.DATASET_REPEATS: must be 0 or more, got {repeats.min()}")
        if not (repeats > 0).any():
            raise ConfigError("MITO.DATASET_REPEATS: all 0; at least one file must be shown")
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

    def __init__(self, records: Sequence[ImageInstances], mapper: MicrographMapper) -> None:
        self.records = records
        self.mapper = mapper

    def __getitem__(self, position_and_record: tuple[int, int]) -> dict[str, Any]:
        """Example number ``position`` of the training, made of that record."""
        position, record = position_and_record
        return self.mapper(self.records[record], position)


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
    order = TrainingOrder(
        _repeats(cfg, len(records)),
        seed,
        start=start,
        rank=comm.get_rank(),
        n_processes=n_processes,
    )
    return DataLoader(
        TrainingExamples(records, MicrographMapper(cfg, seed)),
        sampler=order,
        batch_size=batch,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=list,
        # Else every new loader would draw a number from the generator that the losses use.
        generator=torch.Generator().manual_seed(seed),
    )


def _repeats(cfg: CfgNode, n_records: int) -> npt.NDArray[np.float64]:
    """How often an epoch shows each record."""
    if not len(cfg.MITO.DATASET_REPEATS):
        return np.ones(n_records)
    if len(cfg.MITO.DATASET_REPEATS) != len(cfg.DATASETS.TRAIN):
        raise ConfigError(
            f"MITO.DATASET_REPEATS: needs one number a file of DATASETS.TRAIN "
            f"({len(cfg.DATASETS.TRAIN)}), got {len(cfg.MITO.DATASET_REPEATS)}"
        )
    sizes = [len(read_coco(Path(path))) for path in cfg.DATASETS.TRAIN]
    return np.repeat(np.asarray(cfg.MITO.DATASET_REPEATS, dtype=float), sizes)
