"""Semantic networks as Detectron2 meta-architectures; their layers come from libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.utils.events import get_event_storage, has_event_storage
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

from mito_instance.detection.precision import Precision
from mito_instance.errors import ConfigError, WeightsError
from mito_instance.semantic.encoder_weights import encoder_weights
from mito_instance.semantic.layers import build_2d, build_3d
from mito_instance.semantic.losses import foreground_losses

STRIDE_PX = 32
"""Images are padded to a multiple of this: the coarsest grid of a ResNet."""

_CAFFE2_STD = 10.0
"""Above it a deviation is one of grey levels; Caffe2's networks were trained without."""


_DIVIDED = (
    "MODEL.PIXEL_STD: an encoder of Caffe2's kind (MODEL.RESNETS.STRIDE_IN_1X1 True) knows grey "
    "levels that are not divided by a deviation; add MODEL.PIXEL_STD '[1.0]'"
)


class SemanticNet(nn.Module):
    """What the semantic networks share: grey levels to logits, in one autocast a forward pass.

    Args:
        cfg: reads ``MODEL.{DEVICE,PIXEL_MEAN,PIXEL_STD}``, ``MITO.{PRECISION,CHANNELS_LAST}`` and
            ``MITO.SEMANTIC``, ``SOLVER.WARMUP_ITERS``.
        network: maps (N, 1, …) to logits of the same size.
        memory_format: of its convolutions.
    """

    def __init__(
        self, cfg: CfgNode, network: nn.Module, memory_format: torch.memory_format
    ) -> None:
        super().__init__()
        keys = cfg.MITO.SEMANTIC
        self.weights_of_losses = (float(keys.BCE_WEIGHT), float(keys.DICE_WEIGHT))
        self.hard_fraction = float(keys.HARD_PIXEL_FRACTION)
        self.warm_up_steps = int(cfg.SOLVER.WARMUP_ITERS)
        self.precision = Precision.choose(cfg.MITO.PRECISION, cfg.MODEL.DEVICE)
        self.memory_format = memory_format if cfg.MITO.CHANNELS_LAST else torch.contiguous_format
        self.mean = sum(cfg.MODEL.PIXEL_MEAN) / len(cfg.MODEL.PIXEL_MEAN)
        self.std = sum(cfg.MODEL.PIXEL_STD) / len(cfg.MODEL.PIXEL_STD)
        self.network = network
        self.to(torch.device(cfg.MODEL.DEVICE))
        self.to(memory_format=self.memory_format)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def logits(self, grey: torch.Tensor) -> torch.Tensor:
        """Logits of grey levels.

        Args:
            grey: (N, 1, …) in [0, 255]; edges are multiples of the network's strides.

        Returns:
            fp32, of the same shape.
        """
        normed = (grey.to(self.device).float() - self.mean) / self.std
        with self.precision.autocast():
            logits: torch.Tensor = self.network(normed.contiguous(memory_format=self.memory_format))
            size = grey.shape[2:]
            if logits.shape[2:] != size:
                mode = "bilinear" if len(size) == 2 else "trilinear"
                logits = F.interpolate(logits.float(), size, mode=mode, align_corners=False)
        return logits.float()

    def losses(
        self, grey: torch.Tensor, target: torch.Tensor, valid: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Losses of a batch; see ``foreground_losses``."""
        logits = self.logits(grey)
        return foreground_losses(
            logits,
            target.to(logits.device),
            valid.to(logits.device),
            *self.weights_of_losses,
            hard_fraction=1.0 if self._is_warming_up() else self.hard_fraction,
        )

    def _is_warming_up(self) -> bool:
        """Whether the training has just begun: what is hard is not known yet.

        The hardest pixels of a network that knows nothing are about as often foreground as
        background, and teach it to say one half everywhere.
        """
        return has_event_storage() and int(get_event_storage().iter) < self.warm_up_steps

    def adapt_weights(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Weights of a file in the network's own names.

        Raises:
            WeightsError: if they belong to another network.
        """
        own = self.state_dict()
        if not any(name in own for name in weights):
            raise WeightsError(
                "MODEL.WEIGHTS: holds no weights of this network; pass OUTPUT_DIR/model of a "
                "training with the same MITO.SEMANTIC keys, or '' to start from random weights"
            )
        return dict(weights)


@META_ARCH_REGISTRY.register()
class SemanticNet2d(SemanticNet):
    """A U-Net or FCN on single images.

    Args:
        cfg: reads ``MITO.SEMANTIC.{NETWORK,ENCODER,ENCODER_DEPTH,DECODER_CHANNELS,…}`` too.

    Raises:
        ConfigError: if these contradict each other.
    """

    def __init__(self, cfg: CfgNode) -> None:
        network, encoder = build_2d(cfg)
        super().__init__(cfg, network, torch.channels_last)
        self.encoder_name = f"network.{encoder}"
        self.is_frozen = bool(cfg.MITO.SEMANTIC.FREEZE_ENCODER)
        has_bottlenecks = any(isinstance(part, Bottleneck) for part in network.modules())
        is_caffe2 = bool(cfg.MODEL.RESNETS.STRIDE_IN_1X1) and has_bottlenecks
        self.needs_statistics = has_bottlenecks and not is_caffe2
        self.divides_wrongly = is_caffe2 and max(cfg.MODEL.PIXEL_STD) > _CAFFE2_STD
        if self.is_frozen:
            if cfg.DATASETS.TRAIN and not cfg.MODEL.WEIGHTS:
                raise ConfigError(
                    "MITO.SEMANTIC.FREEZE_ENCODER: random weights would stay as they are; name "
                    "those of a ResNet as MODEL.WEIGHTS"
                )
            if cfg.DATASETS.TRAIN and self.divides_wrongly:
                raise ConfigError(_DIVIDED)
            self.get_submodule(self.encoder_name).requires_grad_(False)

    def train(self, mode: bool = True) -> SemanticNet2d:
        """Training or evaluation mode; a frozen encoder keeps its batch statistics."""
        super().train(mode)
        if self.is_frozen:
            self.get_submodule(self.encoder_name).eval()
        return self

    def forward(self, batched_inputs: Sequence[Mapping[str, Any]]) -> Any:
        """Losses in training; else each image's ``sem_seg``, probabilities (1, h, w).

        Args:
            batched_inputs: Detectron2's: ``image`` (C, h, w) in [0, 255], of which the first
                channel is taken, and in training ``instances`` with ``gt_masks`` and, where not all
                pixels count, ``valid`` bool (h, w).
        """
        sizes = [example["image"].shape[-2:] for example in batched_inputs]
        height, width = (_up(max(edges), STRIDE_PX) for edges in zip(*sizes, strict=True))
        grey = torch.empty((len(sizes), 1, height, width))
        target = torch.zeros((len(sizes), 1, height, width))
        valid = torch.zeros(target.shape, dtype=torch.bool)
        for row, (example, (h, w)) in enumerate(zip(batched_inputs, sizes, strict=True)):
            image = example["image"][:1].float()
            grey[row] = F.pad(image[None], (0, width - w, 0, height - h), mode="replicate")[0]
            valid[row, :, :h, :w] = example.get("valid", True)
            if self.training and len(example["instances"]):
                union = example["instances"].gt_masks.tensor.any(dim=0)
                target[row, 0, :h, :w] = union.float()
        if self.training:
            return self.losses(grey, target, valid)
        probability = self.logits(grey).sigmoid()
        return [
            {"sem_seg": found[:, :h, :w]} for found, (h, w) in zip(probability, sizes, strict=True)
        ]

    def adapt_weights(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Weights of a file in the network's own names: its own, or a ResNet for its encoder.

        Raises:
            WeightsError: if they belong to another network.
        """
        own = self.state_dict()
        if any(name in own for name in weights):
            return dict(weights)
        found = encoder_weights(weights, own, f"{self.encoder_name}.")
        if self.divides_wrongly:
            raise WeightsError(_DIVIDED)
        variances = [value for name, value in found.items() if name.endswith(".running_var")]
        if self.needs_statistics and all(bool((value == 1).all()) for value in variances):
            raise WeightsError(
                "MODEL.WEIGHTS: norms without statistics, as in a ResNet of Caffe2's kind "
                "(MSRA's); add MODEL.RESNETS.STRIDE_IN_1X1 True MODEL.PIXEL_STD '[1.0]'"
            )
        return dict(found)


@META_ARCH_REGISTRY.register()
class SemanticNet3d(SemanticNet):
    """A 3D U-Net on patches of a stack.

    Args:
        cfg: reads ``MITO.SEMANTIC.{CHANNELS_3D,STRIDES_3D,GROUPS_3D}`` too.

    Raises:
        ConfigError: if these contradict each other.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg, build_3d(cfg), torch.channels_last_3d)

    def forward(self, batched_inputs: Sequence[Mapping[str, Any]]) -> Any:
        """Losses in training; else each volume's ``sem_seg``, probabilities (1, d, h, w).

        Args:
            batched_inputs: ``volume`` (d, h, w) in [0, 255], and in training ``foreground`` and
                ``valid``, bool (d, h, w); all of one size, a multiple of the strides.
        """
        grey = torch.stack([example["volume"] for example in batched_inputs])[:, None]
        if self.training:
            target = torch.stack([example["foreground"] for example in batched_inputs])[:, None]
            valid = torch.stack([example["valid"] for example in batched_inputs])[:, None]
            return self.losses(grey, target, valid)
        return [{"sem_seg": found} for found in self.logits(grey).sigmoid()]


def _up(length: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-int(length) // step) * step
