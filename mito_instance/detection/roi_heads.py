"""The heads that judge proposals: box predictor in fp32, pooling for CPUs, one or three stages."""

from __future__ import annotations

from typing import Any, cast

import torch
from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.roi_heads import CascadeROIHeads, FastRCNNOutputLayers, StandardROIHeads
from torch import nn

from mito_instance.detection.pooling import CpuPooler


class MitoBoxPredictor(FastRCNNOutputLayers):
    """Class scores and box deltas in fp32, also under autocast, learned from the hardest boxes.

    bf16 holds 8 significant bits: scores near 1 would tie by the dozen, and their ranking,
    hence AP and the choice among duplicates, would be arbitrary.

    Args:
        cfg: reads ``MITO.HARD_BOX_FRACTION``.
        input_shape: shape of the box features.
        others: what overrides the config, by the names of ``FastRCNNOutputLayers``.
    """

    def __init__(self, cfg: CfgNode, input_shape: Any, **others: Any) -> None:
        super().__init__(cfg, input_shape, **others)
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
        return _with_pooler(cfg, super()._init_mask_head(cfg, input_shape))


@ROI_HEADS_REGISTRY.register()
class MitoCascadeROIHeads(CascadeROIHeads):
    """Three box heads in a row, each taught on the boxes of the one before (Cascade R-CNN).

    Source: Cai and Vasconcelos 2018.
    """

    @classmethod
    def _init_box_head(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        parts: dict[str, Any] = super()._init_box_head(cfg, input_shape)
        weights = cfg.MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS
        parts["box_predictors"] = [
            MitoBoxPredictor(cfg, head.output_shape, box2box_transform=Box2BoxTransform(weight))
            for head, weight in zip(parts["box_heads"], weights, strict=True)
        ]
        parts["box_pooler"] = _pooler(cfg.MODEL.ROI_BOX_HEAD, parts["box_pooler"])
        return parts

    @classmethod
    def _init_mask_head(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        return _with_pooler(cfg, super()._init_mask_head(cfg, input_shape))


def last_box_predictor(heads: nn.Module) -> MitoBoxPredictor:
    """The predictor whose boxes are the detections: of a cascade the last.

    Args:
        heads: ``roi_heads`` of a network.
    """
    predictor: Any = heads.box_predictor
    is_cascade = isinstance(predictor, nn.ModuleList)
    return cast("MitoBoxPredictor", predictor[-1] if is_cascade else predictor)


def _with_pooler(cfg: CfgNode, parts: dict[str, Any]) -> dict[str, Any]:
    """Parts of a mask head with our pooler; some heads do without one."""
    if parts and parts["mask_pooler"] is not None:
        parts["mask_pooler"] = _pooler(cfg.MODEL.ROI_MASK_HEAD, parts["mask_pooler"])
    return parts


def _pooler(keys: CfgNode, built: ROIPooler) -> CpuPooler:
    scales = [level.spatial_scale for level in built.level_poolers]
    return CpuPooler(keys.POOLER_RESOLUTION, scales, keys.POOLER_SAMPLING_RATIO, keys.POOLER_TYPE)
