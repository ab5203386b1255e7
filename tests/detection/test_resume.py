"""An interrupted and resumed training equals an undisturbed one, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from detectron2.engine import AMPTrainer, HookBase  # noqa: E402

from mito_instance.detection.checkpoints import TrainingCheckpointer  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model_card import sha256  # noqa: E402
from mito_instance.detection.precision import Precision  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.detection.validation import Validation  # noqa: E402
from mito_instance.errors import ConfigError, WeightsError  # noqa: E402

STEPS = 11
AP_AT_STEP = {3: 0.3, 6: 0.5, 9: 0.4, 11: 0.2}
KEYS = {
    "SOLVER.MAX_ITER": STEPS,
    "SOLVER.CHECKPOINT_PERIOD": 4,
    "SOLVER.WARMUP_ITERS": 5,
    "TEST.EVAL_PERIOD": 3,
    "MITO.EMA_DECAY": 0.9,
    # Few enough boxes that their sampling matters.
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 16,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 8,
}


class Killed(BaseException):
    """Not caught by anything, as a kill is not."""


class Kill(HookBase):
    """Ends the training before this iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_step(self):
        if self.trainer.iter == self.iteration:
            raise Killed


@pytest.fixture(scope="module")
def make_config(tiny, light_config, dataset):
    def make(output, **more):
        Path(output).mkdir(exist_ok=True)
        keys = {**KEYS, "DATASETS.TRAIN": f"('{dataset}',)", "OUTPUT_DIR": output, **more}
        return load_config(light_config, [*tiny, *(str(w) for pair in keys.items() for w in pair)])

    return make


def train(cfg, resume=False, kill_at=None, seed=1, aps=AP_AT_STEP):
    box = []

    def validate(predictor):
        torch.rand(7)  # whatever validation draws must not change the training
        ap = aps[box[0].iter + 1]
        return {"ap": ap, "score_threshold": ap / 2}

    seed_everything(seed)
    trainer = Trainer(cfg, validate, seed)
    box.append(trainer)
    if kill_at is not None:
        trainer.register_hooks([Kill(kill_at)])
    trainer.resume_or_load(resume=resume)
    try:
        trainer.train()
    except Killed:
        return None
    trainer.save_final_model()
    return trainer


def unused(predictor):
    """A validation that no step comes to."""
    raise AssertionError


def rows(output):
    """Rows of metrics.json without the clock."""
    lines = (Path(output) / "metrics.json").read_text().splitlines()
    clock = {"time", "data_time", "rank_data_time", "eta_seconds"}
    return [{k: v for k, v in json.loads(line).items() if k not in clock} for line in lines]


def outcome(output):
    """Weights, optimizer and averaged weights at the end; curves; files of the model folder."""
    last = torch.load(Path(output) / "model_final.pth", weights_only=True)
    state = {
        "model": last["model"],
        "average": last["trainer"]["hooks"]["WeightAverage"]["average"],
        "momentum": {
            number: values["momentum_buffer"]
            for number, values in last["trainer"]["_trainer"]["optimizer"]["state"].items()
        },
    }
    files = {path.name: path.read_bytes() for path in (Path(output) / "model").iterdir()}
    return state, rows(output), files


@pytest.fixture(scope="module")
def undisturbed(make_config, tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed") / "run"
    train(make_config(output))
    return outcome(output)


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([2], id="before-the-first-checkpoint"),
        pytest.param([8], id="right-after-a-checkpoint"),
        pytest.param([10], id="between-checkpoints"),
        pytest.param([6, 7], id="twice-without-a-checkpoint-between"),
    ],
)
def test_resumed_equals_undisturbed(make_config, undisturbed, tmp_path, kills):
    cfg = make_config(tmp_path / "run")
    for number, kill_at in enumerate(kills):
        assert train(cfg, resume=number > 0, kill_at=kill_at) is None
    train(cfg, resume=True)
    state, curves, files = outcome(tmp_path / "run")
    for part, tensors in undisturbed[0].items():
        assert tensors.keys() == state[part].keys()
        different = [name for name in tensors if not torch.equal(tensors[name], state[part][name])]
        assert different == [], part
    assert curves == undisturbed[1]
    assert files == undisturbed[2]


