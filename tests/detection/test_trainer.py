import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.config_ranges import warn_of_idle_keys  # noqa: E402
from mito_instance.detection.machine import explained_out_of_memory  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.errors import ConfigError, WeightsError  # noqa: E402


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


def test_a_folder_without_a_model_is_one_line(light_config, overrides, tmp_path):
    cfg = load_config(light_config, [*overrides, "MODEL.WEIGHTS", str(tmp_path)])
    with pytest.raises(WeightsError, match=r"the folder holds no model\.safetensors"):
        train(cfg)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        MemoryError(),
    ],
)
def test_too_little_memory_says_what_to_lower(light_config, overrides, monkeypatch, error):
    def run_step(self):
        raise error

    monkeypatch.setattr(Trainer, "run_step", run_step)
    with pytest.raises(ConfigError, match=r"IMS_PER_BATCH 2: not enough memory at step 1; lower"):
        train(load_config(light_config, overrides), None)


def test_a_model_keeps_nothing_of_its_trainings_files(light_config, overrides, dataset):
    words = ["MITO.DATASET_REPEATS", "(2.0,)", "MITO.AUGMENT.COPY_PASTE_MAX", "1"]
    words += ["MITO.AUGMENT.LOOKALIKES", f"('{dataset}',)"]
    folder = train(load_config(light_config, [*overrides, *words]), None).save_final_model()
    text = (folder / "config.yaml").read_text()
    assert str(dataset.parent) not in text
    again = load_config(folder / "config.yaml")
    assert not len(again.MITO.AUGMENT.LOOKALIKES)
    assert not len(again.MITO.DATASET_REPEATS)


@pytest.mark.parametrize(
    ("warm_up", "steps", "is_said"), [(200, 200, True), (101, 200, True), (100, 200, False)]
)
def test_a_warm_up_that_leaves_no_room_is_said(
    light_config, tiny_overrides, caplog, warm_up, steps, is_said
):
    words = ["SOLVER.WARMUP_ITERS", str(warm_up), "SOLVER.MAX_ITER", str(steps)]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    warn_of_idle_keys(cfg, has_validation=True)
    assert ("the rate hardly rises before it falls" in caplog.text) == is_said


@pytest.mark.parametrize(
    "text",
    [
        "DataLoader worker (pid(s) 123) exited unexpectedly",
        "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that "
        "dataloader's workers are out of shared memory.",
    ],
)
def test_a_reader_that_died_is_no_defect(light_config, tiny_overrides, text):
    cfg = load_config(light_config, tiny_overrides)
    message = r"DATALOADER.NUM_WORKERS 0: a process that reads images ended at step 7.*/dev/shm"
    with pytest.raises(ConfigError, match=message), explained_out_of_memory(cfg, 7):
        raise RuntimeError(text)


def test_what_a_reader_raises_is_told_as_it_is(light_config, tiny_overrides):
    cfg = load_config(light_config, tiny_overrides)
    error = RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nshapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"), explained_out_of_memory(cfg, 7):
        raise error
