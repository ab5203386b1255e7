from dataclasses import replace

import numpy as np
import pytest

from mito_instance.annotations.holdout import folds, hold_out, not_beside
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
        pytest.param(images(*(f"cell_{i}.tif" for i in "abcde")), 4, 1, id="five-images"),
        pytest.param(images(*(f"cell_{i}.tif" for i in range(5))), 5, 0, id="five-numbered"),
        pytest.param(images(*(f"cell_{i}.tif" for i in range(6))), 4, 1, id="six-numbered"),
        pytest.param(images(*(f"{i}.tif" for i in range(20))), 15, 4, id="twenty-numbered"),
        pytest.param(images(*(f"{i}.tif" for i in range(0, 40, 2))), 16, 4, id="every-second"),
        pytest.param(
            images(*(f"{kind}_{i}.tif" for kind in ("ko", "wt") for i in range(3))),
            4,
            1,
            id="two-short-series",
        ),
        pytest.param(
            images(*(f"m{mouse}_c{cell}.tif" for mouse in range(3) for cell in range(3))),
            6,
            2,
            id="cells-of-mice",
        ),
        pytest.param(images("a.tif", frames=5), 5, 0, id="five-pages"),
        pytest.param(images("a.tif", frames=10), 7, 2, id="one-stack-with-a-gap"),
        pytest.param(images("a.tif", "b.tif", frames=5), 5, 5, id="two-stacks"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_is_held_out_where_there_are_enough(given, n_train, n_val, seed):
    train, val, reason = hold_out(given, np.random.default_rng(seed))
    assert (len(train), len(val)) == (n_train, n_val)
    assert bool(reason) == (not val)
    assert not {(i.image, i.frame) for i in train} & {(i.image, i.frame) for i in val}


@pytest.mark.parametrize("name", ["z{:03d}.png", "z{:03d}_em.png", "5nm_s{:03d}_ch0.tif"])
@pytest.mark.parametrize("seed", range(5))
def test_neighbours_among_numbered_files_are_left_out(name, seed):
    z_of = {name.format(z): z for z in range(10)}
    train, val, _ = hold_out(images(*z_of), np.random.default_rng(seed))
    assert min(abs(z_of[a.image] - z_of[b.image]) for a in train for b in val) == 2
    assert len(train) + len(val) == 9


def test_one_image_with_most_instances_is_learned():
    given = [ImageInstances(f"{i}.tif", (4, 4), (MASK,) * (30 if i == 3 else 2)) for i in range(15)]
    for seed in range(5):
        train, val, _ = hold_out(given, np.random.default_rng(seed))
        assert given[3] in train
        assert len(val) >= 4


def test_what_images_were_cut_from_tells_the_stacks():
    parts = images(*"abcdefghij")
    train, val, _ = hold_out(parts, np.random.default_rng(0), images("s.tif", frames=10))
    assert (len(train), len(val)) == (7, 2)
    places = [[parts.index(image) for image in part] for part in (train, val)]
    assert min(abs(a - b) for a in places[0] for b in places[1]) == 2


def empty(*names, frames=1):
    return [ImageInstances(name, (4, 4), frame=frame) for name in names for frame in range(frames)]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(images(*"abcd"), "4 images, 5 would be needed, or --cross-validate", id="few"),
        pytest.param(
            [*empty(*"abcdefg"), *images("h")], "mitochondria in 1 of 8 images, too few", id="one"
        ),
        pytest.param(
            [*empty("1", "2", "5", "6", "7"), *images("3", "4")],
            "mitochondria in 2 of 7 images, too few",
            id="beside-each-other",
        ),
        pytest.param(
            images(*"12345"), "3 of 5 images would be left to train on, 4 would be", id="numbered"
        ),
    ],
)
def test_why_nothing_is_held_out_is_said(given, reason):
    train, val, found = hold_out(given, np.random.default_rng(0))
    assert (train, val) == (given, [])
    assert found.startswith(reason)


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
    given = images(*"ABCDEFGHIJ"[:n_images])
    parts = folds(given)
    held_out = ["".join("ABCDEFGHIJ"[int(number)] for number in part) for part in held_out]
    assert ["".join(image.image for image in held) for _, held in parts] == held_out
    for rest, held in parts:
        assert sorted([*rest, *held], key=lambda image: image.image) == given


