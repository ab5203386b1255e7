"""Pooling by matrix products and by gathered rows equals torchvision's ROIAlign."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from detectron2.modeling.poolers import ROIPooler  # noqa: E402
from detectron2.structures import Boxes  # noqa: E402
from torchvision.ops import roi_align  # noqa: E402

from mito_instance.detection.pooling import CpuPooler, gather_boxes, multiply_boxes  # noqa: E402


def random_boxes(n: int, edge: float, generator: torch.Generator) -> torch.Tensor:
    corners = torch.rand((n, 2, 2), generator=generator) * edge
    low, high = corners.amin(dim=1), corners.amax(dim=1) + 0.01
    return torch.cat([low, high.clamp(max=edge)], dim=1)


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("cells", [1, 7, 14])
def test_products_equal_roi_align(sampling_ratio: int, cells: int) -> None:
    generator = torch.Generator().manual_seed(5)
    features = torch.randn((3, 20, 31), generator=generator, requires_grad=True)
    boxes = random_boxes(40, 20.0, generator)
    ours = multiply_boxes(features, boxes, cells, sampling_ratio)
    numbered = torch.cat([torch.zeros((40, 1)), boxes], dim=1)
    theirs = roi_align(
        features[None], numbered, (cells, cells), 1.0, sampling_ratio or -1, aligned=True
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    push = torch.randn(ours.shape, generator=generator)
    (gradient,) = torch.autograd.grad((ours * push).sum(), features)
    (expected,) = torch.autograd.grad((theirs * push).sum(), features)
    torch.testing.assert_close(gradient, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("cells", [1, 7, 14])
@pytest.mark.parametrize("image_hw", [(20, 31), (2, 3), (1, 1)])
def test_gathered_rows_equal_roi_align(
    sampling_ratio: int, cells: int, image_hw: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(8)
    features = torch.randn((5, *image_hw), generator=generator)
    boxes = random_boxes(40, float(min(image_hw)), generator)
    numbered = torch.cat([torch.zeros((40, 1)), boxes], dim=1)
    theirs = roi_align(
        features[None], numbered, (cells, cells), 1.0, sampling_ratio or -1, aligned=True
    )
    ours = gather_boxes(features, boxes, cells, sampling_ratio)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("way", [multiply_boxes, gather_boxes])
def test_a_box_of_whole_cells_averages_them(way: Callable[..., torch.Tensor]) -> None:
    features = torch.arange(16.0).view(1, 4, 4)
    pooled = way(features, torch.tensor([[0.0, 0.0, 2.0, 2.0]]), 2, 1)
    assert pooled[0, 0].tolist() == [[0.0, 1.0], [4.0, 5.0]]


def test_pyramid_in_bf16_is_near_the_kernel() -> None:
    generator = torch.Generator().manual_seed(6)
    levels = [torch.randn((2, 8, 80 >> k, 80 >> k), generator=generator) for k in range(3)]
    boxes = [Boxes(random_boxes(n, 320.0, generator)) for n in (25, 0)]
    arguments = (7, [1 / 4, 1 / 8, 1 / 16], 2, "ROIAlignV2")
    expected = ROIPooler(*arguments)(levels, boxes)
    half = [level.bfloat16().requires_grad_() for level in levels]
    pooled = CpuPooler(*arguments)(half, boxes)
    assert pooled.dtype is torch.bfloat16
    torch.testing.assert_close(pooled.float(), expected, atol=0.05, rtol=0.05)
    pooled.float().sum().backward()
    assert all(level.grad is not None for level in half)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_prediction_pools_a_pyramid_like_the_kernel(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(7)
    levels = [torch.randn((2, 8, 80 >> k, 80 >> k), generator=generator) for k in range(3)]
    boxes = [Boxes(random_boxes(n, 320.0, generator)) for n in (0, 30)]
    arguments = (7, [1 / 4, 1 / 8, 1 / 16], 0, "ROIAlignV2")
    expected = ROIPooler(*arguments)(levels, boxes)
    pooled = CpuPooler(*arguments)([level.to(dtype) for level in levels], boxes)
    assert pooled.dtype is dtype
    tolerance = 1e-4 if dtype is torch.float32 else 0.05
    torch.testing.assert_close(pooled.float(), expected, atol=tolerance, rtol=tolerance)


def test_boxes_keep_their_precision_where_features_have_little() -> None:
    """Detectron2 casts boxes to the dtype of the features: steps of 4 px at 512 in bf16."""
    ramp = torch.arange(256.0).expand(1, 1, 256, 256) / 256  # exact in bf16
    box = [Boxes(torch.tensor([[905.0, 600.0, 935.0, 630.0]]))]
    found = {
        dtype: CpuPooler(7, [0.25], 2, "ROIAlign")([ramp.to(dtype)], box).float()
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert (found[torch.bfloat16] - found[torch.float32]).abs().max() < 0.003


def test_no_boxes_give_no_features() -> None:
    arguments = (7, [1 / 4], 2, "ROIAlignV2")
    pooled = CpuPooler(*arguments)([torch.zeros(1, 4, 40, 40)], [Boxes(torch.zeros(0, 4))])
    assert pooled.shape == (0, 4, 7, 7)
