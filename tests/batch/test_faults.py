"""What a batch does when files, disks and numbers fail: nothing is lost, and all is said."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from mito_instance.batch import outputs as batch_outputs
from mito_instance.batch import page_work
from mito_instance.batch.outputs import Outputs
from mito_instance.batch.overlay_files import OverlayFiles
from mito_instance.batch.result_store import ResultStore
from mito_instance.batch.run import Batch, Results
from mito_instance.cli import quantify
from mito_instance.errors import ConfigError, DiskFullError
from mito_instance.io.coco import read_coco
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.visualize.overlay_tiff import OverlayTiff
from tests.dark_objects import DarkObjects, micrograph

RUN = """
import resource, sys
from mito_instance.cli import quantify
from tests.dark_objects import DarkObjects
quantify._load_model = lambda _args: DarkObjects(float(sys.argv[1]))
status = quantify.main(sys.argv[2:])
if sys.platform == "linux":  # ru_maxrss has the parent's peak in it
    lines = open("/proc/self/status").read().splitlines()
    (peak,) = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print("peak_kib", peak, file=sys.stderr)
sys.exit(status)
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"cell{number}.png"), micrograph((10, 10, 12 + number)))
    return folder


def quantified(capsys, *args):
    """Exit code, rows of counts by file name, and the lines of stderr that name a failure."""
    status = quantify.main([str(arg) for arg in args])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    rows = {Path(row["image"]).name: row for row in csv.DictReader(io.StringIO(captured.out))}
    said = [line for line in captured.err.splitlines() if line.startswith(("error:", "failed:"))]
    return status, rows, said


def statuses(rows):
    return [row["status"] for row in rows.values()]


def test_a_file_that_vanishes_before_it_is_read_fails_alone(images, capsys, monkeypatch):
    read_page = page_work.read_page

    def vanishing(path, frame):
        (images / "cell2.png").unlink(missing_ok=True)
        return read_page(path, frame)

    monkeypatch.setattr(page_work, "read_page", vanishing)
    status, rows, said = quantified(capsys, images)
    assert status == 1
    assert statuses(rows) == ["ok", "ok", "error", "ok"]
    assert len(said) == 1
    assert "cell2.png: no such file; check the path" in said[0]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(FileNotFoundError(2, "No such file", "cell1.png"), id="os-error"),
        pytest.param(PermissionError(13, "Permission denied", "cell1.png"), id="permission"),
        pytest.param(cv2.error("decoder"), id="opencv"),
        pytest.param(ValueError("two\nlines"), id="value"),
        pytest.param(MemoryError(), id="memory"),
        pytest.param(RecursionError("deep"), id="recursion"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "3"])
def test_whatever_a_page_raises_the_others_get_their_rows(
    images, capsys, monkeypatch, error, workers
):
    read_page = page_work.read_page

    def failing(path, frame):
        if path.name == "cell1.png":
            raise error
        return read_page(path, frame)

    monkeypatch.setattr(page_work, "read_page", failing)
    status, rows, said = quantified(capsys, images, "--workers", workers)
    assert status == 1
    assert statuses(rows) == ["ok", "error", "ok", "ok"]
    assert len(said) == 1
    assert "cell1.png" in said[0]


@pytest.mark.parametrize(
    ("step", "error", "said"),
    [
        pytest.param("read_page", MemoryError(), "for this page; close other", id="reading"),
        pytest.param("predict_page", MemoryError(), "try a smaller --tile-px", id="network"),
        pytest.param(
            "predict_page", RuntimeError("CUDA out of memory."), "smaller --tile-px", id="gpu"
        ),
        pytest.param(
            "predict_page",
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
            "smaller --tile-px",
            id="cpu",
        ),
        pytest.param("predict_page", RuntimeError("shapes"), "RuntimeError: shapes", id="other"),
    ],
)
def test_smaller_tiles_are_advised_only_where_they_help(
    images, capsys, monkeypatch, step, error, said
):
    def failing(*_args, **_options):
        raise error

    monkeypatch.setattr(page_work, step, failing)
    status, rows, lines = quantified(capsys, images / "cell1.png")
    assert status == 2
    assert said in lines[0]
    assert ("--tile-px" in lines[0]) == ("--tile-px" in said)
    assert rows["cell1.png"]["message"] in lines[0]


