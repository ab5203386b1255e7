import numpy as np
import pytest

from mito_instance.calibration import PixelSize
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.resampling import masks_at_page_size, zoom_for
from mito_instance.instances import ImageInstances
from mito_instance.io.images import Page
from mito_instance.masks import rle
from mito_instance.masks.labels import component_rles


class DarkAt5nm:
    score_threshold = 0.5
    pixel_size_nm = 5.0
    tile_px = 128
    tile_overlap_px = 32

    def __init__(self):
        self.seen = []

    def prepare(self, pixels):
        return pixels

    def predict(self, tiles, min_score=0.0):
        self.seen += [tile.shape for tile in tiles]
        found = []
        for tile in tiles:
            masks = component_rles(tile < 128)
            found.append(ImageInstances("tile", tile.shape, tuple(masks), np.ones(len(masks))))
        return found


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


def test_absurd_pixel_sizes_leave_the_page_alone(caplog):
    size = PixelSize(1e6, "user")
    assert zoom_for(ImageInstances("a", (4000, 4000), pixel_size=size), 5.0) == 1.0
    assert "left as it is" in caplog.text


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
    assert "trained at 5 nm a pixel" in caplog.text


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
