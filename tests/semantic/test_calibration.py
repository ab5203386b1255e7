import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.semantic.calibration import best_threshold, histograms


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