def test_a_damaged_page_leaves_the_other_pages(tmp_path, capsys):
    path = tmp_path / "stack.tif"
    noise = np.random.default_rng(0).integers(150, 255, (5, 64, 64), dtype=np.uint8)
    tifffile.imwrite(path, noise, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        places = [(page.dataoffsets[0], page.databytecounts[0]) for page in tif.pages]
    data = bytearray(path.read_bytes())
    for offset, length in (places[1], places[3]):
        data[offset : offset + length] = b"\xff" * length
    path.write_bytes(bytes(data))
    coco = tmp_path / "pred.json"
    assert quantify.main([str(path), "--coco", str(coco)]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["status"] for row in rows] == ["ok", "error", "ok", "error", "ok"]
    assert [image.frame for image in read_coco(coco)] == [0, 2, 4]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        pytest.param(np.full((9, 9), np.nan, np.float32), "no finite grey value", id="all-nan"),
        pytest.param(np.full((9, 9), -np.inf), "no finite grey value", id="all-infinite"),
        pytest.param(np.full((9, 9), 200, np.uint8), None, id="blank"),
        pytest.param(np.array([[200, np.nan, np.inf] * 9], np.float32), None, id="some-nan"),
        pytest.param(np.full((1, 1), 200, np.uint8), None, id="1x1"),
        pytest.param(np.full((1, 3000), 200, np.uint8), None, id="1xN"),
        pytest.param(np.full((3000, 1), 200, np.uint8), None, id="Nx1"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the fake predictor
def test_pages_of_odd_numbers_and_sizes(tmp_path, capsys, pixels, message):
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    outputs = ["--overlays", tmp_path / "overlays", "--rois", tmp_path / "rois"]
    outputs += ["--report", tmp_path / "report.html", "--objects", tmp_path / "objects.csv"]
    status, rows, said = quantified(capsys, tmp_path / "a.tif", *outputs)
    if message is None:
        assert (status, said) == (0, [])
        assert (rows["a.tif"]["width_px"], rows["a.tif"]["height_px"]) == (
            str(pixels.shape[1]),
            str(pixels.shape[0]),
        )
    else:
        assert status == 2
        assert message in said[0]


def test_a_page_without_a_pixel_is_an_error(tmp_path, capsys):
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((0, 5), np.uint8))
    status, _, said = quantified(capsys, tmp_path / "a.tif")
    assert status == 2
    assert "at least 1 x 1 px" in said[0]


def test_links_that_lead_nowhere_fail_alone(images, capsys):
    (images / "gone.png").symlink_to("nowhere")
    (images / "round.png").symlink_to("round.png")
    status, rows, said = quantified(capsys, images)
    assert status == 1
    assert statuses(rows) == ["ok"] * 4 + ["error"] * 2
    assert len(said) == 2


def full_after(monkeypatch, n_files):
    """From the given number of finished files on, the disk is full."""
    replace = Path.replace
    written = []

    def replace_while_room(self, target):
        if len(written) >= n_files:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        written.append(target)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_while_room)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_full_disk_stops_the_batch_and_it_goes_on_when_there_is_room(
    images, tmp_path, capsys, monkeypatch, workers
):
    out = tmp_path / "out"
    args = [images, "--workers", workers, "--resume", out / "resume"]
    args += ["--overlays", out / "overlays", "--objects", out / "objects.csv"]
    out.mkdir()
    (out / "objects.csv").write_text("of an earlier run\n")
    with monkeypatch.context() as patch:
        full_after(patch, 3)
        status, rows, said = quantified(capsys, *args)
    assert status == 2
    assert len(said) == 1
    assert "No space left on device); make room and run again" in said[0]
    assert set(statuses(rows)) <= {"ok"}  # what is printed is right
    assert (out / "objects.csv").read_text() == "of an earlier run\n"  # whole or unchanged
    assert not [path for path in out.rglob(".*") if path.is_file()]  # no temporary file is left
    status, rows, _ = quantified(capsys, *args)
    assert (status, statuses(rows)) == (0, ["ok"] * 4)
    assert len(list((out / "overlays").iterdir())) == 4


