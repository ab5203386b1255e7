from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")
pytest.importorskip("segmentation_models_pytorch")

from mito_instance.calibration import PixelSize  # noqa: E402
from mito_instance.detection.architectures import build_predictor  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.errors import ConfigError  # noqa: E402
from mito_instance.inference.augmentation import with_augmentation  # noqa: E402
from mito_instance.inference.copies import CopiesPredictor  # noqa: E402
from mito_instance.inference.pipeline import predict_page  # noqa: E402
from mito_instance.inference.predictor import StackPredictor  # noqa: E402
from mito_instance.io.images import Page, read_page  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "semantic" / "unet2d.yaml"
SMALL = [
    "MODEL.DEVICE", "cpu", "MITO.PRECISION", "fp32", "MITO.SEMANTIC.ENCODER_DEPTH", "3",
    "MITO.SEMANTIC.DECODER_CHANNELS", "(16,8,8)", "MITO.PIXEL_SIZE_NM", "10",
]  # fmt: skip
N = 4


def build(share: float):
    cfg = load_config(CONFIG, [*SMALL, "MITO.SEMANTIC.NEIGHBOUR_WEIGHT", str(share)])
    torch.manual_seed(0)
    return build_predictor(cfg, build_network(cfg))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    volume = np.random.default_rng(0).integers(0, 256, (N, 70, 40), dtype=np.uint8)
    for number, grey in enumerate(volume):
        cv2.imwrite(str(folder / f"z{number + 5}.png"), grey)
    tifffile.imwrite(folder / "stack.tif", volume, photometric="minisblack")
    return folder


def page_of(files: Path, k: int) -> Page:
    return read_page(files / f"z{k + 5}.png", 0)


def test_a_map_is_the_weighted_mean_of_three_in_any_order(files):
    alone, pages = build(0.0), [page_of(files, k) for k in range(N)]
    assert not isinstance(alone, StackPredictor)
    maps = [alone.page_probability(page) for page in pages]
    forwards, backwards = build(0.25), build(0.25)
    found = [forwards.prepare_page(read_page(files / "stack.tif", k)) for k in range(N)]
    reverse = [backwards.prepare_page(page) for page in reversed(pages)]
    for k, one in enumerate(found):
        expected = (maps[max(k - 1, 0)] + 2 * maps[k] + maps[min(k + 1, N - 1)]) / 4
        assert one.dtype == np.uint8
        np.testing.assert_allclose(one / 255, expected, atol=1.01 / 255)
        np.testing.assert_array_equal(one, reverse[N - 1 - k])
    assert len({one.tobytes() for one in found}) == N


def test_a_map_depends_on_the_files_before_and_after(files):
    predictor = build(0.25)
    for k in range(N):
        expected = [files / f"z{n + 5}.png" for n in (k - 1, k + 1) if 0 <= n < N]
        assert predictor.files_beside(files / f"z{k + 5}.png") == expected


def test_pages_in_order_are_predicted_once_each(files, monkeypatch):
    predictor = build(0.25)
    seen = []
    predict = predictor.alone.page_probability
    monkeypatch.setattr(
        predictor.alone,
        "page_probability",
        lambda page, tile_px: seen.append(page.pixels[0, 0]) or predict(page, tile_px),
    )
    for k in range(N):
        predictor.prepare_page(page_of(files, k))
    assert len(seen) == N


