"""Copies of a model on several devices give what one gives."""

import signal
import threading
import time

import numpy as np
import pytest
import tifffile

from mito_instance import quantify
from mito_instance.cli import quantify as command
from mito_instance.errors import ConfigError
from mito_instance.inference.augmentation import AugmentedPredictor
from mito_instance.inference.copies import CopiesPredictor
from mito_instance.inference.pipeline import predict_page
from mito_instance.inference.predictor import pages_at_once, tiles_at_once
from mito_instance.io.images import Page
from tests.dark_objects import DarkObjects, micrograph


class Device(DarkObjects):
    """Refuses to work on two calls at a time; knows how many tiles each call had."""

    def __init__(self, number=0, tiles_at_once=1):
        super().__init__()
        self.number, self.tiles_at_once = number, tiles_at_once
        self.n_tiles, self.is_busy = [], threading.Lock()

    def predict(self, tiles, min_score=0.0):
        assert self.is_busy.acquire(blocking=False)
        try:
            self.n_tiles.append(len(tiles))
            time.sleep(0.01)
            return super().predict(tiles, min_score)
        finally:
            self.is_busy.release()

    def record(self):
        return {"weights": "none", "device": f"gpu:{self.number}"}


def copies(count, tiles_at_once=1):
    return CopiesPredictor([Device(number, tiles_at_once) for number in range(count)])


@pytest.fixture
def page(tmp_path):
    rng = np.random.default_rng(4)
    squares = [(int(x), int(y), 14) for x, y in rng.integers(0, (560, 380), (60, 2))]
    return Page(tmp_path / "a.png", 0, 1, micrograph(*squares, height=400, width=580), None)


def contents(found):
    return [mask["counts"] for mask in found.masks], found.scores.tolist()


@pytest.mark.parametrize(("count", "each"), [(1, 1), (1, 4), (2, 1), (3, 2)])
def test_a_page_of_many_tiles(page, count, each):
    expected = predict_page(DarkObjects(), page, tile_px=96)
    predictor = copies(count, each)
    assert contents(predict_page(predictor, page, tile_px=96)) == contents(expected)
    batches = [n for copy in predictor.copies for n in copy.n_tiles]
    assert max(batches) == each
    assert all(copy.n_tiles for copy in predictor.copies)


def test_batches_have_the_size_that_the_predictor_asks_for(page):
    seen = []
    device = Device(tiles_at_once=4)
    found = predict_page(device, page, tile_px=200, on_tile=lambda *done: seen.append(done))
    assert contents(found) == contents(predict_page(DarkObjects(), page, tile_px=200))
    count = seen[-1][1]
    assert seen == [(number, count) for number in range(1, count + 1)]
    assert device.n_tiles == [4] * (count // 4) + ([count % 4] if count % 4 else [])


@pytest.mark.parametrize(("count", "each", "expected"), [(1, 1, 1), (2, 4, 2), (3, 8, 6)])
def test_orientations_fill_batches(page, count, each, expected):
    augmented = AugmentedPredictor(copies(count, each), 4)
    assert (tiles_at_once(augmented), pages_at_once(augmented)) == (expected, count)
    one = predict_page(AugmentedPredictor(DarkObjects(), 4), page, tile_px=200)
    assert contents(predict_page(augmented, page, tile_px=200)) == contents(one)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(9):
        squares = [(4 + 18 * n, 10 * number, 12) for n in range(number)]
        tifffile.imwrite(folder / f"{number}.tif", micrograph(*squares))
    (folder / "broken.png").write_text("no image")
    return folder


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_tables_of_many_pages_are_the_same(images, tmp_path, capsys, monkeypatch, workers):
    def tables(predictor):
        monkeypatch.setattr(command, "_load_model", lambda _args: predictor)
        objects = tmp_path / "objects.csv"
        arguments = [str(images), "--objects", str(objects), "--workers", workers]
        assert command.main(arguments) == 1
        return capsys.readouterr().out, objects.read_bytes()

    assert tables(copies(3)) == tables(DarkObjects())


def test_pages_are_predicted_at_the_same_time(images):
    barrier = threading.Barrier(3, timeout=30)

    class Together(Device):
        def predict(self, tiles, min_score=0.0):
            barrier.wait()
            return super().predict(tiles, min_score)

    paths = [images / f"{number}.tif" for number in range(9)]
    found = quantify(paths, CopiesPredictor([Together(number) for number in range(3)]))
    assert [row["count"] for row in found.counts] == list(range(9))


def test_a_failing_device_costs_its_page_alone(images):
    class Failing(Device):
        def predict(self, tiles, min_score=0.0):
            if (tiles[0] < 100).any() and (tiles[0] < 100).argmax() > 50 * tiles[0].shape[1]:
                raise RuntimeError("out of memory")
            return super().predict(tiles, min_score)

    paths = [images / f"{number}.tif" for number in range(9)]
    found = quantify(paths, CopiesPredictor([Failing(number) for number in range(2)]))
    assert [row["count"] for row in found.counts] == [0, 1, 2, 3, 4, None, None, None, None]
    assert len(found.failures) == 4


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_what_is_done_and_leaves_no_gap(images, capsys, monkeypatch):
    class Interrupted(Device):
        def predict(self, tiles, min_score=0.0):
            if (tiles[0] < 100).argmax() == 50 * tiles[0].shape[1] + 4:  # the image of 5 objects
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                time.sleep(0.1)
            return super().predict(tiles, min_score)

    predictor = CopiesPredictor([Interrupted(number) for number in range(2)])
    monkeypatch.setattr(command, "_load_model", lambda _args: predictor)
    assert command.main([str(images)]) == 130
    rows = capsys.readouterr().out.splitlines()[1:]
    assert 5 < len(rows) < 9
    assert [row.split(",")[7] for row in rows] == [str(number) for number in range(len(rows))]


def test_the_record_names_all_devices():
    assert copies(2).record() == {"weights": "none", "device": "gpu:0,gpu:1"}


def test_a_model_of_whole_stacks_has_one_device():
    class Stacks(DarkObjects):
        def prepare_page(self, page, tile_px=None):
            return page.pixels

        def files_beside(self, path):
            return []

        def is_whole(self, page):
            return True

    with pytest.raises(ConfigError, match="neighbouring slices works on one device"):
        CopiesPredictor([Stacks(), Stacks()])
