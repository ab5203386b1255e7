"""Labelme and YOLO polygons to the pixels whose centre lies inside."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mito_instance.annotations.from_polygons import (
    convert_polygon_pairs,
    find_polygon_files,
    pair_polygon_files,
)
from mito_instance.calibration import PixelSize
from mito_instance.errors import AnnotationError
from mito_instance.masks import rle

HEIGHT, WIDTH = 20, 40


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH), np.uint8))
    return path


def shape(points, kind="polygon", label="mito", **fields):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **fields}


def labelme(folder, *shapes, **fields):
    path = folder / "a.json"
    content = {"shapes": list(shapes), "imageHeight": HEIGHT, "imageWidth": WIDTH, **fields}
    path.write_text(json.dumps(content))
    return path


def yolo(folder, text):
    path = folder / "a.txt"
    path.write_text(text)
    return path


def convert(image, file, **options):
    return convert_polygon_pairs([(image, file)], **options)


def masks(conversion):
    return [rle.decode(mask) for mask in conversion.images[0].masks]


def box_mask(left, top, right, bottom):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


SQUARE = [[10, 5], [20, 5], [20, 15], [10, 15]]


@pytest.mark.parametrize(
    "given_shape",
    [
        pytest.param(shape(SQUARE), id="polygon"),
        pytest.param(shape(SQUARE, None), id="no-type"),
        pytest.param(shape([[10, 5], [20, 15]], "rectangle"), id="rectangle"),
        pytest.param(shape([[20, 15], [10, 5]], "rectangle"), id="rectangle-backwards"),
        pytest.param(shape(SQUARE, "rectangle"), id="rectangle-of-four"),
    ],
)
def test_labelme_points_are_pixel_corners(image, given_shape):
    conversion = convert(image, labelme(image.parent, given_shape))
    assert conversion.failures == []
    assert [np.array_equal(mask, box_mask(10, 5, 20, 15)) for mask in masks(conversion)] == [True]


def test_labelme_circle_has_the_pixels_within_its_radius(image):
    conversion = convert(image, labelme(image.parent, shape([[20, 10], [20, 17.3]], "circle")))
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    distance = np.hypot(x - 20, y - 10)
    found = masks(conversion)[0]
    assert found[distance < 7.2].all()
    assert not found[distance > 7.3].any()


def test_yolo_shares_become_the_same_pixels(image):
    text = "0 0.25 0.25 0.5 0.25 0.5 0.75 0.25 0.75\n\n"
    conversion = convert(image, yolo(image.parent, text))
    assert [np.array_equal(mask, box_mask(10, 5, 20, 15)) for mask in masks(conversion)] == [True]


@pytest.mark.parametrize("kind", ["labelme", "yolo"])
def test_an_empty_file_is_an_empty_image(image, kind):
    file = labelme(image.parent) if kind == "labelme" else yolo(image.parent, "")
    conversion = convert(image, file, pixel_size=PixelSize(5, "user"))
    assert conversion.failures == conversion.notices == []
    assert [len(item) for item in conversion.images] == [0]
    assert conversion.images[0].pixel_size == PixelSize(5, "user")


def test_a_group_is_one_instance(image):
    shapes = [
        shape(SQUARE, group_id=3),
        shape([[30, 5], [35, 5], [35, 9], [30, 9]], group_id=3),
        shape([[1, 1], [4, 1], [4, 4]], group_id=4),
    ]
    conversion = convert(image, labelme(image.parent, *shapes))
    assert np.array_equal(masks(conversion)[0], box_mask(10, 5, 20, 15) | box_mask(30, 5, 35, 9))
    assert len(masks(conversion)) == 2


def test_lines_and_points_are_counted_not_converted(image):
    shapes = [shape([[1, 1], [9, 9]], "line"), shape([[1, 1]], "point"), shape(SQUARE)]
    conversion = convert(image, labelme(image.parent, *shapes))
    assert conversion.notices == ["shapes that are no instances, left out: 1 line, 1 point"]
    assert conversion.n_instances == 1


def test_labels(image):
    file = labelme(image.parent, shape(SQUARE), shape([[1, 1], [4, 1], [4, 4]], label="nucleus"))
    assert convert(image, file).notices == [
        "shapes of several labels are taken as mitochondria: mito (1), nucleus (1); choose with "
        "--labels"
    ]
    chosen = convert(image, file, labels=["mito"])
    assert chosen.notices == ["shapes that are no instances, left out: 1 of other labels"]
    assert chosen.n_instances == 1


def test_beyond_the_image_is_cut_and_said(image):
    file = labelme(image.parent, shape([[30, 5], [99, 5], [99, 15], [30, 15]]))
    conversion = convert(image, file)
    assert np.array_equal(masks(conversion)[0], box_mask(30, 5, 40, 15))
    assert conversion.notices[0].endswith("reaches beyond its image; cut at the border")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(shape([[1, 1], [2, 2]]), "at least 3 vertices", id="two-points"),
        pytest.param(shape([[1, 1]], "circle"), "a circle needs 2 points, got 1", id="circle"),
        pytest.param(shape("x"), "must be a list of", id="text"),
        pytest.param(shape([[1, 1], [2, True], [3, 3]]), "must be a list of", id="bool"),
        pytest.param(shape([[1, math.nan], [2, 2], [3, 3]]), "must lie within", id="nan"),
        pytest.param(shape([[1, 10**400], [2, 2], [3, 3]]), "must lie within", id="huge"),
        pytest.param(shape([[1, 1e6], [2, 1e6], [3, 2e6]]), "lies outside", id="outside"),
        pytest.param(shape([[1, 1], [9, 9]], "mask"), "shape_type mask is not read", id="mask"),
        pytest.param("x", "must be an object, got x", id="no-object"),
        pytest.param(shape(SQUARE, []), "shape_type a list", id="kind-list"),
    ],
)
def test_a_bad_labelme_shape_is_named_and_the_others_go_on(image, bad, message):
    conversion = convert(image, labelme(image.parent, bad, shape(SQUARE)))
    assert len(conversion.failures) == 1
    assert message in conversion.failures[0]
    assert "a.json: shapes[0]" in conversion.failures[0]
    assert conversion.n_instances == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param("0 0.5 0.5 0.1 0.1", r"holds a box", id="box"),
        pytest.param("0 0.5 0.5 0.1 0.1 0.2", "got 5 numbers", id="odd"),
        pytest.param("0", "got 0 numbers", id="class-only"),
        pytest.param("0 10 10 30 10 30 30", "shares of width and height", id="pixels"),
        pytest.param("0 a b c d e f", "shares of width and height", id="words"),
        pytest.param("0 nan 0 1 0 1 1", "shares of width and height", id="nan"),
        pytest.param("0 1.5 0 1.9 0 1.9 1", "lies outside", id="outside"),
    ],
)
def test_a_bad_yolo_line_is_named_and_the_others_go_on(image, line, message):
    text = f"{line}\n0 0.25 0.25 0.5 0.25 0.5 0.75\n"
    conversion = convert(image, yolo(image.parent, text))
    assert len(conversion.failures) == 1
    assert message in conversion.failures[0]
    assert "a.txt: line 1" in conversion.failures[0]
    assert conversion.n_instances == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("[]", "needs a list 'shapes'", id="list"),
        pytest.param('{"images": []}', "needs a list 'shapes'", id="coco"),
        pytest.param("[" * 100_000, "nested too deeply", id="deep"),
        pytest.param(
            '{"shapes": [], "imageHeight": 9, "imageWidth": 9}',
            "image of 9 x 9 px",
            id="other-image",
        ),
    ],
)
def test_a_bad_file_is_named(image, content, message):
    path = image.parent / "a.json"
    path.write_text(content)
    conversion = convert(image, path)
    assert conversion.images == []
    assert message in conversion.failures[0]


def test_binary_text_is_named(image):
    path = image.parent / "a.txt"
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read as text" in convert(image, path).failures[0]


def test_files_are_found_and_paired_by_name(image):
    folder = image.parent
    labelme(folder)
    (folder / "classes.txt").write_text("mito\n")
    files = find_polygon_files([folder])
    assert [path.name for path in files] == ["a.json"]
    assert pair_polygon_files(files, None).pairs == ((image, folder / "a.json"),)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("gone", "no such file", id="missing"),
        pytest.param(".", "holds no Labelme", id="empty-folder"),
        pytest.param("a.png", "must be a Labelme", id="image"),
    ],
)
def test_inputs_that_hold_no_polygons(image, name, message):
    with pytest.raises(AnnotationError, match=message):
        find_polygon_files([image.parent / name])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.floats(-0.25, 1.25, width=32), st.floats(-0.25, 1.25, width=32)),
        min_size=3,
        max_size=8,
    )
)
def test_labelme_and_yolo_agree(image, points):
    text = " ".join(["0", *(repr(float(value)) for point in points for value in point)])
    pixels = [[float(x) * WIDTH, float(y) * HEIGHT] for x, y in points]
    first = convert(image, yolo(image.parent, text))
    second = convert(image, labelme(image.parent, shape(pixels)))
    assert [image.masks for image in first.images] == [image.masks for image in second.images]
    assert len(first.failures) == len(second.failures)


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.1 0.1", "0 5 5 6 5 6 6"])
def test_an_image_all_of_whose_shapes_failed_is_none_without_mitochondria(image, text):
    conversion = convert(image, yolo(image.parent, text))
    assert not conversion.images
    assert len(conversion.failures) == 1
    assert len(convert(image, yolo(image.parent, "")).images) == 1


@pytest.mark.parametrize("kind", ["labelme", "yolo"])
def test_an_image_all_of_whose_wanted_shapes_failed_is_none_beside_others_either(image, kind):
    other = [[2, 2], [9, 2], [9, 9]]
    if kind == "labelme":
        failed = {**shape([[2, 2], [9, 9]]), "shape_type": "mask"}
        file = labelme(image.parent, failed, shape(other, label="nucleus"))
        conversion = convert(image, file, labels={"mito"})
    else:
        file = yolo(image.parent, "0 0.5 0.5 0.1 0.1\n1 0.1 0.1 0.5 0.1 0.5 0.5")
        conversion = convert(image, file, labels={"0"})
    assert not conversion.images
    assert len(conversion.failures) == 1


def test_labels_that_no_shape_has_are_refused(image):
    """Each image would be one without mitochondria."""
    file = labelme(image.parent, shape([[2, 2], [9, 2], [9, 9]]))
    with pytest.raises(
        AnnotationError, match=r"no shape has the label mitos; there are mito \(1\)"
    ):
        convert(image, file, labels={"mitos"})


def test_a_file_that_cannot_be_read_may_have_the_labels(image):
    file = labelme(image.parent, shape([[2, 2], [9, 2], [9, 9]], label="nucleus"))
    pairs = [(image, file), (image, image.with_name("gone.json"))]
    conversion = convert_polygon_pairs(pairs, labels={"mito"})
    assert len(conversion.failures) == 1
    assert [len(found) for found in conversion.images] == [0]


@pytest.mark.parametrize("word", ["0", "0.0", "0.000000e+00"])
def test_classes_of_yolo_are_numbers_however_they_are_written(image, word):
    text = f"{word} 0.1 0.1 0.5 0.1 0.5 0.5\n1.0 0.1 0.1 0.5 0.1 0.5 0.5"
    for wanted in ("0", word):
        (found,) = convert(image, yolo(image.parent, text), labels={wanted}).images
        assert len(found) == 1


@pytest.mark.parametrize("word", ["nan", "inf", "1e300", "0.5", "mito"])
def test_odd_classes_of_yolo_keep_their_words(image, word):
    text = f"{word} 0.1 0.1 0.5 0.1 0.5 0.5"
    assert len(convert(image, yolo(image.parent, text), labels={word}).images[0]) == 1


def test_shapes_of_other_labels_that_fail_leave_an_image_without_mitochondria(image):
    nuclei = [shape([[2, 2], [9, 2], [9, 9]], label="nucleus")]
    nuclei.append({**shape([[2, 2], [9, 9]], label="nucleus"), "shape_type": "mask"})
    other = image.with_name("b.png")
    other.write_bytes(image.read_bytes())
    (image.parent / "of_b").mkdir()
    beside = labelme(image.parent / "of_b", shape([[2, 2], [9, 2], [9, 9]]))
    pairs = [(image, labelme(image.parent, *nuclei)), (other, beside)]
    conversion = convert_polygon_pairs(pairs, labels={"mito"})
    assert [len(found) for found in conversion.images] == [0, 1]
    assert len(conversion.failures) == 1
