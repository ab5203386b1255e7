"""Mask R-CNN with autocast per forward pass and channels-last memory."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, ROI_HEADS_REGISTRY, build_model
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import FastRCNNOutputLayers, StandardROIHeads
from detectron2.structures import ImageList, Instances
from torch import nn

from mito_instance.detection import backbone as _registers_backbone  # noqa: F401 (registry)
from mito_instance.detection.architectures import register
from mito_instance.detection.foreground import ForegroundHead
from mito_instance.detection.pooling import CpuPooler
from mito_instance.detection.precision import Precision


class MitoBoxPredictor(FastRCNNOutputLayers):
    """Class scores and box deltas in fp32, also under autocast, learned from the hardest boxes.

    bf16 holds 8 significant bits: scores near 1 would tie by the dozen, and their ranking,
    hence AP and the choice among duplicates, would be arbitrary.

    Args:
        cfg: reads ``MITO.HARD_BOX_FRACTION``.
        input_shape: shape of the box features.
    """

    def __init__(self, cfg: CfgNode, input_shape: Any) -> None:
        super().__init__(cfg, input_shape)
        self.hard_fraction = float(cfg.MITO.HARD_BOX_FRACTION)

    def forward(self, x: torch.Tensor) -> Any:
        """Scores and deltas of the box features ``x`` (N, C)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())

    def losses(self, predictions: Any, proposals: Any) -> dict[str, torch.Tensor]:
        """Detectron2's losses; the classification is averaged over the hardest boxes only.

        Source: Shrivastava et al. 2016, online hard example mining.
        """
        found: dict[str, torch.Tensor] = super().losses(predictions, proposals)
        if self.hard_fraction < 1.0 and len(predictions[0]):
            classes = torch.cat([boxes.gt_classes for boxes in proposals])
            each = nn.functional.cross_entropy(predictions[0], classes, reduction="none")
            hardest = each.topk(max(1, round(self.hard_fraction * len(each)))).values
            found["loss_cls"] = hardest.mean() * self.loss_weight.get("loss_cls", 1.0)
        return found


@ROI_HEADS_REGISTRY.register()
class MitoROIHeads(StandardROIHeads):
    """Standard ROI heads with our box predictor, and pooling that is fast on CPUs."""

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        parts: dict[str, Any] = super()._init_box_head(cfg, input_shape)
        parts["box_predictor"] = MitoBoxPredictor(cfg, parts["box_head"].output_shape)
        parts["box_pooler"] = _pooler(cfg.MODEL.ROI_BOX_HEAD, parts["box_pooler"])
        return parts

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        parts: dict[str, Any] = super()._init_mask_head(cfg, input_shape)
        if parts:
            parts["mask_pooler"] = _pooler(cfg.MODEL.ROI_MASK_HEAD, parts["mask_pooler"])
        return parts


def _pooler(keys: CfgNode, built: ROIPooler) -> CpuPooler:
    scales = [level.spatial_scale for level in built.level_poolers]
    return CpuPooler(keys.POOLER_RESOLUTION, scales, keys.POOLER_SAMPLING_RATIO, keys.POOLER_TYPE)


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
                losses |= self.foreground.losses(self.foreground(features), truth)
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
            images = self.preprocess_image(batched_inputs)
            features = self.backbone(images.tensor)
            proposals, _ = self.proposal_generator(images, features, None)
            found, _ = self.roi_heads(images, features, proposals, None)
            found = self.foreground.rescore(self.foreground(features), found)
        if do_postprocess:
            return GeneralizedRCNN._postprocess(found, batched_inputs, images.image_sizes)
        return found

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
