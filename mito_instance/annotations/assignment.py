"""Whole groups to parts so that the parts come near their shares."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_MAX_SWAPS = 4_000_000  # pairs of groups that are compared at once
_MAX_STEPS = 1000
_IMAGE_WEIGHT = 0.01  # instances decide; images break ties and place groups without instances

_Weights = npt.NDArray[np.float64]
_Parts = npt.NDArray[np.int64]


def assign_groups(
    n_instances: Sequence[int],
    n_images: Sequence[int],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> _Parts:
    """The part of each group, drawn at random and then improved by moves and swaps.

    Args:
        n_instances: instances of each of G groups.
        n_images: images of each group, >= 1.
        shares: of each of P parts, > 0 and with the sum 1.
        rng: source of the draw; equal state gives equal parts.

    Returns:
        int64 (G,) in [0, P); every part has at least one group.

    Raises:
        ValueError: if there are fewer groups than parts.
    """
    if len(n_images) < len(shares):
        raise ValueError(f"{len(shares)} parts need as many groups, got {len(n_images)}")
    weights = _weights(n_instances, n_images)
    targets = np.asarray(shares, dtype=np.float64)
    parts = _draw(weights, targets, rng)
    for _ in range(_MAX_STEPS):
        if not _improve(parts, weights, targets):
            break
    return parts


def _weights(n_instances: Sequence[int], n_images: Sequence[int]) -> _Weights:
    """What each group adds to its part; the sum is 1."""
    instances = np.asarray(n_instances, dtype=np.float64)
    images = np.asarray(n_images, dtype=np.float64)
    weights: _Weights = images / images.sum()
    if instances.any():
        weights = (1 - _IMAGE_WEIGHT) * instances / instances.sum() + _IMAGE_WEIGHT * weights
    return weights


def _draw(weights: _Weights, targets: _Weights, rng: np.random.Generator) -> _Parts:
    """Fill the smaller parts in random order up to their share; the rest is the largest part's."""
    order = rng.permutation(len(weights))
    by_size = np.argsort(targets, kind="stable")
    parts = np.full(len(weights), by_size[-1], dtype=np.int64)
    position = 0
    for rank, part in enumerate(by_size[:-1]):
        n_waiting = len(targets) - rank - 1  # parts after this one, each needs a group
        filled = 0.0
        first = position
        while position < len(order) - n_waiting:
            weight = weights[order[position]]
            if position > first and filled + weight / 2 > targets[part]:
                break
            parts[order[position]] = part
            filled += weight
            position += 1
    return parts


def _improve(parts: _Parts, weights: _Weights, targets: _Weights) -> bool:
    """Make the best move or swap, in place; False when none brings the parts nearer."""
    excess = np.bincount(parts, weights=weights, minlength=len(targets)) - targets
    best_gain = 1e-12  # rounding errors are no gain
    best: dict[int, int] = {}
    for source, sink in itertools.permutations(range(len(targets)), 2):
        mine, theirs = np.flatnonzero(parts == source), np.flatnonzero(parts == sink)
        if len(mine) > 1:
            gain, place = _best_shift(weights[mine], excess[source], excess[sink])
            if gain > best_gain:
                best_gain, best = gain, {int(mine[place]): sink}
        if source < sink and len(mine) * len(theirs) <= _MAX_SWAPS:
            differences = (weights[mine][:, None] - weights[theirs][None, :]).ravel()
            gain, place = _best_shift(differences, excess[source], excess[sink])
            if gain > best_gain:
                giver, taker = mine[place // len(theirs)], theirs[place % len(theirs)]
                best_gain, best = gain, {int(giver): sink, int(taker): source}
    for group, part in best.items():
        parts[group] = part
    return bool(best)


def _best_shift(shifts: _Weights, excess_source: float, excess_sink: float) -> tuple[float, int]:
    """How much nearer the best of some shifts brings two parts, and its position."""
    after = np.abs(excess_source - shifts) + np.abs(excess_sink + shifts)
    place = int(np.argmin(after))
    return float(abs(excess_source) + abs(excess_sink) - after[place]), place
