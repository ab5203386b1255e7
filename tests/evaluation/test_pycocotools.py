"""COCO AP equals that of pycocotools: many images, ties, crowd regions, more than 100 objects."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from mito_instance.evaluation.coco_ap import average_precision
from mito_instance.evaluation.pairing import pair_images
from mito_instance.evaluation.precision_recall import Ranking, match_detections
from mito_instance.evaluation.sources import read_source
from mito_instance.masks import rle
from tests.coco_reference import reference

HW = (90, 120)


def ellipse(x, y, width, height):
    """A mask that may reach over the edge of the image, or None outside."""
    rows, columns = np.mgrid[: HW[0], : HW[1]]
    inside = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2 <= 0.25
    return rle.encode(inside) if inside.any() else None


def annotation(image_id, shape, **more):
    return [
        {"image_id": image_id, "category_id": 1, "iscrowd": 0, "segmentation": mask} | more
        for mask in [ellipse(*shape)]
        if mask is not None
    ]


def scene(rng, n_images, n_dense):
    """Truth and prediction as COCO JSON: shifted truth, duplicates, false ones, rounded scores."""
    images, truth, pred = [], [], []
    for number in range(n_images):
        image_id = int(1000 - 7 * number)  # not in the order of the file
        entry = {"id": image_id, "file_name": f"{number}.png", "height": HW[0], "width": HW[1]}
        images.append(entry)
        n = 0 if rng.random() < 0.15 else int(rng.integers(1, 9))
        if number < n_dense:
            n = 130
        shapes = rng.uniform((0, 0, 4, 4), (HW[1], HW[0], 30, 30), (n, 4))
        truth += [a for shape in shapes for a in annotation(image_id, shape)]
        if rng.random() < 0.3:
            for _ in range(int(rng.integers(1, 3))):
                crowd = rng.uniform((0, 0, 30, 30), (HW[1], HW[0], 80, 60))
                truth += annotation(image_id, crowd, iscrowd=1)
        found = np.concatenate([shapes, shapes[:2], rng.uniform(4, 60, (3, 4))])
        found = found[rng.random(len(found)) < 0.9] * rng.uniform(0.93, 1.07, 4)
        for shape in rng.permutation(found):
            score = round(float(rng.random()), 1 if rng.random() < 0.7 else 4)
            pred += annotation(image_id, shape, score=score)
    documents = []
    for annotations in (truth, pred):
        numbered = [
            entry | {"id": position, "area": rle.area_px(entry["segmentation"])}
            for position, entry in enumerate(annotations, start=1)
        ]
        categories = [{"id": 1, "name": "mitochondrion"}]
        documents.append({"images": images, "annotations": numbered, "categories": categories})
    return documents


def read(folder, documents):
    """Both sides as the command reads them."""
    paths = [folder / "truth.json", folder / "pred.json"]
    for path, document in zip(paths, documents, strict=True):
        path.write_text(json.dumps(document))
    return [read_source(path).images for path in paths]


@pytest.mark.parametrize("block", range(20))
def test_200_random_scenes(tmp_path, block):
    n_crowd = n_tied = most = 0
    for seed in range(10 * block, 10 * block + 10):
        rng = np.random.default_rng(seed)
        documents = scene(rng, int(rng.integers(1, 7)), n_dense=seed % 10 == 0)
        expected = reference(*documents)
        pairs = pair_images(*read(tmp_path, documents)).pairs
        found = asdict(average_precision(pairs))
        assert found == pytest.approx(expected, abs=1e-9, nan_ok=True), seed
        # The curve, the intervals and the comparisons count for themselves.
        curve = Ranking([match_detections(pair) for pair in pairs]).figures()
        assert curve == pytest.approx(expected, abs=1e-9, nan_ok=True), seed
        n_crowd += sum(entry["iscrowd"] for entry in documents[0]["annotations"])
        scores = [entry["score"] for entry in documents[1]["annotations"]]
        n_tied += len(scores) - len(set(scores))
        most = max(most, *(len(pred) for _, pred in pairs))
    # The cases are in it.
    assert n_crowd > 0
    assert n_tied > 0
    assert most > 100


def test_a_detection_in_a_crowd_region_is_ignored_by_hand(tmp_path):
    images = [{"id": 1, "file_name": "a.png", "height": HW[0], "width": HW[1]}]
    truth = annotation(1, (20, 20, 16, 16)) + annotation(1, (80, 45, 60, 60), iscrowd=1)
    pred = annotation(1, (80, 45, 14, 14), score=0.9) + annotation(1, (20, 20, 16, 16), score=0.8)
    sides = [{"images": images, "annotations": side} for side in (truth, pred)]
    pair = tuple(image for (image,) in read(tmp_path, sides))
    assert average_precision([pair]).ap == 1.0
    detections = match_detections(pair)
    assert detections.ignored.all(axis=0).tolist() == [True, False]
    assert detections.matched.all(axis=0).tolist() == [False, True]
