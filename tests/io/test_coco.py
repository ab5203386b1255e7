"""COCO JSON: round trips, foreign files, hostile files."""

import json
import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.io.coco_crowds import may_be_brush_mask
from mito_instance.masks import rle

HW = (12, 20)
SQUARE = [2, 3, 7, 3, 7, 8, 2, 8]  # columns 2..6, rows 3..7: 25 px


def square_mask() -> np.ndarray:
    mask = np.zeros(HW, dtype=bool)
    mask[3:8, 2:7] = True
    return mask


def document(**changes):
    """A valid file with one image and one annotation; changes replace entries."""
    base = {
        "images": [{"id": 1, "file_name": "a.png", "height": 12, "width": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [SQUARE]}],
        "categories": [{"id": 1, "name": "mitochondrion"}],
    }
    return base | changes


def annotation(**changes):
    return document(annotations=[document()["annotations"][0] | changes])


def image(**changes):
    return document(images=[document()["images"][0] | changes])


def read(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_coco(path)


def test_everything_comes_back(tmp_path):
    written = [
        ImageInstances(
            str(tmp_path / "images" / "cell ü.tif"),
            HW,
            (rle.encode(square_mask()), rle.encode(~square_mask())),
            scores=np.array([0.25, 1.0]),
            frame=3,
            pixel_size=PixelSize(4.5, "imagej"),
            category_ids=(1, 7),
        ),
        ImageInstances(str(tmp_path / "empty.png"), HW, scores=np.zeros(0)),
    ]
    path = tmp_path / "out" / "pred.json"
    write_coco(path, written, info={"seed": 3})
    first, second = read_coco(path)
    assert first.image == written[0].image
    assert (first.frame, first.image_hw, first.category_ids) == (3, HW, (1, 7))
    assert first.pixel_size == PixelSize(4.5, "coco")
    assert first.scores.tolist() == [0.25, 1.0]
    assert list(first.masks) == list(written[0].masks)
    assert (len(second), second.pixel_size, second.scores.shape) == (0, None, (0,))
    content = json.loads(path.read_text())
    assert content["info"] == {"seed": 3}
    assert content["images"][0]["file_name"] == "../images/cell ü.tif"
    assert content["images"][0]["pixel_size_nm"] == 4.5
    assert content["categories"][0] == {"id": 1, "name": "mitochondrion"}
    assert content["annotations"][0]["bbox"] == [2, 3, 5, 5]
    assert content["annotations"][0]["area"] == 25
    assert content["annotations"][0]["iscrowd"] == 0


def test_equal_input_gives_equal_bytes(tmp_path):
    images = [ImageInstances(str(tmp_path / "a.png"), HW, (rle.encode(square_mask()),))]
    write_coco(tmp_path / "1.json", images)
    write_coco(tmp_path / "2.json", images)
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()


def test_annotations_of_people_carry_no_score(tmp_path):
    write_coco(
        tmp_path / "1.json",
        [ImageInstances(str(tmp_path / "a.png"), HW, (rle.encode(square_mask()),))],
    )
    assert "score" not in json.loads((tmp_path / "1.json").read_text())["annotations"][0]
    assert read_coco(tmp_path / "1.json")[0].scores is None


@given(
    mask=hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))).filter(np.any),
    score=st.none() | st.floats(0, 1),
)
def test_coco_round_trip_keeps_mask_and_score(tmp_path_factory, mask, score):
    folder = tmp_path_factory.mktemp("coco")
    scores = None if score is None else np.array([score])
    write_coco(
        folder / "a.json",
        [ImageInstances(str(folder / "i.png"), mask.shape, (rle.encode(mask),), scores=scores)],
    )
    (back,) = read_coco(folder / "a.json")
    assert np.array_equal(rle.decode(back.masks[0]), mask)
    assert (back.scores is None) == (score is None)
    if score is not None:
        assert back.scores.tolist() == [score]


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        pytest.param([SQUARE], square_mask(), id="polygon-is-in-pixel-corners"),
        pytest.param([SQUARE, SQUARE], square_mask(), id="polygons-are-united"),
        pytest.param(
            {"size": [12, 20], "counts": [0, 12, 228]},
            np.pad(np.ones((12, 1), bool), ((0, 0), (0, 19))),
            id="uncompressed-rle",
        ),
        pytest.param(
            [[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]], np.ones(HW, bool), id="far-outside"
        ),
        pytest.param(
            [[-5, -5, 4, -5, 4, 6, -5, 6]],
            np.pad(np.ones((6, 4), bool), ((0, 6), (0, 16))),
            id="reaches-over-the-corner",
        ),
    ],
)
def test_forms_of_segmentation(tmp_path, segmentation, expected):
    (instances,) = read(tmp_path, annotation(segmentation=segmentation))
    assert np.array_equal(rle.decode(instances.masks[0]), expected)


