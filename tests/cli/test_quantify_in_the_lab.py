"""``quantify`` with groups, regions, lists of pixel sizes, logs, dry runs and threads."""

import csv
import io
import json
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import roifile
import tifffile

from mito_instance.batch.page_work import PageWork
from mito_instance.cli import quantify
from mito_instance.measure.schema import COUNTS_NAMES, REGION_NAMES, SUMMARY_NAMES
from tests.dark_objects import DarkObjects, micrograph


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: DarkObjects())


@pytest.fixture
def folder(tmp_path):
    """Two groups: wt with 2 and 1 objects and a broken file, ko with 1 and none."""
    for name, images in {
        "wt": {"a": [(10, 10, 20), (60, 60, 10)], "b": [(0, 0, 30)]},
        "ko": {"a": [(50, 50, 10)], "c": []},
    }.items():
        (tmp_path / name).mkdir()
        for stem, squares in images.items():
            cv2.imwrite(str(tmp_path / name / f"{stem}.png"), micrograph(*squares))
    (tmp_path / "wt" / "broken.png").write_text("no image")
    return tmp_path


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def run(capsys, *arguments):
    """Exit code, rows on stdout, stderr."""
    status = quantify.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, rows_of(captured.out), captured.err


def outline(path, x, y, width, height, *, position=0):
    points = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    roi = roifile.ImagejRoi.frompoints(points)
    roi.position = position  # 1-based; 0 is none
    if path.suffix == ".zip":
        roifile.roiwrite(path, [roi], mode="w")
    else:
        roi.tofile(path)
    return path


def test_groups_by_folder_beside_the_objects(folder, capsys):
    objects = folder / "out" / "objects.csv"
    status, _, _ = run(
        capsys, folder / "wt", folder / "ko", "--group-by", "folder", "--objects", objects
    )
    assert status == 1
    rows = rows_of((folder / "out" / "summary.csv").read_text())
    assert list(rows[0]) == list(SUMMARY_NAMES)
    assert [row["group"] for row in rows] == [str(folder / "ko"), str(folder / "wt")]
    assert [row["n_images"] for row in rows] == ["2", "3"]
    assert [row["n_failed"] for row in rows] == ["0", "1"]
    assert [row["count_mean"] for row in rows] == ["0.5", "1.5"]
    assert [row["area_median_px_mean"] for row in rows] == ["100", "575"]  # 250 and 900
    assert [row["area_median_um2_mean"] for row in rows] == ["", ""]


def test_groups_by_expression_and_without_border(folder, capsys):
    summary = folder / "groups.csv"
    run(
        capsys, folder / "wt", folder / "ko", "--group-by", "/(wt|ko)/", "--summary", summary,
        "--exclude-border", "--pixel-size-nm", "1000",
    )  # fmt: skip
    rows = {row["group"]: row for row in rows_of(summary.read_text())}
    assert list(rows) == ["ko", "wt"]
    assert rows["wt"]["count_mean"] == "1.5"
    assert rows["wt"]["area_median_um2_mean"] == "250"  # the one at the border is left out
    assert rows["wt"]["area_median_um2_sd"] == ""


def test_a_summary_without_groups_is_one_row(folder, capsys):
    summary = folder / "summary.csv"
    run(capsys, folder / "ko", "--summary", summary)
    (row,) = rows_of(summary.read_text())
    assert (row["group"], row["n_images"]) == ("all", "2")


def test_one_region_for_all_images(folder, capsys, caplog):
    caplog.set_level("INFO")
    region = outline(folder / "cell.roi", 0, 0, 50, 50)
    objects = folder / "objects.csv"
    status, rows, _ = run(
        capsys, folder / "wt" / "a.png", folder / "wt" / "b.png", "--region", region,
        "--objects", objects, "--pixel-size-nm", "10",
    )  # fmt: skip
    assert status == 0
    assert list(rows[0]) == [*COUNTS_NAMES, *REGION_NAMES]
    assert [row["count"] for row in rows] == ["1", "1"]
    assert [float(row["area_fraction"]) for row in rows] == pytest.approx([400 / 2500, 900 / 2500])
    assert [row["region_area_px"] for row in rows] == ["2500", "2500"]
    assert float(rows[0]["density_per_um2"]) == pytest.approx(1 / 0.25)
    assert [row["area_px"] for row in rows_of(objects.read_text())] == ["400", "900"]
    assert "cell.roi: holds for all 2 images" in caplog.text