def test_what_was_found_outlives_a_picture_that_cannot_be_written(
    images, tmp_path, capsys, monkeypatch
):
    args = [images, "--overlays", tmp_path / "overlays", "--resume", tmp_path / "resume"]
    with monkeypatch.context() as patch:

        def draw(*_):
            raise OSError(errno.EACCES, "Permission denied")

        patch.setattr(OverlayFiles, "draw", draw)
        status, rows, said = quantified(capsys, *args)
        assert (status, statuses(rows)) == (1, ["ok"] * 4)
        assert sum("Permission denied" in line for line in said) == 4
    monkeypatch.setattr(DarkObjects, "predict", None)  # nothing is predicted anew
    status, rows, _ = quantified(capsys, *args)
    assert (status, statuses(rows)) == (0, ["ok"] * 4)
    assert len(list((tmp_path / "overlays").iterdir())) == 4


def test_a_result_that_cannot_be_kept_costs_no_row(images, tmp_path, capsys, monkeypatch):
    def no_longer(_self, key, _result):
        raise ConfigError(f"{key.path.name}: cannot write the output (Read-only file system)")

    monkeypatch.setattr(ResultStore, "save", no_longer)
    status, rows, said = quantified(capsys, images, "--resume", tmp_path / "done")
    assert status == 1
    assert [row["status"] for row in rows.values()] == ["ok"] * 4
    assert [line for line in said if "Read-only" in line] == [
        f"failed: cell{number}.png: cannot write the output (Read-only file system)"
        for number in range(4)
    ]


def test_outlines_that_cannot_be_written_cost_neither_their_page_nor_the_next(
    images, tmp_path, capsys, monkeypatch
):
    pages = np.stack([micrograph((10, 10, 12))] * 2)
    tifffile.imwrite(images / "cell1.tif", pages, photometric="minisblack")
    (images / "cell1.png").unlink()
    (images / "cell2.png").write_bytes(b"no image")

    def write(path, *args, **options):
        if path.stem == "cell1":
            raise OSError(errno.EACCES, "Permission denied")
        write_roi_zip(path, *args, **options)

    monkeypatch.setattr(batch_outputs, "write_roi_zip", write)
    monkeypatch.setattr(OverlayTiff, "add", lambda *_: write(Path("cell1")))
    rois, overlays = tmp_path / "rois", tmp_path / "overlays"
    status, rows, said = quantified(capsys, images, "--rois", rois, "--overlays", overlays)
    assert status == 1
    assert [row["status"] == "ok" for row in rows.values()] == [True, True, False, True]
    assert sorted(path.name for path in rois.iterdir()) == ["cell0.zip", "cell3.zip"]
    assert sum("cell1.tif" in line and "Permission denied" in line for line in said) >= 2


def test_a_reader_of_the_counts_that_leaves_is_told_of(images, tmp_path):
    objects = tmp_path / "objects.csv"
    command = [sys.executable, "-c", RUN, "0.5", str(images), "--objects", str(objects)]
    with subprocess.Popen(
        [*command, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 2
    assert "is all that the other files hold" in said
    assert objects.is_file()


def test_no_thread_works_on_when_the_batch_has_ended(images, tmp_path, monkeypatch):
    full_after(monkeypatch, 1)
    outputs = Outputs(overlays=tmp_path / "overlays")
    batch = Batch(sorted(images.iterdir()), DarkObjects(), outputs=outputs, n_threads=3)
    with pytest.raises(DiskFullError) as raised:  # holds the frames, and all that these hold
        batch.run(lambda _row: None, Results())
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("page")]
    assert raised.value.__traceback__ is not None


@pytest.mark.parametrize("workers", [1, 2, 3, 9])
def test_an_interruption_while_rows_are_written_keeps_what_was_predicted(images, workers):
    predictor, rows, results = DarkObjects(), [], Results()
    predict, predicted = predictor.predict, []
    predictor.predict = lambda *args: predicted.append(1) or predict(*args)

    def on_row(row):
        rows.append(row)
        if len(rows) == 1:
            raise KeyboardInterrupt

    batch = Batch(sorted(images.iterdir()), predictor, n_threads=workers - 1)
    with pytest.raises(KeyboardInterrupt):
        batch.run(on_row, results)
    assert results.n_done == len(rows) == len(predicted)


def test_where_one_output_cannot_be_written_the_others_are(images, tmp_path, capsys, monkeypatch):
    replace = Path.replace

    def refuse_tables(self, target):
        if Path(target).suffix == ".csv":
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse_tables)
    args = ["--objects", tmp_path / "objects.csv", "--coco", tmp_path / "pred.json"]
    args += ["--report", tmp_path / "report.html"]
    status, rows, said = quantified(capsys, images, *args)
    assert status == 2
    assert (tmp_path / "report.html").is_file()
    assert statuses(rows) == ["ok"] * 4
    assert len(said) == 1
    assert "objects.csv: cannot write the output (Read-only file system)" in said[0]
    assert len(read_coco(tmp_path / "pred.json")) == 4


