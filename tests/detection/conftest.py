"""A Mask R-CNN small enough to train in a test, and two micrographs to train it on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = [
    "MODEL.WEIGHTS", "",
    "MODEL.DEVICE", "cpu",
    "MODEL.FPN.OUT_CHANNELS", "8",
    "MODEL.ROI_BOX_HEAD.FC_DIM", "16",
    "MODEL.ROI_MASK_HEAD.CONV_DIM", "8",
    "MODEL.ROI_MASK_HEAD.NUM_CONV", "1",
    "MITO.FOREGROUND.COARSE_SHARE", "0.0",
    "MODEL.RPN.POST_NMS_TOPK_TRAIN", "30",
    "MODEL.RPN.POST_NMS_TOPK_TEST", "30",
    "MITO.PRECISION", "fp32",
    "MITO.AUGMENT.CROP_PX", "64",
    "DATALOADER.NUM_WORKERS", "0",
    "SOLVER.IMS_PER_BATCH", "2",
    "SOLVER.MAX_ITER", "3",
    "TEST.EVAL_PERIOD", "0",
]  # fmt: skip


@pytest.fixture
def tiny_overrides(tmp_path):
    return [*TINY, "OUTPUT_DIR", str(tmp_path / "run")]


@pytest.fixture(scope="session")
def tiny():
    return list(TINY)


@pytest.fixture(scope="session")
def light_config():
    return CONFIGS / "mask_rcnn_light.yaml"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """COCO JSON of two small synthetic micrographs and one that shows nothing."""
    import cv2

    from mito_instance.instances import ImageInstances
    from mito_instance.io.coco import read_coco, write_coco
    from mito_instance.synthetic import write_dataset

    folder = tmp_path_factory.mktemp("dataset")
    truth = write_dataset(folder, 2, seed=3, image_hw=(128, 160), count=3)
    cv2.imwrite(str(folder / "empty.png"), np.full((90, 70), 130, dtype=np.uint8))
    empty = ImageInstances(str(folder / "empty.png"), (90, 70))
    write_coco(folder / "train.json", [*read_coco(truth), empty])
    return folder / "train.json"
