"""ResNets in torchvision's layout: their names, and what they want to be fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.modeling.backbone.resnet import BottleneckBlock
from torch import nn

from mito_instance.errors import WeightsError

TORCHVISION = "torchvision"
"""The author that Detectron2's checkpointer is told of such files."""


def torchvision_to_detectron2(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Rename a torchvision ResNet's weights; the classifier is left out.

    Args:
        weights: ``conv1.weight``, ``layer1.0.bn1.running_mean``, …

    Returns:
        ``stem.conv1.weight``, ``res2.0.conv1.norm.running_mean``, …
    """
    renamed = {}
    for name, value in weights.items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        parts = name.split(".")
        if parts[0].startswith("layer"):
            parts[0] = f"res{int(parts[0][5:]) + 1}"
        else:
            parts.insert(0, "stem")
        new = ".".join(parts)
        for number in "123":
            new = new.replace(f".bn{number}.", f".conv{number}.norm.")
        new = new.replace(".downsample.0.", ".shortcut.").replace(
            ".downsample.1.", ".shortcut.norm."
        )
        renamed[new] = value
    return renamed


def check_network_input(network: nn.Module, path: str) -> None:
    """Refuse torchvision's weights for a network that is fed as Caffe2's want it.

    Args:
        network: a Mask R-CNN; any other passes.
        path: the weights, as the user named them.

    Raises:
        WeightsError: if its grey levels are not divided by a deviation, or its bottlenecks halve
            the resolution in another layer: features would be noise, without an error.
    """
    wanted = []
    deviation = getattr(network, "pixel_std", None)
    if deviation is not None and bool((deviation == 1).all()):
        wanted += [
            "MODEL.PIXEL_MEAN '[123.675, 116.28, 103.53]'",
            "MODEL.PIXEL_STD '[58.395, 57.12, 57.375]'",
        ]
    blocks = [module for module in network.modules() if isinstance(module, BottleneckBlock)]
    if any(block.conv1.stride != (1, 1) for block in blocks):
        wanted.append("MODEL.RESNETS.STRIDE_IN_1X1 False")
    if wanted:
        raise WeightsError(
            f"{path}: weights in torchvision's layout, but this config feeds the network as "
            f"Caffe2's weights want it; add {' '.join(wanted)}"
        )
