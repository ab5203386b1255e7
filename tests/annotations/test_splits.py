"""Splits: no group crosses, no slices of two parts are near, every image is accounted for."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mito_instance.annotations.assignment import assign_groups
from mito_instance.annotations.series import Slice, series_of, slices_of
from mito_instance.annotations.splits import SplitOptions, split_images
from mito_instance.errors import ConfigError
from mito_instance.instances import ImageInstances
from mito_instance.io.images import IMAGE_SUFFIXES
from mito_instance.masks import rle

MASK = rle.encode(np.ones((2, 2), bool))


def image(name, n_instances=1, frame=0):
    return ImageInstances(name, (2, 2), (MASK,) * n_instances, frame=frame)


def stack(folder, numbers, n_instances=1):
    return [image(f"{folder}/{number:03d}.png", n_instances) for number in numbers]


def split(images, seed=0, **options):
    return split_images(images, SplitOptions(**options), np.random.default_rng(seed))


def names(images):
    return [(item.image, item.frame) for item in images]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([image("a/z01.png")], [Slice("a/z#", 1)], id="number"),
        pytest.param([image("a/010.ome.tif")], [Slice("a/#", 10)], id="number-alone"),
        pytest.param([image("a/cell.png")], [Slice("a/cell.png", 0)], id="no-number"),
        pytest.param(
            [image("a/v.tif"), image("a/v.tif", frame=1)],
            [Slice("a/v.tif", 0), Slice("a/v.tif", 1)],
            id="pages",
        ),
        pytest.param([image("a/v3.tif", frame=4)], [Slice("a/v3.tif", 4)], id="one-later-page"),
        pytest.param(
            [image("a/" + "1" * 50)], [Slice("a/" + "1" * 50, 0)], id="number-without-end"
        ),
    ],
)
def test_slices(images, expected):
    assert slices_of(images) == expected


@pytest.mark.parametrize("suffix", sorted({*IMAGE_SUFFIXES, ".ome.tif", ".MRC", ".Dm3"}))
def test_numbered_files_of_every_format_are_one_stack(suffix):
    images = [image(f"a/z{number:02d}{suffix}") for number in (1, 2)]
    assert slices_of(images) == [Slice("a/z#", 1), Slice("a/z#", 2)]


@pytest.mark.parametrize(
    ("files", "apart", "expected"),
    [
        pytest.param(["a/c.png", "c1/d.tif"], False, [("a/c.png", 0), ("c1/d.tif", 0)], id="none"),
        pytest.param(
            ["a/z9_em.png", "a/z010_em.png"], False, [("a/z#_em", 9), ("a/z#_em", 10)], id="inside"
        ),
        pytest.param(["a/z1.png", "b/z2.png"], False, [("a/z#", 1), ("b/z#", 2)], id="folders"),
        pytest.param(
            ["5nm_z1_x0.tif", "5nm_z2_x0.tif", "5nm_z2_x1.tif", "5nm_z3_x0.tif"],
            False,
            [("#nm_z#_x#", 1), ("#nm_z#_x#", 2), ("#nm_z#_x#", 2), ("#nm_z#_x#", 3)],
            id="tiles",
        ),
        pytest.param(
            ["m1_z5.tif", "m1_z6.tif", "m2_z7.tif"],
            True,
            [("m1_z#", 5), ("m1_z#", 6), ("m2_z#", 7)],
            id="apart",
        ),
        pytest.param(
            ["z1_140259.tif", "z2_140311.tif", "z3_140402.tif"],
            False,
            [("z#_#", 1), ("z#_#", 2), ("z#_#", 3)],
            id="times",
        ),
        pytest.param(
            ["z1_140259.tif", "z2_140311.tif", "z3_140402.tif"],
            True,
            [("z#_#", 1), ("z#_#", 2), ("z#_#", 3)],
            id="times-apart",
        ),
        pytest.param(
            ["m1_z5_w9.tif", "m1_z6_w9.tif", "m2_z7_w8.tif"],
            True,
            [("m1_z#_w9", 5), ("m1_z#_w9", 6), ("m2_z#_w8", 7)],
            id="specimens-apart",
        ),
        pytest.param(
            ["mouse1_cell12.tif", "mouse2_cell3.tif", "mouse3_cell7.tif"],
            True,
            [("mouse#_cell12", 1), ("mouse#_cell3", 2), ("mouse#_cell7", 3)],
            id="cells-of-mice-apart",
        ),
        pytest.param(
            ["m1_c1.tif", "m2_c2.tif"], False, [("m#_c#", 1), ("m#_c#", 2)], id="last-of-equals"
        ),
        pytest.param(
            ["x#1_2.tif", "x1#_#.tif"], False, [("x##_#", 2), ("x##_#", 1)], id="number-signs"
        ),
        pytest.param(["1" * 50 + "_2"], False, [("1" * 50 + "_#", 2)], id="number-without-end"),
    ],
)
def test_series(files, apart, expected):
    found = series_of([image(file) for file in files], apart=apart)
    assert found == [Slice(*place) for place in expected]


def hyperstack(path, n_slices=3, n_channels=2):
    pixels = np.zeros((n_slices, n_channels, 8, 8), dtype=np.uint8)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZCYX"})
    return [image(str(path), frame=page) for page in range(n_slices * n_channels)]


def test_pages_of_a_hyperstack_are_counted_by_slices(tmp_path):
    name = str(tmp_path / "h.tif")
    pages = hyperstack(tmp_path / "h.tif")
    assert [place.number for place in series_of(pages)] == [1, 1, 2, 2, 3, 3]
    assert {place.stack for place in series_of(pages)} == {name}
    assert [place.number for place in slices_of(pages)] == [1, 1, 2, 2, 3, 3]
    assert len({place.stack for place in slices_of(pages)}) == 2
    assert [place.number for place in series_of(pages[1::2])] == [1, 2, 3]


def test_no_neighbour_of_a_slice_of_a_hyperstack_is_learned(tmp_path):
    pages = hyperstack(tmp_path / "h.tif", n_slices=20)
    options = SplitOptions(val=0.25, by="image", gap=2)
    found = split_images(pages, options, np.random.default_rng(0)).parts
    z_of = [{page.frame // 2 for page in found[part]} for part in ("train", "val")]
    assert min(abs(a - b) for a in z_of[0] for b in z_of[1]) == 3


def test_pages_are_a_series_of_their_own():
    pages = [image("v1.tif"), image("v1.tif", frame=1), image("v2.tif", frame=3)]
    assert series_of(pages) == [Slice("v1.tif", 0), Slice("v1.tif", 1), Slice("v2.tif", 3)]


@pytest.mark.parametrize(
    "names_of",
    [
        pytest.param(lambda z: [f"z{z:03d}_em.png"], id="before-a-word"),
        pytest.param(lambda z: [f"EM_s{z:03d}_ch{c}.tif" for c in (0, 1)], id="channels"),
        pytest.param(
            lambda z: [f"z{z:03d}_x{x}_y{y}.png" for x in range(3) for y in range(3)], id="tiles"
        ),
        pytest.param(
            lambda z: [f"x{x}_y{y}_z{z:03d}.png" for x in range(3) for y in range(3)],
            id="tiles-before",
        ),
    ],
)
@pytest.mark.parametrize("gap", [1, 5])
def test_neighbours_are_apart_wherever_the_number_is(names_of, gap):
    z_of = {f"a/{name}": z for z in range(40) for name in names_of(z)}
    parts = split([image(name) for name in z_of], val=0.2, by="image", gap=gap).parts
    train, val = ({z_of[item.image] for item in parts[name]} for name in ("train", "val"))
    assert min(abs(a - b) for a in train for b in val) > gap
    with pytest.raises(ConfigError, match="got 1 by stack"):
        split([image(name) for name in z_of])


def test_how_long_a_stack_is_counts_its_slices_not_its_tiles():
    tiles = [image(f"z{z}_x{x}_y{y}.png") for z in range(5) for x in range(4) for y in range(4)]
    result = split([*tiles, *stack("a", range(100)), image("b.png")], val=0.3, by="image", gap=10)
    assert {name for name, part in result.parts.items() if tiles[0] in part} != set()
    assert any(set(names(tiles)) <= set(names(part)) for part in result.parts.values())


def test_stacks_stay_whole_and_the_shares_are_met():
    images = [i for k in range(5) for i in stack(f"s{k}", range(4), n_instances=3)]
    parts = split(images, val=0.2, test=0.2).parts
    assert {name: len(members) for name, members in parts.items()} == {
        "train": 12,
        "val": 4,
        "test": 4,
    }
    folders = [{item.image.split("/")[0] for item in members} for members in parts.values()]
    assert [len(each) for each in folders] == [3, 1, 1]
    assert len(set.union(*folders)) == 5


def test_one_stack_is_cut_into_runs_with_a_gap():
    result = split(stack("s", range(1, 101)), val=0.2, by="image", gap=10)
    runs = {
        name: [int(item.image[2:5]) for item in members] for name, members in result.parts.items()
    }
    assert len(runs["val"]) == 20
    assert len(runs["train"]) == 70
    assert len(result.left_out) == 10
    assert all(run == list(range(run[0], run[0] + len(run))) for run in runs.values())
    assert result.n_groups == {"train": 70, "val": 20}


def test_three_parts_have_the_training_part_in_the_middle():
    result = split(stack("s", range(100)), val=0.2, test=0.2, by="image", gap=5)
    assert [len(members) for members in result.parts.values()] == [50, 20, 20]
    assert len(result.left_out) == 10


def test_cuts_follow_the_instances_not_the_slices():
    images = stack("s", range(10), 9) + stack("s", range(10, 100), 1)
    result = split(images, val=0.5, by="image", gap=1)
    n_instances = {name: sum(map(len, members)) for name, members in result.parts.items()}
    assert abs(n_instances["val"] - 90) <= 9


def test_without_gap_images_are_drawn_alone():
    images = stack("s", range(100))
    result = split(images, val=0.2, by="image", gap=0)
    assert result.left_out == ()
    numbers = [int(item.image[2:5]) for item in result.parts["val"]]
    assert len(numbers) == 20
    assert numbers != list(range(numbers[0], numbers[0] + 20))


def test_specimens_by_pattern():
    images = [image(f"data/m{mouse}_cell{cell}.png") for mouse in range(4) for cell in "abc"]
    result = split(images, val=0.25, by="specimen", group_pattern="/(m[0-9]+)_")
    mice = {name: {item.image[6] for item in members} for name, members in result.parts.items()}
    assert len(mice["train"]) == 3
    assert len(mice["val"]) == 1
    assert not mice["train"] & mice["val"]
    assert result.n_groups == {"train": 3, "val": 1}


@pytest.mark.parametrize("name", ["s/cell{}.png", "s/cell{}.dm3", "s/wt_mouse{}_em.png"])
def test_the_number_of_a_specimen_is_none_of_a_slice(name):
    images = [image(name.format(number)) for number in range(1, 11)]
    pattern = "(mouse[0-9]+)" if "mouse" in name else "cell[0-9]+"
    result = split(images, val=0.2, by="specimen", group_pattern=pattern, gap=10)
    assert result.left_out == ()
    assert result.n_groups == {"train": 8, "val": 2}


def test_a_pattern_that_tears_a_stack_apart_still_keeps_the_gap():
    images = stack("s", range(40))
    result = split(images, val=0.5, by="specimen", group_pattern="([0-9])[0-9].png", gap=3)
    numbers = {
        name: [int(item.image[2:5]) for item in members] for name, members in result.parts.items()
    }
    assert min(abs(a - b) for a in numbers["train"] for b in numbers["val"]) > 3


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        pytest.param([], {}, "2 parts need as many groups, got 0 by stack", id="none"),
        pytest.param(
            stack("s", range(9)),
            {},
            "got 1 by stack .a multi-page file, or a folder's images whose names are equal but for "
            "numbers; here s.#.; give --by image --gap N .* or --by image --gap 0 if",
            id="one-stack",
        ),
        pytest.param(
            stack("s", range(9)),
            {"by": "specimen"},
            r"got 1 by specimen .a folder; here s.; give --group-regex '\(mouse\[0-9\]\+\)'",
            id="one-specimen",
        ),
        pytest.param(
            stack("s", range(9)),
            {"by": "specimen", "group_pattern": "s/"},
            "got 1 by specimen .what 's/' finds in the path; here s/.; .* or --by image --gap N",
            id="one-specimen-by-pattern",
        ),
        pytest.param(
            stack("s", range(9)),
            {"by": "image"},
            "gap of 10 slices leaves no image",
            id="gap-too-large",
        ),
        pytest.param([image("a.png")], {"by": "image"}, "annotate more images", id="one-image"),
        pytest.param(
            [image("a.png")],
            {"by": "specimen", "group_pattern": "x"},
            "matches nothing in this path",
            id="pattern-misses",
        ),
        pytest.param([], {"val": 0.6, "test": 0.4}, r"val \+ test < 1", id="nothing-to-train-on"),
        pytest.param([], {"val": 0.0}, "0 < val", id="no-validation"),
        pytest.param([], {"val": math.nan}, "0 < val", id="nan"),
        pytest.param([], {"gap": -1}, "gap must be >= 0", id="negative-gap"),
        pytest.param(
            [], {"by": "specimen", "group_pattern": "("}, "no regular expression", id="bad-pattern"
        ),
        pytest.param([], {"group_pattern": "a"}, "split by specimen", id="pattern-unused"),
    ],
)
def test_errors(images, options, message):
    with pytest.raises(ConfigError, match=message):
        split(images, **options)


@st.composite
def collections_of_stacks(draw):
    images = []
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["slices", "pages", "single"]))
        places = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=25)))
        for place in places:
            n_instances = draw(st.integers(0, 4))
            folder = f"f{number % 3}"
            if kind == "slices":
                images.append(image(f"{folder}/s{number}_{place:03d}.tif", n_instances))
            elif kind == "pages":
                images.append(image(f"{folder}/v{number}.tif", n_instances, place))
            else:
                images.append(
                    image(f"{folder}/c{number}_{chr(97 + place % 26)}x{place}y.png", n_instances)
                )
    return images


@settings(max_examples=150, deadline=None)
@given(
    images=collections_of_stacks(),
    by=st.sampled_from(["specimen", "stack", "image"]),
    gap=st.integers(0, 12),
    val=st.sampled_from([0.1, 0.2, 0.5]),
    test=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 3),
)
def test_no_group_crosses_no_slice_is_near_and_every_image_is_accounted_for(
    images, by, gap, val, test, seed
):
    try:
        result = split(images, seed, by=by, gap=gap, val=val, test=test)
    except ConfigError:
        return
    # Every image is in exactly one part, or left out.
    found = [key for part in result.parts.values() for key in names(part)]
    found += names(result.left_out)
    assert sorted(found) == sorted(names(images))
    assert all(result.parts.values())
    places = slices_of(images) if by == "specimen" else series_of(images)
    place = dict(zip(names(images), places, strict=True))
    # No group crosses.
    if by != "image":
        groups = defaultdict(set)
        for name, members in result.parts.items():
            for key in names(members):
                group = place[key].stack if by == "stack" else key[0].split("/")[0]
                groups[group].add(name)
        assert all(len(parts) == 1 for parts in groups.values())
    # No two slices of different parts are nearer than the gap.
    if gap:
        for first, second in combinations(result.parts.values(), 2):
            for a in names(first):
                for b in names(second):
                    if place[a].stack == place[b].stack:
                        assert abs(place[a].number - place[b].number) > gap
    assert split(images, seed, by=by, gap=gap, val=val, test=test) == result


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=3, max_size=8),
    st.sampled_from([(0.8, 0.2), (0.6, 0.2, 0.2)]),
    st.integers(0, 3),
)
def test_no_single_move_or_swap_would_balance_better(n_instances, shares, seed):
    n_images = [1] * len(n_instances)
    parts = assign_groups(n_instances, n_images, shares, np.random.default_rng(seed))
    weights = np.array(n_instances) / max(1, sum(n_instances))

    def imbalance(chosen):
        filled = np.bincount(chosen, weights=weights, minlength=len(shares))
        return np.abs(filled - shares).sum()

    assert set(parts.tolist()) == set(range(len(shares)))
    for group in range(len(parts)):
        for part in range(len(shares)):
            moved = parts.copy()
            moved[group] = part
            if len(set(moved.tolist())) == len(shares):
                assert imbalance(moved) >= imbalance(parts) - 0.03  # images count a hundredth
    for first, second in combinations(range(len(parts)), 2):
        swapped = parts.copy()
        swapped[[first, second]] = parts[[second, first]]
        assert imbalance(swapped) >= imbalance(parts) - 0.03


def test_seeds_differ():
    images = stack("s", range(100))
    drawn = {tuple(names(split(images, seed, by="image", gap=0).parts["val"])) for seed in range(5)}
    assert len(drawn) == 5
