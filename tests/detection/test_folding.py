import copy

import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d

from mito_instance.detection.config import load_config
from mito_instance.detection.folding import fold_for_prediction
from mito_instance.detection.frozen_norm import FrozenNormConv2d, carry_frozen_norms
from mito_instance.detection.model import build_network
from mito_instance.detection.roi_heads import MitoBoxPredictor


def random_norm(channels):
    norm = FrozenBatchNorm2d(channels)
    norm.weight.uniform_(0.5, 2)
    norm.bias.normal_()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize("bias", [False, True])
def test_a_norm_becomes_part_of_its_convolution(bias):
    torch.manual_seed(0)
    layer = Conv2d(3, 5, 3, bias=bias, norm=random_norm(5))
    x = torch.randn(2, 3, 9, 9)
    expected = layer(x)
    fold_for_prediction(torch.nn.Sequential(layer), None)
    assert layer.norm is None
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


def test_a_folded_network_finds_the_same(light_config, tiny_overrides):
    cfg = load_config(light_config, [*tiny_overrides, "MITO.FOREGROUND.ENABLED", "True"])
    torch.manual_seed(1)
    network = build_network(cfg).eval()
    network.roi_heads.box_predictor.test_score_thresh = 0.0
    batch = [{"image": torch.rand(3, 64, 96) * 255, "height": 64, "width": 96}]
    with torch.inference_mode():
        (before,) = network.inference(batch, do_postprocess=False)
        fold_for_prediction(network, None)
        (after,) = network.inference(batch, do_postprocess=False)
    assert len(before) == len(after) > 0
    torch.testing.assert_close(after.scores, before.scores, atol=1e-4, rtol=1e-4)


def test_weights_are_cast_but_for_the_box_predictor(light_config, tiny_overrides):
    network = build_network(load_config(light_config, tiny_overrides))
    fold_for_prediction(network, torch.bfloat16)
    predictor = network.roi_heads.box_predictor
    assert isinstance(predictor, MitoBoxPredictor)
    assert predictor.cls_score.weight.dtype is torch.float32
    assert network.backbone.bottom_up.stem.conv1.weight.dtype is torch.bfloat16
    assert network.roi_heads.mask_head.predictor.weight.dtype is torch.bfloat16


def test_a_carried_norm_is_the_same_function_with_the_same_gradients():
    torch.manual_seed(0)
    plain = Conv2d(3, 5, 3, bias=True, norm=random_norm(5), activation=torch.relu)
    carrying = copy.deepcopy(plain)
    carry_frozen_norms(torch.nn.Sequential(carrying))
    assert type(carrying) is FrozenNormConv2d
    assert carrying.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 3, 9, 9)
    torch.testing.assert_close(carrying(x), plain(x), atol=1e-5, rtol=1e-5)
    for layer in (plain, carrying):
        layer(x).square().sum().backward()
    torch.testing.assert_close(carrying.weight.grad, plain.weight.grad, atol=1e-3, rtol=1e-4)


def test_other_norms_stay_as_they_are():
    layer = Conv2d(3, 5, 3, norm=torch.nn.GroupNorm(1, 5))
    carry_frozen_norms(torch.nn.Sequential(layer))
    assert type(layer) is Conv2d
