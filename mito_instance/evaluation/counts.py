"""Agreement of the number of instances per image: bias, mean absolute error, limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class CountAgreement:
    """Differences predicted - true of the instances per image.

    Args:
        bias: mean difference; positive where too many are found. NaN without images.
        mean_absolute_error: mean absolute difference. NaN without images.
        limit_low: lower Bland-Altman limit of agreement. NaN with fewer than two images.
        limit_high: upper Bland-Altman limit of agreement. NaN with fewer than two images.
    """

    bias: float
    mean_absolute_error: float
    limit_low: float
    limit_high: float


def count_agreement(n_true: Sequence[int], n_pred: Sequence[int]) -> CountAgreement:
    """Bias, mean absolute error and 95 % limits of agreement of counts per image.

    Args:
        n_true: true instances in each image.
        n_pred: predicted instances in the same images.

    Returns:
        The agreement in instances per image; the limits are bias ± 1.96 sample standard
        deviations. All NaN without images.

    Raises:
        ValueError: if the lengths differ.
    Source: Bland & Altman 1986, Lancet 327:307-310.
    """
    if len(n_true) != len(n_pred):
        raise ValueError(f"counts must be of the same images, got {len(n_true)} and {len(n_pred)}")
    if not n_true:
        return CountAgreement(math.nan, math.nan, math.nan, math.nan)
    differences = np.asarray(n_pred, dtype=np.float64) - np.asarray(n_true, dtype=np.float64)
    bias = float(differences.mean())
    margin = 1.96 * float(differences.std(ddof=1)) if len(differences) > 1 else math.nan
    return CountAgreement(
        bias=bias,
        mean_absolute_error=float(np.abs(differences).mean()),
        limit_low=bias - margin,
        limit_high=bias + margin,
    )
