"""Agreement of counts per image."""

import math

import pytest

from mito_instance.evaluation.counts import CountAgreement, count_agreement


def test_bias_error_and_limits():
    # Differences 1, -1, 3: mean 1, mean absolute 5/3, sample standard deviation 2.
    found = count_agreement([10, 20, 30], [11, 19, 33])
    assert found.bias == pytest.approx(1)
    assert found.mean_absolute_error == pytest.approx(5 / 3)
    assert (found.limit_low, found.limit_high) == pytest.approx((1 - 3.92, 1 + 3.92))


def test_one_image_has_no_limits():
    found = count_agreement([3], [5])
    assert (found.bias, found.mean_absolute_error) == (2, 2)
    assert math.isnan(found.limit_low)
    assert math.isnan(found.limit_high)


def test_no_images():
    found = count_agreement([], [])
    assert isinstance(found, CountAgreement)
    assert all(math.isnan(v) for v in (found.bias, found.mean_absolute_error, found.limit_low))


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="same images, got 1 and 2"):
        count_agreement([1], [1, 2])
