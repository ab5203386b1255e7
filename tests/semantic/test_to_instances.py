import cv2
import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.errors import ConfigError
from mito_instance.masks import rle
from mito_instance.semantic.to_instances import InstanceRule, to_instances


def discs(*centres, radius=15):
    image = np.zeros((60, 120), dtype=np.float32)
    for centre in centres:
        cv2.circle(image, centre, radius, 0.9, thickness=-1)
    return image


def long_blob():
    image = np.zeros((60, 120), dtype=np.float32)
    cv2.line(image, (20, 30), (100, 30), 0.9, thickness=20)
    return image


def with_a_dip():
    image = np.zeros((60, 120), dtype=np.float32)
    image[20:40, 20:100] = 0.95
    image[20:40, 58:62] = 0.6
    return image


@pytest.mark.parametrize(
    ("probability", "count"),
    [
        pytest.param(discs((40, 30), (66, 30)), 2, id="two-touching"),
        pytest.param(discs((30, 30), (80, 30)), 2, id="two-apart"),
        pytest.param(long_blob(), 1, id="one-long"),
        pytest.param(with_a_dip(), 2, id="one-with-a-doubtful-wall"),
        pytest.param(discs((40, 30)) * np.float32(0.7), 1, id="doubtful-without-seed"),
        pytest.param(discs((40, 30), radius=2), 0, id="speck"),
        pytest.param(discs((40, 30)) * np.float32(0.5), 0, id="below-the-threshold"),
        pytest.param(np.zeros((60, 120), np.float32), 0, id="empty"),
        pytest.param(np.ones((60, 120), np.float32), 1, id="full"),
    ],
)
def test_counts(probability, count):
    rule = InstanceRule()
    found = to_instances(probability, rule)
    assert len(found) == count
    assert found.image_hw == (60, 120)
    # Disjoint, and nothing of the foreground is lost but specks.
    total = sum(rle.area_px(mask) for mask in found.masks)
    assert total == (np.count_nonzero(probability >= 0.5) if count else 0)


def test_the_score_is_the_mean_probability_and_falls():
    probability = np.zeros((40, 80), dtype=np.float32)
    probability[5:15, 5:15] = 0.6
    probability[5:15, 40:50] = 1.0
    probability[5:15, 50:60] = 0.8
    found = to_instances(probability, InstanceRule(neck_depth_px=0))
    assert found.scores.tolist() == pytest.approx([0.9, 0.6])


def test_without_necks_touching_discs_stay_one():
    probability = discs((40, 30), (66, 30))
    assert len(to_instances(probability, InstanceRule(neck_depth_px=0))) == 1


def test_a_threshold_out_of_range_is_named():
    with pytest.raises(ConfigError, match=r"SEED_THRESHOLD: must be in \(0, 1\], got 1.5"):
        InstanceRule(seed_threshold=1.5)
