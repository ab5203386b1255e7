"""A ResNet encoder's weights, from the layouts that they are published in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from detectron2.checkpoint.c2_model_loading import convert_basic_c2_names

from mito_instance.errors import WeightsError

_CAFFE2 = re.compile(r"^res[2-5]_\d+_branch2a_")
_PLACES = re.compile(r"^(?:.*\.)?(stem|res[2-5])\.(.+)$")


def to_torchvision(weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Detectron2's names of a ResNet's tensors to torchvision's; other tensors are left out.

    Args:
        weights: ``stem.conv1.weight``, ``res2.0.conv1.norm.weight``, …, also behind a prefix such
            as ``backbone.bottom_up.``, or Caffe2's ``res2_0_branch2a_w``, ….

    Returns:
        ``conv1.weight``, ``layer1.0.bn1.weight``, …; empty if it holds no such names.
    """
    renamed = {}
    if any(map(_CAFFE2.match, weights)):
        weights = _from_caffe2(weights)
    for name, value in weights.items():
        found = _PLACES.match(name)
        if found is None or ".fc." in f".{found.group(2)}":
            continue
        stage, rest = found.groups()
        rest = re.sub(r"conv(\d)\.norm\.", r"bn\1.", rest)
        rest = rest.replace("shortcut.norm.", "downsample.1.").replace("shortcut.", "downsample.0.")
        prefix = "" if stage == "stem" else f"layer{int(stage[3:]) - 1}."
        renamed[prefix + rest] = torch.as_tensor(value)
    return renamed


def _from_caffe2(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Caffe2's names to Detectron2's; its norms have mean and deviation in weight and bias."""
    named = dict(zip(convert_basic_c2_names(list(weights)), weights.values(), strict=True))
    for name in [name for name in named if name.endswith(".norm.weight")]:
        norm, shape = name.removesuffix("weight"), torch.as_tensor(named[name]).shape
        named.setdefault(f"{norm}running_mean", torch.zeros(shape))
        named.setdefault(f"{norm}running_var", torch.ones(shape))
    return named


def encoder_weights(
    weights: Mapping[str, Any], expected: Mapping[str, torch.Tensor], prefix: str
) -> dict[str, torch.Tensor]:
    """Weights for a network's encoder, from a ResNet in Detectron2's names.

    The grey channel's stem is the sum over the stem's three colours: what these would answer to
    a grey image.

    Args:
        weights: of the file.
        expected: the network's own state.
        prefix: of the encoder in it.

    Returns:
        The encoder's tensors by the network's names.

    Raises:
        WeightsError: if the file holds another ResNet, or none.
    """
    found = to_torchvision(weights)
    chosen = {}
    for name, tensor in expected.items():
        if not name.startswith(prefix) or name.endswith("num_batches_tracked"):
            continue
        value = found.get(name.removeprefix(prefix))
        if value is not None and value.ndim == 4 and value.shape[1] == 3 and tensor.shape[1] == 1:
            value = value.float().sum(dim=1, keepdim=True)
        if value is None or value.shape != tensor.shape:
            what = "is missing" if value is None else f"is {tuple(value.shape)}"
            raise WeightsError(
                f"MODEL.WEIGHTS: no weights of this network or its encoder: {name} "
                f"{tuple(tensor.shape)} {what} there; pass a ResNet of the depth that "
                "MITO.SEMANTIC.ENCODER names, or '' to start from random weights"
            )
        chosen[name] = value
    return chosen