def test_an_outline_outside_an_image_leaves_the_others(folder, capsys, caplog):
    regions = folder / "cells.zip"
    roifile.roiwrite(
        regions,
        [
            roifile.ImagejRoi.frompoints(np.array([[x, 0], [x + 50, 0], [x + 50, 50], [x, 50]]))
            for x in (0, 3000)
        ],
    )
    status, rows, _ = run(capsys, folder / "wt" / "a.png", "--region", regions)
    assert (status, rows[0]["region_area_px"]) == (0, "2500")
    assert "the region is that of the other outlines" in caplog.text
    alone = outline(folder / "far.roi", 3000, 0, 50, 50)
    status, rows, _ = run(capsys, folder / "wt" / "a.png", "--region", alone)
    assert status == 2
    assert "lies outside" in rows[0]["message"]


def test_regions_by_name_and_never_the_whole_image_instead(folder, capsys):
    regions = folder / "regions"
    regions.mkdir()
    outline(regions / "a.zip", 0, 0, 40, 40)
    (regions / "b.roi").write_bytes(b"Iout, but no more")
    cv2.imwrite(str(folder / "wt" / "d.png"), micrograph((5, 5, 9)))
    (folder / "wt" / "broken.png").unlink()
    status, rows, _ = run(capsys, folder / "wt", "--region", regions)
    assert status == 1
    assert [(row["status"], row["count"]) for row in rows] == [
        ("ok", "1"),
        ("error", ""),
        ("error", ""),
    ]
    assert "its region cannot be read" in rows[1]["message"]
    assert "no region in" in rows[2]["message"]


def test_regions_of_a_stack(tmp_path, capsys):
    stack = np.stack([micrograph((5, 5, 10), (60, 60, 10))] * 3)
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    everywhere = outline(tmp_path / "all.roi", 0, 0, 20, 20)
    _, rows, _ = run(capsys, tmp_path / "s.tif", "--region", everywhere)
    assert [row["count"] for row in rows] == ["1", "1", "1"]
    second = outline(tmp_path / "second.roi", 0, 0, 100, 100, position=2)
    status, rows, _ = run(capsys, tmp_path / "s.tif", "--region", second)
    assert status == 1
    assert [row["count"] for row in rows] == ["", "2", ""]
    assert "is for page 1" in rows[0]["message"]


def test_a_region_without_a_channel_holds_for_all_channels(tmp_path, capsys):
    """As ImageJ leaves it open where a composite shows all of them."""
    stack = np.stack([[micrograph((5, 5, 10), (60, 60, 10))] * 2] * 3)
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "ZCYX"})
    roi = roifile.roiread(outline(tmp_path / "second.roi", 0, 0, 100, 100))
    roi.z_position, roi.t_position = 2, 1
    roi.tofile(tmp_path / "second.roi")
    _, rows, _ = run(capsys, tmp_path / "s.tif", "--region", tmp_path / "second.roi")
    assert [row["count"] for row in rows] == ["", "", "2", "2", "", ""]


def test_channels_that_count_each_for_itself_are_said(tmp_path, capsys, caplog):
    stack = np.stack([[micrograph((5, 5, 10))] * 2] * 3)
    for name in "ab":
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "z.tif", stack[:, 0], imagej=True, metadata={"axes": "ZYX"})
    _, rows, _ = run(capsys, tmp_path)
    assert len(rows) == 15
    assert f"{tmp_path / 'a.tif'} and 1 more files: has 2 channels" in caplog.text
    caplog.clear()
    run(capsys, tmp_path / "z.tif")
    assert "channels" not in caplog.text


def test_outlines_of_slices_on_a_single_image_are_said(folder, capsys, caplog):
    rois = [outline(folder / f"{page}.roi", 0, 0, 20, 20, position=page) for page in (1, 2)]
    roifile.roiwrite(folder / "cells.zip", [roifile.roiread(roi) for roi in rois])
    run(capsys, folder / "ko", "--region", folder / "cells.zip")
    assert caplog.text.count("carry 2 slice positions; all of them are its region") == 1


def test_lines_that_are_no_part_of_a_region_are_said(folder, capsys, caplog):
    cell = roifile.roiread(outline(folder / "cell.roi", 0, 0, 50, 50))
    line = roifile.roiread(outline(folder / "line.roi", 0, 0, 90, 90))
    line.roitype, line.name = roifile.ROI_TYPE.POLYLINE, "cell 2"
    roifile.roiwrite(folder / "cells.zip", [cell, line])
    _, rows, _ = run(capsys, folder / "ko" / "a.png", "--region", folder / "cells.zip")
    assert rows[0]["region_area_px"] == "2500"
    assert "1 lines are no part of the region, first cell 2: segmented line" in caplog.text


