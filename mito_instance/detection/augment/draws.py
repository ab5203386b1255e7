"""Random numbers with the distributions that augmentations need."""

from __future__ import annotations

import numpy as np


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """A number whose logarithm is uniform between the logarithms of ``bounds``."""
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))
