import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from mito_instance.detection.config import load_config
from mito_instance.detection.foreground import ForegroundHead
from mito_instance.detection.model import build_network
from mito_instance.errors import ConfigError

LEVELS = {
    name: ShapeSpec(channels=8, stride=4 << i) for i, name in enumerate(("p2", "p3", "p4", "p5"))
}


@pytest.fixture
def head(light_config, tiny_overrides):
    torch.manual_seed(0)
    cfg = load_config(light_config, [*tiny_overrides, "MITO.FOREGROUND.CONV_DIM", "4"])
    return ForegroundHead(cfg, LEVELS)


def detection(box, score, cells=4):
    found = Instances((32, 32))
    found.pred_boxes = Boxes(torch.tensor([box], dtype=torch.float32))
    found.pred_masks = torch.ones(1, 1, cells, cells)
    found.scores = torch.tensor([score])
    return found


def truth(*masks):
    instances = Instances((32, 32))
    instances.gt_masks = BitMasks(torch.stack(masks) if masks else torch.zeros(0, 32, 32).bool())
    instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
    return instances


def left_half():
    logits = torch.full((1, 1, 8, 8), -20.0)
    logits[..., :4] = 20.0
    return logits


def test_logits_have_the_finest_level_s_size(head):
    features = {name: torch.zeros(2, 8, 64 >> i, 48 >> i) for i, name in enumerate(LEVELS)}
    (logits,) = head(features, torch.zeros(2, 3, 256, 192))
    assert logits.shape == (2, 1, 64, 48)


def test_scores_fall_where_the_map_sees_background(head):
    found = Instances.cat([detection([20, 4, 30, 20], 0.9), detection([2, 4, 12, 20], 0.8)])
    (rescored,) = head.judge(head.probability([left_half()]), [found])
    assert rescored.scores.tolist() == pytest.approx([0.8, 0.0], abs=1e-3)
    assert rescored.pred_boxes.tensor[0].tolist() == [2, 4, 12, 20]


@pytest.mark.parametrize(
    ("power", "score"),
    [
        pytest.param("0.0", 0.8, id="box-head-alone"),
        pytest.param("1.0", 0.4, id="mean"),
        pytest.param("2.0", 0.2, id="square"),
    ],
)
def test_the_map_judges_by_a_power_of_its_mean(light_config, tiny_overrides, power, score):
    words = [*tiny_overrides, "MITO.FOREGROUND.SCORE_POWER", power]
    head = ForegroundHead(load_config(light_config, words), LEVELS)
    (judged,) = head.judge(
        head.probability([torch.zeros(1, 1, 8, 8)]), [detection([8, 4, 24, 20], 0.8)]
    )
    assert judged.scores.item() == pytest.approx(score)


@pytest.mark.parametrize("power", [-1.0, float("nan"), float("inf")])
def test_a_power_that_turns_the_order_round_is_refused(light_config, tiny_overrides, power):
    cfg = load_config(light_config, tiny_overrides).clone()
    cfg.defrost()
    cfg.MITO.FOREGROUND.SCORE_POWER = power
    with pytest.raises(ConfigError, match=rf"SCORE_POWER: must be 0 or more, .*got {power:g}"):
        ForegroundHead(cfg, LEVELS)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        pytest.param("0.0", [[0.2, 0.6], [0.2, 0.6]], id="mask-alone"),
        pytest.param("0.3", [[0.44, 0.42], [0.44, 0.42]], id="mixed"),
    ],
)
def test_the_map_moves_the_outline_where_the_mask_is_in_doubt(
    light_config, tiny_overrides, weight, expected
):
    words = [*tiny_overrides, "MITO.FOREGROUND.MASK_WEIGHT", weight]
    head = ForegroundHead(load_config(light_config, words), LEVELS)
    found = detection([8, 4, 24, 20], 0.8, cells=2)
    found.pred_masks[0, 0] = torch.tensor([[0.2, 0.6], [0.2, 0.6]])
    (judged,) = head.judge(head.probability([left_half()]), [found])
    torch.testing.assert_close(judged.pred_masks[0, 0], torch.tensor(expected))
    # Scores are those of the mask as it was: its right half, which the map calls background.
    assert judged.scores.item() == pytest.approx(0.0, abs=1e-3)


