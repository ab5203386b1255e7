import pytest

pytest.importorskip("torch")
pytest.importorskip("detectron2")

import torch
from detectron2.layers import ShapeSpec
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from mito_instance.detection.config import load_config
from mito_instance.detection.model import build_network
from mito_instance.detection.roi_heads import MitoBoxPredictor


def classification_loss(cfg, logits, classes):
    predictor = MitoBoxPredictor(cfg, ShapeSpec(channels=4))
    proposals = Instances((50, 50))
    boxes = torch.tensor([[0.0, 0, 10, 10]]).repeat(len(classes), 1)
    proposals.proposal_boxes = Boxes(boxes)
    proposals.gt_boxes = Boxes(boxes)
    proposals.gt_classes = torch.tensor(classes)
    with EventStorage(0):
        losses = predictor.losses((logits, torch.zeros(len(classes), 4)), [proposals])
    return float(losses["loss_cls"])


def test_only_the_hardest_boxes_count(light_config, tiny_overrides):
    logits = torch.tensor([[5.0, 0.0], [0.0, 5.0], [5.0, 0.0], [0.0, 5.0]])
    classes = [0, 1, 1, 1]  # the third box is wrong
    each = torch.nn.functional.cross_entropy(logits, torch.tensor(classes), reduction="none")
    for fraction, expected in (("1.0", each.mean()), ("0.25", each.max())):
        cfg = load_config(light_config, [*tiny_overrides, "MITO.HARD_BOX_FRACTION", fraction])
        assert classification_loss(cfg, logits, classes) == pytest.approx(float(expected))


def test_the_last_stage_can_be_cut_short(light_config, tiny_overrides):
    sizes = []
    for blocks in ("1", "0"):
        cfg = load_config(light_config, [*tiny_overrides, "MITO.RES5_BLOCKS", blocks])
        network = build_network(cfg)
        sizes.append(len(network.backbone.bottom_up.res5))
    assert sizes == [1, 2]


def test_scores_are_fp32_under_autocast(light_config, tiny_overrides):
    cfg = load_config(light_config, tiny_overrides)
    predictor = MitoBoxPredictor(cfg, ShapeSpec(channels=4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, deltas = predictor(torch.ones(3, 4, dtype=torch.bfloat16))
    assert scores.dtype == deltas.dtype == torch.float32
