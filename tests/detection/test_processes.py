"""Two processes do what one does with the same batch."""

import atexit
import itertools
import json
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from detectron2.engine import launch  # noqa: E402
from detectron2.utils import comm  # noqa: E402
from torch.multiprocessing.spawn import ProcessException  # noqa: E402

from mito_instance.detection import processes  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.processes import (  # noqa: E402
    and_leave,
    check_same_start,
    patient_group,
    share_batch_statistics,
    shared_by_main,
)
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.errors import ConfigError  # noqa: E402
from mito_instance.instances import ImageInstances  # noqa: E402
from mito_instance.io.coco import write_coco  # noqa: E402

# Losses of boxes and masks are means over the boxes of a process. They equal the mean over all
# if each image gives as many: one true box, one proposal that hits nothing, all anchors used.
# The foreground map's Dice is a ratio over the batch of a process: no mean of two equals it.
EQUAL_SHARES = {
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1,
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 100_000,
    "MODEL.ROI_HEADS.IOU_THRESHOLDS": "[0.95]",
    "MITO.AUGMENT.CROP_PX": 96,
    "MITO.AUGMENT.SCALE": "(1.0, 1.0)",
    "SOLVER.IMS_PER_BATCH": 4,
    "SOLVER.MAX_ITER": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "MITO.EMA_DECAY": 0.9,
    "MITO.FOREGROUND.ENABLED": False,
}


@pytest.fixture
def one_box_each(tmp_path):
    """Six images of the crop's size with one square each."""
    import cv2
    import numpy as np

    from mito_instance.masks import rle

    images = []
    for number in range(6):
        pixels = np.random.default_rng(number).integers(90, 210, (96, 96)).astype(np.uint8)
        mask = np.zeros((96, 96), dtype=bool)
        mask[10 + 5 * number : 50 + 5 * number, 20:70] = True
        pixels[mask] -= 80
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), pixels)
        images.append(ImageInstances(str(path), (96, 96), (rle.encode(mask),)))
    write_coco(tmp_path / "train.json", images)
    return tmp_path / "train.json"


def train_and_store(config_file, words, output):
    """Train in this process; store its gradients of the last step, and its examples."""
    torch.set_num_threads(1)
    cfg = load_config(config_file, words)
    seed_everything(1)
    trainer = Trainer(cfg, None, seed=1)
    order = [
        record for _, record in itertools.islice(trainer._trainer.data_loader.loader.sampler, 4)
    ]
    trainer.resume_or_load(resume=False)
    trainer.train()
    named = trainer.network.named_parameters()
    content = {
        "order": order,
        "weights": trainer.network.state_dict(),
        "gradients": {name: value.grad for name, value in named},
        "average": trainer.average.average,
    }
    torch.save(content, Path(output) / f"{comm.get_world_size()}_{comm.get_rank()}.pt")


@pytest.fixture
def without_gpus(monkeypatch):
    """Detectron2's processes take the GPUs of a machine that has some, whatever the config says."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.usefixtures("without_gpus")
def test_two_processes_equal_one(tiny, light_config, one_box_each, tmp_path):
    keys = {**EQUAL_SHARES, "OUTPUT_DIR": tmp_path, "DATASETS.TRAIN": f"('{one_box_each}',)"}
    words = [*tiny, *(str(word) for pair in keys.items() for word in pair)]
    arguments = (light_config, words, tmp_path)
    train_and_store(*arguments)
    launch(and_leave, 2, dist_url="auto", args=(train_and_store, *arguments))
    alone, first, second = (
        torch.load(tmp_path / name, weights_only=True) for name in ("1_0.pt", "2_0.pt", "2_1.pt")
    )
    shared = zip(first["order"][:2], second["order"][:2], strict=True)
    assert [record for pair in shared for record in pair] == alone["order"]
    for part in ("gradients", "weights", "average"):
        for name, expected in alone[part].items():
            for other in (first, second):
                torch.testing.assert_close(
                    other[part][name], expected, rtol=1e-5, atol=1e-5, msg=f"{part} {name}"
                )
    moved = [name for name, value in alone["gradients"].items() if value.abs().max() > 1e-3]
    assert any("mask_head" in name for name in moved)
    assert any("box_predictor" in name for name in moved)


def start_iteration_of_rank(output):
    """What a process says when it is asked to go on from its own step."""
    try:
        check_same_start(5 * comm.get_rank(), "runs/a")
    except ConfigError as error:
        (output / f"{comm.get_rank()}.txt").write_text(str(error))


@pytest.mark.usefixtures("without_gpus")
def test_processes_that_would_go_on_from_different_steps_are_refused(tmp_path):
    launch(and_leave, 2, dist_url="auto", args=(start_iteration_of_rank, tmp_path))
    said = [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert said[0].startswith("runs/a: processes would go on from different steps (0 to 5); put")


@pytest.mark.parametrize(
    ("n", "device", "is_shared"), [(1, "cuda", False), (2, "cpu", False), (2, "cuda:1", True)]
)
def test_batch_norms_of_several_gpus_see_the_whole_batch(monkeypatch, n, device, is_shared):
    monkeypatch.setattr(comm, "get_world_size", lambda: n)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    names = list(network.state_dict())
    shared = share_batch_statistics(network, device)
    assert isinstance(shared[1], torch.nn.SyncBatchNorm) is is_shared
    assert list(shared.state_dict()) == names


def what_main_measured(output):
    """The main process's value, which comes after the others have waited."""
    patient_group()
    if comm.is_main_process():
        time.sleep(0.5)
    found = shared_by_main({"ap": 0.5} if comm.is_main_process() else {})
    (output / f"{comm.get_rank()}.json").write_text(json.dumps(found))


