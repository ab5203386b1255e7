"""An interrupted run goes on where it was, and ends with the tables of an undisturbed one."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.batch.page_result import PageResult
from mito_instance.batch.result_store import ResultStore
from mito_instance.calibration import PixelSize
from mito_instance.cli import quantify
from mito_instance.errors import AnnotationError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from mito_instance.measure.summary import measure_objects
from tests.dark_objects import DarkObjects, micrograph

RUN = """
import sys
from mito_instance.cli import quantify
from tests.dark_objects import DarkObjects
quantify._load_model = lambda _args: DarkObjects(0.05, sys.argv[1])
sys.exit(quantify.main(sys.argv[2:]))
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def images(tmp_path):
    """Seven images of 1, 2 … objects, an empty one, a stack with an empty page, a damaged file."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for number in range(8):
        squares = [(10 + 18 * n, int(rng.integers(0, 90)), 12) for n in range(number)]
        noise = rng.integers(0, 20, (120, 150), dtype=np.uint8)
        cv2.imwrite(str(folder / f"cell {number}.png"), micrograph(*squares) + noise)
    stack = np.stack([micrograph((5, 5, 10)), micrograph(), micrograph((9, 9, 20))])
    tifffile.imwrite(
        folder / "stack.tif", stack, imagej=True, resolution=(200, 200), metadata={"unit": "um"}
    )
    (folder / "broken.png").write_text("no image")
    return folder


def arguments(images, out, *more):
    return [
        str(images), "--objects", str(out / "objects.csv"), "--coco", str(out / "pred.json"),
        "--summary", str(out / "summary.csv"), "--rois", str(out / "rois"),
        "--overlays", str(out / "overlays"), *more,
    ]  # fmt: skip


def tables(out, counts):
    """The bytes of everything that a run writes."""
    files = [out / name for name in ("objects.csv", "pred.json", "summary.csv")]
    for folder in ("rois", "overlays"):
        files += sorted((out / folder).glob("[!.]*"))  # a killed run leaves a temporary file
    return [counts, *((file.name, file.read_bytes()) for file in files)]


def run(capsys, monkeypatch, predictor, *args):
    """Exit code and counts of a run in this process."""
    monkeypatch.setattr(quantify, "_load_model", lambda _args: predictor)
    status = quantify.main([str(arg) for arg in args])
    return status, capsys.readouterr().out


def n_calls(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


N_KILLS = 10
"""Of each number of workers."""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "3"])
def test_killed_at_any_moment_the_tables_are_those_of_an_undisturbed_run(
    images, tmp_path, capsys, monkeypatch, workers
):
    out = tmp_path / "out"
    status, counts = run(capsys, monkeypatch, DarkObjects(), *arguments(images, out))
    assert status == 1  # broken.png
    expected = tables(out, counts)
    rng = np.random.default_rng(int(workers))
    calls, resume, killed = tmp_path / "calls", tmp_path / "resume", tmp_path / "killed"
    command = [sys.executable, "-c", RUN, str(calls)]
    command += arguments(images, killed, "--resume", str(resume), "--workers", workers)

    def undisturbed():
        done = subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
        assert done.returncode == 1, done.stderr
        assert tables(killed, done.stdout.decode()) == expected

    start = time.monotonic()
    undisturbed()
    seconds = time.monotonic() - start
    n_kills = n_rounds = n_of_round = calls_before_round = 0
    while n_kills < N_KILLS:
        if n_of_round == 0:  # nothing is stored: a killed run may well have been the first
            shutil.rmtree(resume)
            shutil.rmtree(killed)
            calls_before_round = n_calls(calls)
        before = n_calls(calls)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, cwd=ROOT) as process:
            if n_kills % 2:  # at work on a page
                wanted = before + int(rng.integers(1, 4))
                while n_calls(calls) < wanted and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.06))
            else:  # anywhere between start and end
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, seconds))
            if process.poll() is None:
                process.kill()
                n_kills += 1
                n_of_round += 1
                if n_kills < N_KILLS and n_of_round < 4:
                    continue
        undisturbed()
        # What was in the network or behind it when the run was killed is all that is repeated.
        repeated = n_calls(calls) - calls_before_round - 11
        assert 0 <= repeated <= n_of_round * (1 + int(workers))
        n_rounds += n_of_round > 0
        n_of_round = 0
    assert n_rounds >= 3


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("workers", ["1", "3"])
def test_ctrl_c_saves_what_is_done(images, tmp_path, capsys, monkeypatch, workers):
    expected = tables(
        tmp_path / "plain",
        run(capsys, monkeypatch, DarkObjects(), *arguments(images, tmp_path / "plain"))[1],
    )
    calls, out = tmp_path / "calls", tmp_path / "out"
    command = [sys.executable, "-c", RUN, str(calls)]
    command += arguments(images, out, "--resume", str(tmp_path / "resume"), "--workers", workers)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=ROOT) as process:
        while n_calls(calls) < 4 and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        counts, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.rstrip().endswith("error: interrupted")
    assert "Traceback" not in errors
    assert expected[0].startswith(counts)
    n_done = counts.count("\n") - 1
    assert 2 <= n_done < 11
    saved = (out / "objects.csv").read_text()
    assert dict(expected[1:])["objects.csv"].decode().startswith(saved)
    assert len(json.loads((out / "pred.json").read_text())["images"]) == saved_images(counts)
    assert not list(out.rglob(".*"))  # no temporary files
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert tables(out, done.stdout) == expected


def saved_images(counts):
    return counts.count(",ok,")


def test_finished_pages_are_not_predicted_again(images, tmp_path, capsys, monkeypatch, caplog):
    out, calls = tmp_path / "out", tmp_path / "calls"
    more = ("--resume", tmp_path / "resume")
    first = run(capsys, monkeypatch, DarkObjects(calls=calls), *arguments(images, out, *more))
    expected = tables(out, first[1])
    assert n_calls(calls) == 11
    caplog.set_level("INFO")
    pictures = {file: file.stat().st_mtime_ns for file in (out / "overlays").iterdir()}
    again = run(capsys, monkeypatch, DarkObjects(calls=calls), *arguments(images, out, *more))
    assert n_calls(calls) == 11
    assert f"11 of 12 pages were done already ({tmp_path / 'resume'})" in caplog.text
    assert tables(out, again[1]) == expected
    assert {file: file.stat().st_mtime_ns for file in (out / "overlays").iterdir()} == pictures
    assert len(pictures) == 9  # one for the three pages of the stack
    # A lost picture is drawn again, also without the network.
    lost = out / "overlays" / "cell 3.png"
    content = lost.read_bytes()
    lost.unlink()
    run(capsys, monkeypatch, DarkObjects(calls=calls), *arguments(images, out, *more))
    assert n_calls(calls) == 11
    assert lost.read_bytes() == content


def test_the_order_of_the_inputs_does_not_matter(images, tmp_path, capsys, monkeypatch):
    files = sorted(images.iterdir())
    results = []
    for name, inputs in (("a", files), ("b", files[::-1])):
        out = tmp_path / name
        args = [*inputs, *arguments(inputs[0], out, "--resume", tmp_path / "resume")[1:]]
        results.append(tables(out, run(capsys, monkeypatch, DarkObjects(), *args)[1]))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data.replace(b'"scores":[1.0', b'"scores":[0.5'), id="altered"),
        pytest.param(lambda data: b"[" * 100_000 + data, id="other-content"),
    ],
)
def test_damaged_results_are_computed_anew(images, tmp_path, capsys, monkeypatch, damage):
    out, calls, resume = tmp_path / "out", tmp_path / "calls", tmp_path / "resume"
    args = arguments(images, out, "--resume", resume)
    expected = tables(out, run(capsys, monkeypatch, DarkObjects(calls=calls), *args)[1])
    changed = 0
    for file in resume.iterdir():
        data = file.read_bytes()
        file.write_bytes(damage(data))
        changed += file.read_bytes() != data
    assert changed >= 9
    assert tables(out, run(capsys, monkeypatch, DarkObjects(calls=calls), *args)[1]) == expected
    assert n_calls(calls) == 11 + changed


def test_changed_images_settings_and_models_are_computed_anew(
    images, tmp_path, capsys, monkeypatch
):
    calls, path = tmp_path / "calls", images / "cell 2.png"

    def predictions(version, *more):
        before = n_calls(calls)
        predictor = DarkObjects(calls=calls, version=version)
        run(capsys, monkeypatch, predictor, path, "--resume", tmp_path / "resume", *more)
        return n_calls(calls) - before

    assert predictions("1") == 1
    assert predictions("1") == 0
    assert predictions("1", "--pixel-size-nm", "5") == 0  # known later: no reason to compute
    assert predictions("1", "--score-threshold", "0.9") == 1
    assert predictions("2") == 1
    os.utime(path, ns=(1, 1))
    assert predictions("1") == 1
    cv2.imwrite(str(path), micrograph((5, 5, 50)))
    assert predictions("1") == 1
    assert predictions("1") == 0


def test_changed_neighbours_are_noticed_by_a_model_that_looks_at_them(
    images, tmp_path, capsys, monkeypatch
):
    calls, names = tmp_path / "calls", ["cell 1.png", "cell 2.png", "cell 3.png"]

    class Stacks(DarkObjects):
        def prepare_page(self, page, tile_px=None):
            return self.prepare(page.pixels)

        def files_beside(self, path):
            return [images / name for name in names if images / name != path]

        def is_whole(self, page):
            return not (tmp_path / "glitch").exists()

    def predictions(*paths):
        before = n_calls(calls)
        run(capsys, monkeypatch, Stacks(calls=calls), *paths, "--resume", tmp_path / "resume")
        return n_calls(calls) - before

    alone, stack = images / "cell 2.png", images / "stack.tif"
    assert predictions(alone, stack) == 1 + 3
    assert predictions(alone, stack) == 0
    os.utime(images / "cell 3.png", ns=(1, 1))
    assert predictions(alone, stack) == 1
    (images / "cell 1.png").unlink()
    assert predictions(alone, stack) == 1
    os.utime(images / "cell 4.png", ns=(1, 1))
    assert predictions(alone, stack) == 0
    # What a page was predicted without, because it could not be read then, is tried again.
    os.utime(images / "cell 3.png", ns=(2, 2))
    (tmp_path / "glitch").touch()
    assert predictions(alone, stack) == 1
    (tmp_path / "glitch").unlink()
    assert predictions(alone, stack) == 1
    assert predictions(alone, stack) == 0


def test_a_model_that_resamples_depends_on_the_pixel_size(images, tmp_path, capsys, monkeypatch):
    calls = tmp_path / "calls"
    predictor = DarkObjects(calls=calls)
    predictor.pixel_size_nm = 5.0
    for nm in ("5", "5", "5.5"):
        args = (images / "cell 1.png", "--resume", tmp_path / "resume", "--pixel-size-nm", nm)
        run(capsys, monkeypatch, predictor, *args)
    assert n_calls(calls) == 2


def test_failed_pages_are_tried_again(tmp_path, capsys, monkeypatch):
    path, resume = tmp_path / "a.png", tmp_path / "resume"
    path.write_text("no image")
    assert run(capsys, monkeypatch, DarkObjects(), path, "--resume", resume)[0] == 2
    assert list(resume.iterdir()) == []
    cv2.imwrite(str(path), micrograph())
    assert run(capsys, monkeypatch, DarkObjects(), path, "--resume", resume)[0] == 0


def test_a_file_is_no_resume_folder(images, capsys, monkeypatch):
    file = images / "broken.png"
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())
    assert quantify.main([str(images), "--resume", str(file)]) == 2
    assert f"error: {file}: cannot make this folder" in capsys.readouterr().err


def page_result(*boxes):
    masks = tuple(rle.place(np.ones((h, w), bool), x, y, (40, 50)) for x, y, w, h in boxes)
    scores = np.linspace(0.1, 1 / 3, len(masks))
    found = ImageInstances("a.tif", (40, 50), masks, scores, 2, PixelSize(1 / 3, "ome"))
    return PageResult(3, found, tuple(measure_objects(found)), "drawn", zoom=2.5)


@pytest.mark.parametrize(
    "boxes", [pytest.param([], id="none"), pytest.param([(0, 0, 5, 7), (9, 9, 1, 1)], id="two")]
)
def test_a_stored_result_is_the_same_result(tmp_path, boxes):
    store = ResultStore(tmp_path, {"model": "x"})
    (tmp_path / "a.tif").write_text("x")
    key = store.key(tmp_path / "a.tif", 2)
    assert store.load(key) is None
    result = page_result(*boxes)
    store.save(key, result)
    loaded = store.load(key)
    assert json.dumps(loaded.to_json()) == json.dumps(result.to_json())
    assert repr(loaded.shapes) == repr(result.shapes)  # NaN and all types
    assert loaded.found.image == str(tmp_path / "a.tif")
    assert loaded.found.pixel_size == result.found.pixel_size


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        pytest.param("cuda", "cuda:0,cuda:1", True, id="more-gpus"),
        pytest.param("cuda:3", "cuda:0", True, id="another-gpu"),
        pytest.param("cuda", "cpu", False, id="without-a-gpu"),
        pytest.param("cuda:0,cpu", "cuda", False, id="of-two-kinds"),
    ],
)
def test_a_run_goes_on_with_other_devices_of_the_kind(tmp_path, first, second, is_same):
    (tmp_path / "a.tif").write_text("x")
    keys = [
        ResultStore(tmp_path, {"device": device}).key(tmp_path / "a.tif", 0).file_name
        for device in (first, second)
    ]
    assert (keys[0] == keys[1]) == is_same


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("masks", ["not an RLE", "~"], id="masks"),
        pytest.param("masks", 5, id="masks-no-list"),
        pytest.param("scores", [0.5], id="too-few-scores"),
        pytest.param("scores", [0.5, 2], id="score-beyond-1"),
        pytest.param("shapes", [], id="no-shapes"),
        pytest.param("image_hw", [0, 0], id="no-pixels"),
        pytest.param("pixel_size", ["x", "y"], id="pixel-size"),
        pytest.param("n_frames", None, id="frames"),
    ],
)
def test_hostile_values_are_no_result(tmp_path, name, value):
    values = page_result((0, 0, 5, 7), (9, 9, 1, 1)).to_json() | {name: value}
    with pytest.raises((AnnotationError, ValueError)):
        PageResult.from_json(values, tmp_path / "a.tif", 0)
