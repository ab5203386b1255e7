"""Pairing of images: by path, by name, by stem, never by guess."""

import pytest

from mito_instance.errors import AnnotationError
from mito_instance.evaluation.pairing import pair_images
from mito_instance.instances import ImageInstances

HW = (4, 6)


def images(*names):
    """Images without instances; ``name#2`` is page 2."""
    return [
        ImageInstances(name.partition("#")[0], HW, frame=int(name.partition("#")[2] or 0))
        for name in names
    ]


def names(pairing):
    return [(f"{t.image}#{t.frame}", f"{p.image}#{p.frame}") for t, p in pairing.pairs]


@pytest.mark.parametrize(
    ("names_true", "names_pred", "expected"),
    [
        pytest.param(["a/1.png"], ["a/../a/1.png"], [(0, 0)], id="same-resolved-path"),
        pytest.param(["a/1.png", "b/1.png"], ["b/1.png", "a/1.png"], [(0, 1), (1, 0)], id="paths"),
        pytest.param(["a/1.png", "a/2.png"], ["x/2.png", "x/1.png"], [(0, 1), (1, 0)], id="names"),
        pytest.param(["a/1.png"], ["x/1.tif"], [(0, 0)], id="stem"),
        pytest.param(["s.tif", "s.tif#1"], ["o/s.tif#1", "o/s.tif"], [(0, 1), (1, 0)], id="frames"),
        pytest.param(["s.tif"], ["s.tif#1"], [], id="other-frame"),
        pytest.param(["a/1.png", "a/1.tif"], ["x/1.tif"], [(1, 0)], id="name-before-stem"),
        pytest.param(["a/1.png"], ["a/1.png", "b/1.png"], [(0, 0)], id="path-settles-a-name"),
        pytest.param(["a\0.png"], ["a\0.png"], [(0, 0)], id="no-legal-path"),
        pytest.param([], ["a.png"], [], id="no-truth"),
        pytest.param([], [], [], id="empty"),
    ],
)
def test_pairs(names_true, names_pred, expected):
    images_true, images_pred = images(*names_true), images(*names_pred)
    pairing = pair_images(images_true, images_pred)
    assert list(pairing.pairs) == [(images_true[i], images_pred[j]) for i, j in expected]
    assert len(pairing.unpaired_true) == len(images_true) - len(expected)
    assert len(pairing.unpaired_pred) == len(images_pred) - len(expected)


def test_unpaired_images_keep_their_order():
    pairing = pair_images(images("c.png", "b.png", "a.png"), images("z.png", "b.png", "y.png"))
    assert names(pairing) == [("b.png#0", "b.png#0")]
    assert [image.image for image in pairing.unpaired_true] == ["c.png", "a.png"]
    assert [image.image for image in pairing.unpaired_pred] == ["z.png", "y.png"]


@pytest.mark.parametrize(
    ("names_true", "names_pred", "message"),
    [
        pytest.param(
            ["a/1.png", "b/1.png"],
            ["x/1.png"],
            r"^x/1.png: the file name '1.png' \(frame 0\) must be unique .* 2 true and 1 predicted",
            id="two-true",
        ),
        pytest.param(["a/1.png"], ["x/1.png", "y/1.png"], "1 true and 2 predicted", id="two-pred"),
        pytest.param(
            ["a/1.png", "b/1.png"], ["a/1.png", "c/1.png"], "2 true and 2 predicted", id="left-over"
        ),
        pytest.param(["a/1.png"], ["x/1.tif", "x/1.jpg"], "the name '1'", id="two-stems"),
        pytest.param(["a.png", "a.png"], ["a.png"], "the path '.*a.png'", id="listed-twice"),
    ],
)
def test_ambiguous_names_are_an_error(names_true, names_pred, message):
    with pytest.raises(AnnotationError, match=message):
        pair_images(images(*names_true), images(*names_pred))


def test_paired_images_must_have_one_size():
    with pytest.raises(AnnotationError, match=r"^x/a.png: .*\(5, 6\).*a.png is \(4, 6\)"):
        pair_images(images("a.png"), [ImageInstances("x/a.png", (5, 6))])
