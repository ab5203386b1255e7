"""Dense foreground maps beside the instance heads: they judge every detection, and its outline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes, Instances
from fvcore.nn import weight_init
from torch import nn
from torch.nn import functional as F

from mito_instance.detection.coarse_map import STRIDE_PX, CoarseMap
from mito_instance.errors import ConfigError


class ForegroundHead(nn.Module):
    """Probability of every pixel to lie in an instance, from the feature pyramid.

    The box head sees a detection as 7×7 cells and a few hundred sampled boxes an image. This
    head learns from all pixels, so that bodies of a mitochondrion's shape but another texture
    (multivesicular bodies, lysosomes) weigh as much as their area. With
    ``MITO.FOREGROUND.COARSE_SHARE`` a network of its own that sees the image at half the
    resolution has a say as well, and what counts is the weighted mean of both probabilities.

    Args:
        cfg: reads ``MITO.FOREGROUND`` and ``MODEL.ROI_HEADS.IN_FEATURES`` (the levels used).
        input_shape: channels and strides of the pyramid's levels.
    """

    def __init__(self, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> None:
        super().__init__()
        self.levels = list(cfg.MODEL.ROI_HEADS.IN_FEATURES)
        self.stride = int(input_shape[self.levels[0]].stride or 1)
        self.coarse_share = float(cfg.MITO.FOREGROUND.COARSE_SHARE)
        if not 0.0 <= self.coarse_share < 1.0:
            raise ConfigError(
                "MITO.FOREGROUND.COARSE_SHARE: must be 0 (no second map) to less than 1, got "
                f"{self.coarse_share:g}"
            )
        if self.coarse_share and self.stride != STRIDE_PX:
            raise ConfigError(
                f"MITO.FOREGROUND.COARSE_SHARE: needs cells of {STRIDE_PX} px, those of "
                f"MODEL.ROI_HEADS.IN_FEATURES's first level have {self.stride}"
            )
        self.coarse = CoarseMap() if self.coarse_share else None
        self.loss_weight = float(cfg.MITO.FOREGROUND.LOSS_WEIGHT)
        self.score_power = float(cfg.MITO.FOREGROUND.SCORE_POWER)
        if not 0.0 <= self.score_power < math.inf:
            raise ConfigError(
                "MITO.FOREGROUND.SCORE_POWER: must be 0 or more, finite (below 0, detections "
                f"on background would gain), got {self.score_power:g}"
            )
        self.mask_weight = float(cfg.MITO.FOREGROUND.MASK_WEIGHT)
        if not 0.0 <= self.mask_weight < 0.5:
            raise ConfigError(
                "MITO.FOREGROUND.MASK_WEIGHT: must be 0 to less than 0.5 (beyond, the map marks "
                f"what the mask leaves out), got {self.mask_weight:g}"
            )
        self.outline_limits = tuple(map(float, cfg.MITO.FOREGROUND.OUTLINE_LIMITS))
        self.hard_fraction = float(cfg.MITO.FOREGROUND.HARD_PIXEL_FRACTION)
        width = int(cfg.MITO.FOREGROUND.CONV_DIM)
        self.lateral = nn.ModuleList(
            nn.Conv2d(input_shape[level].channels, width, 3, padding=1) for level in self.levels
        )
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.predictor = nn.Conv2d(width, 1, 1)
        for layer in (*self.lateral, *self.convolutions):
            weight_init.c2_msra_fill(layer)
        nn.init.normal_(self.predictor.weight, std=0.01)
        # A tenth of a micrograph is mitochondria: start there, not at a half.
        self.predictor.bias = nn.Parameter(torch.full((1,), -2.2))

    def forward(
        self, features: Mapping[str, torch.Tensor], images: torch.Tensor
    ) -> list[torch.Tensor]:
        """Logits (N, 1, H/s, W/s) at the stride s of the finest level, in fp32, a map each.

        Args:
            features: of the pyramid.
            images: (N, C, H, W), what the pyramid was made of; channels of one grey level.

        Returns:
            The pyramid's map, and the coarse one if there is one.
        """
        logits = [self._of_pyramid(features)]
        if self.coarse is not None:
            logits.append(self.coarse(images))
        return logits

    def _of_pyramid(self, features: Mapping[str, torch.Tensor]) -> torch.Tensor:
        size = features[self.levels[0]].shape[-2:]
        x = torch.zeros(())
        for index, (level, lateral) in enumerate(zip(self.levels, self.lateral, strict=True)):
            part = lateral(features[level])
            if index:
                part = F.interpolate(part, size=size, mode="bilinear", align_corners=False)
                x = x + part
            else:
                x = part
        x = F.relu(x)
        for convolution in self.convolutions:
            x = F.relu(convolution(x))
        logits: torch.Tensor = self.predictor(x)
        return logits.float()

    def losses(
        self, logits: Sequence[torch.Tensor], truth: Sequence[Instances]
    ) -> dict[str, torch.Tensor]:
        """Binary cross-entropy of the hardest pixels, plus Dice, against the union of the masks.

        Args:
            logits: from ``forward``; the padding of smaller images counts as background.
            truth: one a image, with ``gt_masks`` (bitmasks), possibly none.

        Returns:
            A loss a map: each learns for itself.
        """
        size = (logits[0].shape[-2] * self.stride, logits[0].shape[-1] * self.stride)
        target = logits[0].new_zeros((len(truth), *size))
        for index, instances in enumerate(truth):
            if len(instances):
                union = instances.gt_masks.tensor.any(dim=0)
                target[index, : union.shape[0], : union.shape[1]] = union.to(target.dtype)
        names = ("loss_foreground", "loss_coarse_map")
        return {
            name: self.loss_weight * self._loss(one, target)
            for name, one in zip(names, logits, strict=False)
        }

    def _loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Of one map against the truth (N, H, W)."""
        size = target.shape[-2:]
        full = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)[:, 0]
        entropy = F.binary_cross_entropy_with_logits(full, target, reduction="none").flatten()
        if self.hard_fraction < 1.0:
            entropy = entropy.topk(max(1, round(self.hard_fraction * len(entropy)))).values
        probability = full.sigmoid()
        overlap = 2.0 * (probability * target).sum() + 1.0
        dice = 1.0 - overlap / (probability.sum() + target.sum() + 1.0)
        return entropy.mean() + dice

    def judge(self, probability: torch.Tensor, detections: Sequence[Instances]) -> list[Instances]:
        """Multiply scores by the map's mean inside the mask, and mix the map into the mask.

        The mean is taken to the power ``SCORE_POWER``. A mask becomes ``(1 - MASK_WEIGHT) * mask
        + MASK_WEIGHT * map``. With 0.4, a cell that the mask gives less than 0.16 stays out,
        whatever the map says, so that touching neighbours remain apart; one of more than 0.84
        stays in.

        Args:
            probability: (N, 1, H/s, W/s), from ``probability``.
            detections: per image, with ``pred_boxes``, ``pred_masks`` (N, 1, m, m) and
                ``scores``; possibly none.

        Returns:
            The same detections by falling new score, which is that of the mask before.
        """
        sampled = self._sample(probability, [found.pred_boxes for found in detections], detections)
        judged = []
        for found, cells in zip(detections, sampled, strict=True):
            if len(found):
                inside = (found.pred_masks[:, 0] >= 0.5).to(cells.dtype)
                mean = (cells * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1.0)
                found.scores = found.scores * mean.clamp(min=0.0) ** self.score_power
                if self.mask_weight:
                    mask = found.pred_masks[:, 0].to(cells.dtype)
                    mixed = mask.lerp(cells, self.mask_weight)
                    found.pred_masks = mixed[:, None]
                found = found[found.scores.argsort(descending=True, stable=True)]
            judged.append(found)
        return judged

    def probability(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Weighted mean (N, 1, H/s, W/s) of the maps from ``forward``."""
        probability = logits[0].sigmoid()
        if self.coarse_share:
            probability = probability.lerp(logits[1].sigmoid(), self.coarse_share)
        return probability

    def _sample(
        self, probability: torch.Tensor, boxes: Sequence[Boxes], detections: Sequence[Instances]
    ) -> list[torch.Tensor]:
        """Probabilities (N, m, m) at the cells of each detection's mask."""
        counts = [len(found) for found in detections]
        if not sum(counts):
            return [probability.new_zeros((0, 1, 1)) for _ in counts]
        cells = next(found.pred_masks.shape[-1] for found in detections if len(found))
        pooler = ROIPooler(
            output_size=cells,
            scales=(1.0 / self.stride,),
            sampling_ratio=1,
            pooler_type="ROIAlignV2",
        )
        pooled = pooler([probability], list(boxes))[:, 0]
        return list(pooled.split(counts))