def test_one_region_file_may_be_of_a_longer_stack(tmp_path, capsys, caplog):
    stack = np.stack([micrograph((5, 5, 10), (60, 60, 10))] * 2)
    tifffile.imwrite(tmp_path / "s.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    rois = [outline(tmp_path / f"{page}.roi", 0, 0, 20, 20, position=page) for page in range(1, 6)]
    roifile.roiwrite(tmp_path / "cells.zip", [roifile.roiread(roi) for roi in rois])
    status, rows, _ = run(capsys, tmp_path / "s.tif", "--region", tmp_path / "cells.zip")
    assert (status, [row["count"] for row in rows]) == (0, ["1", "1"])
    assert caplog.text.count("lies on page 3 but its image has 2 pages") == 1
    (tmp_path / "regions").mkdir()
    (tmp_path / "cells.zip").rename(tmp_path / "regions" / "s.zip")  # said to be of this image
    status, rows, _ = run(capsys, tmp_path / "s.tif", "--region", tmp_path / "regions")
    assert status == 2
    assert "check that this ROI set belongs to this image" in rows[0]["message"]


def test_a_list_of_pixel_sizes_and_its_conflicts(tmp_path, capsys, caplog):
    for name in ("a", "b"):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", micrograph((5, 5, 10)), imagej=True, resolution=(200, 200),
            metadata={"unit": "um"},
        )  # fmt: skip
    table = tmp_path / "sizes.csv"
    table.write_text("image;nm\na.tif;7,5\n")
    _, rows, _ = run(capsys, tmp_path, "--pixel-size-csv", table)
    assert [(row["pixel_size_nm"], row["pixel_size_source"]) for row in rows] == [
        ("7.5", "csv"),
        ("5", "imagej"),
    ]
    notices = [record.getMessage() for record in caplog.records if "is used" in record.getMessage()]
    assert notices == [
        f"{tmp_path / 'a.tif'}: pixel size 7.5 nm (csv) is used, but the file says 5 nm (imagej)"
    ]


def test_a_dry_run_lists_pages_without_a_model(folder, capsys, monkeypatch):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: pytest.fail("model was loaded"))
    stack = np.zeros((2, 30, 40), np.uint16)
    tifffile.imwrite(
        folder / "wt" / "s.tif", stack, imagej=True, resolution=(200, 200), metadata={"unit": "um"}
    )
    status, rows, errors = run(
        capsys, folder / "wt", "--dry-run", "--objects", folder / "never" / "objects.csv"
    )
    assert status == 1
    assert [(row["image"].rsplit("/", 1)[1], row["frame"], row["status"]) for row in rows] == [
        ("a.png", "0", "ok"),
        ("b.png", "0", "ok"),
        ("broken.png", "0", "error"),
        ("s.tif", "0", "ok"),
        ("s.tif", "1", "ok"),
    ]
    page = {name: rows[4][name] for name in list(rows[4])[2:]}
    assert page == {
        "n_frames": "2", "status": "ok", "width_px": "40", "height_px": "30", "dtype": "uint16",
        "pixel_size_nm": "5", "pixel_size_source": "imagej", "message": "",
    }  # fmt: skip
    assert "failed: " in errors
    assert not (folder / "never").exists()


def test_a_dry_run_refuses_what_a_run_refuses(tmp_path, capsys):
    pages = np.full((2, 9, 9), np.nan, np.float32)
    pages[1] = 200
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    tables = [run(capsys, tmp_path, *more)[1] for more in ([], ["--dry-run"])]
    messages = [[(row["status"], row["message"]) for row in rows] for rows in tables]
    assert messages[0] == messages[1]
    assert "page 1 holds no finite grey value" in messages[1][0][1]


def test_a_dry_run_needs_no_torch(folder):
    code = (
        "import sys; from mito_instance.cli.quantify import main; "
        f"main([{str(folder / 'ko')!r}, '--dry-run']); "
        "sys.exit('torch' in sys.modules or 'detectron2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_names_in_any_script_go_to_a_pipe_in_any_encoding(tmp_path, monkeypatch, encoding, more):
    cv2.imwrite(str(tmp_path / "α_01.png"), micrograph())
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding=encoding))
    assert quantify.main([str(tmp_path), *more]) == 0
    (row,) = rows_of(pipe.getvalue().decode("utf-8"))
    assert row["image"] == str(tmp_path / "α_01.png")


