"""Cascades train, are saved and predict like the standard heads."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.detection.roi_heads import (  # noqa: E402
    MitoBoxPredictor,
    MitoCascadeROIHeads,
    last_box_predictor,
)
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402

THIN = ["MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8"]


@pytest.fixture
def cascade(light_config):
    return light_config.with_name("mask_rcnn_cascade_R_50_FPN.yaml")


def test_a_cascade_trains_and_its_model_predicts(cascade, tiny_overrides, dataset):
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    # Longer steps from random weights would make every box background, with a score of 0.
    overrides = [*overrides, "SOLVER.WARMUP_ITERS", "0", "SOLVER.BASE_LR", "0.0001"]
    cfg = load_config(cascade, overrides)
    Path(cfg.OUTPUT_DIR).mkdir()
    seed_everything(1)
    before = build_network(cfg).roi_heads.box_predictor[1].cls_score.weight.clone()
    seed_everything(1)
    trainer = Trainer(cfg, None, seed=1)
    trainer.resume_or_load(resume=False)
    trainer.train()
    heads = trainer.network.roi_heads
    assert isinstance(heads, MitoCascadeROIHeads)
    assert not torch.equal(heads.box_predictor[1].cls_score.weight, before)
    # Three steps teach nothing: let every box have a mask and every score count.
    torch.nn.init.constant_(heads.mask_head.predictor.bias, 5.0)
    predictor = load_predictor(
        trainer.save_final_model(),
        overrides=["MODEL.DEVICE", "cpu", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0"],
    )
    tile = np.random.default_rng(0).integers(0, 256, (64, 80), dtype=np.uint8)
    (every,) = predictor.predict([tile], min_score=0.0)
    assert len(every) > 1
    assert (np.diff(every.scores) <= 0).all()
    middle = float(np.median(every.scores))
    (half,) = predictor.predict([tile], min_score=middle)
    assert 0 < len(half) < len(every)
    assert half.scores.min() >= middle


def test_every_stage_of_a_cascade_learns_from_the_hardest_boxes(cascade, tiny_overrides):
    overrides = [*tiny_overrides, *THIN, "MITO.HARD_BOX_FRACTION", "0.25"]
    heads = build_network(load_config(cascade, overrides)).roi_heads
    assert len(heads.box_predictor) == 3
    for stage, weight in zip(heads.box_predictor, (10.0, 20.0, 30.0), strict=True):
        assert isinstance(stage, MitoBoxPredictor)
        assert stage.hard_fraction == 0.25
        assert stage.box2box_transform.weights[0] == weight
    assert last_box_predictor(heads) is heads.box_predictor[2]


def test_standard_heads_have_one_box_predictor(light_config, tiny_overrides):
    heads = build_network(load_config(light_config, tiny_overrides)).roi_heads
    assert last_box_predictor(heads) is heads.box_predictor