def test_bf16_resumes_as_exactly(make_config, tmp_path):
    bf16 = {"MITO.PRECISION": "bf16", "SOLVER.MAX_ITER": 6, "TEST.EVAL_PERIOD": 0}
    aps = {6: 0.5}
    train(make_config(tmp_path / "whole", **bf16), aps=aps)
    cfg = make_config(tmp_path / "killed", **bf16)
    assert train(cfg, kill_at=5, aps=aps) is None
    train(cfg, resume=True, aps=aps)
    (whole, curves, files), killed = (outcome(tmp_path / name) for name in ("whole", "killed"))
    for part, tensors in whole.items():
        assert all(torch.equal(tensors[name], killed[0][part][name]) for name in tensors), part
    assert (curves, files) == killed[1:]


def test_curves_have_every_validation_once(undisturbed):
    validated = {
        row["iteration"] + 1: row["validation/ap"]
        for row in undisturbed[1]
        if "validation/ap" in row
    }
    assert validated == AP_AT_STEP
    assert len({row["iteration"] for row in undisturbed[1]}) == len(undisturbed[1])


def test_the_model_is_the_best_one_with_its_threshold(undisturbed):
    card = undisturbed[2]["MODEL_CARD.md"].decode()
    assert "11 of 11; the weights are those of step 6, the best on validation" in card
    assert "| score threshold | 0.25 (chosen on validation) |" in card
    assert "chose the score threshold and the step, so" in card
    assert b"SCORE_THRESHOLD: 0.25" in undisturbed[2]["config.yaml"]


def test_no_gain_for_long_ends_the_training(make_config, tmp_path):
    more = {"MITO.EARLY_STOPPING_PATIENCE": 2, "TEST.EVAL_PERIOD": 1}
    aps = {1: 0.1, 2: 0.3, 3: 0.3, 4: 0.2}
    cfg = make_config(tmp_path / "run", **more)
    trainer = train(cfg, aps=aps)
    assert trainer.iter == 4
    assert trainer.validation.best.step == 2
    assert (tmp_path / "run" / "last_checkpoint").read_text() == "model_final.pth"
    again = train(cfg, resume=True, aps=aps)
    assert (again.start_iter, again.iter) == (4, 4)


def test_a_model_that_was_moved_away_is_the_last_steps_anew(make_config, tmp_path):
    cfg = make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 6})
    aps = {3: 0.5, 6: 0.3}
    train(cfg, aps=aps)
    (tmp_path / "run" / "model").rename(tmp_path / "elsewhere")
    again = train(cfg, resume=True, aps=aps)
    assert (again.start_iter, again.iter, again.validation.best.step) == (6, 6, 6)
    card = (tmp_path / "run" / "model" / "MODEL_CARD.md").read_text()
    assert "| score threshold | 0.15 (chosen on validation) |" in card
    assert "| ap | 0.3 |" in card
    train(cfg, resume=True, aps={})  # the checkpoint tells: nothing is measured once more


def test_the_best_model_is_not_lost_for_want_of_a_validation(make_config, tmp_path):
    cfg = make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 4})
    train(cfg, aps={3: 0.5, 4: 0.3})
    model = tmp_path / "run" / "model"
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    longer = make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 5})
    with pytest.raises(
        ConfigError, match=r"run/model: holds the best .*step 3.* resume with --val"
    ):
        Trainer(longer, None, 1).resume_or_load(resume=True)
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    model.rename(tmp_path / "elsewhere")
    trainer = Trainer(longer, None, 1)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 4


@pytest.mark.parametrize("failed", [6, STEPS])
def test_an_error_in_a_validation_loses_no_step(make_config, undisturbed, tmp_path, caplog, failed):
    cfg = make_config(tmp_path / "run", **{"SOLVER.CHECKPOINT_PERIOD": 0})
    aps = {step: ap for step, ap in AP_AT_STEP.items() if step != failed}
    with pytest.raises(KeyError):
        train(cfg, aps=aps)
    assert f"the validation after step {failed} failed, or " in caplog.text
    assert "train-net --resume goes on with that validation" in caplog.text
    trainer = train(cfg, resume=True)
    assert trainer.start_iter == failed
    state, curves, _ = outcome(tmp_path / "run")
    for part, tensors in undisturbed[0].items():
        assert all(torch.equal(tensors[name], state[part][name]) for name in tensors), part
    validated = [
        (row["iteration"] + 1, row["validation/ap"]) for row in curves if "validation/ap" in row
    ]
    assert validated == [*AP_AT_STEP.items()]
    assert trainer.validation.best.step == 6
    again = train(cfg, resume=True, aps={})  # it was measured: nothing is due any more
    assert again.iter == STEPS


