"""The command evaluate: table, files, exit status and messages."""

import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image

from mito_instance.cli.evaluate import main
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco, write_coco
from mito_instance.io.imagej_roi_writer import write_roi_zip
from mito_instance.io.json_file import MARK_OF_EVALUATION
from mito_instance.masks import rle

HW = (40, 60)
KEYS = {
    "ap",
    "ap50",
    "ap75",
    "ar",
    "f1_50",
    "f1_75",
    "pq",
    "iou_foreground",
    "dice_foreground",
    "n_true",
    "n_pred",
    "count_mae",
    "count_bias",
    "n_one_to_one",
    "n_missed",
    "n_false",
    "n_split",
    "n_merge",
    "n_many_to_many",
}
REPOSITORY = Path(__file__).parents[2]


def write(path, images, *, scored):
    """COCO JSON from {file name: rectangles (x, y, width, height)}."""
    write_coco(
        path,
        [
            ImageInstances(
                str(path.parent / name),
                HW,
                tuple(rle.place(np.ones((h, w), dtype=bool), x, y, HW) for x, y, w, h in boxes),
                np.linspace(0.9, 0.5, len(boxes)) if scored else None,
            )
            for name, boxes in images.items()
        ],
    )
    return str(path)


@pytest.fixture
def files(tmp_path):
    """Truth and prediction: one perfect image, one with a split."""
    truth = write(
        tmp_path / "truth.json",
        {"a.png": [(0, 0, 10, 10)], "b.png": [(0, 0, 20, 10), (30, 0, 10, 10)]},
        scored=False,
    )
    pred = write(
        tmp_path / "pred.json",
        {"b.png": [(30, 0, 10, 10), (0, 0, 9, 10), (11, 0, 9, 10)], "a.png": [(0, 0, 10, 10)]},
        scored=True,
    )
    return truth, pred


def test_table_goes_to_stdout_and_nothing_else(files, capfd):
    assert main(list(files)) == 0
    out, err = capfd.readouterr()
    lines = dict(line.split()[:2] for line in out.splitlines() if line.startswith("  "))
    assert lines["n_true"] == "3"
    assert lines["n_pred"] == "4"
    assert lines["n_split"] == "1"
    assert lines["f1_50"] == "0.5714"
    assert len(out.splitlines()) == len(lines) + 10
    (line,) = err.splitlines()
    assert line.startswith("notice: the predictions have scores from 0.50 on: AP and the best")


def test_predictions_down_to_low_scores_need_no_notice(tmp_path, capfd):
    truth = write(tmp_path / "t.json", {"a.png": [(0, 0, 5, 5)]}, scored=False)
    pred = write(tmp_path / "p.json", {"a.png": [(0, 0, 5, 5)]}, scored=True)
    content = json.loads(Path(pred).read_text())
    content["annotations"][0]["score"] = 0.0531
    Path(pred).write_text(json.dumps(content))
    assert main([truth, pred]) == 0
    assert capfd.readouterr().err == ""


