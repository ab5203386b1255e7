"""Prediction starts without torch's compiler, which takes as long to load as all the rest."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("detectron2")

# Loading these takes time and a prediction uses none of them.
NOT_FOR_PREDICTION = (
    "detectron2.engine",
    "detectron2.evaluation",
    "matplotlib",
    "pandas",
    "pycocotools.cocoeval",
    "scipy.ndimage",
    "skimage",
    "sympy",
    "tensorboard",
    "torch._dynamo",
    "torch.utils.tensorboard",
)

PREDICT = f"""
import json, sys
import cv2, numpy as np
from mito_instance.cli import main
cv2.imwrite(sys.argv[1], np.full((64, 64), 128, np.uint8))
status = main(["quantify", sys.argv[1]])
found = [name for name in {NOT_FOR_PREDICTION!r} if name in sys.modules]
module = sys.modules["torchvision.ops.roi_align"]
supported = module.is_compile_supported("cpu")
import torch._dynamo.utils
print(json.dumps({{
    "status": status, "found": found, "supported": supported,
    "of_torch": torch._dynamo.utils.is_compile_supported("cpu"),
    "real": hasattr(torch._dynamo.utils, "__file__"),
}}))
"""


@pytest.mark.slow
def test_prediction_loads_nothing_that_it_does_not_use(tmp_path):
    command = [sys.executable, "-c", PREDICT, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["status"], report["found"]) == (0, [])
    # What waited is there when it is asked for, and is the module itself.
    assert report["supported"] == report["of_torch"]
    assert report["real"]