@given(points=st.lists(st.tuples(st.floats(-40, 60), st.floats(-40, 60)), min_size=3, max_size=7))
def test_polygons_give_the_pixels_of_pycocotools(tmp_path_factory, points):
    from pycocotools import mask as coco_mask

    from mito_instance.io.coco_polygons import rasterise

    flat = [value for point in points for value in point]
    expected = rle.decode(coco_mask.frPyObjects([flat], *HW)[0])
    if all(-1 <= x <= HW[1] + 1 and -1 <= y <= HW[0] + 1 for x, y in points):
        assert np.array_equal(rle.decode(rasterise([flat], HW, "test")), expected)
    else:  # cutting rounds the crossing points to a fifth of a pixel
        differing = rle.decode(rasterise([flat], HW, "test")) != expected
        assert differing.sum() <= len(points) * sum(HW) // 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"iscrowd": 1}, "1 crowd regions", id="crowd"),
        pytest.param({"segmentation": [[30, 30, 40, 30, 40, 40]]}, "no pixel", id="outside"),
    ],
)
def test_what_is_no_instance_is_left_out_with_a_warning(tmp_path, caplog, changes, message):
    with caplog.at_level(logging.WARNING):
        (instances,) = read(tmp_path, annotation(**changes))
    assert len(instances) == 0
    assert message in caplog.text


@pytest.mark.parametrize(
    ("segmentation", "is_hinted"),
    [
        pytest.param({"size": [12, 20], "counts": [0, 12, 228]}, True, id="one-piece"),
        pytest.param({"size": [12, 20], "counts": [0, 12, 24, 12, 192]}, False, id="two-pieces"),
        pytest.param({"size": [12, 20], "counts": [240]}, False, id="empty"),
        pytest.param([SQUARE], False, id="polygon"),
    ],
)
def test_crowd_regions_like_those_of_cvat_are_told(tmp_path, caplog, segmentation, is_hinted):
    read(tmp_path, annotation(iscrowd=1, segmentation=segmentation))
    assert ("CVAT marks brush masks as crowd regions" in caplog.text) == is_hinted
    assert ("--fix OUT.json --crowds-are-instances" in caplog.text) == is_hinted


def test_crowd_regions_are_written_and_read_and_need_no_score(tmp_path):
    single, crowd = rle.encode(square_mask()), rle.encode(~square_mask())
    image = ImageInstances(
        str(tmp_path / "a.png"), HW, (single,), scores=np.array([0.5]), crowds=(crowd,)
    )
    write_coco(tmp_path / "1.json", [image])
    (found,) = read_coco(tmp_path / "1.json")
    assert (list(found.masks), list(found.crowds)) == ([single], [crowd])
    assert found.scores.tolist() == [0.5]
    entries = json.loads((tmp_path / "1.json").read_text())["annotations"]
    assert [entry["iscrowd"] for entry in entries] == [0, 1]


def test_some_scores_are_no_scores(tmp_path, caplog):
    entry = document()["annotations"][0]
    content = document(annotations=[entry | {"score": 0.5}, entry | {"id": 2}])
    (instances,) = read(tmp_path, content)
    assert instances.scores is None
    assert "only some annotations carry a score" in caplog.text


