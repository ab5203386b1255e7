"""ROIAlign that is fast on CPUs: matrix products in training, gathered rows in prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from detectron2.modeling.poolers import ROIPooler, assign_boxes_to_levels
from detectron2.structures import Boxes
from torch import nn


class CpuPooler(ROIPooler):
    """``ROIPooler`` with two ways of its own on CPUs; the same function up to rounding.

    torchvision's CPU kernel reads one channel after the other, in fp32, and scatters gradients
    on one thread. Features whose channels lie side by side allow better:

    - Prediction gathers whole rows of channels, weighted (an embedding bag).
    - Training in bf16 multiplies with the weights of the rows, then with those of the columns:
      bilinear sampling in a grid is separable. These products are dense and so waste
      arithmetic, but on crops of training size the matrix units make them by far the cheaper way.

    Elsewhere, as on a GPU, Detectron2's own way is taken.

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
        pool = self._way(x[0])
        if pool is None:
            # Boxes are taken in the dtype of the features: bf16 has steps of 4 px at 512.
            pooled = cast("torch.Tensor", super().forward([one.float() for one in x], box_lists))
            return pooled.to(x[0].dtype)
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
        parts, order = [x[0].new_zeros((0, x[0].shape[1], self.cells, self.cells))], []
        for level, (features, scale) in enumerate(zip(x, self.scales, strict=True)):
            for image in range(len(box_lists)):
                chosen = torch.nonzero((levels == level) & (image_of == image))[:, 0]
                if len(chosen):
                    order.append(chosen)
                    scaled = boxes[chosen] * scale
                    parts.append(pool(features[image], scaled, self.cells, self.sampling_ratio))
        pooled = torch.cat(parts)
        return pooled[torch.argsort(torch.cat(order))] if order else pooled

    def _way(self, features: torch.Tensor) -> Callable[..., torch.Tensor] | None:
        if not self.separable or features.device.type != "cpu":
            return None
        if features.requires_grad:
            return multiply_boxes if features.dtype is torch.bfloat16 else None
        return gather_boxes if features.dtype in (torch.float32, torch.bfloat16) else None


def multiply_boxes(
    features: torch.Tensor, boxes: torch.Tensor, cells: int, sampling_ratio: int
) -> torch.Tensor:
    """ROIAlign (half-pixel aligned) of boxes on one feature map, by two matrix products.

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
        sampling_ratio: see ``multiply_boxes``.
    """
    positions, share = _samples(low, high, length, cells, sampling_ratio)
    grid = torch.arange(length, dtype=low.dtype)
    weights = nn.functional.relu(1.0 - (positions[..., None] - grid).abs())
    return (weights * share[:, None, :, None]).sum(dim=2)


def gather_boxes(
    features: torch.Tensor, boxes: torch.Tensor, cells: int, sampling_ratio: int
) -> torch.Tensor:
    """ROIAlign (half-pixel aligned) of boxes on one feature map, by gathering its rows.

    Args:
        features: (C, H, W), fp32 or bf16; fast if the channels of a pixel lie side by side.
        boxes: see ``multiply_boxes``.
        cells: see ``multiply_boxes``.
        sampling_ratio: see ``multiply_boxes``.

    Returns:
        (N, C, cells, cells) in the dtype of ``features``.
    """
    channels, height, width = features.shape
    rows = features.permute(1, 2, 0).reshape(height * width, channels)
    pooled = rows.new_empty((len(boxes), cells, cells, channels))
    reach = torch.maximum(
        _reach(boxes[:, 0], boxes[:, 2], cells, sampling_ratio),
        _reach(boxes[:, 1], boxes[:, 3], cells, sampling_ratio),
    )
    for length in sorted(set(reach.tolist())):
        chosen = torch.nonzero(reach == length)[:, 0]
        some = boxes[chosen]
        x, x_weights = _axis_window(some[:, 0], some[:, 2], width, cells, sampling_ratio, length)
        y, y_weights = _axis_window(some[:, 1], some[:, 3], height, cells, sampling_ratio, length)
        index = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weights = y_weights[:, :, None, :, None] * x_weights[:, None, :, None, :]
        bags = nn.functional.embedding_bag(
            index.reshape(-1, length * length),
            rows,
            per_sample_weights=weights.reshape(-1, length * length).to(rows.dtype),
            mode="sum",
        )
        pooled[chosen] = bags.view(len(chosen), cells, cells, channels)
    return pooled.permute(0, 3, 1, 2)


def _n_samples(extent: torch.Tensor, cells: int, sampling_ratio: int) -> torch.Tensor:
    if sampling_ratio > 0:
        return torch.full_like(extent, float(sampling_ratio))
    return torch.ceil(extent / cells).clamp(min=1.0)


def _samples(
    low: torch.Tensor, high: torch.Tensor, length: int, cells: int, sampling_ratio: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions (N, cells, S) of the samples in map cells, and the share (N, S) that each has."""
    extent = high - low
    samples = _n_samples(extent, cells, sampling_ratio)
    index = torch.arange(int(samples.max()), dtype=low.dtype)
    within = (index + 0.5) / samples[:, None]
    share = (index < samples[:, None]).to(low.dtype) / samples[:, None]
    cell = torch.arange(cells, dtype=low.dtype)
    steps = (cell[:, None] + within[:, None, :]) * (extent / cells)[:, None, None]
    return (low[:, None, None] - 0.5 + steps).clamp(0, length - 1), share


def _reach(low: torch.Tensor, high: torch.Tensor, cells: int, sampling_ratio: int) -> torch.Tensor:
    """(N,) how many neighbouring map cells an output cell can touch along one axis."""
    extent = high - low
    samples = _n_samples(extent, cells, sampling_ratio)
    return torch.ceil(extent / cells * (samples - 1) / samples).long() + 2


def _axis_window(
    low: torch.Tensor, high: torch.Tensor, length: int, cells: int, sampling_ratio: int, reach: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices and weights (N, cells, reach) of the map cells that each output cell touches."""
    positions, share = _samples(low, high, length, cells, sampling_ratio)
    first = positions[..., 0].floor().clamp(max=max(0, length - reach))
    window = torch.arange(reach, dtype=low.dtype)
    distance = (positions - first[..., None])[..., None] - window
    weights = (nn.functional.relu(1.0 - distance.abs()) * share[:, None, :, None]).sum(dim=2)
    index = (first.long()[..., None] + torch.arange(reach)).clamp(max=length - 1)
    return index, weights
