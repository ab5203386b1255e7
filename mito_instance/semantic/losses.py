"""Losses of foreground maps in two or three dimensions; padding counts for nothing."""

from __future__ import annotations

import torch
from torch.nn import functional as F

SMOOTH = 1.0
"""Pixels added to both sides of the Dice fraction: an empty crop that is found empty loses 0."""


def binary_cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, hard_fraction: float = 1.0
) -> torch.Tensor:
    """Mean binary cross-entropy of the valid pixels, or of the hardest of them.

    Nine of ten pixels are background that every network soon knows; a body that looks like a
    mitochondrion has next to no weight among them.

    Args:
        logits: (N, …).
        target: (N, …) in [0, 1].
        valid: (N, …) bool; pixels elsewhere are padding.
        hard_fraction: the part of the pixels, in (0, 1], that counts: those of the greatest
            entropy.

    Returns:
        A number >= 0; 0 where no pixel is valid.
    """
    each = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")
    if hard_fraction < 1.0:
        each = each[valid]
        return (
            each.topk(max(1, round(hard_fraction * len(each)))).values.mean()
            if len(each)
            else each.sum()
        )
    weight = valid.to(each.dtype)
    return (each * weight).sum() / weight.sum().clamp(min=1.0)


def soft_dice(logits: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """One minus the Dice coefficient of probability and target, over the whole batch.

    A crop that shows nothing is judged together with the others: on its own, a single false
    pixel would cost it as much as a missed mitochondrion.

    Args:
        logits: (N, …).
        target: (N, …) in [0, 1].
        valid: (N, …) bool; pixels elsewhere are padding.

    Returns:
        A number in [0, 1].

    Source: Milletari et al. 2016, V-Net; the sum form, smoothed.
    """
    weight = valid.to(torch.float32)
    probability = logits.float().sigmoid() * weight
    truth = target.float() * weight
    overlap = 2.0 * (probability * truth).sum() + SMOOTH
    return 1.0 - overlap / (probability.sum() + truth.sum() + SMOOTH)


def foreground_losses(
    logits: torch.Tensor,
    target: torch.Tensor,
    valid: torch.Tensor,
    bce_weight: float,
    dice_weight: float,
    hard_fraction: float = 1.0,
) -> dict[str, torch.Tensor]:
    """The weighted losses by name; one of weight 0 is left out.

    Args:
        logits: (N, …).
        target: (N, …) in [0, 1].
        valid: (N, …) bool; pixels elsewhere are padding.
        bce_weight: of ``binary_cross_entropy``.
        dice_weight: of ``soft_dice``.
        hard_fraction: of ``binary_cross_entropy``.
    """
    losses = {}
    if bce_weight:
        losses["loss_bce"] = bce_weight * binary_cross_entropy(logits, target, valid, hard_fraction)
    if dice_weight:
        losses["loss_dice"] = dice_weight * soft_dice(logits, target, valid)
    return losses
