import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")
pytest.importorskip("monai")

from mito_instance.detection.architectures import build_predictor  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.errors import ConfigError  # noqa: E402
from mito_instance.inference.augmentation import with_augmentation  # noqa: E402
from mito_instance.inference.pipeline import predict_page  # noqa: E402
from mito_instance.io.images import read_page  # noqa: E402

CONFIG = Path(__file__).parents[2] / "configs" / "semantic" / "unet3d.yaml"
SMALL = [
    "MODEL.DEVICE", "cpu", "MITO.PRECISION", "fp32", "MITO.SEMANTIC.CHANNELS_3D", "(8,8,8,8)",
    "MITO.SEMANTIC.STRIDES_3D", "((1,2,2),(2,2,2),(2,2,2),(1,2,2))",
    "MITO.SEMANTIC.PATCH_SLICES", "8", "MITO.SEMANTIC.BLOCK_SLICES", "8",
    "MITO.SEMANTIC.WINDOW_PX", "64", "MITO.SEMANTIC.WINDOW_OVERLAP_PX", "16",
]  # fmt: skip


@pytest.fixture(scope="module")
def build():
    cfg = load_config(CONFIG, SMALL)
    torch.manual_seed(0)
    network = build_network(cfg)
    return lambda: build_predictor(cfg, network)


@pytest.fixture(scope="module")
def volume():
    return np.random.default_rng(0).integers(0, 256, (7, 70, 40), dtype=np.uint8)