def test_seeking_the_best_anew_takes_all_patience(make_config, tmp_path):
    more = {"MITO.EARLY_STOPPING_PATIENCE": 2, "TEST.EVAL_PERIOD": 1}
    cfg = make_config(tmp_path / "run", **more)
    assert train(cfg, aps={1: 0.3, 2: 0.2, 3: 0.2}).iter == 3
    (tmp_path / "run" / "model").rename(tmp_path / "elsewhere")
    again = train(cfg, resume=True, aps={4: 0.1, 5: 0.15, 6: 0.1, 7: 0.1})
    assert (again.iter, again.validation.best.step) == (7, 5)


def test_the_model_of_a_later_step_is_not_taken_for_the_best(make_config, tmp_path, caplog):
    """Steps after the last checkpoint left it; a GPU may come to other figures the second time."""
    cfg = make_config(tmp_path / "run")
    assert train(cfg, kill_at=7) is None  # after a new best at step 6, the checkpoint is of 4
    trainer = train(cfg, resume=True, aps={6: 0.2, 9: 0.25, 11: 0.1})
    assert "model: not the best model of the steps so far; the best model is sought" in caplog.text
    assert trainer.validation.best.step == 9
    assert trainer.validation.best.weights == sha256(tmp_path / "run/model/model.safetensors")


def test_the_last_weights_have_their_own_figures(make_config, tmp_path, monkeypatch, caplog):
    """Somebody takes the best model away to try it, and none later is better."""
    save_final_model, folder = Trainer.save_final_model, tmp_path / "run" / "model"

    def save_without_the_best(trainer):
        folder.rename(tmp_path / "elsewhere")
        return save_final_model(trainer)

    monkeypatch.setattr(Trainer, "save_final_model", save_without_the_best)
    trainer = train(make_config(tmp_path / "run"))
    assert "not the best model any more; the last weights are exported" in caplog.text
    assert (trainer.validation.best.step, trainer.validation.best.ap) == (STEPS, AP_AT_STEP[STEPS])
    card = (folder / "MODEL_CARD.md").read_text()
    assert "0.2" in card
    assert "0.5" not in card.split("validation", 1)[1].split("##", 1)[0]


def test_figures_on_other_validation_files_are_forgotten(make_config, tmp_path, dataset, caplog):
    output, other = tmp_path / "run", dataset.parent / "other.json"
    other.write_text(dataset.read_text() + "\n")
    cfg = make_config(output, **{"DATASETS.TEST": f"('{dataset}',)"})
    assert train(cfg, kill_at=8) is None
    trainer = train(cfg, resume=True, kill_at=10, aps={9: 0.4})
    assert trainer is None
    assert "sought anew" not in caplog.text
    corrected = make_config(output, **{"DATASETS.TEST": f"('{other}',)"})
    trainer = train(corrected, resume=True)
    assert caplog.text.count("sought anew") == caplog.text.count("other validation files than") == 1
    assert (trainer.validation.best.step, trainer.validation.best.ap) == (9, 0.4)
    again = train(cfg, resume=True, aps={11: 0.1})  # no step is left: the last one is measured
    assert (again.validation.best.step, again.validation.best.ap) == (11, 0.1)


def test_a_checkpoint_that_does_not_tell_its_validation_files_is_taken():
    validation = Validation(dict, lambda _: "", 1, 3, ["abc"])
    best = {"step": 4, "ap": 0.5, "figures": {"ap": 0.5}}
    validation.load_state_dict({"best": best, "n_without_gain": 2})
    assert (validation.best.step, validation.n_without_gain) == (4, 2)


def test_measured_once_at_the_end_the_newest_model_is_kept():
    validation = Validation(dict, lambda _: "", 0, 0, ["abc"])
    best = {"step": 4, "ap": 0.5, "figures": {"ap": 0.5}}
    validation.load_state_dict({"best": best, "n_without_gain": 0})
    validation.measure = lambda: {"ap": 0.4}
    validation.trainer = SimpleNamespace(iter=7, storage=SimpleNamespace(put_scalars=dict))
    validation.measure_step()
    assert (validation.best.step, validation.best.ap) == (8, 0.4)
    validation.period = 4
    validation.measure = lambda: {"ap": 0.3}
    validation.measure_step()
    assert validation.best.ap == 0.4


