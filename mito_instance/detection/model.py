"""Mask R-CNN with autocast per forward pass and channels-last memory."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.structures import ImageList, Instances
from torch import nn

from mito_instance.detection import backbone as _registers_backbone  # noqa: F401 (registry)
from mito_instance.detection import proposals as _registers_proposals  # noqa: F401 (registry)
from mito_instance.detection import roi_heads as _registers_heads  # noqa: F401 (registry)
from mito_instance.detection.architectures import register
from mito_instance.detection.foreground import ForegroundHead
from mito_instance.detection.frozen_norm import carry_frozen_norms
from mito_instance.detection.precision import Precision


@META_ARCH_REGISTRY.register()
class MitoMaskRCNN(GeneralizedRCNN):
    """``GeneralizedRCNN`` with autocast once a forward pass, and a foreground head if wanted.

    Its state dict is that of Detectron2's own Mask R-CNN, plus ``foreground.*`` where
    ``MITO.FOREGROUND.ENABLED``: weights pass between the two.
    """

    @configurable
    def __init__(
        self,
        *,
        precision: Precision,
        channels_last: bool,
        foreground: ForegroundHead | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the arithmetic and the foreground head; the rest is ``GeneralizedRCNN``."""
        super().__init__(**kwargs)
        self.foreground = foreground
        carry_frozen_norms(self)
        self.precision = precision
        self.channels_last = channels_last
        if channels_last:
            self.to(memory_format=torch.channels_last)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Constructor arguments of a config."""
        parts: dict[str, Any] = super().from_config(cfg)
        parts["precision"] = Precision.choose(cfg.MITO.PRECISION, cfg.MODEL.DEVICE)
        parts["channels_last"] = cfg.MITO.CHANNELS_LAST
        if cfg.MITO.FOREGROUND.ENABLED:
            parts["foreground"] = ForegroundHead(cfg, parts["backbone"].output_shape())
        return parts

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Losses in training, instances otherwise; see ``GeneralizedRCNN.forward``."""
        if not self.training:
            return self.inference(batched_inputs)
        with self.precision.autocast():
            images = self.preprocess_image(batched_inputs)
            truth = [example["instances"].to(self.device) for example in batched_inputs]
            features = self.backbone(images.tensor)
            proposals, losses = self.proposal_generator(images, features, truth)
            if self.foreground is not None:
                maps = self.foreground(features, images.tensor)
                losses |= self.foreground.losses(maps, truth)
            losses |= self.roi_heads(images, features, proposals, truth)[1]
            return losses

    def inference(
        self,
        batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None,
        do_postprocess: bool = True,
    ) -> Any:
        """Raw or post-processed instances; see ``GeneralizedRCNN.inference``."""
        with self.precision.autocast():
            if self.foreground is None or detected_instances is not None:
                return super().inference(batched_inputs, detected_instances, do_postprocess)
        found, _ = self.detect(batched_inputs)
        if do_postprocess:
            sizes = [example["image"].shape[-2:] for example in batched_inputs]
            return GeneralizedRCNN._postprocess(found, batched_inputs, sizes)
        return found

    def detect(
        self, batched_inputs: list[dict[str, Any]]
    ) -> tuple[list[Instances], torch.Tensor | None]:
        """Raw instances, and the probability of the foreground that judged them.

        Args:
            batched_inputs: Detectron2's: ``image`` (C, h, w) in [0, 255].

        Returns:
            The instances of each image, and (N, 1, H/s, W/s) of the padded images at the
            foreground head's stride s; None without such a head.
        """
        with self.precision.autocast():
            if self.foreground is None:
                return super().inference(batched_inputs, None, do_postprocess=False), None
            images = self.preprocess_image(batched_inputs)
            features = self.backbone(images.tensor)
            proposals, _ = self.proposal_generator(images, features, None)
            found, _ = self.roi_heads(images, features, proposals, None)
            probability = self.foreground.probability(self.foreground(features, images.tensor))
            return self.foreground.judge(probability, found), probability

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalised, padded batch in the network's memory format."""
        images = super().preprocess_image(batched_inputs)
        if self.channels_last:
            images.tensor = images.tensor.contiguous(memory_format=torch.channels_last)
        return images


def build_network(cfg: CfgNode) -> nn.Module:
    """The untrained network of a config, on its device.

    Args:
        cfg: a config from ``load_config`` (``MODEL.DEVICE`` resolved).

    Raises:
        ConfigError: for an unknown ``MODEL.META_ARCHITECTURE`` or one that its keys do not fit.
        MissingDependencyError: if the architecture needs a library that is not installed.
    """
    register(cfg.MODEL.META_ARCHITECTURE)
    network: nn.Module = build_model(cfg)
    return network