@pytest.fixture(scope="module")
def files(volume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slices")
    for number, grey in enumerate(volume):
        cv2.imwrite(str(folder / f"z{number + 5}.png"), grey)
    tifffile.imwrite(folder / "stack.tif", volume)
    return folder


def test_an_overlap_as_large_as_the_windows_is_halved(files):
    cfg = load_config(CONFIG, [*SMALL, "MITO.SEMANTIC.WINDOW_OVERLAP_PX", "64"])
    torch.manual_seed(0)
    predictor = build_predictor(cfg, build_network(cfg))
    assert predictor.prepare_page(read_page(files / "stack.tif", 3)).shape == (70, 40)


@pytest.mark.parametrize(("key", "value"), [("WINDOW_PX", "32"), ("WINDOW_OVERLAP_PX", "-8")])
def test_windows_that_no_page_can_be_cut_into_are_found_at_the_start(key, value):
    cfg = load_config(CONFIG, [*SMALL, f"MITO.SEMANTIC.{key}", value])
    with pytest.raises(ConfigError, match=f"{key}: must be at least"):
        build_network(cfg)


def test_pages_and_numbered_files_give_the_same_maps_in_any_order(build, files):
    forwards, backwards = build(), build()
    of_pages = [forwards.prepare_page(read_page(files / "stack.tif", k)) for k in range(7)]
    of_files = [
        backwards.prepare_page(read_page(files / f"z{k + 5}.png", 0)) for k in reversed(range(7))
    ]
    assert of_pages[0].shape == (70, 40)
    assert of_pages[0].dtype == np.uint8
    for one, other in zip(of_pages, reversed(of_files), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(forwards.blocks) == 2  # of 4 slices each: a block serves all its pages


def test_a_map_depends_on_the_neighbours(build, files, volume, tmp_path):
    changed = volume.copy()
    changed[4] = 255 - changed[4]
    tifffile.imwrite(tmp_path / "changed.tif", changed)
    before = build().prepare_page(read_page(files / "stack.tif", 3))
    after = build().prepare_page(read_page(tmp_path / "changed.tif", 3))
    assert (before != after).any()


def test_the_files_that_a_map_depends_on_are_those_of_its_block(build, files):
    predictor = build()
    for k in range(7):
        predictor.prepare_page(read_page(files / f"z{k + 5}.png", 0))
    blocks = [
        {predictor.core * number + place for place in range(predictor.core)} & set(range(7))
        for number in range(len(predictor.blocks))
    ]
    for k in range(7):
        own = next(block for block in blocks if k in block)
        # Blocks at the ends are filled up with what is there, not with copies of their slices.
        start = max(0, min(own) - predictor.margin)
        stop = min(7, max(max(own) + 1 + predictor.margin, start + predictor.patch_slices))
        near = range(min(start, stop - predictor.patch_slices), stop)
        expected = [files / f"z{n + 5}.png" for n in near if 0 <= n < 7 and n != k]
        assert predictor.files_beside(files / f"z{k + 5}.png") == expected


def test_a_neighbour_that_cannot_be_read_is_done_without(build, files, tmp_path, caplog):
    for number in (1, 2, 3):
        (tmp_path / f"z{number}.png").write_bytes((files / "z5.png").read_bytes())
    (tmp_path / "z2.png").write_bytes(b"no image")
    predictor, page = build(), read_page(tmp_path / "z1.png", 0)
    assert predictor.is_whole(page)
    assert predictor.prepare_page(page).shape == (70, 40)
    assert "z2.png" in caplog.text
    assert "predicted without it" in caplog.text
    assert not predictor.is_whole(page)


def test_a_slice_that_could_be_read_later_is_no_empty_page(build, files, tmp_path):
    for number in (1, 2, 3):
        (tmp_path / f"z{number}.png").write_bytes((files / f"z{number + 4}.png").read_bytes())
    expected = build().prepare_page(read_page(tmp_path / "z2.png", 0))
    assert expected.any()
    predictor, second = build(), tmp_path / "z2.png"
    state, content = second.stat(), second.read_bytes()
    second.write_bytes(b"\0" * len(content))  # as a share that is away for a moment
    os.utime(second, ns=(state.st_atime_ns, state.st_mtime_ns))
    predictor.prepare_page(read_page(tmp_path / "z1.png", 0))
    second.write_bytes(content)
    os.utime(second, ns=(state.st_atime_ns, state.st_mtime_ns))
    np.testing.assert_array_equal(predictor.prepare_page(read_page(second, 0)), expected)


def test_a_blank_slice_shows_nothing_whichever_page_comes_first(build, volume, tmp_path):
    with_gap, without = volume.copy(), volume.copy()
    with_gap[2] = 0
    tifffile.imwrite(tmp_path / "gap.tif", with_gap)
    without[2] = without[1]
    tifffile.imwrite(tmp_path / "without.tif", without)
    for order in (range(7), reversed(range(7)), (2,)):
        predictor = build()
        maps = {k: predictor.prepare_page(read_page(tmp_path / "gap.tif", k)) for k in order}
        assert not maps.pop(2).any()
        for k, found in maps.items():  # the nearest slice stands for it
            expected = build().prepare_page(read_page(tmp_path / "without.tif", k))
            np.testing.assert_array_equal(found, expected)
    tifffile.imwrite(tmp_path / "blank.tif", np.zeros((2, 70, 40), np.uint8))
    assert not build().prepare_page(read_page(tmp_path / "blank.tif", 1)).any()


@pytest.mark.parametrize("count", [4, 8])
def test_a_mean_over_orientations_turns_with_the_stack(build, volume, tmp_path, count):
    turns = {
        "up": lambda v: v,
        "flipped": lambda v: v[:, ::-1],
        "turned": lambda v: v.swapaxes(1, 2),
    }
    maps = {}
    for name, turn in turns.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ascontiguousarray(turn(volume)))
        predictor = with_augmentation(build(), count)
        maps[name] = predictor.prepare_page(read_page(tmp_path / f"{name}.tif", 3)).astype(int)
    assert abs(maps["flipped"] - maps["up"][::-1]).max() <= 1
    if count == 8:
        assert abs(maps["turned"] - maps["up"].T).max() <= 1
    alone = build().prepare_page(read_page(tmp_path / "up.tif", 3))
    assert abs(maps["up"] - alone).max() > 1


def test_maps_of_another_number_of_orientations_are_not_reused(build, files):
    predictor, page = build(), read_page(files / "stack.tif", 0)
    alone = predictor.prepare_page(page)
    turned = with_augmentation(predictor, 8)
    assert (turned.prepare_page(page) != alone).any()
    np.testing.assert_array_equal(predictor.prepare_page(page), alone)
    assert turned.record()["tta_orientations"] == 8
    assert "tta_orientations" not in predictor.record()


def test_turned_windows_fit_strides_that_differ(volume, tmp_path):
    strides = ["MITO.SEMANTIC.STRIDES_3D", "((1,1,2),(2,2,2),(2,1,2),(1,2,2))"]
    cfg = load_config(CONFIG, [*SMALL, *strides])
    predictor = with_augmentation(build_predictor(cfg, build_network(cfg)), 8)
    tifffile.imwrite(tmp_path / "thin.tif", volume[:, :36, :20])
    assert predictor.prepare_page(read_page(tmp_path / "thin.tif", 2)).shape == (36, 20)


def test_a_changed_file_gives_new_maps_of_the_same_model(build, files, volume, tmp_path):
    for k in range(7):
        (tmp_path / f"z{k}.png").write_bytes((files / f"z{k + 5}.png").read_bytes())
    tifffile.imwrite(tmp_path / "stack.tif", volume)
    predictor = build()
    for path, frame, changed in (("z3.png", 0, "z2.png"), ("stack.tif", 3, "stack.tif")):
        page = read_page(tmp_path / path, frame)
        before = predictor.prepare_page(page)
        if changed == "stack.tif":
            tifffile.imwrite(tmp_path / changed, 255 - volume, compression="zlib")
        else:
            cv2.imwrite(str(tmp_path / changed), 255 - volume[2])
        after = predictor.prepare_page(page)
        np.testing.assert_array_equal(after, build().prepare_page(page))
        assert (after != before).any()


def test_windows_have_the_edge_of_tiles_that_is_asked_for(build, volume, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "wide.tif", np.tile(volume, (1, 3, 6)))  # 210 x 240
    page, seen, predictor = read_page(tmp_path / "wide.tif", 3), [], build()

    def mean_map(name, grey):
        seen.append(grey.shape[1:])
        return np.zeros(grey.shape, np.float32)

    monkeypatch.setattr(predictor, "_mean_map", mean_map)
    edges = []
    for tile_px in (None, 128, 256):
        seen.clear()
        predict_page(predictor, page, tile_px=tile_px)
        edges.append(max(max(shape) for shape in seen))
    assert edges[0] <= 64 < edges[1] <= 128 < edges[2]