def test_a_broken_write_leaves_the_last_checkpoint(tmp_path):
    network = torch.nn.Linear(2, 2)
    checkpointer = TrainingCheckpointer(network, str(tmp_path))
    checkpointer.save("first")

    class Full:
        def state_dict(self):
            return {"a": Unwritable()}

    class Unwritable:
        def __reduce__(self):
            raise OSError(28, "No space left on device")

    checkpointer.add_checkpointable("trainer", Full())
    with pytest.raises(ConfigError, match=r"second.pth: cannot write the checkpoint .*No space"):
        checkpointer.save("second")
    assert {path.name for path in tmp_path.iterdir()} == {"first.pth", "last_checkpoint"}
    assert checkpointer.get_checkpoint_file() == str(tmp_path / "first.pth")


def test_another_seed_or_network_is_one_line(make_config, tmp_path):
    train(make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 1}), aps={1: 0.1})
    with pytest.raises(ConfigError, match=r"made with --seed 1, not 2; resume with that one"):
        train(make_config(tmp_path / "run"), resume=True, seed=2)
    with pytest.raises(ConfigError, match=r"made with MITO.OPTIMIZER sgd, not adamw; resume with"):
        train(make_config(tmp_path / "run", **{"MITO.OPTIMIZER": "adamw"}), resume=True)
    frozen = make_config(tmp_path / "run", **{"MODEL.BACKBONE.FREEZE_AT": 2})
    with pytest.raises(WeightsError, match=r"model_final.pth: does not fit this training .*config"):
        train(frozen, resume=True)
    other = make_config(tmp_path / "run", **{"MODEL.FPN.OUT_CHANNELS": 16})
    with pytest.raises(WeightsError, match=r"model_final.pth: does not fit this training"):
        train(other, resume=True)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_other_classes_than_the_checkpoints_are_one_line(make_config, tmp_path, decay):
    keys = {"MITO.EMA_DECAY": decay}
    train(make_config(tmp_path / "run", **keys, **{"SOLVER.MAX_ITER": 1}), aps={1: 0.1})
    other = make_config(tmp_path / "run", **keys, **{"MODEL.ROI_HEADS.NUM_CLASSES": 2})
    with pytest.raises(WeightsError, match=r"training .*roi_heads.*without --resume") as caught:
        train(other, resume=True)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_gone_is_one_line(make_config, tmp_path):
    train(make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 1}), aps={1: 0.1})
    (tmp_path / "run" / "model_final.pth").unlink()
    with pytest.raises(WeightsError, match=r"model_final.pth: the checkpoint that last_checkpoint"):
        train(make_config(tmp_path / "run"), resume=True)


def test_a_new_training_in_a_used_folder_is_the_one_that_is_resumed(make_config, tmp_path, caplog):
    cfg = make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 5})
    aps = {3: 0.1, 5: 0.2}
    train(cfg, aps=aps)
    assert train(cfg, kill_at=2, aps=aps) is None  # before its first checkpoint
    assert "holds an earlier training; this one starts anew" in caplog.text
    assert (tmp_path / "run" / "last_checkpoint.before").read_text() == "model_final.pth"
    kept = (tmp_path / "run" / "metrics.json.before").read_text().splitlines()
    assert json.loads(kept[-1])["iteration"] == 4
    resumed = Trainer(cfg, None, 1)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 0


def test_a_resumed_training_takes_the_rates_of_its_config(make_config, tmp_path, caplog):
    output = tmp_path / "run"
    train(make_config(output), kill_at=8)
    rates = {"SOLVER.BASE_LR": 0.002, "SOLVER.WEIGHT_DECAY": 0.5, "SOLVER.MOMENTUM": 0.5}
    steps = {"SOLVER.MAX_ITER": STEPS + 8}
    trainer = Trainer(make_config(output, **rates, **steps), unused, 1)
    trainer.resume_or_load(resume=True)
    assert trainer.start_iter == 8
    assert f"was to end after {STEPS} steps, now after {STEPS + 8}" in caplog.text
    assert "differ from those of the steps so far" in caplog.text
    group = trainer._trainer.optimizer.param_groups[0]
    assert (group["initial_lr"], group["weight_decay"], group["momentum"]) == (0.002, 0.5, 0.5)
    assert group["lr"] == trainer.scheduler.get_lr()[0] < 0.002


