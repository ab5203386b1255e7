from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.semantic.calibration import (
    best_threshold,
    choose_foreground_threshold,
    histograms,
)


@pytest.mark.parametrize(
    ("probability", "foreground", "threshold"),
    [
        # Two true pixels at 0.3 and 0.7, two false ones at 0.2: any threshold from 0.21 to 0.3
        # gives Dice 1; 0.3 is nearest to 0.5.
        pytest.param([0.3, 0.7, 0.2, 0.2], [1, 1, 0, 0], 0.3, id="low"),
        pytest.param([0.9, 0.9, 0.6, 0.1], [1, 1, 0, 0], 0.61, id="high"),
        pytest.param([1.0, 0.0], [1, 0], 0.5, id="sure"),
        pytest.param([0.99, 0.95, 0.7], [1, 0, 0], 0.71, id="not-beyond-the-limits"),
        pytest.param([0.4, 0.6], [0, 0], 0.45, id="no-foreground"),
    ],
)
def test_the_threshold_of_the_best_dice(probability, foreground, threshold):
    probability = np.array([probability], dtype=np.float32)
    counts = histograms(probability, np.array([foreground], dtype=bool))
    assert counts.sum() == probability.size
    assert best_threshold(counts, default=0.45) == threshold


def test_some_of_few_images_with_foreground_are_always_chosen(tmp_path):
    import cv2

    from mito_instance.instances import ImageInstances
    from mito_instance.masks import rle

    mask = rle.encode(np.eye(20, dtype=bool))
    truth = []
    for number in range(60):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((20, 20), 100, np.uint8))
        truth.append(ImageInstances(str(path), (20, 20), (mask,) if number in (1, 2, 4) else ()))
    seen = []

    def probability_of(page):
        seen.append(page.path.stem)
        return np.where(np.eye(20, dtype=bool), 0.3, 0.1).astype(np.float32)

    assert choose_foreground_threshold(probability_of, truth, 0.5) == 0.3
    assert len(seen) == 12
    assert set(seen[:3]) == {"1", "2", "4"}
    seen.clear()
    choose_foreground_threshold(probability_of, truth[:5], 0.5)
    assert sorted(seen) == list("01234")


def test_pixels_of_crowds_do_not_count(tmp_path):
    import cv2

    from mito_instance.instances import ImageInstances
    from mito_instance.masks import rle

    cv2.imwrite(str(tmp_path / "a.png"), np.full((20, 20), 100, np.uint8))
    probability = np.full((20, 20), 0.1, np.float32)
    probability[:5], probability[10:] = 0.4, 0.7  # one outlined, and a crowd
    mask, crowd = np.zeros((2, 20, 20), dtype=bool)
    mask[:5], crowd[10:] = True, True
    image = ImageInstances(str(tmp_path / "a.png"), (20, 20), (rle.encode(mask),))
    seen = [image, replace(image, crowds=(rle.encode(crowd),))]
    chosen = [choose_foreground_threshold(lambda _: probability, [one], 0.5) for one in seen]
    assert chosen == [0.4, 0.4]
    probability[:5] = 0.3
    probability[5:10] = 0.2
    assert choose_foreground_threshold(lambda _: probability, [seen[1]], 0.5) == 0.3