def fail_at_the_end_of_python():
    comm.all_gather(1)
    atexit.register(os._exit, 7)


@pytest.mark.usefixtures("without_gpus")
def test_a_process_that_has_done_its_work_leaves_without_ending_python():
    """Where threads of its group still run, that aborts it now and then."""
    with pytest.raises(ProcessException, match="exit code 7"):
        launch(fail_at_the_end_of_python, 2, dist_url="auto")
    launch(and_leave, 2, dist_url="auto", args=(fail_at_the_end_of_python,))


@pytest.mark.usefixtures("without_gpus")
def test_all_processes_wait_for_what_the_first_one_measures(tmp_path):
    launch(and_leave, 2, dist_url="auto", args=(what_main_measured, tmp_path))
    assert [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)] == [
        {"ap": 0.5}
    ] * 2
    assert shared_by_main("alone") == "alone"


def test_a_validation_may_take_days(monkeypatch):
    asked = {}
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "new_group", lambda **options: asked.update(options))
    patient_group.cache_clear()
    patient_group()
    patient_group.cache_clear()
    assert asked == {"backend": "gloo", "timeout": timedelta(days=7)}


def test_machines_and_gpus_reach_the_launcher(monkeypatch):
    called = []
    monkeypatch.setattr(processes, "launch", lambda *args, **more: called.append((args, more)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    more = {"num_machines": 2, "machine_rank": 1, "dist_url": "tcp://10.0.0.1:5000"}
    processes.launch_processes(print, ("a",), device="cuda", num_gpus=4, **more)
    (((worker, n), options),) = called
    assert (worker.func, worker.args, n) == (and_leave, (print,), 4)
    assert options == {**more, "args": ("a",)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_gpus": 8}, "--num-gpus 8: this machine has 4; ask for that many"),
        ({"num_gpus": 4, "num_machines": 2}, "--dist-url auto works on one machine only"),
        ({"num_gpus": 1, "machine_rank": 1}, r"--machine-rank 1: must be below --num-machines \(1"),
    ],
)
def test_numbers_of_devices_that_cannot_be_are_one_line(monkeypatch, options, message):
    monkeypatch.setattr(processes, "launch", lambda *_, **__: pytest.fail("launched"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(ConfigError, match=message):
        processes.launch_processes(print, (), device="cuda", **options)


@pytest.mark.parametrize(
    ("device", "counts", "message"),
    [
        ("cuda:1", {"num_gpus": 2}, "names one GPU for several processes; use cuda"),
        ("cuda:1", {"num_gpus": 1, "num_machines": 2}, "names one GPU for several processes"),
        ("cpu", {"num_gpus": 1, "num_machines": 2}, "machines with GPUs use these; use cuda"),
        ("cpu", {"num_gpus": 2}, "this training runs on the CPU"),
    ],
)
def test_devices_that_are_not_those_of_several_processes(monkeypatch, device, counts, message):
    monkeypatch.setattr(processes.torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(processes.torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match=message):
        processes.launch_processes(print, (), device=device, **counts)


def test_a_process_that_fails_is_one_line(monkeypatch):
    def fail(*_, **__):
        raise processes.ProcessException("-- Process 1 terminated\n\nValueError: no", 1, 7)

    monkeypatch.setattr(processes, "launch", fail)
    with pytest.raises(ConfigError, match=r"^--num-gpus 1: a process failed: ValueError: no$"):
        processes.launch_processes(print, (), device="cpu", num_gpus=1)