def test_the_log_tells_by_how_much_a_page_was_resized(folder, capsys, monkeypatch):
    monkeypatch.setattr(DarkObjects, "pixel_size_nm", 5.0)
    log = folder / "run.jsonl"
    options = ["--log", log, "--resume", folder / "resume", "--pixel-size-nm", "10"]
    for _ in range(2):
        run(capsys, folder / "wt" / "a.png", *options)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["zoom"] for event in events] == [2.0, 2.0]
    assert [event["from_resume"] for event in events] == [False, True]


def test_the_log_has_a_line_a_page(folder, capsys):
    log = folder / "logs" / "run.jsonl"
    for _ in range(2):  # the second run adds to it
        run(capsys, folder / "wt", "--log", log, "--resume", folder / "resume")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(events) == 6
    assert set(events[0]) == {
        "time", "image", "frame", "status", "count", "seconds", "zoom", "from_resume", "message",
    }  # fmt: skip
    assert [event["status"] for event in events] == ["ok", "ok", "error"] * 2
    assert [event["count"] for event in events[:3]] == [2, 1, None]
    assert [event["from_resume"] for event in events] == [False] * 3 + [True, True, False]
    assert events[0]["seconds"] > 0
    assert events[0]["zoom"] == events[3]["zoom"] == 1.0


def test_results_do_not_depend_on_the_number_of_workers(folder, capsys):
    results = []
    for workers in (1, 2, 5):
        out = folder / f"out{workers}"
        status, rows, _ = run(
            capsys, folder / "wt", folder / "ko", "--workers", workers, "--overlays", out / "o",
            "--objects", out / "objects.csv", "--coco", out / "pred.json", "--rois", out / "rois",
        )  # fmt: skip
        assert status == 1
        files = sorted(path for path in out.rglob("*") if path.is_file())
        content = [(path.relative_to(out).as_posix(), path.read_bytes()) for path in files]
        results.append((rows, content))
    assert results[0] == results[1] == results[2]
    assert len(results[0][1]) == 11


def test_an_interruption_keeps_what_is_done_with_workers(folder, capsys, monkeypatch):
    class Interrupted(DarkObjects):
        done = 0

        def predict(self, tiles, min_score=0.0):
            if self.done == 2:
                raise KeyboardInterrupt
            self.done += 1
            return super().predict(tiles, min_score)

    monkeypatch.setattr(quantify, "_load_model", lambda _args: Interrupted())
    arguments = (folder / "wt", folder / "ko", "--workers", 4, "--summary", folder / "s.csv")
    status, rows, _ = run(capsys, *arguments)
    assert status == 130
    assert [row["count"] for row in rows] == ["1", "0"]
    assert rows_of((folder / "s.csv").read_text())[0]["n_images"] == "2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--group-by", "folder"], "needs a file for the summary", id="no-summary"),
        pytest.param(["--group-by", "(", "--summary", "x.csv"], "not a regular", id="expression"),
        pytest.param(["--region", "{tmp}/no.roi"], "no such file or folder", id="no-region"),
        pytest.param(["--region", "{tmp}/ko"], "holds no .roi", id="folder-without-rois"),
        pytest.param(["--region", "{tmp}/bad.roi"], "not an ImageJ ROI", id="no-roi"),
        pytest.param(["--pixel-size-csv", "{tmp}/no.csv"], "cannot read", id="no-list"),
        pytest.param(["--log", "{tmp}"], "is a folder", id="log-is-a-folder"),
    ],
)
def test_misuse_is_one_line_before_the_model_is_loaded(
    folder, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr(quantify, "_load_model", lambda _args: pytest.fail("model was loaded"))
    (folder / "bad.roi").write_text("no roi at all")
    filled = [argument.format(tmp=folder) for argument in arguments]
    assert quantify.main([str(folder / "ko"), *filled]) == 2
    captured = capsys.readouterr()
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert message in line
    assert captured.out == ""


def test_a_page_is_drawn_while_the_next_one_is_predicted(folder, capsys, monkeypatch):
    is_second_predicted, n_predicted, has_waited = threading.Event(), [], []

    class Watched(DarkObjects):
        def predict(self, tiles, min_score=0.0):
            n_predicted.append(len(tiles))
            if len(n_predicted) == 2:
                is_second_predicted.set()
            return super().predict(tiles, min_score)

    finish = PageWork.finish

    def patient(self, *args):
        has_waited.append(is_second_predicted.wait(60))
        return finish(self, *args)

    monkeypatch.setattr(PageWork, "finish", patient)
    monkeypatch.setattr(quantify, "_load_model", lambda _args: Watched())
    images = [folder / "wt" / "a.png", folder / "wt" / "b.png"]
    status, rows, _ = run(capsys, *images, "--workers", 2)
    assert (status, len(rows)) == (0, 2)
    assert has_waited == [True, True]
