"""ROIAlign as two matrix products: on a CPU with bf16 units, training pools many times faster."""

from __future__ import annotations

from typing import cast

import torch
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes
from torch import nn


class MatmulPooler(ROIPooler):
    """``ROIPooler`` whose training on CPUs in bf16 runs on the matrix units.

    Bilinear sampling in a grid is separable: pooling a box is a product with the weights of its
    rows and one with those of its columns. torchvision's CPU kernel scatters gradients one by
    one and on one thread; these products are dense, so they waste arithmetic, but on crops of
    training size that is by far the cheaper way. Everywhere else torchvision's kernel runs.

    Args:
        output_size: cells along each side.
        scales: 1 / stride of each level, finest first.
        sampling_ratio: samples a cell along each axis; 0: as many as cover the box.
        pooler_type: ``"ROIAlignV2"`` pools this way, another type as Detectron2 does.
    """

    def __init__(
        self, output_size: int, scales: list[float], sampling_ratio: int, pooler_type: str
    ) -> None:
        super().__init__(output_size, scales, sampling_ratio, pooler_type)
        self.cells = output_size
        self.scales = list(scales)
        self.sampling_ratio = sampling_ratio
        self.separable = pooler_type == "ROIAlignV2"

    def forward(self, x: list[torch.Tensor], box_lists: list[Boxes]) -> torch.Tensor:
        """Features (N, C, cells, cells) of all boxes, in their order; see ``ROIPooler``."""
        finest = x[0]
        on_matrix_units = (
            self.separable
            and finest.requires_grad
            and finest.device.type == "cpu"
            and finest.dtype is torch.bfloat16
        )
        if not on_matrix_units:
            return cast("torch.Tensor", super().forward(x, box_lists))
        counts = torch.tensor([len(boxes) for boxes in box_lists])
        image_of = torch.repeat_interleave(torch.arange(len(box_lists)), counts)
        boxes = torch.cat([boxes.tensor for boxes in box_lists])
        levels = assign_boxes_to_levels(
            box_lists,
            self.min_level,
            self.max_level,
            self.canonical_box_size,
            self.canonical_level,
        )
        parts, order = [finest.new_zeros((0, finest.shape[1], self.cells, self.cells))], []
        for level, (features, scale) in enumerate(zip(x, self.scales, strict=True)):
            for image in range(len(box_lists)):
                chosen = torch.nonzero((levels == level) & (image_of == image))[:, 0]
                if len(chosen):
                    order.append(chosen)
                    parts.append(
                        pool_boxes(
                            features[image], boxes[chosen] * scale, self.cells, self.sampling_ratio
                        )
                    )
        pooled = torch.cat(parts)
        return pooled[torch.argsort(torch.cat(order))] if order else pooled


def pool_boxes(
    features: torch.Tensor, boxes: torch.Tensor, cells: int, sampling_ratio: int
) -> torch.Tensor:
    """ROIAlign (half-pixel aligned) of boxes on one feature map.

    Args:
        features: (C, H, W).
        boxes: (N, 4) x0, y0, x1, y1 in units of the map's cells, N > 0; samples beyond the
            map's edge take its edge.
        cells: output cells along each side.
        sampling_ratio: samples a cell along each axis; 0: the box's length over ``cells``,
            rounded up.

    Returns:
        (N, C, cells, cells) in the dtype of ``features``.
    """
    channels, height, width = features.shape
    n = len(boxes)
    rows = axis_weights(boxes[:, 1], boxes[:, 3], height, cells, sampling_ratio)
    columns = axis_weights(boxes[:, 0], boxes[:, 2], width, cells, sampling_ratio)
    channels_last = features.permute(1, 2, 0).reshape(height, width * channels)
    in_rows = rows.to(features.dtype).reshape(n * cells, height) @ channels_last
    in_rows = in_rows.view(n, cells, width, channels)
    pooled = columns.to(features.dtype)[:, None] @ in_rows
    return pooled.permute(0, 3, 1, 2)


def axis_weights(
    low: torch.Tensor, high: torch.Tensor, length: int, cells: int, sampling_ratio: int
) -> torch.Tensor:
    """(N, cells, length) weights with which each cell averages the map along one axis.

    Args:
        low: (N,) where each box begins, in map cells.
        high: (N,) where it ends.
        length: of the map.
        cells: of the output.
        sampling_ratio: see ``pool_boxes``.
    """
    extent = high - low
    if sampling_ratio > 0:
        samples = torch.full_like(extent, float(sampling_ratio))
    else:
        samples = torch.ceil(extent / cells).clamp(min=1.0)
    most = int(samples.max())
    index = torch.arange(most, dtype=low.dtype, device=low.device)
    within = (index + 0.5) / samples[:, None]
    counted = (index < samples[:, None]).to(low.dtype) / samples[:, None]
    cell = torch.arange(cells, dtype=low.dtype, device=low.device)
    positions = low[:, None, None] - 0.5
    positions = positions + (cell[:, None] + within[:, None, :]) * (extent / cells)[:, None, None]
    positions = positions.clamp(0, length - 1)
    grid = torch.arange(length, dtype=low.dtype, device=low.device)
    weights = nn.functional.relu(1.0 - (positions[..., None] - grid).abs())
    return (weights * counted[:, None, :, None]).sum(dim=2)
