import numpy as np
import pytest

from mito_instance.annotations.holdout import hold_out
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

MASK = rle.encode(np.ones((4, 4), dtype=bool))


def images(*names, frames=1):
    return [
        ImageInstances(name, (4, 4), (MASK,), frame=frame)
        for name in names
        for frame in range(frames)
    ]


@pytest.mark.parametrize(
    ("given", "n_train", "n_val"),
    [
        pytest.param(images(), 0, 0, id="none"),
        pytest.param(images("a.tif", "b.tif", "c.tif", "d.tif"), 4, 0, id="four-images"),
        pytest.param(images(*(f"cell_{i}.tif" for i in range(5))), 4, 1, id="five-images"),
        pytest.param(images(*(f"{i}.tif" for i in range(20))), 16, 4, id="twenty-images"),
        pytest.param(images("a.tif", frames=10), 7, 2, id="one-stack-with-a-gap"),
        pytest.param(images("a.tif", "b.tif", frames=5), 5, 5, id="two-stacks"),
    ],
)
def test_a_fifth_is_held_out_where_there_are_enough(given, n_train, n_val):
    train, val = hold_out(given, np.random.default_rng(0))
    assert (len(train), len(val)) == (n_train, n_val)
    assert not {(i.image, i.frame) for i in train} & {(i.image, i.frame) for i in val}


def test_a_part_without_any_instance_is_none():
    empty = [ImageInstances(f"{i}.tif", (4, 4)) for i in range(9)]
    train, val = hold_out([*empty, *images("a.tif")], np.random.default_rng(0))
    assert (len(train), len(val)) == (10, 0)
