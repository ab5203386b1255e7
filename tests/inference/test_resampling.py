import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.errors import ImageError
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.resampling import masks_at_page_size, zoom_for
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle
from tests.dark_objects import DarkAt5nm


def page(nm, tmp_path):
    pixels = np.full((200, 300), 255, dtype=np.uint8)
    pixels[40:100, 60:180] = 0
    size = None if nm is None else PixelSize(nm, "user")
    return Page(path=tmp_path / "a.png", frame=0, n_frames=1, pixels=pixels, pixel_size=size)


@pytest.mark.parametrize(
    ("nm", "expected"),
    [
        pytest.param(None, 1.0, id="unknown"),
        pytest.param(5.0, 1.0, id="the-same"),
        pytest.param(6.0, 1.0, id="near"),
        pytest.param(1.25, 0.25, id="finer"),
        pytest.param(20.0, 4.0, id="coarser"),
    ],
)
def test_zoom(nm, expected):
    size = None if nm is None else PixelSize(nm, "user")
    assert zoom_for(ImageInstances("a", (100, 100), pixel_size=size), 5.0) == expected
    assert zoom_for(ImageInstances("a", (100, 100), pixel_size=size), None) == 1.0


@pytest.mark.parametrize(("nm", "edge_px"), [(1e6, 4000), (20.0, 12_000), (0.001, 100)])
def test_a_page_that_cannot_be_resized_is_an_error(nm, edge_px):
    page = ImageInstances("a", (edge_px, edge_px), pixel_size=PixelSize(nm, "user"))
    with pytest.raises(ImageError, match=r"a: a pixel size of .* cannot be brought to the model's"):
        zoom_for(page, 5.0)


def test_a_page_of_one_row_is_brought_to_one_row(tmp_path):
    row = Page(tmp_path / "a.png", 0, 1, np.full((1, 300), 255, np.uint8), PixelSize(1.25, "user"))
    assert predict_page(DarkAt5nm(), row).image_hw == (1, 300)


@pytest.mark.parametrize("zoom", [2.0, 4.0, 1.6, 1.5, 2 / 3, 0.5])
def test_areas_are_kept_and_neighbours_stay_apart(zoom):
    page_hw = (240, 480)
    found_hw = (round(240 * zoom), round(480 * zoom))
    rows, columns = np.mgrid[: found_hw[0], : found_hw[1]] / zoom
    rng = np.random.default_rng(0)
    masks, areas = [], []
    for row in range(30, 220, 30):
        for column in 30 * np.arange(1, 15) + rng.uniform(-2, 2, 14):
            disc = (rows - row - rng.uniform(-2, 2)) ** 2 + (columns - column) ** 2
            disc = disc < rng.uniform(5, 12) ** 2
            # Two that touch along the middle, which no pixel belongs to twice.
            masks += [disc & (columns < column), disc & (columns >= column)]
            areas.append(disc.sum() / zoom**2)
    found = ImageInstances("a", found_hw, tuple(map(rle.encode, masks)), np.ones(len(masks)))
    back = masks_at_page_size(found, ImageInstances("a", page_hw)).masks
    assert len(back) == len(masks)
    assert sum(map(rle.area_px, back)) == pytest.approx(sum(areas), rel=0.02)
    assert max(sum(rle.decode(mask).astype(int) for mask in back).ravel()) == 1


@pytest.mark.parametrize("nm", [1.25, 2.5, 10.0, 15.0])
def test_masks_come_back_in_the_pages_own_pixels(nm, tmp_path):
    predictor = DarkAt5nm()
    given = page(nm, tmp_path)
    found = predict_page(predictor, given)
    assert found.image_hw == (200, 300)
    assert found.pixel_size == given.pixel_size
    assert max(max(shape) for shape in predictor.seen) <= 128
    (mask,) = found.masks
    truth = rle.encode(given.pixels < 128)
    assert rle.iou_matrix([truth], [mask])[0, 0] >= 0.95


def test_doubling_and_halving_a_mask_is_exact():
    small = np.zeros((20, 30), dtype=bool)
    small[5:12, 8:20] = True
    found = ImageInstances("a", (20, 30), (rle.encode(small),), np.ones(1))
    (doubled,) = masks_at_page_size(found, ImageInstances("a", (40, 60))).masks
    np.testing.assert_array_equal(rle.decode(doubled), np.kron(small, np.ones((2, 2), bool)))


def test_no_instances_stay_none():
    found = masks_at_page_size(
        ImageInstances("a", (20, 30), (), np.zeros(0)), ImageInstances("a", (40, 60))
    )
    assert len(found) == 0


def test_an_unknown_pixel_size_is_said_once_a_run(caplog, monkeypatch):
    from mito_instance.inference import resampling

    monkeypatch.setattr(resampling, "_said", set())
    for name in ("a.png", "b.png"):
        assert zoom_for(ImageInstances(name, (10, 10)), 5.0) == 1.0
    assert zoom_for(ImageInstances("c.png", (10, 10)), None) == 1.0
    assert len(caplog.records) == 1
    assert "a.png: pixel size unknown" in caplog.text
    assert "not brought to the 5 nm a pixel at which the model was trained" in caplog.text


def test_a_pixel_size_far_from_the_models_is_said_once(caplog, monkeypatch):
    from mito_instance.inference import resampling

    monkeypatch.setattr(resampling, "_said", set())
    for name, nm in (("a.mrc", 0.2), ("b.mrc", 0.2), ("c.png", 1.25), ("d.png", 20), ("e.png", 40)):
        page = ImageInstances(name, (1000, 1000), pixel_size=PixelSize(nm, "mrc"))
        assert zoom_for(page, 5.0) == nm / 5
    first, second = caplog.messages
    assert first == (
        "a.mrc: pixel size 0.2 nm (mrc), but the model was trained at 5 nm: resized by a factor of "
        "0.04, as all pages of that size; if it is wrong, --pixel-size-nm tells the right one"
    )
    assert second.startswith("e.png: pixel size 40 nm")