def test_a_page_by_itself_and_one_without_usable_neighbours_are_as_without_the_key(
    files, tmp_path, caplog
):
    grey = (files / "z5.png").read_bytes()
    for name in ("a/single.png", "b/z1.png", "blank/z1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(grey)
    (tmp_path / "b" / "z0.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "b" / "z2.png"), np.zeros((9, 9), np.uint8))
    shape = read_page(tmp_path / "a" / "single.png").pixels.shape
    for name, level in (("z0.png", 0), ("z2.png", 255)):  # a slice that shows nothing
        cv2.imwrite(str(tmp_path / "blank" / name), np.full(shape, level, np.uint8))
    alone, predictor = build(0.0), build(1 / 3)
    for name in ("a/single.png", "b/z1.png", "blank/z1.png"):
        page = read_page(tmp_path / name, 0)
        np.testing.assert_allclose(
            predictor.page_probability(page), alone.page_probability(page), atol=1.01 / 255
        )
        np.testing.assert_array_equal(predictor.prepare(page.pixels), predictor.prepare_page(page))
    assert "z0.png" in caplog.text
    assert "z2.png: page 1 is (9, 9) (height, width)" in caplog.text
    assert [
        predictor.is_whole(read_page(tmp_path / folder / "z1.png")) for folder in ("b", "blank")
    ] == [False, True]


def test_a_blank_slice_counts_on_neither_side(tmp_path):
    rng = np.random.default_rng(3)
    slices = rng.integers(0, 256, (3, 70, 40), dtype=np.uint8)
    slices[1] = 128
    tifffile.imwrite(tmp_path / "a.tif", slices, photometric="minisblack")
    alone, in_order = build(0.0), build(1 / 3)
    for order in (range(3), reversed(range(3))):
        for k in order:
            page = read_page(tmp_path / "a.tif", k)
            if k != 1:
                np.testing.assert_allclose(
                    in_order.page_probability(page), alone.page_probability(page), atol=1.01 / 255
                )
            else:
                assert not in_order.page_probability(page).any()


def test_neighbours_are_taken_at_the_scale_of_the_page(files):
    predictor, alone = build(1 / 3), build(0.0)
    pages = [replace(page_of(files, k), pixel_size=PixelSize(5.0, "user")) for k in range(3)]
    expected = sum(alone.page_probability(page) for page in pages) / 3
    assert predictor.prepare_page(page_of(files, 1)).shape == (70, 40)  # another scale before
    np.testing.assert_allclose(predictor.page_probability(pages[1]), expected, atol=1.01 / 255)
    assert predict_page(predictor, pages[1], score_threshold=0.0).image_hw == (70, 40)


@pytest.mark.parametrize("share", ["-0.1", "0.34"])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ConfigError, match=r"NEIGHBOUR_WEIGHT: must be 0 to 1/3"):
        build(float(share))


def test_orientations_average_the_maps_of_pages_and_neighbours(files):
    alone, pages = build(0.0), [page_of(files, k) for k in range(3)]
    turned = with_augmentation(alone, 8)
    maps = [turned.page_probability(page) for page in pages]
    grey = alone.prepare(pages[1].pixels)
    np.testing.assert_allclose(
        turned.probability(np.ascontiguousarray(grey[::-1].T)),
        turned.probability(grey)[::-1].T,
        atol=1e-5,
    )
    assert np.abs(alone.probability(grey[::-1])[::-1] - alone.probability(grey)).max() > 1e-3
    assert turned.record()["tta_orientations"] == 8
    assert "tta_orientations" not in alone.record()
    both = with_augmentation(build(0.25), 8)
    np.testing.assert_allclose(
        both.page_probability(pages[1]), (maps[0] + 2 * maps[1] + maps[2]) / 4, atol=1.01 / 255
    )
    with pytest.raises(ConfigError, match="must be 4 or 8"):
        with_augmentation(alone, 3)


def test_copies_on_several_devices_average_maps_as_one_does(files):
    page = page_of(files, 0)
    one = predict_page(with_augmentation(build(0.0), 4), page, score_threshold=0.0)
    copies = with_augmentation(CopiesPredictor([build(0.0), build(0.0)]), 4)
    assert isinstance(copies, CopiesPredictor)
    two = predict_page(copies, page, score_threshold=0.0)
    assert [mask["counts"] for mask in one.masks] == [mask["counts"] for mask in two.masks]


def test_a_changed_file_gives_a_new_map_of_the_same_model(files, tmp_path):
    for k in range(3):
        (tmp_path / f"z{k}.png").write_bytes((files / f"z{k + 5}.png").read_bytes())
    predictor = build(0.25)
    page = read_page(tmp_path / "z1.png", 0)
    before = predictor.prepare_page(page)
    cv2.imwrite(str(tmp_path / "z0.png"), 255 - page.pixels)
    after = predictor.prepare_page(page)
    np.testing.assert_array_equal(after, build(0.25).prepare_page(page))
    assert (after != before).any()
    (tmp_path / "z0.png").unlink()
    np.testing.assert_array_equal(predictor.prepare_page(page), build(0.25).prepare_page(page))


def test_the_network_sees_tiles_of_the_edge_that_is_asked_for(files, monkeypatch):
    predictor, page = build(0.25), page_of(files, 1)
    page = replace(page, pixels=np.tile(page.pixels, (3, 6)))  # 210 x 240
    seen = []
    monkeypatch.setattr(
        predictor.alone,
        "probability",
        lambda tile: seen.append(tile.shape) or np.zeros(tile.shape, np.float32),
    )
    predict_page(predictor, page, tile_px=128)
    assert seen
    assert all(max(shape) <= 128 for shape in seen)
    seen.clear()
    predict_page(predictor, page)  # a map of another edge is another map
    assert set(seen) == {page.pixels.shape}
    with pytest.raises(ConfigError, match="at least 64 px, got 8 px"):
        predict_page(predictor, page, tile_px=8)


def test_a_whole_map_has_the_overlap_of_prediction():
    alone = build(0.0)
    pixels = np.random.default_rng(1).integers(0, 256, (150, 70), dtype=np.uint8)
    page = Page(Path("x.png"), 0, 1, pixels, None)
    assert alone.tile_overlap_px >= 64
    assert alone.page_probability(page, 64).shape == (150, 70)
