"""The same short training, resume and prediction on every device and arithmetic."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402

DEVICES = [
    pytest.param("cpu", "fp32", id="cpu"),
    pytest.param("cuda", "fp32", marks=pytest.mark.gpu, id="cuda-fp32"),
    pytest.param("cuda", "bf16", marks=pytest.mark.gpu, id="cuda-bf16"),
    pytest.param("cuda", "fp16", marks=pytest.mark.gpu, id="cuda-fp16"),
]


@pytest.mark.parametrize(("device", "precision"), DEVICES)
def test_a_training_goes_on_and_its_model_predicts(
    light_config, tiny_overrides, dataset, tmp_path, device, precision
):
    (tmp_path / "run").mkdir()

    def trained(n_steps, *, resume):
        words = ["MODEL.DEVICE", device, "MITO.PRECISION", precision, "MITO.EMA_DECAY", "0.9"]
        words += ["DATASETS.TRAIN", f"('{dataset}',)", "SOLVER.MAX_ITER", str(n_steps)]
        seed_everything(1)
        trainer = Trainer(load_config(light_config, [*tiny_overrides, *words]), None, seed=1)
        trainer.resume_or_load(resume=resume)
        start = trainer.start_iter
        trainer.train()
        return trainer, start

    trained(2, resume=False)
    trainer, start = trained(4, resume=True)
    assert start == 2
    weights = trainer.network.state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert next(iter(trainer.network.parameters())).device.type == device
    folder = trainer.save_final_model()
    tile = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8)
    found = load_predictor(Path(folder), overrides=["MODEL.DEVICE", device]).predict([tile])
    assert found[0].image_hw == (96, 96)
    assert found[0].scores is not None
    assert np.isfinite(found[0].scores).all()
