"""Which proposals the box heads look at: as many as an image needs, not a fixed number."""

from __future__ import annotations

import math
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import batched_nms
from detectron2.modeling import PROPOSAL_GENERATOR_REGISTRY
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances


@PROPOSAL_GENERATOR_REGISTRY.register()
class MitoRPN(RPN):
    """Detectron2's ``RPN``; in prediction, the number of proposals follows the image.

    A fixed number is too large for a tile with ten mitochondria, where most of the box heads'
    work is on background, and too small for one with hundreds, where it loses some without a
    word. So anchors of little objectness are left out, except the best few, and only those kept
    are decoded. Training is Detectron2's; so are the weights.

    Args:
        min_objectness: probability from which every proposal is kept.
        min_proposals: how many of an image are kept whatever their objectness, before overlapping
            ones are suppressed on each level, and after it.
        options: see ``RPN``; ``pre_nms_topk`` (a level) and ``post_nms_topk`` remain upper bounds.
    """

    @configurable
    def __init__(self, *, min_objectness: float, min_proposals: int, **options: Any) -> None:
        """Keep the two limits; the rest is ``RPN``."""
        super().__init__(**options)
        self.min_logit = _logit(min_objectness)
        self.min_proposals = min_proposals

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: Any) -> dict[str, Any]:
        """Constructor arguments of a config."""
        parts: dict[str, Any] = super().from_config(cfg, input_shape)
        parts["min_objectness"] = float(cfg.MITO.MIN_OBJECTNESS)
        parts["min_proposals"] = int(cfg.MITO.MIN_PROPOSALS)
        return parts

    def predict_proposals(
        self,
        anchors: list[Boxes],
        pred_objectness_logits: list[torch.Tensor],
        pred_anchor_deltas: list[torch.Tensor],
        image_sizes: list[tuple[int, int]],
    ) -> list[Instances]:
        """Proposals of each image, by falling objectness.

        Args:
            anchors: of each level, A boxes.
            pred_objectness_logits: of each level, (N, A).
            pred_anchor_deltas: of each level, (N, A, 4).
            image_sizes: height and width of the N images.

        Returns:
            N ``Instances`` with ``proposal_boxes`` and ``objectness_logits``; possibly empty.
        """
        if self.training:
            found: list[Instances] = super().predict_proposals(
                anchors, pred_objectness_logits, pred_anchor_deltas, image_sizes
            )
            return found
        with torch.no_grad():
            return [
                self._of_image(
                    anchors,
                    [logits[index] for logits in pred_objectness_logits],
                    [deltas[index] for deltas in pred_anchor_deltas],
                    image_hw,
                )
                for index, image_hw in enumerate(image_sizes)
            ]

    def _of_image(
        self,
        anchors: list[Boxes],
        logits: list[torch.Tensor],
        deltas: list[torch.Tensor],
        image_hw: tuple[int, int],
    ) -> Instances:
        boxes, scores, levels = [], [], []
        for level, (of_level, level_logits, level_deltas) in enumerate(
            zip(anchors, logits, deltas, strict=True)
        ):
            chosen = self._of_level(level_logits)
            boxes.append(
                self.box2box_transform.apply_deltas(level_deltas[chosen], of_level.tensor[chosen])
            )
            scores.append(level_logits[chosen])
            levels.append(torch.full_like(chosen, level))
        proposals, score, level_of = Boxes(torch.cat(boxes)), torch.cat(scores), torch.cat(levels)
        finite = torch.isfinite(proposals.tensor).all(dim=1) & torch.isfinite(score)
        proposals, score, level_of = proposals[finite], score[finite], level_of[finite]
        proposals.clip(image_hw)
        large = proposals.nonempty(threshold=self.min_box_size)
        proposals, score, level_of = proposals[large], score[large], level_of[large]
        kept = batched_nms(proposals.tensor, score, level_of, self.nms_thresh)
        n_sure = int((score[kept] >= self.min_logit).sum())
        kept = kept[: min(max(n_sure, self.min_proposals), self.post_nms_topk[False])]
        result = Instances(image_hw)
        result.proposal_boxes = proposals[kept]
        result.objectness_logits = score[kept]
        return result

    def _of_level(self, logits: torch.Tensor) -> torch.Tensor:
        """Indices of a level's anchors that are worth decoding."""
        n_sure = int((logits >= self.min_logit).sum())
        count = min(max(n_sure, self.min_proposals), self.pre_nms_topk[False], len(logits))
        return logits.nan_to_num(nan=-math.inf).topk(count).indices


def _logit(probability: float) -> float:
    """Inverse of the logistic function; ±inf for 0 and 1."""
    if probability <= 0.0:
        return -math.inf
    return math.inf if probability >= 1.0 else math.log(probability / (1.0 - probability))