def test_a_cross_validation_holds_out_whole_stacks_where_it_can():
    parts = folds(images("b.tif", "a.tif", frames=6))
    assert [{image.image for image in held_out} for _, held_out in parts] == [{"b.tif"}, {"a.tif"}]
    assert [len(rest) for rest, _ in parts] == [6, 6]
    mixed = [*images("a.tif", frames=4), *images("c.png", "d.png", "e.png", "f.png")]
    parts = folds(mixed)
    assert sorted(len(held_out) for _, held_out in parts) == [2, 2, 4]
    assert any({image.image for image in held_out} == {"a.tif"} for _, held_out in parts)
    parts = folds([*images("a.tif", frames=12), *images("b.tif", frames=4)])  # one is most of all
    assert [len(held_out) for _, held_out in parts] == [6, 5, 5]
    parts = folds(images("a.tif", "b.tif", frames=2))  # too few for that
    assert [len(held_out) for _, held_out in parts] == [2, 1, 1]


def test_runs_are_of_neighbours_in_whatever_order_they_are_given():
    given = images("a.tif", frames=9)
    parts = folds([given[i] for i in (8, 0, 4, 1, 5, 3, 7, 2, 6)])
    held_out = [sorted(image.frame for image in part) for _, part in parts]
    assert held_out == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_one_stack_under_two_names_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = images("s.tif", frames=10)
    given = [
        replace(image, image=str(tmp_path / "s.tif")) if image.frame % 2 else image
        for image in given
    ]
    train, val, _ = hold_out(given, np.random.default_rng(0))
    assert (len(train), len(val)) == (7, 2)
    assert min(abs(a.frame - b.frame) for a in train for b in val) == 2


def test_slices_behind_links_keep_their_numbers(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "data").mkdir()
    for number in range(10):
        stored = tmp_path / "store" / f"{'abcdefghij'[number] * 8}"
        stored.touch()
        (tmp_path / "data" / f"z{number}.tif").symlink_to(stored)
    given = images(*(str(tmp_path / "data" / f"z{number}.tif") for number in range(10)))
    train, val, _ = hold_out(given, np.random.default_rng(0))
    places = [{given.index(image) for image in part} for part in (train, val)]
    assert min(abs(a - b) for a in places[0] for b in places[1]) == 2


def test_parts_of_neighbouring_slices_are_not_learned_beside_each_other():
    sources = images(*(f"z{number:02d}.tif" for number in range(12)))
    parts = images(*(f"{number:03d}/z.tif" for number in range(12)))  # each at another place
    for rest, held_out in folds(parts, sources):
        numbers = [{parts.index(part) for part in side} for side in (rest, held_out)]
        assert not numbers[0] & {number + step for number in numbers[1] for step in (-1, 0, 1)}


def test_further_images_that_are_no_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = images(*(str(tmp_path / f"z{number}.tif") for number in (0, 1, 2, 4, 5)))
    held_out = images("z3.tif")  # the same folder by another name
    assert not_beside(others, held_out) == [others[0], others[1], others[4]]
    assert not_beside(others, []) == others
    assert not_beside([], held_out) == []


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


@pytest.mark.parametrize("is_stack", [False, True])
@pytest.mark.parametrize(
    "counts", [[40, 2, 2, 2, 2, 2], [2, 2, 2, 40, 2, 2, 2, 2], [0, 0, 5, 0, 0, 0, 0, 5, 0, 0]]
)
@pytest.mark.parametrize("seed", range(3))
def test_a_usable_draw_comes_before_one_that_is_nearer_to_the_share(counts, is_stack, seed):
    mask = rle.encode(np.ones((8, 8), dtype=bool))
    images = [
        ImageInstances("s.tif" if is_stack else f"z{n}.png", (8, 8), (mask,) * count,
                       frame=n if is_stack else 0)
        for n, count in enumerate(counts)
    ]  # fmt: skip
    train, val, reason = hold_out(images, np.random.default_rng(seed))
    assert reason == ""
    assert len(train) >= 4
    assert sum(map(len, val)) > 0
    numbers = [[images.index(image) for image in part] for part in (train, val)]
    assert min(abs(a - b) for a in numbers[0] for b in numbers[1]) == 2


def test_neighbours_of_what_is_held_out_are_not_learned_where_enough_remain(caplog):
    parts = folds(images(*(f"z{number}.tif" for number in range(9))))
    learned = [[int(image.image[1]) for image in rest] for rest, _ in parts]
    assert learned == [[4, 5, 6, 7, 8], [0, 1, 7, 8], [0, 1, 2, 3, 4]]
    assert not caplog.records
    parts = folds(images("z0.tif", "z1.tif", "z2.tif"))
    assert [len(rest) for rest, _ in parts] == [2, 2, 2]
    assert "4 are learned beside one that is measured on" in caplog.text
