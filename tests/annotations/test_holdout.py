import numpy as np
import pytest

from mito_instance.annotations.holdout import folds, hold_out
from mito_instance.errors import AnnotationError
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


@pytest.mark.parametrize(
    ("n_images", "held_out"),
    [
        (2, ["0", "1"]),
        (3, ["0", "1", "2"]),
        (4, ["01", "2", "3"]),
        (10, ["0123", "456", "789"]),
    ],
)
def test_a_cross_validation_holds_out_each_image_once_in_runs_of_neighbours(n_images, held_out):
    given = images(*map(str, range(n_images)))
    parts = folds(given)
    assert ["".join(image.image for image in held) for _, held in parts] == held_out
    for rest, held in parts:
        assert sorted([*rest, *held], key=lambda image: image.image) == given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param(images("a.tif"), "1 outlined image: a cross-validation needs 2", id="one"),
        pytest.param(
            [*images("a.tif"), ImageInstances("b.tif", (4, 4))],
            "a.tif: all outlined mitochondria are there",
            id="all-instances-in-one",
        ),
    ],
)
def test_what_cannot_be_cross_validated_is_said(given, message):
    with pytest.raises(AnnotationError, match=message):
        folds(given)
