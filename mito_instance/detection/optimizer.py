"""The optimizer of a config: Detectron2's SGD, or AdamW."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from torch import nn

from mito_instance.errors import ConfigError


def build_optimizer(cfg: CfgNode, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer for the parameters that are trained.

    Args:
        cfg: reads ``MITO.OPTIMIZER``, ``SOLVER.BASE_LR``, weight decays and gradient clipping.
        network: on its device.

    Raises:
        ConfigError: for another name than ``sgd`` or ``adamw``.
    """
    name = cfg.MITO.OPTIMIZER
    if name == "sgd":
        return build_sgd(cfg, network)  # type: ignore[no-any-return]
    if name != "adamw":
        raise ConfigError(f"MITO.OPTIMIZER: must be sgd or adamw, got {name!r}")
    parameters = get_default_optimizer_params(
        network,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    kind: Any = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
    optimizer: torch.optim.Optimizer = kind(
        parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
    )
    return optimizer
