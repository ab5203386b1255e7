import copy

import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

import torch

from mito_instance.detection.coarse_map import CoarseMap
from mito_instance.detection.config import load_config
from mito_instance.detection.folding import fold_for_prediction
from mito_instance.detection.foreground import ForegroundHead
from mito_instance.errors import ConfigError
from tests.detection.test_foreground import LEVELS, detection, left_half, truth


@pytest.fixture
def coarse():
    torch.manual_seed(0)
    network = CoarseMap().eval()
    for name, statistics in network.named_buffers():
        if name.endswith("running_var"):
            statistics.uniform_(0.5, 2)
        elif name.endswith("running_mean"):
            statistics.normal_()
    return network


def with_share(light_config, tiny_overrides, share):
    cfg = load_config(light_config, tiny_overrides).clone()
    cfg.defrost()
    cfg.MITO.FOREGROUND.COARSE_SHARE = share
    cfg.MITO.FOREGROUND.SCORE_POWER = 1.0
    cfg.MITO.FOREGROUND.MASK_WEIGHT = 0.0
    return ForegroundHead(cfg, LEVELS)


def test_a_cell_spans_four_pixels(coarse):
    assert coarse(torch.rand(2, 3, 64, 96)).shape == (2, 1, 16, 24)
    assert coarse(torch.rand(2, 3, 48, 80)).shape == (2, 1, 12, 20)  # of pyramids of fewer levels


def test_it_sees_the_image_at_half_the_resolution(coarse):
    image = torch.rand(1, 1, 64, 64)
    # The same means of 2×2 pixels, another image.
    turned = image.view(1, 1, 32, 2, 32, 2).flip(3, 5).reshape(image.shape)
    torch.testing.assert_close(coarse(turned), coarse(image))
    assert not torch.allclose(coarse(image.flip(3)), coarse(image), atol=1e-3)


def test_a_folded_map_is_the_same(coarse):
    image = torch.rand(1, 3, 64, 64)
    expected = coarse(image)
    folded = copy.deepcopy(coarse)
    fold_for_prediction(torch.nn.Sequential(folded), None)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    torch.testing.assert_close(folded(image), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("share", "score"),
    [
        pytest.param(0.0, 0.8, id="pyramid-alone"),
        pytest.param(0.25, 0.6, id="a-quarter"),
        pytest.param(0.75, 0.2, id="three-quarters"),
    ],
)
def test_the_maps_judge_by_their_weighted_mean(light_config, tiny_overrides, share, score):
    head = with_share(light_config, tiny_overrides, share)
    maps = [left_half(), -left_half()][: 1 + bool(share)]
    (judged,) = head.judge(head.probability(maps), [detection([2, 4, 12, 20], 0.8)])
    assert judged.scores.item() == pytest.approx(score, abs=1e-3)


def test_each_map_learns_from_the_truth_for_itself(light_config, tiny_overrides):
    head = with_share(light_config, tiny_overrides, 0.5)
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[:, :16] = True
    right, wrong = left_half(), -left_half()
    losses = head.losses([right, wrong], [truth(mask)])
    swapped = head.losses([wrong, right], [truth(mask)])
    assert losses["loss_coarse_map"] > 5 * losses["loss_foreground"]
    torch.testing.assert_close(losses["loss_coarse_map"], swapped["loss_foreground"])


def test_both_maps_come_of_one_image(light_config, tiny_overrides):
    head = with_share(light_config, tiny_overrides, 0.5).eval()
    features = {name: torch.zeros(2, 8, 32 >> i, 16 >> i) for i, name in enumerate(LEVELS)}
    maps = head(features, torch.rand(2, 3, 128, 64))
    assert [one.shape for one in maps] == 2 * [(2, 1, 32, 16)]


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(light_config, tiny_overrides, share):
    with pytest.raises(ConfigError, match=rf"COARSE_SHARE: must be 0 .*got {share:g}"):
        with_share(light_config, tiny_overrides, share)


def test_maps_of_other_cells_are_refused(light_config, tiny_overrides):
    words = [*tiny_overrides, "MITO.FOREGROUND.COARSE_SHARE", "0.5"]
    words += ["MODEL.ROI_HEADS.IN_FEATURES", "['p3', 'p4', 'p5']"]
    with pytest.raises(ConfigError, match=r"COARSE_SHARE: needs cells of 4 px, .* have 8"):
        ForegroundHead(load_config(light_config, words), LEVELS)
