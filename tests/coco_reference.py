"""COCO AP as pycocotools has it, for comparison."""

import contextlib
import io
import json

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

FIGURES = ("ap", "ap50", "ap75", "ar")


def reference(truth, pred):
    """AP, AP50, AP75 and AR of two COCO documents, without a limit to the number of instances."""
    with contextlib.redirect_stdout(io.StringIO()):
        apis = [COCO(), COCO()]
        for api, document in zip(apis, (truth, pred), strict=True):
            api.dataset = json.loads(json.dumps(document))
            api.createIndex()
        evaluation = COCOeval(*apis, "segm")
        evaluation.params.imgIds = [image["id"] for image in truth["images"]]
        evaluation.params.maxDets = [max(100, len(pred["annotations"]))]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]
    recall = evaluation.eval["recall"][:, 0, 0, 0]
    if precision.max() < 0:
        return dict.fromkeys(FIGURES, np.nan)
    values = (precision.mean(), precision[0].mean(), precision[5].mean(), recall.mean())
    return dict(zip(FIGURES, map(float, values), strict=True))
