"""A trained network made ready for prediction: nothing is computed anew for every image."""

from __future__ import annotations

import torch
from detectron2.layers import FrozenBatchNorm2d
from torch import nn

from mito_instance.detection.coarse_map import CoarseMap
from mito_instance.detection.frozen_norm import frozen_scale_and_shift
from mito_instance.detection.roi_heads import MitoBoxPredictor

_CASTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def fold_for_prediction(network: nn.Module, dtype: torch.dtype | None) -> None:
    """Change a network in place so that it predicts the same, faster, and trains no more.

    Batch norms become part of the convolution before them. Weights that autocast would
    cast for every image are cast once; the box predictor computes in fp32 and keeps its own.

    Args:
        network: in evaluation mode, on its device.
        dtype: of autocast's arithmetic, or None for fp32.
    """
    for module in network.modules():
        norm = getattr(module, "norm", None)
        if isinstance(module, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d):
            scale, shift = frozen_scale_and_shift(module)
            module.weight.data = module.weight.data * scale.view(-1, 1, 1, 1)
            module.bias = nn.Parameter(shift.detach(), requires_grad=False)
            module.register_module("norm", None)
        if isinstance(module, CoarseMap):
            module.fold()
    if dtype is None:
        return
    kept = {
        id(layer)
        for part in network.modules()
        if isinstance(part, MitoBoxPredictor)
        for layer in part.modules()
    }
    for module in network.modules():
        if isinstance(module, _CASTED) and id(module) not in kept:
            module.weight.data = module.weight.data.to(dtype)
            if module.bias is not None:
                module.bias.data = module.bias.data.to(dtype)