def test_a_log_that_cannot_be_written_is_no_reason_to_stop(images, capsys, caplog):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    status, rows, _ = quantified(capsys, images, "--log", "/dev/full")
    assert (status, statuses(rows)) == (0, ["ok"] * 4)
    assert "/dev/full: no further lines of the log (No space left on device)" in caplog.text


def run_in_process(*args, seconds=0.0, **kwargs):
    command = [sys.executable, "-c", RUN, str(seconds), *map(str, args)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **kwargs
    )


@pytest.mark.slow
def test_two_runs_on_the_same_folders_at_once_do_not_disturb_each_other(images, tmp_path, capsys):
    def arguments(out):
        return [
            images, "--resume", out / "resume", "--overlays", out / "overlays", "--rois",
            out / "rois", "--objects", out / "objects.csv", "--coco", out / "pred.json",
        ]  # fmt: skip

    alone, both = tmp_path / "alone", tmp_path / "both"
    assert quantify.main([str(arg) for arg in arguments(alone)]) == 0
    expected = capsys.readouterr().out
    runs = [run_in_process(*arguments(both), seconds=0.05) for _ in range(3)]
    for process in runs:
        counts, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert counts == expected
    names = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert sorted(path.relative_to(both) for path in both.rglob("*") if path.is_file()) == names
    for name in names:
        assert (both / name).read_bytes() == (alone / name).read_bytes() or "resume" in name.parts


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a small file system")
def test_a_file_system_that_is_really_full(images, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        args = [images, "--overlays", small / "overlays", "--resume", small / "resume"]
        process = run_in_process(*args)
        counts, errors = process.communicate(timeout=300)
        assert process.returncode == 2
        assert "No space left on device" in errors
        assert "Traceback" not in errors
        assert counts.count("\n") >= 1
        for path in (small / "overlays").iterdir():
            assert cv2.imread(str(path)) is not None
    finally:
        subprocess.run(["umount", str(small)], check=False, capture_output=True)


def dense(edge, step=27):
    """Many small objects."""
    image = np.full((edge, edge), 200, np.uint8)
    for y in range(10, edge - 12, step):
        for x in range(10, edge - 12, step):
            image[y : y + 12, x : x + 14] = 50
    return image, len(range(10, edge - 12, step)) ** 2


@pytest.mark.slow
def test_more_than_10000_objects(tmp_path, capsys):
    image, count = dense(2800)
    assert count > 10_000
    tifffile.imwrite(tmp_path / "a.tif", image)
    args = ["--objects", tmp_path / "objects.csv", "--coco", tmp_path / "pred.json"]
    args += ["--rois", tmp_path / "rois", "--score-threshold", "0"]
    status, rows, _ = quantified(capsys, tmp_path / "a.tif", *args)
    assert (status, rows["a.tif"]["count"]) == (0, str(count))
    assert len((tmp_path / "objects.csv").read_text().splitlines()) == count + 1
    assert len(json.loads((tmp_path / "pred.json").read_text())["annotations"]) == count


@pytest.mark.slow
def test_a_very_large_image_takes_a_few_bytes_a_pixel(tmp_path):
    """30,000 x 30,000 px need 2.7 GB at this rate; see docs/reliability.md."""
    edge = 8000
    tile = np.full((1000, 1000), 200, np.uint8)
    tile[100:140, 200:260] = 50
    tifffile.imwrite(tmp_path / "small.tif", tile)
    tifffile.imwrite(tmp_path / "large.tif", np.tile(tile, (edge // 1000, edge // 1000)))
    peaks = []
    for name in ("small.tif", "large.tif"):
        args = [tmp_path / name, "--objects", tmp_path / "o.csv", "--report", tmp_path / "r.html"]
        counts, errors = run_in_process(*args).communicate(timeout=300)
        peaks.append(int(errors.rsplit("peak_kib", 1)[1]) * 1024)
    assert counts.splitlines()[1].split(",")[7] == str((edge // 1000) ** 2)
    assert 1 < (peaks[1] - peaks[0]) / edge**2 < 3.5
