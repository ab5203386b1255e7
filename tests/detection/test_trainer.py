import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.errors import WeightsError  # noqa: E402


def train(cfg, validate=None, resume=False):
    from pathlib import Path

    Path(cfg.OUTPUT_DIR).mkdir(exist_ok=True)
    seed_everything(1)
    trainer = Trainer(cfg, validate, seed=1)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


@pytest.fixture
def overrides(tiny_overrides, dataset):
    return [*tiny_overrides, "DATASETS.TRAIN", f"('{dataset}',)"]


def test_a_run_leaves_checkpoint_curves_and_a_model_that_predicts(
    light_config, overrides, tmp_path
):
    cfg = load_config(light_config, [*overrides, "TEST.EVAL_PERIOD", "2"])
    calls = []

    def validate(predictor):
        calls.append(predictor)
        return {"ap": 0.25, "score_threshold": 0.4}

    trainer = train(cfg, validate)
    folder = trainer.save_final_model()
    assert len(calls) == 2
    run = tmp_path / "run"
    assert (run / "last_checkpoint").read_text() == "model_final.pth"
    assert list(run.glob("events.out.tfevents.*"))
    rows = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
    assert any(row.get("validation/ap") == 0.25 for row in rows)
    assert load_predictor(folder).score_threshold == 0.4


def test_every_trained_weight_moves(light_config, overrides):
    cfg = load_config(light_config, [*overrides, "SOLVER.WARMUP_ITERS", "0"])
    seed_everything(1)
    before = {name: value.clone() for name, value in build_network(cfg).named_parameters()}
    network = train(cfg).network
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert still == []


def test_resume_continues_at_the_next_step(light_config, overrides):
    train(load_config(light_config, overrides))
    longer = load_config(light_config, [*overrides, "SOLVER.MAX_ITER", "5"])
    trainer = train(longer, resume=True)
    assert trainer.start_iter == 3
    assert trainer.iter == 5


def test_weights_that_cannot_be_had_are_one_line(light_config, overrides, monkeypatch):
    cfg = load_config(light_config, [*overrides, "MODEL.WEIGHTS", "/no/such/weights.pkl"])
    with pytest.raises(WeightsError, match=r"weights.pkl: .*local file as MODEL.WEIGHTS") as caught:
        train(cfg)
    assert "\n" not in str(caught.value)