def test_other_settings_than_those_of_the_steps_so_far_are_said(make_config, tmp_path, caplog):
    output = tmp_path / "run"
    train(make_config(output), kill_at=8)
    caplog.clear()
    Trainer(make_config(output), unused, 1).resume_or_load(resume=True)
    assert "differ from those" not in caplog.text
    other = make_config(output, **{"MITO.PIXEL_SIZE_NM": 7.0, "MITO.AUGMENT.BLUR_SIGMA_PX": 2.0})
    Trainer(other, unused, 1).resume_or_load(resume=True)
    assert "MITO.PIXEL_SIZE_NM (5.0, now 7.0), MITO.AUGMENT.BLUR_SIGMA_PX (" in caplog.text
    Trainer(make_config(output, **{"MODEL.RPN.NMS_THRESH": 0.6}), unused, 1).resume_or_load(True)
    assert "MODEL.RPN.NMS_THRESH (0.7, now 0.6)" in caplog.text


def test_steps_that_are_counted_otherwise_are_refused(make_config, tmp_path):
    output = tmp_path / "run"
    steps = {"SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR", "SOLVER.STEPS": "(4,)"}
    train(make_config(output, **steps), kill_at=8)
    fewer = Trainer(make_config(output, **steps, **{"SOLVER.MAX_ITER": 5}), unused, 1)
    with pytest.raises(ConfigError, match=r"SOLVER\.MAX_ITER: must be at least the 8 steps"):
        fewer.resume_or_load(resume=True)
    shared = make_config(output, **steps, **{"SOLVER.REFERENCE_WORLD_SIZE": 1})
    with pytest.raises(ConfigError, match=r"made with the key 0, not 1; resume with as many"):
        Trainer(shared, unused, 1).resume_or_load(resume=True)


def test_other_training_files_are_said(make_config, tmp_path, dataset, caplog):
    output = tmp_path / "run"
    train(make_config(output), kill_at=8)
    more = tmp_path / "more.json"
    more.write_text(
        dataset.read_text().replace('"file_name": "', f'"file_name": "{dataset.parent}/')
    )
    trainer = Trainer(make_config(output, **{"DATASETS.TRAIN": f"('{more}',)"}), unused, 1)
    trainer.resume_or_load(resume=True)
    assert "the training files differ from those of the steps so far" in caplog.text


@pytest.mark.slow
def test_sigkill_at_a_random_moment(make_config, tiny, light_config, dataset, tmp_path):
    """Kill -9 of the command in training, validation or writing, until one gets through."""
    delays = random.Random(5)

    def command(output, *words):
        keys = {**KEYS, "OUTPUT_DIR": output, "DATASETS.TRAIN": f"('{dataset}',)"}
        flat = [str(word) for pair in keys.items() for word in pair]
        return [
            *(sys.executable, "-m", "mito_instance.cli", "train-net"),
            *("--config-file", str(light_config), "--val", str(dataset), *words, *tiny, *flat),
            *("DATALOADER.NUM_WORKERS", "1", "SOLVER.CHECKPOINT_PERIOD", "2"),
            *("SOLVER.MAX_ITER", "60", "TEST.EVAL_PERIOD", "15"),
        ]

    done = subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    assert done.stdout
    rest = tmp_path / "killed"

    def checkpoints():
        return {path.name for path in rest.glob("model_0*.pth")}

    for n_checkpoints in (1, 1, 2):
        before, new = checkpoints(), set()
        process = subprocess.Popen(command(rest, "--resume"), stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 300
        while len(new) < n_checkpoints:
            new |= checkpoints() - before
            assert time.monotonic() < limit
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delays.uniform(0.0, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command(rest, "--resume"), check=True, capture_output=True)
    for part, tensors in outcome(tmp_path / "whole")[0].items():
        killed = outcome(rest)[0][part]
        assert all(torch.equal(tensors[name], killed[name]) for name in tensors), part
    assert rows(rest) == rows(tmp_path / "whole")
    assert outcome(rest)[2] == outcome(tmp_path / "whole")[2]


@pytest.mark.filterwarnings("ignore")  # of a loss scale without a GPU
def test_a_gpu_that_only_has_fp16_goes_on_with_what_bf16_began(make_config, tmp_path, monkeypatch):
    cfg = make_config(tmp_path / "run", **{"SOLVER.MAX_ITER": 6})
    assert train(cfg, kill_at=5, aps={3: 0.1}) is None
    monkeypatch.setattr(Precision, "needs_loss_scaling", property(lambda _: True))
    resumed = Trainer(cfg, unused, 1)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 4
    assert isinstance(resumed._trainer, AMPTrainer)