def test_files(files, tmp_path):
    folder = tmp_path / "new" / "results"
    assert main([*files, "-o", str(folder), "--score-threshold", "0.6"]) == 0
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics.keys() >= KEYS
    assert (metrics["n_true"], metrics["n_pred"], metrics["count_bias"]) == (3, 3, 0.0)
    assert metrics["unpaired_true"] == []
    options = metrics["run"]["options"]
    assert (options["min_area_px"], options["score_threshold"], options["seed"]) == (0, 0.6, 0)
    digest = hashlib.sha256(Path(files[0]).read_bytes()).hexdigest()
    assert metrics["run"]["inputs"]["truth"]["sha256"] == digest
    assert {"mito-instance", "faster-coco-eval", "python"} <= metrics["run"]["versions"].keys()
    with (folder / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == ["a.png", "b.png"]
    assert [row["count_error"] for row in rows] == ["0", "0"]
    assert [row["f1_50"] for row in rows] == ["1", "0.5"]
    with (folder / "associations.csv").open() as file:
        rows = list(csv.DictReader(file))
    # The prediction with score 0.5 is left out, the numbers of the others stay.
    assert [(r["kind"], r["true_ids"], r["pred_ids"]) for r in rows] == [
        ("one-to-one", "1", "1"),
        ("one-to-one", "1", "2"),
        ("one-to-one", "2", "1"),
    ]
    assert rows[1]["bbox_w_px"] == "20"
    assert sorted(path.name for path in folder.iterdir()) == [
        "associations.csv",
        "false.json",
        "metrics.json",
        "per_image.csv",
        "report.html",
        "rois",
    ]


def test_areas_in_pixels_have_all_their_digits(tmp_path):
    masks = tuple(rle.place(np.ones((1400, 1433), bool), x, 100, (3000, 3000)) for x in (9, 1500))
    path = tmp_path / "a.json"
    write_coco(path, [ImageInstances(str(tmp_path / "a.png"), (3000, 3000), masks)])
    assert main([str(path), str(path), "-o", str(tmp_path / "o")]) == 0
    with (tmp_path / "o" / "per_image.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["area_true_px"], row["area_pred_px"]) == ("4012400", "4012400")


def test_false_detections_are_a_file_of_look_alikes(files, tmp_path):
    pred = write(
        tmp_path / "false_too.json",
        {"a.png": [(0, 0, 10, 10), (40, 20, 8, 8)], "b.png": [(0, 0, 20, 10)]},
        scored=True,
    )
    truth = json.loads(Path(files[0]).read_text())
    for image in truth["images"]:
        image["pixel_size_nm"] = 5.0
    sized = tmp_path / "sized.json"
    sized.write_text(json.dumps(truth))
    assert main([str(sized), pred, "-o", str(tmp_path / "o")]) == 0
    first, second = read_coco(tmp_path / "o" / "false.json")
    assert first.pixel_size.nm == 5.0  # of the truth: the prediction states none
    assert Path(first.image).name == "a.png"
    assert [rle.box_xywh(mask) for mask in first.masks] == [(40, 20, 8, 8)]
    assert len(second) == 0


@pytest.mark.parametrize(
    ("side", "named"), [("truth", "truth"), ("pred", "pred"), ("both", "truth"), ("none", None)]
)
def test_look_alikes_name_the_micrographs(tmp_path, capsys, side, named):
    sides = {}
    for name, boxes in (("truth", [(0, 0, 9, 9)]), ("pred", [(40, 20, 8, 8)])):
        (tmp_path / name).mkdir()
        if side in (name, "both"):
            sides[name] = write(tmp_path / name / "a.json", {"a.tif": boxes}, scored=False)
        else:
            labels = np.zeros(HW, np.uint8)
            for x, y, width, height in boxes:
                labels[y : y + height, x : x + width] = 1
            tifffile.imwrite(tmp_path / name / "a.tif", labels)
            sides[name] = str(tmp_path / name / "a.tif")
    path = tmp_path / "o" / "false.json"
    path.parent.mkdir()
    (path.parent / "metrics.json").write_text(MARK_OF_EVALUATION)
    path.write_text("false detections of mito evaluate, of an earlier one")
    assert main([sides["truth"], sides["pred"], "-o", str(tmp_path / "o")]) == 0
    if named is None:
        assert not path.exists()
        assert f"notice: {path} is not written: neither side names" in capsys.readouterr().err
    else:
        (image,) = read_coco(path)
        assert (Path(image.image), len(image)) == (tmp_path / named / "a.tif", 1)


def test_undefined_is_null_and_an_empty_cell(tmp_path, capsys):
    truth = write(tmp_path / "t.json", {"a.png": []}, scored=False)
    pred = write(tmp_path / "p.json", {"a.png": []}, scored=True)
    assert main([truth, pred, "-o", str(tmp_path / "o")]) == 0
    metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert metrics["ap"] is None
    assert metrics["pq"] is None
    assert metrics["count_mae"] == 0
    with (tmp_path / "o" / "per_image.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["f1_50"] == ""
    assert "undefined" in capsys.readouterr().out


def test_small_instances_are_left_out_on_both_sides(tmp_path):
    truth = write(tmp_path / "t.json", {"a.png": [(0, 0, 2, 2), (9, 0, 5, 5)]}, scored=False)
    pred = write(tmp_path / "p.json", {"a.png": [(9, 0, 5, 5), (30, 0, 2, 2)]}, scored=True)
    assert main([truth, pred, "-o", str(tmp_path), "--min-area-px", "5"]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["n_true"], metrics["n_pred"], metrics["ap"]) == (1, 1, 1.0)


def test_predictions_for_part_of_the_truth_are_normal(tmp_path, capsys):
    truth = write(
        tmp_path / "t.json", {f"{i}.png": [(0, 0, 5, 5)] for i in range(15)}, scored=False
    )
    pred = write(tmp_path / "p.json", {"3.png": [(0, 0, 5, 5)]}, scored=True)
    assert main([truth, pred, "-o", str(tmp_path)]) == 0
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("notice: true images without a prediction, not scored (14): ")
    assert line.endswith("and 4 more")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["unpaired_true"]) == 14
    assert metrics["n_images"] == 1


def test_each_predicted_image_without_truth_is_named(tmp_path, capsys):
    truth = write(tmp_path / "t.json", {"a.png": [(0, 0, 5, 5)]}, scored=False)
    pred = write(tmp_path / "p.json", {"a.png": [(0, 0, 5, 5)], "b.png": []}, scored=True)
    assert main([truth, pred]) == 1
    out, err = capsys.readouterr()
    assert "n_true" in out
    assert err.splitlines()[-1] == f"warning: {tmp_path / 'b.png'}: predicted, but not in the truth"


def test_results_list(files, tmp_path, capsys):
    truth = json.loads(Path(files[0]).read_text())
    results = tmp_path / "results.json"
    results.write_text(
        json.dumps(
            [
                {k: a[k] for k in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
                for a in truth["annotations"]
            ]
        )
    )
    assert main([files[0], str(results), "-o", str(tmp_path)]) == 0
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["ap"], metrics["n_one_to_one"]) == (1.0, 3)


def test_no_common_image(files, tmp_path, capsys):
    other = write(tmp_path / "other.json", {"z.png": []}, scored=True)
    assert main([files[0], other, "-o", str(tmp_path / "o")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: truth and prediction share no image")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["{dir}/none.json", "{pred}"], "error: .*none.json: cannot read", id="truth"),
        pytest.param(["{truth}", "{dir}/none.json"], "error: .*none.json: cannot read", id="pred"),
        pytest.param(["{truth}", "{bad}"], "error: .*bad.json: not a JSON file", id="no-json"),
        pytest.param(
            ["{truth}", "{pred}", "-o", "{bad}"], "error: .*bad.json: cannot make", id="o"
        ),
        pytest.param(
            ["{truth}", "{truth}", "--score-threshold", "0.5"], "error: .*needs scores", id="scores"
        ),
    ],
)
def test_errors_are_one_line(files, tmp_path, capsys, arguments, message):
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    names = {"truth": files[0], "pred": files[1], "bad": bad, "dir": tmp_path}
    assert main([argument.format(**names) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert re.match(message, err)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param(["--min-area-px", "-3"], "number from 0 to 1000000000, got '-3'", id="area"),
        pytest.param(["--min-area-px", "2.5"], "whole number", id="area-fraction"),
        pytest.param(["--score-threshold", "50"], r"number in [0, 1], got '50'", id="percent"),
        pytest.param(["--score-threshold", "nan"], r"number in [0, 1]", id="nan"),
    ],
)
def test_options_out_of_range(files, capsys, option, message):
    with pytest.raises(SystemExit) as caught:
        main([*files, *option])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_script_and_help():
    run = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "evaluate.py", "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0
    assert "example:" in run.stdout
    assert "--min-area-px" in run.stdout


def read(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_file_against_itself_is_perfect(files, tmp_path):
    assert main([files[1], files[1], "-o", str(tmp_path)]) == 0
    metrics = read(tmp_path)
    ones = ["ap", "ap50", "f1_50", "pq", "iou_foreground"]
    assert [metrics[name] for name in ones] == [1.0] * 5
    assert metrics["n_missed"] == metrics["n_false"] == metrics["n_split"] == 0


def test_metrics_hold_what_is_behind_them(files, tmp_path):
    assert main([*files, "-o", str(tmp_path), "--pixel-size-nm", "50", "--seed", "3"]) == 0
    metrics = read(tmp_path)
    assert metrics["area_unit"] == "um2"
    assert [row["score_threshold"] for row in metrics["score_sweep"]][:2] == [0.5, 0.55]
    # Scores are 0.9, 0.9, 0.7 and 0.5; the pieces of the split are those below 0.9.
    assert metrics["score_threshold_best_f1"] == 0.9
    assert metrics["score_threshold_unbiased_count"] == 0.7
    assert len(metrics["by_area"]) == 5
    assert [row["n_true"] for row in metrics["by_border"]] == [3, 0]
    assert [image["detection_scores"] for image in metrics["images"]] == [[0.9], [0.9, 0.7, 0.5]]
    assert metrics["images"][0]["detection_matches"] == [1023]
    low, high = metrics["intervals_95"]["f1_50"]
    assert low <= metrics["f1_50"] <= high
    assert "n_true" not in metrics["intervals_95"]
    with (tmp_path / "associations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["area_true_um2"]) for row in rows] == [0.25, 0.5, 0.25]
    with (tmp_path / "per_image.csv").open() as file:
        assert "area_true_um2" in next(csv.reader(file))


def test_no_interval_from_one_group(files, tmp_path):
    arguments = [*files, "-o", str(tmp_path), "--bootstrap", "20"]
    assert main([*arguments, "--group-regex", r"([^/]+)\.png"]) == 0
    assert read(tmp_path)["intervals_95"]
    assert main([*arguments, "--group-regex", "png"]) == 0
    assert read(tmp_path)["intervals_95"] == {}
    assert main([*files, "-o", str(tmp_path), "--bootstrap", "0"]) == 0
    assert read(tmp_path)["intervals_95"] == {}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param("(", "error: --group-regex: '(' is no regular expression", id="bad"),
        pytest.param("a{99999999999}", "is no regular expression", id="too-large"),
        pytest.param("mouse", "a.png: --group-regex 'mouse' does not match", id="no-match"),
    ],
)
def test_group_regex_errors(files, capsys, option, message):
    assert main([*files, "--group-regex", option]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("side", ["truth", "pred"])
def test_a_page_whose_rois_cannot_all_be_used_is_not_scored(tmp_path, capsys, side):
    corners = np.array([[0, 0], [0, 10], [10, 10], [10, 0]])
    for name in "ab":
        Image.fromarray(np.zeros(HW, np.uint8)).save(tmp_path / f"{name}.png")
        for folder in ("truth", "pred"):
            rois = [roifile.ImagejRoi.frompoints(corners, name="1")]
            if (folder, name) == (side, "b"):
                rois.append(roifile.ImagejRoi.frompoints(corners + 500, name="2"))
            (tmp_path / folder).mkdir(exist_ok=True)
            roifile.roiwrite(tmp_path / folder / f"{name}.zip", rois, mode="w")
    words = [str(tmp_path / "truth"), str(tmp_path / "pred"), "--images", str(tmp_path)]
    assert main([*words, "-o", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "warning: 1 images or pages of which an ROI cannot be used are not scored" in error
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n_images"] == 1
    assert main([*words, "--truth-incomplete", "-o", str(tmp_path / "out")]) == 1
    n_scored = json.loads((tmp_path / "out" / "metrics.json").read_text())["n_images"]
    assert n_scored == (2 if side == "truth" else 1)
    (tmp_path / "truth" / "a.zip").unlink()
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "none of the images that truth and prediction share is to be scored" in error
    assert "(ROI '2')" in error


def test_incomplete_truth_has_no_precision(files, tmp_path, capsys):
    assert main([*files, "-o", str(tmp_path), "--truth-incomplete"]) == 0
    metrics = read(tmp_path)
    assert metrics["precision_50"] is metrics["ap"] is metrics["n_false"] is None
    assert metrics["recall_50"] == pytest.approx(2 / 3)
    assert metrics["score_threshold_best_f1"] is None
    assert "undefined" in capsys.readouterr().out
    with (tmp_path / "per_image.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["count_error"] == row["area_fraction_error"] == row["n_false"] == ""


def stack(path, values):
    """Two pages of 8 x 9 px; the left and the right half have a value each."""
    pages = np.zeros((2, 8, 9), dtype=np.uint16)
    pages[:, 1:7, 1:4], pages[:, 1:7, 5:8] = values
    tifffile.imwrite(path, pages, photometric="minisblack")
    return str(path)


def test_volume(tmp_path, capsys):
    truth, pred = stack(tmp_path / "t.tif", (5, 900)), stack(tmp_path / "p.tif", (3, 3))
    assert main([truth, pred, "--volume", "-o", str(tmp_path / "o")]) == 0
    metrics = read(tmp_path / "o")
    assert (metrics["n_true"], metrics["n_pred"], metrics["n_merge"]) == (2, 1, 1)
    assert (metrics["voi_split"], metrics["voi_merge"], metrics["iou_foreground"]) == (0, 1, 1)
    assert "adapted_rand_error" in capsys.readouterr().out
    with (tmp_path / "o" / "associations.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["kind"], row["true_labels"], row["pred_labels"]) == ("merge", "5 900", "3")
    assert (row["box_n_pages"], row["voxels_true"], row["voxels_pred"]) == ("2", "72", "72")


def test_a_volume_whose_background_is_not_0_is_told(tmp_path, capsys):
    pages = np.zeros((2, 20, 30), dtype=np.uint16)
    pages[:, 4:9, 5:20] = 7
    truth, pred = str(tmp_path / "t.tif"), str(tmp_path / "p.tif")
    tifffile.imwrite(truth, pages, photometric="minisblack")
    tifffile.imwrite(pred, pages + np.uint16(1), photometric="minisblack")
    assert main([truth, pred, "--volume"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^f1_75 +1\.0000$", out, re.MULTILINE)
    assert err == (
        f"notice: {pred} page 1 and 1 more pages: no pixel is 0; the value that surrounds the "
        "rest is background\n"
    )


def test_pages_of_a_stack_where_nothing_was_found_are_scored(tmp_path, capsys):
    image = tmp_path / "s.tif"
    tifffile.imwrite(image, np.zeros((3, *HW), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    square = (rle.place(np.ones((5, 5), dtype=bool), 3, 3, HW),)
    truth = [ImageInstances(str(image), HW, square, frame=frame) for frame in (0, 1)]
    write_coco(tmp_path / "t.json", truth)
    write_roi_zip(tmp_path / "s.zip", [truth[0], truth[1].select([])])
    arguments = [str(tmp_path / "t.json"), str(tmp_path / "s.zip"), "--images", str(image)]
    assert main([*arguments, "-o", str(tmp_path / "o")]) == 0
    metrics = read(tmp_path / "o")
    assert (metrics["n_images"], metrics["recall_50"], metrics["n_missed"]) == (2, 0.5, 1)
    assert "1 pages carry no ROI; nothing was found there" in capsys.readouterr().err


def test_volume_takes_no_jpeg(tmp_path, capsys):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[4:9, 5:20] = 80
    for folder in ("truth", "pred"):
        (tmp_path / folder).mkdir()
    Image.fromarray(pixels).save(tmp_path / "truth" / "0.png")
    Image.fromarray(pixels).save(tmp_path / "pred" / "0.jpg")
    assert main([str(tmp_path / "truth"), str(tmp_path / "pred"), "--volume"]) == 2
    assert "0.jpg: JPEG changes the values of a label image" in capsys.readouterr().err


def test_volume_takes_label_stacks_only(files, tmp_path, capsys):
    assert main([*files, "--volume"]) == 2
    assert "--volume needs label stacks" in capsys.readouterr().err
    truth = stack(tmp_path / "t.tif", (1, 2))
    assert main([truth, truth, "--volume", "--min-area-px", "5"]) == 2
    assert "--min-area-px is not for --volume" in capsys.readouterr().err
    assert main([truth, truth, "--volume", "--bootstrap", "50"]) == 2
    assert "--bootstrap is not for --volume" in capsys.readouterr().err


def test_an_evaluation_does_not_replace_what_it_reads(files, tmp_path, capsys):
    folder = tmp_path / "o"
    assert main([*files, "-o", str(folder)]) == 0
    before = (folder / "false.json").read_bytes()
    assert main([files[0], str(folder / "false.json"), "-o", str(folder)]) == 2
    assert "false.json: is one of the files that are read" in capsys.readouterr().err
    assert (folder / "false.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", '{"iteration": 19, "total_loss": 1.5}\n'),
        ("report.html", "<h1>Counts</h1>"),
        ("false.json", '{"info": {"description": "converted by convert_roi"}}'),
        ("per_image.csv", "image,count\n"),
    ],
)
def test_an_evaluation_does_not_replace_files_of_others(files, tmp_path, capsys, name, content):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / name).write_text(content)
    assert main([*files, "-o", str(folder)]) == 2
    assert f"its {name} is not of mito evaluate" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == [name]
    assert (folder / name).read_text() == content


def test_look_alikes_that_were_corrected_are_not_replaced(files, tmp_path, capsys):
    folder = tmp_path / "o"
    assert main([*files, "-o", str(folder)]) == 0
    corrected = '{"info": {"description": "converted by convert_roi"}}'
    (folder / "false.json").write_text(corrected)
    assert main([*files, "-o", str(folder), "--truth-incomplete"]) == 2
    assert "its false.json is not of mito evaluate" in capsys.readouterr().err
    assert (folder / "false.json").read_text() == corrected


def test_a_file_that_cannot_be_opened_any_more_costs_no_evaluation(tmp_path, monkeypatch):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[4:9, 5:20] = 1
    for folder in ("truth", "pred"):
        (tmp_path / folder / "raw").mkdir(parents=True)
        for name in ("a.png", "b.png", "raw/c.png"):
            Image.fromarray(pixels).save(tmp_path / folder / name)
    opened, is_gone = Path.open, tmp_path / "truth" / "b.png"

    def refusing(self, *args, **kwargs):
        assert self.parent.name != "raw"  # what is not evaluated is not read either
        if self == is_gone:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    folder = tmp_path / "o"
    assert main([str(tmp_path / "truth"), str(tmp_path / "pred"), "-o", str(folder)]) == 1
    assert json.loads((folder / "metrics.json").read_text())["run"]["inputs"]["truth"]["sha256"]


def test_an_evaluation_of_an_earlier_version_is_replaced(files, tmp_path):
    folder = tmp_path / "o"
    assert main([*files, "-o", str(folder)]) == 0
    false = json.loads((folder / "false.json").read_text())
    (folder / "false.json").write_text(json.dumps({**false, "info": {}}))
    assert main([*files, "-o", str(folder)]) == 0


def test_an_evaluation_is_not_written_among_rois_of_others(files, tmp_path, capsys):
    rois = tmp_path / "o" / "rois"
    rois.mkdir(parents=True)
    (rois / "a.zip").write_bytes(b"of quantify")
    assert main([*files, "-o", str(tmp_path / "o")]) == 2
    assert "its rois folder is not of mito evaluate" in capsys.readouterr().err
    (tmp_path / "o" / "metrics.json").write_text('{"mark": 1}')
    assert main([files[0], str(rois), "--images", str(tmp_path), "-o", str(tmp_path / "o")]) == 2
    assert "rois, which is read, lies where this writes ROIs" in capsys.readouterr().err
    assert [path.name for path in rois.iterdir()] == ["a.zip"]


def test_an_evaluation_can_be_made_again(files, tmp_path):
    volume = stack(tmp_path / "t.tif", (5, 900))
    for _ in range(2):
        assert main([*files, "-o", str(tmp_path / "o")]) == 0
        assert main([volume, volume, "--volume", "-o", str(tmp_path / "o")]) == 0


def test_an_evaluation_is_not_written_into_what_is_read(tmp_path, capsys):
    (tmp_path / "labels").mkdir()
    labels = stack(tmp_path / "labels" / "t.tif", (5, 900))
    arguments = [str(tmp_path / "labels"), labels]
    for output in (tmp_path / "labels", tmp_path / "labels" / "o"):
        assert main([*arguments, "-o", str(output)]) == 2
        assert "which is read; name a folder outside of it" in capsys.readouterr().err
    assert main([*arguments, "-o", str(tmp_path / "labels_o")]) == 0


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_region_is_in_the_record(files, tmp_path, capsys, is_folder):
    region = tmp_path / "regions" / "a.zip"
    region.parent.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros(HW, np.uint8)).save(tmp_path / f"{name}.png")
        outline = ImageInstances("x", HW, (rle.place(np.ones((30, 50), bool), 0, 0, HW),))
        write_roi_zip(region.with_stem(name), [outline], is_stack=False)
    given = region.parent if is_folder else region
    assert main([*files, "-o", str(tmp_path / "o"), "--region", str(given)]) == 0
    assert "foreground" in capsys.readouterr().out
    assert ("sha256" in read(tmp_path / "o")["run"]["inputs"]["region"]) != is_folder
    assert str(given) in (tmp_path / "o" / "report.html").read_text()


def test_single_files_of_two_folders_are_no_pair(tmp_path, capsys):
    for side, name in (("true", "cell_02.tif"), ("pred", "cell_07.tif")):
        (tmp_path / side).mkdir()
        stack(tmp_path / side / name, (5, 900))
    assert main([str(tmp_path / "true"), str(tmp_path / "pred")]) == 2
    files = [str(next((tmp_path / side).iterdir())) for side in ("true", "pred")]
    assert main(files) == 0
    assert main([files[0], str(tmp_path / "pred")]) == 0


def test_what_an_earlier_evaluation_left_beside_a_volume_is_named(files, tmp_path, capsys):
    output = tmp_path / "o"
    assert main([*files, "-o", str(output)]) == 0
    truth = stack(tmp_path / "t.tif", (5, 900))
    capsys.readouterr()
    assert main([truth, truth, "--volume", "-o", str(output)]) == 0
    notice = capsys.readouterr().err
    assert all(str(output / name) in notice for name in ("report.html", "per_image.csv", "rois"))
    assert "of an earlier evaluation, not of this one" in notice


def test_without_scores_every_figure_has_the_same_order_of_images(tmp_path, capsys):
    from mito_instance.evaluation.evaluate import evaluate

    rng = np.random.default_rng(0)
    sides = {"t": [], "p": []}
    for number in range(1, 13):
        for side, images in sides.items():
            mask = np.zeros((40, 40), bool)
            mask[5:20, 5:20] = True
            if side == "p" and rng.random() < 0.5:
                mask = np.roll(mask, 12, axis=1)
            images.append(ImageInstances(f"slice{number}.png", mask.shape, (rle.encode(mask),)))
    order = rng.permutation(12)
    whole = evaluate(sides["t"], sides["p"])
    mixed = evaluate([sides["t"][i] for i in order], [sides["p"][i] for i in order])
    assert [r.image for r in mixed.images] == [r.image for r in whole.images]
    assert mixed.summary()["ap"] == whole.summary()["ap"]