def test_a_mask_of_the_map_s_making_is_refused(light_config, tiny_overrides):
    words = [*tiny_overrides, "MITO.FOREGROUND.MASK_WEIGHT", "0.5"]
    with pytest.raises(ConfigError, match=r"MASK_WEIGHT: must be 0 to less than 0\.5"):
        ForegroundHead(load_config(light_config, words), LEVELS)


def test_images_without_detections_stay_empty(head):
    nothing = detection([0, 0, 1, 1], 0.5)[torch.zeros(1, dtype=torch.bool)]
    logits = left_half().repeat(2, 1, 1, 1)
    first, second = head.judge(
        head.probability([logits]), [nothing, detection([2, 4, 12, 20], 0.5)]
    )
    assert len(first) == 0
    assert second.scores.tolist() == pytest.approx([0.5], abs=1e-3)


def test_loss_is_lowest_for_the_true_map(head):
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[:, :16] = True
    losses = [
        float(head.losses([logits], [truth(mask)])["loss_foreground"])
        for logits in (left_half(), torch.zeros(1, 1, 8, 8), -left_half())
    ]
    assert losses == sorted(losses)


def test_the_hardest_pixels_alone_cost_more(light_config, tiny_overrides):
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[:, :18] = True  # two columns more than the map says
    losses = []
    for fraction in ("1.0", "0.1"):
        words = [*tiny_overrides, "MITO.FOREGROUND.HARD_PIXEL_FRACTION", fraction]
        head = ForegroundHead(load_config(light_config, words), LEVELS)
        losses.append(head.losses([left_half()], [truth(mask)])["loss_foreground"].item())
    assert losses[1] > 1.5 * losses[0]


def test_loss_of_an_empty_image_rewards_silence(head):
    silent = float(head.losses([torch.full((1, 1, 8, 8), -20.0)], [truth()])["loss_foreground"])
    loud = float(head.losses([torch.full((1, 1, 8, 8), 20.0)], [truth()])["loss_foreground"])
    assert silent == pytest.approx(0.0, abs=1e-3)
    assert loud > 5


@pytest.mark.parametrize("share", ["0.0", "0.5"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_network_with_the_head_trains_and_predicts(light_config, tiny_overrides, precision, share):
    words = [*tiny_overrides, "MITO.FOREGROUND.COARSE_SHARE", share, "MITO.PRECISION", precision]
    cfg = load_config(light_config, words)
    torch.manual_seed(0)
    network = build_network(cfg)
    network.roi_heads.box_predictor.test_score_thresh = 0.0
    batch = [{"image": torch.rand(3, 64, 96) * 255, "height": 64, "width": 96}]
    shown = Instances((64, 96))
    shown.gt_boxes = Boxes(torch.tensor([[20.0, 16.0, 60.0, 48.0]]))
    shown.gt_classes = torch.zeros(1, dtype=torch.int64)
    mask = torch.zeros((1, 64, 96), dtype=torch.bool)
    mask[:, 16:48, 20:60] = True
    shown.gt_masks = BitMasks(mask)
    with EventStorage():
        losses = network([{**batch[0], "instances": shown}])
    sum(losses.values()).backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    coarse = network.foreground.coarse
    assert (coarse is not None) == (share != "0.0")
    moved = [network.foreground, *([coarse] if coarse is not None else [])]
    for part in moved:
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in part.parameters())
    network.eval()
    with torch.inference_mode():
        (raw,) = network.inference(batch, do_postprocess=False)
        (full,) = network(batch)
    assert (raw.scores.diff() <= 0).all()
    assert full["instances"].pred_masks.shape[1:] == (64, 96)