def test_any_category_set_is_read(tmp_path):
    (instances,) = read(tmp_path, annotation(category_id=42) | {"categories": []})
    assert instances.category_ids == (42,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "not a JSON file", id="empty-file"),
        pytest.param("II*\0 no json", "not a JSON file", id="not-json"),
        pytest.param("[" * 200_000, "nested too deeply", id="deep-nesting"),
        pytest.param('{"images": ' + "9" * 10_000 + "}", "not a JSON file", id="huge-integer"),
        pytest.param([], "must be an object", id="result-list"),
        pytest.param({}, "needs a list 'images'", id="no-images-key"),
        pytest.param(document(images=[]), "lists no images", id="no-images"),
        pytest.param(document(images=[3]), r"images\[0\] must be an object", id="image-number"),
        pytest.param(document(annotations=None), "list 'annotations'", id="no-annotations"),
        pytest.param(document(images=document()["images"] * 2), "used twice", id="image-id-twice"),
        pytest.param(
            document(images=[*document()["images"], document()["images"][0] | {"id": 2}]),
            "listed twice",
            id="page-twice",
        ),
        pytest.param(
            document(annotations=document()["annotations"] * 2), "used twice", id="id-twice"
        ),
        pytest.param(annotation(id=[]), "id: must be a whole number", id="id-list"),
        pytest.param(annotation(image_id=9), "image_id 9 is not among", id="unknown-image"),
        pytest.param(annotation(image_id=None), "image_id: must be", id="no-image-id"),
        pytest.param(image(width=0), "width: must be a whole number >= 1", id="zero-width"),
        pytest.param(image(width=True), "width: must be", id="bool-width"),
        pytest.param(image(width=10**9, height=10**9), "image must have <=", id="absurd-size"),
        pytest.param(image(width=10**400), "more than 20 digits", id="huge-width"),
        pytest.param(image(height=None), "height: must be", id="no-height"),
        pytest.param(image(file_name=3), "file_name must be a path", id="name-number"),
        pytest.param(image(file_name="a\0b"), "file_name must be a path", id="name-nul"),
        pytest.param(image(frame=-1), "frame: must be", id="negative-frame"),
        pytest.param(image(pixel_size_nm=-4), "pixel size", id="negative-pixel"),
        pytest.param(image(pixel_size_nm="4 nm"), "pixel_size_nm: must be a number", id="text"),
        pytest.param(image(pixel_size_nm=10**400), "must be a number", id="huge-pixel"),
        pytest.param(annotation(score=math.nan), "score must lie in", id="nan-score"),
        pytest.param(annotation(score=1.5), "score must lie in", id="score-above-1"),
        pytest.param(annotation(score="1"), "score: must be a number", id="score-text"),
        pytest.param(annotation(iscrowd="0"), "iscrowd: must be 0 or 1, got '0'", id="crowd-text"),
        pytest.param(annotation(iscrowd=2), "iscrowd: must be 0 or 1, got 2", id="crowd-2"),
        pytest.param(annotation(iscrowd=[]), "iscrowd: must be 0 or 1, got list", id="crowd-list"),
        pytest.param(annotation(category_id="x"), "category_id: must be", id="category-text"),
        pytest.param(annotation(segmentation=None), "must be an RLE or a list", id="no-mask"),
        pytest.param(annotation(segmentation=[]), "at least one polygon", id="no-polygon"),
        pytest.param(annotation(segmentation=[[1, 2, 3, 4]]), ">= 3 points", id="two-points"),
        pytest.param(annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "pairs", id="odd"),
        pytest.param(annotation(segmentation=[1, 2, 3, 4, 5, 6]), "got int", id="flat"),
        pytest.param(annotation(segmentation=[[0, 0, 1, "a", 1, 1]]), "numbers only", id="letters"),
        pytest.param(annotation(segmentation=[[0, 0, 1, math.nan, 1, 1]]), "finite", id="nan"),
        pytest.param(annotation(segmentation=[[0, 0, 1, 10**400, 1, 1]]), "finite", id="huge"),
        pytest.param(annotation(segmentation={}), "needs 'size' and 'counts'", id="empty-rle"),
        pytest.param(
            annotation(segmentation={"size": 3, "counts": "0"}), "but its image is", id="size-int"
        ),
        pytest.param(
            annotation(segmentation={"size": [9, 9], "counts": "0"}), "but its image is", id="size"
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": "\x00"}), "run-length", id="nul"
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": "o" * 99}), "run-length", id="ooo"
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": [1, "a"]}), "runs", id="run-text"
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": [10**30]}), "runs", id="run-huge"
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": [2**63 - 1, 2**63 - 1, 242]}),
            "from 0 to 240 px",
            id="run-sum-wraps",
        ),
        pytest.param(
            annotation(segmentation={"size": [12, 20], "counts": [[240]]}), "runs", id="run-list"
        ),
    ],
)
def test_hostile_files_give_one_line(tmp_path, content, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(str(tmp_path / "a.json"))
    assert "\n" not in str(caught.value)


def test_a_polygon_that_never_ends_is_refused(tmp_path):
    zigzag = [value for i in range(4000) for value in (1e5 * (i % 2), i)]
    content = image(width=100_000, height=30_000) | {
        "annotations": [document()["annotations"][0] | {"segmentation": [zigzag]}]
    }
    with pytest.raises(AnnotationError, match="outlines of an annotation must be"):
        read(tmp_path, content)


def test_missing_file(tmp_path):
    with pytest.raises(AnnotationError, match=r"no\.json: cannot read"):
        read_coco(tmp_path / "no.json")


def test_names_groups_and_category_names_survive_a_round_trip(tmp_path):
    mask = rle.encode(square_mask())
    given = ImageInstances(
        image=str(tmp_path / "a.png"),
        image_hw=HW,
        masks=(mask, mask, mask),
        category_ids=(1, 3, 2),
        names=("dark-1", "", "x"),
        groups=(0, 2, 0),
        category_names={1: "dark", 3: "pale"},
    )
    write_coco(tmp_path / "a.json", [given])
    (found,) = read_coco(tmp_path / "a.json")
    assert (found.names, found.groups) == (given.names, given.groups)
    assert found.category_names == {1: "dark", 2: "category 2", 3: "pale"}
    chosen = found.select([2, 1])
    assert (chosen.names, chosen.groups, chosen.category_ids) == (("x", ""), (0, 2), (2, 3))


def test_names_and_groups_of_strangers_are_cleaned(tmp_path):
    path = tmp_path / "a.json"
    content = document()
    content["annotations"][0].update(name="a\n\x1b[31mb", group=-4)
    content["categories"] = [{"id": "x"}, 7, {"id": 1, "name": ""}]
    path.write_text(json.dumps(content))
    (found,) = read_coco(path)
    assert (found.names, found.groups, found.category_names) == (("a[31mb",), (), {})


@pytest.mark.parametrize("what", ["names", "groups"])
def test_as_many_names_as_masks(what):
    with pytest.raises(AnnotationError, match=f"0 masks but 2 {what}"):
        ImageInstances("a.png", HW, **{what: (1, 2)})


def test_track_ids_are_kept(tmp_path):
    mask = rle.encode(np.ones((2, 3), bool))
    image = ImageInstances(str(tmp_path / "a.png"), (2, 3), (mask, mask), track_ids=(7, 2))
    write_coco(tmp_path / "a.json", [image])
    (back,) = read_coco(tmp_path / "a.json")
    assert back.track_ids == (7, 2)
    assert back.select([1]).track_ids == (2,)


def test_a_crowd_region_of_billions_of_pixels_takes_none_of_their_memory():
    edge = 60_000
    assert not may_be_brush_mask({"size": [edge, edge], "counts": [0, edge * edge]}, (edge, edge))
