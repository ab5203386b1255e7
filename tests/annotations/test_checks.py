"""Checks of COCO JSONs: each fault is named, and its repair invents nothing."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mito_instance.annotations.checks import check_coco
from mito_instance.errors import AnnotationError, MitoInstanceError
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.masks import rle

HEIGHT, WIDTH = 20, 30
ON_DISK = {"image-missing", "image-unreadable", "image-page-missing"}


def box_mask(x, y, width, height):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + height, x : x + width] = True
    return mask


def box_rle(x, y, width, height):
    return rle.encode(box_mask(x, y, width, height))


def annotation(number=1, box=(2, 3, 6, 5), **changes):
    entry = {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "segmentation": box_rle(*box),
        "area": box[2] * box[3],
        "bbox": list(box),
        "iscrowd": 0,
    }
    return {**entry, **changes}


def document(*annotations, **changes):
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "mitochondrion"}],
        "annotations": list(annotations),
        **changes,
    }


def image(number=1, name="a.png", **changes):
    return {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, **changes}


@pytest.fixture
def folder(tmp_path):
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    return tmp_path


def check(folder, content, **options):
    path = folder / "data.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return check_coco(path, **options)


def kinds(result):
    return [item.kind for item in result.findings.items]


def masks_of(result, position=0):
    return [rle.decode(mask) for mask in result.images[position].masks]


def test_a_sound_file_has_no_findings(folder):
    result = check(folder, document(annotation(1), annotation(2, (12, 3, 6, 5))))
    assert result.findings.items == []
    assert [len(item) for item in result.images] == [2]
    assert (result.n_images, result.n_annotations) == (1, 2)


def test_an_image_without_annotation_is_a_notice(folder):
    assert kinds(check(folder, document())) == ["image-empty"]


SQUARE = [2, 3, 8, 3, 8, 8, 2, 8]
UNCOMPRESSED = {"size": [HEIGHT, WIDTH], "counts": [43, 5, HEIGHT * WIDTH - 48]}


@pytest.mark.parametrize(
    ("entry", "expected", "n_kept"),
    [
        pytest.param(annotation(id=None), "annotation-id", 1, id="id-missing"),
        pytest.param(annotation(id=[1]), "annotation-id", 1, id="id-list"),
        pytest.param(annotation(id=True), "annotation-id", 1, id="id-bool"),
        pytest.param(annotation(image_id=7), "annotation-without-image", 0, id="orphan"),
        pytest.param(annotation(image_id={}), "annotation-without-image", 0, id="image-id-object"),
        pytest.param(annotation(image_id="1"), "id-type-differs", 1, id="image-id-text"),
        pytest.param(annotation(image_id=1.0), "annotation-image-id", 1, id="image-id-float"),
        pytest.param(
            annotation(image_id=1.5), "annotation-without-image", 0, id="image-id-fraction"
        ),
        pytest.param(annotation(category_id=None), "category-id", 1, id="category-missing"),
        pytest.param(annotation(category_id="x"), "category-id", 0, id="category-text"),
        pytest.param(annotation(segmentation=None), "mask-missing", 0, id="box-only"),
        pytest.param(annotation(segmentation=[]), "mask-missing", 0, id="no-polygon"),
        pytest.param(annotation(segmentation=7), "mask-damaged", 0, id="mask-number"),
        pytest.param(annotation(segmentation="abc"), "mask-damaged", 0, id="mask-text"),
        pytest.param(
            annotation(segmentation={"size": [9, 9], "counts": [81]}),
            "mask-damaged",
            0,
            id="other-size",
        ),
        pytest.param(
            annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": "~~~"}),
            "mask-damaged",
            0,
            id="illegal-characters",
        ),
        pytest.param(
            annotation(segmentation={"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}),
            "mask-empty",
            0,
            id="empty",
        ),
        pytest.param(annotation(segmentation=[[1, 2, 3, 4]]), "mask-damaged", 0, id="two-points"),
        pytest.param(annotation(segmentation=[SQUARE[:-1]]), "mask-damaged", 0, id="odd-number"),
        pytest.param(
            annotation(segmentation=[[1e300, 0, 1, 1, 0, 1]]), "mask-damaged", 0, id="huge-number"
        ),
        pytest.param(annotation(segmentation=[SQUARE]), "polygon", 1, id="polygon"),
        pytest.param(annotation(segmentation=SQUARE), "polygon-form", 1, id="flat-polygon"),
        pytest.param(
            annotation(segmentation=[[2, 3], [8, 3], [8, 8], [2, 8]]),
            "polygon-form",
            1,
            id="polygon-of-points",
        ),
        pytest.param(
            annotation(segmentation=[SQUARE, [1, 1]]), "polygon-part", 1, id="stray-point"
        ),
        pytest.param(
            annotation(segmentation=[SQUARE, [4, 4, 6, 4, 6, 6, 4, 6]]),
            "polygon-hole",
            1,
            id="hole",
        ),
        pytest.param(
            annotation(segmentation=[[2, 3, 60, 3, 60, 8, 2, 8]], area=140, bbox=[2, 3, 28, 5]),
            "mask-out-of-bounds",
            1,
            id="out-of-bounds",
        ),
        pytest.param(
            annotation(segmentation=[[50, 3, 60, 3, 60, 8, 50, 8]]), "mask-empty", 0, id="outside"
        ),
        pytest.param(
            annotation(segmentation=UNCOMPRESSED, area=5, bbox=[2, 3, 1, 5]),
            "uncompressed-rle",
            1,
            id="uncompressed",
        ),
        pytest.param(annotation(iscrowd=1), "crowd", 0, id="crowd"),
        pytest.param(annotation(iscrowd="0"), "crowd-mark", 1, id="no-crowd-as-text"),
        pytest.param(annotation(iscrowd="1"), "crowd-mark", 0, id="crowd-as-text"),
        pytest.param(annotation(iscrowd="no"), "crowd-mark", 0, id="crowd-word"),
        pytest.param(annotation(iscrowd=[]), "crowd-mark", 0, id="crowd-list"),
        pytest.param(annotation(score=2), "score", 1, id="score"),
        pytest.param(annotation(score=None), "score", 1, id="score-null"),
        pytest.param(annotation(area=31), "area-differs", 1, id="area"),
        pytest.param(annotation(area=10**400), "area-differs", 1, id="area-huge"),
        pytest.param(annotation(area=None), "box-or-area-missing", 1, id="area-missing"),
        pytest.param(annotation(bbox=[2, 3, 8, 8]), "box-differs", 1, id="box-of-corners"),
        pytest.param(annotation(bbox="x"), "box-differs", 1, id="box-text"),
        pytest.param(7, "entry-type", 0, id="number"),
    ],
)
def test_annotations(folder, entry, expected, n_kept):
    result = check(folder, document(entry), min_area_px=1)
    assert expected in kinds(result)
    assert sum(map(len, result.images)) == n_kept
    finding = next(item for item in result.findings.items if item.kind == expected)
    assert finding.repair or expected == "polygon-hole"


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param(None, id="none"),
        pytest.param([[50, 3, 60, 3, 60, 8, 50, 8]], id="outside"),
    ],
)
def test_an_image_that_loses_all_its_annotations_is_no_image_without_mitochondria(
    folder, segmentation
):
    lost = check(folder, document(annotation(segmentation=segmentation)))
    assert lost.images == ()
    assert [item.kind for item in lost.findings.items][-1] == "image-lost"
    kept = check(folder, document(annotation(), annotation(id=2, segmentation=None)))
    assert [len(image) for image in kept.images] == [1]
    assert "image-lost" not in kinds(kept)


def test_corners_in_a_box_are_recognised(folder):
    result = check(folder, document(annotation(bbox=[2, 3, 8, 8])))
    assert result.findings.items[0].message == (
        "bbox [2, 3, 8, 8] holds two corners, not x, y, width, height"
    )


@pytest.mark.parametrize("form", ["flat", "points"])
def test_a_mended_polygon_has_the_pixels_of_the_right_form(folder, form):
    given = SQUARE if form == "flat" else [SQUARE[i : i + 2] for i in range(0, 8, 2)]
    result = check(folder, document(annotation(segmentation=given)))
    assert np.array_equal(masks_of(result)[0], box_mask(2, 3, 6, 5))


@pytest.mark.parametrize(
    ("images", "expected", "n_kept"),
    [
        pytest.param([image(None)], "image-id", 0, id="id-missing"),
        pytest.param([image([1])], "image-id", 0, id="id-list"),
        pytest.param([image(1.0)], "image-id", 1, id="id-float"),
        pytest.param([image(), image()], "image-id-twice", 1, id="same-entry-twice"),
        pytest.param([image(width=31), image()], "image-id-twice", 1, id="the-second-is-right"),
        pytest.param([image(), image(2), image(2)], "image-id-twice", 1, id="page-twice-and-again"),
        pytest.param(
            [image(), image(name="b.png"), image()], "image-id-twice", 0, id="two-files-and-again"
        ),
        pytest.param([image(), image(name="b.png")], "image-id-twice", 0, id="id-of-two-files"),
        pytest.param([image(), image(2)], "image-twice", 1, id="page-twice"),
        pytest.param([image(2, frame=-1), image()], "image-frame", 1, id="page-after-an-unusable"),
        pytest.param(
            [image(), image(name="b.png"), image(2)], "image-id-twice", 1, id="page-after-a-double"
        ),
        pytest.param([image(name="")], "image-name", 0, id="no-name"),
        pytest.param([image(name="gone.png")], "image-missing", 1, id="missing"),
        pytest.param([image(name="\ud800.png")], "image-missing", 1, id="impossible-name"),
        pytest.param([image(name="data.json")], "image-unreadable", 1, id="no-image"),
        pytest.param([image(name="/dev/zero")], "image-unreadable", 1, id="device"),
        pytest.param([image(width=None)], "image-size", 1, id="width-from-file"),
        pytest.param([image(name="gone.png", width=0)], "image-size", 0, id="width-unknown"),
        pytest.param([image(width=10**30)], "image-size", 1, id="width-huge"),
        pytest.param([image(width=31)], "image-size-differs", 1, id="masks-fit-the-file"),
        pytest.param([image(frame=1)], "image-page-missing", 1, id="page-missing"),
        pytest.param([image(frame=-1)], "image-frame", 0, id="frame-negative"),
        pytest.param([image(pixel_size_nm="5")], "pixel-size", 1, id="pixel-size-text"),
        pytest.param([image(pixel_size_nm=1e99)], "pixel-size", 1, id="pixel-size-huge"),
        pytest.param(["x"], "entry-type", 0, id="text"),
        pytest.param([], "no-list", 0, id="none"),
        pytest.param({}, "no-list", 0, id="object"),
    ],
)
def test_images(folder, images, expected, n_kept):
    result = check(folder, document(annotation(), images=images))
    assert expected in kinds(result)
    assert len(result.images) == n_kept
    assert all(item.image_hw == (HEIGHT, WIDTH) for item in result.images)


def test_an_image_of_another_size_is_left_out(folder):
    entry = annotation(segmentation=[SQUARE])
    result = check(folder, document(entry, images=[image(width=60)]))
    assert kinds(result) == ["image-size-differs"]
    assert result.findings.items[0].message == (
        "is listed as 60 x 20 px but the file has 30 x 20 px"
    )
    assert result.images == ()


def test_pages_of_a_stack_are_compared_with_their_page(folder):
    with tifffile.TiffWriter(folder / "s.tif") as writer:
        for height in (HEIGHT, 5):
            writer.write(np.zeros((height, WIDTH), np.uint8), photometric="minisblack")
    pages = [image(1, "s.tif"), image(2, "s.tif", frame=1)]
    result = check(folder, document(annotation(), annotation(2, image_id=2), images=pages))
    assert kinds(result) == ["image-size-differs"]
    assert "image 2 (s.tif)" in result.findings.items[0].where


def test_backslashes_and_absolute_names(folder):
    (folder / "sub").mkdir()
    (folder / "a.png").rename(folder / "sub" / "a.png")
    entries = [image(name="sub\\a.png")]
    result = check(folder, document(annotation(), images=entries))
    assert kinds(result) == ["image-name-form"]
    assert result.images[0].image == str(folder / "sub" / "a.png")
    entries = [image(name=str(folder / "sub" / "a.png"))]
    assert kinds(check(folder, document(annotation(), images=entries))) == ["image-name-form"]


def test_repeats_and_overlaps(folder):
    entries = [
        annotation(1, (2, 3, 6, 5)),
        annotation(2, (2, 3, 6, 5)),
        annotation(3, (6, 3, 8, 5)),
        annotation(4, (3, 4, 3, 3)),
    ]
    result = check(folder, document(*entries), min_area_px=10)
    assert [(item.kind, item.message) for item in result.findings.items] == [
        ("speck", "has 9 px only (under 10 px)"),
        ("mask-twice", "has the very mask of image 1 (a.png) annotation 1 (30 px)"),
        ("overlap", "shares 10 of its 30 px with image 1 (a.png) annotation 3"),
        (
            "mask-inside",
            "9 of its 9 px lie in image 1 (a.png) annotation 1; one of them may be a repeat",
        ),
    ]
    assert len(result.images[0]) == 3


@pytest.mark.parametrize(
    ("categories", "used", "expected", "kept"),
    [
        pytest.param(None, 1, ["category-entry"], 1, id="no-list"),
        pytest.param([{"id": 1}], 1, ["category-entry"], 1, id="no-name"),
        pytest.param([{"id": 1, "name": "m"}] * 2, 1, ["category-entry"], 1, id="twice"),
        pytest.param([{"id": "x", "name": "m"}], 1, ["category-entry"], 1, id="id-text"),
        pytest.param(
            [{"id": 1, "name": "m"}, {"id": 2, "name": "n"}], 1, ["category-unused"], 1, id="unused"
        ),
        pytest.param([{"id": 0, "name": "m"}], 0, ["category-number"], 1, id="counted-from-0"),
        pytest.param(
            [{"id": 1, "name": "m"}],
            3,
            ["category-unknown", "category-unused", "category-number"],
            1,
            id="unknown",
        ),
    ],
)
def test_categories(folder, categories, used, expected, kept):
    result = check(folder, document(annotation(category_id=used), categories=categories))
    assert kinds(result) == expected
    assert result.images[0].category_ids == (kept,)


def test_the_name_of_a_renumbered_category_is_kept(folder):
    content = document(annotation(category_id=0), categories=[{"id": 0, "name": "mito"}])
    assert check(folder, content).images[0].category_names == {1: "mito"}


def test_an_unused_category_1_does_not_name_an_unknown_one(folder):
    content = document(annotation(category_id=2), categories=[{"id": 1, "name": "nucleus"}])
    image = check(folder, content).images[0]
    assert image.category_ids == (1,)
    assert "nucleus" not in image.category_names.values()


@pytest.mark.parametrize("number", [0, 2])
def test_an_unused_category_does_not_take_the_place_of_the_used_one(folder, number):
    categories = [{"id": number, "name": "mito"}, {"id": 1, "name": "nucleus"}]
    image = check(folder, document(annotation(category_id=number), categories=categories)).images[0]
    assert (image.category_ids, image.category_names) == ((1,), {1: "mito"})


def test_names_groups_and_tracks_are_kept(folder):
    first = annotation(1, name="dark one", group=3, track_id=7)
    image = check(folder, document(first)).images[0]
    assert (image.names, image.groups, image.track_ids) == (("dark one",), (3,), (7,))


def test_scores_are_kept_when_all_carry_one(folder):
    first, second = annotation(1, score=0.5), annotation(2, (12, 3, 6, 5), score=0.25)
    assert check(folder, document(first, second)).images[0].scores.tolist() == [0.5, 0.25]
    second["score"] = None
    result = check(folder, document(first, second))
    assert kinds(result) == ["score", "score-partial"]
    assert result.images[0].scores is None
    del second["score"]
    assert kinds(check(folder, document(first, second))) == ["score-partial"]


@pytest.mark.parametrize("crowd", [{}, {"score": None}, {"score": 7}])
def test_a_crowd_region_needs_no_score(folder, crowd):
    first = annotation(1, score=0.5)
    result = check(folder, document(first, annotation(2, (12, 3, 6, 5), iscrowd=1, **crowd)))
    assert kinds(result) == ["crowd"]
    assert result.images[0].scores.tolist() == [0.5]


@pytest.mark.parametrize(
    ("segmentation", "expected", "n_kept"),
    [
        pytest.param(None, ["crowd"], 0, id="none"),
        pytest.param([SQUARE], ["crowd"], 1, id="polygon"),
        pytest.param(SQUARE, ["crowd", "polygon-form"], 1, id="flat"),
        pytest.param("x", ["crowd", "mask-damaged"], 0, id="text"),
    ],
)
def test_crowd_regions_are_kept_where_their_mask_can_be_read(
    folder, segmentation, expected, n_kept
):
    crowd = annotation(1, iscrowd=1, segmentation=segmentation)
    result = check(folder, document(crowd, annotation(2)))
    assert kinds(result) == expected
    assert result.findings.items[0].repair == ("kept as a crowd region" if n_kept else "left out")
    write_coco(folder / "fixed.json", result.images)
    (fixed,) = read_coco(folder / "fixed.json")
    assert (len(fixed), len(fixed.crowds)) == (1, n_kept)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"iscrowd": 1}, ["crowd"], id="crowd"),
        pytest.param({"iscrowd": 1, "segmentation": "x"}, None, id="unreadable"),
        pytest.param({"iscrowd": 1, "segmentation": None}, None, id="box-alone"),
        pytest.param({"iscrowd": "no"}, None, id="unknown-mark"),
    ],
)
def test_an_image_of_crowd_regions_alone_never_passes_for_an_empty_one(folder, changes, expected):
    result = check(folder, document(annotation(**changes)))
    if expected is None:
        assert "image-lost" in kinds(result)
        assert result.images == ()
    else:
        assert kinds(result) == expected
        assert len(result.images[0].crowds) == 1


def test_crowd_regions_in_one_piece_may_be_brush_masks_of_cvat(folder):
    two_pieces = rle.encode(box_mask(2, 3, 4, 4) | box_mask(12, 3, 4, 4))
    entries = [
        annotation(1, iscrowd=1),
        annotation(2, iscrowd=1, segmentation=two_pieces),
        annotation(3, iscrowd=1, segmentation=[SQUARE]),
    ]
    crowds = [i for i in check(folder, document(*entries)).findings.items if i.kind == "crowd"]
    assert ["CVAT marks brush masks" in item.message for item in crowds] == [True, False, False]


def test_crowd_regions_are_kept_as_instances_when_asked(folder):
    mask = box_mask(2, 3, 6, 5)
    counts = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0)), prepend=0)
    counts = [*counts.tolist(), mask.size - int(counts.sum())]
    crowd = {"counts": counts, "size": [HEIGHT, WIDTH]}  # as CVAT writes a brush mask
    content = document(
        annotation(1, iscrowd=1, segmentation=crowd, bbox=[2.0, 3.0, 6.0, 5.0], name="brush"),
        annotation(2, (12, 3, 6, 5)),
        annotation(3, (20, 3, 6, 5), iscrowd="no"),
    )
    result = check(folder, content, crowds_are_instances=True)
    repairs = result.findings.repairs()
    assert repairs["crowd", "written as single instances"] == 1
    assert repairs["crowd-mark", "left out"] == 1  # nobody knows what it is
    write_coco(folder / "fixed.json", result.images)
    (image,) = read_coco(folder / "fixed.json")
    assert (len(image), image.crowds, image.names) == (2, (), ("brush", ""))
    assert np.array_equal(rle.decode(image.masks[0]), mask)


def test_a_crowd_region_that_is_kept_needs_a_score_as_others_do(folder):
    first, second = annotation(1, score=0.5), annotation(2, (12, 3, 6, 5), iscrowd=1)
    result = check(folder, document(first, second), crowds_are_instances=True)
    assert kinds(result) == ["score-partial", "crowd"]
    assert (len(result.images[0]), result.images[0].scores) == (2, None)


@pytest.mark.parametrize("iscrowd", [None, 0, 1, True, False, 1.0])
def test_marks_of_crowds_that_are_read(folder, iscrowd):
    result = check(folder, document(annotation(iscrowd=iscrowd)))
    assert kinds(result) == (["crowd"] if iscrowd else [])
    (image,) = read_coco(folder / "data.json")
    assert (len(image), len(image.crowds)) == (0, 1) if iscrowd else (1, 0)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(annotation(image_id=1.0), id="image-id-float"),
        pytest.param(annotation(image_id="1"), id="image-id-text"),
        pytest.param(annotation(score=None), id="score-null"),
        pytest.param(annotation(iscrowd="0"), id="crowd-as-text"),
        pytest.param(annotation(segmentation=SQUARE), id="flat-polygon"),
        pytest.param(annotation(segmentation=[SQUARE, [1, 1]]), id="stray-point"),
    ],
)
def test_what_the_reader_refuses_is_an_error_and_is_repaired(folder, entry):
    result = check(folder, document(entry))
    assert result.findings.count("error") == 1
    with pytest.raises(AnnotationError):
        read_coco(folder / "data.json")
    write_coco(folder / "repaired.json", result.images)
    (image,) = read_coco(folder / "repaired.json")
    assert np.array_equal(rle.decode(image.masks[0]), box_mask(2, 3, 6, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "not a JSON file", id="empty"),
        pytest.param("[" * 200_000, "nested too deeply", id="deep"),
        pytest.param("1" * 6000, "not a JSON file", id="too-many-digits"),
        pytest.param("[1]", "must be an object", id="list"),
    ],
)
def test_unreadable_files(folder, content, message):
    with pytest.raises(AnnotationError, match=message):
        check(folder, content)


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([10**30, 1e308, float("nan"), float("inf"), -1.5, 1.0]),
    st.sampled_from(["", "1", "a.png", "\ud800", "\x1b[31m", "x" * 500, "0" * 30]),
    st.just([]),
    st.just({}),
    st.just([[1, 1, 9, 1, 9, 9]]),
    st.just({"size": [HEIGHT, WIDTH], "counts": "0" * 20}),
)
places = st.sampled_from(
    [
        (name, key)
        for name, entry in (("images", image(frame=0)), ("annotations", annotation()))
        for key in entry
    ]
    + [("categories", "id"), ("categories", "name"), ("annotations", "score")]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(places, st.integers(0, 1), values), max_size=6))
def test_any_broken_file_is_repaired_into_one_without_errors(folder, faults):
    content = copy.deepcopy(
        document(
            annotation(1),
            annotation(2, (5, 4, 9, 9), image_id=2),
            images=[image(), image(2, "b.png")],
            categories=[{"id": 1, "name": "m"}, {"id": 2, "name": "n"}],
        )
    )
    for (name, key), position, value in faults:
        content[name][position][key] = value
    try:
        result = check(folder, content)
    except MitoInstanceError:
        return
    if result.findings.count("error") == 0:
        read_coco(folder / "data.json")  # what has no error can be read
    for item in result.findings.items:
        assert f"{item.where}{item.message}".isprintable()
        assert len(item.message) < 500
    if not result.images:
        return
    repaired = folder / "repaired.json"
    write_coco(repaired, result.images)
    again = check_coco(repaired)
    errors = {item.kind for item in again.findings.items if item.severity == "error"}
    assert errors <= ON_DISK
    assert [item.masks for item in read_coco(repaired)] == [item.masks for item in result.images]
