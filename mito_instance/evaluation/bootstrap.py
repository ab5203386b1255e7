"""Confidence intervals by resampling images, or the groups that images come from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mito_instance.evaluation import figures
from mito_instance.evaluation.precision_recall import Detections, Ranking

Samples = dict[str, npt.NDArray[np.float64]]
"""B values of each figure, one for each resample."""

LEVEL = 0.95


def resample_weights(
    groups: Sequence[Hashable], n_resamples: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """How often each image counts in each resample.

    Images of one group (an animal, a stack) are no independent observations: whole groups are
    drawn, with replacement, as many as there are. Instances are never resampled.

    Args:
        groups: the group of each of N images; its own for each where they are independent.
        n_resamples: B, >= 0.
        rng: source of randomness.

    Returns:
        int64 (B, N).
    """
    numbers: dict[Hashable, int] = {}
    group = [numbers.setdefault(value, len(numbers)) for value in groups]
    n_groups = len(numbers)
    if n_groups == 0:
        return np.zeros((n_resamples, 0), dtype=np.int64)
    drawn = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n_resamples)
    weights: npt.NDArray[np.int64] = drawn[:, group].astype(np.int64)
    return weights


def resampled_figures(
    tallies: Sequence[Mapping[str, float]],
    detections: Sequence[Detections],
    weights: npt.NDArray[np.int64],
    unit: str,
    *,
    incomplete: bool = False,
) -> Samples:
    """Every figure in every resample.

    Args:
        tallies: counts of each of N images.
        detections: detections of the same images.
        weights: (B, N) from `resample_weights`.
        unit: ``um2`` or ``px``.
        incomplete: whether the truth is.

    Returns:
        float64 (B,) by name.
    """
    names, counts = figures.matrix(tallies)
    sums = dict(zip(names, (weights @ counts).T, strict=True))
    samples: Samples = figures.figures(sums, unit, incomplete=incomplete)
    ranking = Ranking(detections)
    ranked = [ranking.figures(row) for row in weights]
    for name in ranked[0] if ranked else ():
        samples[name] = np.asarray([row[name] for row in ranked])
        if incomplete and name.startswith(figures.NEEDS_COMPLETE_TRUTH):
            samples[name] = samples[name] * np.nan
    return samples


def intervals(samples: Samples, level: float = LEVEL) -> dict[str, tuple[float, float]]:
    """Percentile interval of each figure.

    Args:
        samples: B values by name; resamples in which a figure is undefined are left out.
        level: share of the resamples inside the interval.

    Returns:
        (low, high) by name; (NaN, NaN) where no resample defines the figure.
    """
    tail = 50 * (1 - level)
    found: dict[str, tuple[float, float]] = {}
    for name, values in samples.items():
        defined = values[~np.isnan(values)]
        low, high = np.percentile(defined, [tail, 100 - tail]) if len(defined) else (np.nan,) * 2
        found[name] = (float(low), float(high))
    return found


def n_distinct(groups: Sequence[Hashable]) -> int:
    """Number of groups; an interval needs at least two."""
    return len(set(groups))
