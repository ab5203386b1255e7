"""Paired differences between evaluations."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from mito_instance.errors import AnnotationError, ConfigError
from mito_instance.evaluation.compare import FIGURES, common_images, compare, read_evaluation
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.evaluation.figures import TALLY_NAMES
from mito_instance.evaluation.tables import metrics_document, write_metrics
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (30, 80)


def image(name, n, scores=None):
    masks = tuple(rle.place(np.ones((4, 4), dtype=bool), 6 * i, 3, HW) for i in range(n))
    return ImageInstances(name, HW, masks, scores)


def write(path, numbers, folder="a", truth=5):
    """metrics.json of images of which some of the true instances are found."""
    names = [f"{folder}/{i}.png" for i in range(len(numbers))]
    pred = [
        image(name, n, np.linspace(0.9, 0.1, n)) for name, n in zip(names, numbers, strict=True)
    ]
    metrics = evaluate([image(name, truth) for name in names], pred)
    write_metrics(path, metrics_document(metrics, {}))
    return metrics


def differences(*paths, groups=str, n=200, seed=0):
    evaluations = [read_evaluation(path) for path in paths]
    return compare(evaluations, groups, n, np.random.default_rng(seed))


@pytest.fixture
def files(tmp_path):
    """Each image of b has one more instance than that of a."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    metrics = [write(paths[0], [1, 2, 3, 4]), write(paths[1], [2, 3, 4, 5], "elsewhere")]
    return paths, metrics


def test_values_are_those_of_the_evaluations(files):
    (a, b), (metrics_a, metrics_b) = files
    (found,) = differences(a, b)
    assert tuple(row.name for row in found) == FIGURES
    for row in found:
        assert row.base == pytest.approx(metrics_a.summary()[row.name], nan_ok=True), row.name
        assert row.other == pytest.approx(metrics_b.summary()[row.name], nan_ok=True), row.name


def test_a_constant_difference_has_no_spread_however_images_vary(files):
    (found,) = differences(*files[0])
    rows = {row.name: row for row in found}
    recall = rows["recall_50"]
    assert recall.value == pytest.approx(0.2)
    assert (recall.low, recall.high) == pytest.approx((0.2, 0.2))
    assert recall.is_clear
    assert rows["n_missed"].value == -4
    assert not rows["n_split"].is_clear


def test_an_evaluation_does_not_differ_from_itself(files):
    path = files[0][0]
    for found in differences(path, path, path):
        assert all(row.value == 0 for row in found if not math.isnan(row.value))
        assert not any(row.is_clear for row in found)


def test_one_group_has_no_interval(files):
    (found,) = differences(*files[0], groups=lambda _: "one")
    assert all(math.isnan(row.low) for row in found)
    assert found[0].value == pytest.approx(found[0].other - found[0].base)


def test_only_common_images_are_compared(files, tmp_path):
    write(tmp_path / "c.json", [5, 5])
    (found,) = differences(files[0][0], tmp_path / "c.json")
    rows = {row.name: row for row in found}
    assert (rows["recall_50"].base, rows["recall_50"].other) == (0.3, 1.0)


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    """Named from the working folder in one evaluation, and as a whole in the other."""
    for name, root, number in (("a", "data", 1), ("b", "/proj/data", 2)):
        pred = [
            image(f"{root}/{of}/{i}.png", number, np.ones(number))
            for of in ("wt", "ko")
            for i in range(2)
        ]
        truth = [image(one.image, 5) for one in pred]
        write_metrics(tmp_path / f"{name}.json", metrics_document(evaluate(truth, pred), {}))
    evaluations = [read_evaluation(tmp_path / f"{name}.json") for name in "ab"]
    names = [[key[0] for key in keys] for keys in common_images(evaluations)]
    assert names[0] == ["data/wt/0.png", "data/wt/1.png", "data/ko/0.png", "data/ko/1.png"]
    assert names[1] == [f"/proj/{name}" for name in names[0]]


def test_images_at_several_depths_are_all_found(tmp_path):
    for name, root in (("a", "em"), ("b", "/x/pics")):
        pred = [image(f"{root}/{i}.png", 1, np.ones(1)) for i in ("0", "1", "sub/2")]
        truth = [image(one.image, 5) for one in pred]
        write_metrics(tmp_path / f"{name}.json", metrics_document(evaluate(truth, pred), {}))
    evaluations = [read_evaluation(tmp_path / f"{name}.json") for name in "ab"]
    assert [len(keys) for keys in common_images(evaluations)] == [3, 3]


def test_images_of_another_folder_are_no_others_for_their_names(tmp_path):
    """Running numbers: het/2 is not ko/2."""
    for name, other, n_true in (("a", "het", 4), ("b", "ko", 3)):
        pred = [
            image(f"{of}/{i}.png", 1, np.ones(1)) for of, i in (("wt", 0), ("wt", 1), (other, 2))
        ]
        truth = [image(one.image, 5 if one.image.startswith("wt") else n_true) for one in pred]
        write_metrics(tmp_path / f"{name}.json", metrics_document(evaluate(truth, pred), {}))
    evaluations = [read_evaluation(tmp_path / f"{name}.json") for name in "ab"]
    assert [len(keys) for keys in common_images(evaluations)] == [2, 2]


def test_counts_in_the_file_are_those_that_are_read(files):
    document = json.loads(files[0][0].read_text())
    assert tuple(document["images"][0]["counts"]) == TALLY_NAMES


def test_crowd_regions_are_kept(tmp_path):
    """A false detection, and the same in a crowd region, where it is none."""
    found = image("a.png", 4, np.array([0.9, 0.8, 0.7, 0.95]))
    for name, crowds in (("plain", ()), ("crowd", found.masks[3:])):
        truth = replace(found.select([0, 1, 2]), scores=None, crowds=crowds)
        metrics = evaluate([truth], [found])
        write_metrics(tmp_path / f"{name}.json", metrics_document(metrics, {}))
        assert metrics.summary()["ap"] == pytest.approx(0.75 if name == "plain" else 1.0)
    (rows,) = differences(tmp_path / "plain.json", tmp_path / "crowd.json")
    assert (rows[0].name, rows[0].base, rows[0].other) == ("ap", pytest.approx(0.75), 1.0)


def test_another_truth_is_refused(files, tmp_path):
    write(tmp_path / "c.json", [1, 2, 3, 4], truth=6)
    with pytest.raises(ConfigError, match=r"a/0.png has 6 true instances, but 5 in .*a.json"):
        differences(files[0][0], tmp_path / "c.json")


def broken(change):
    def make(document):
        change(document["images"][0])
        return document

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _: [], "got a list; give that file", id="list"),
        pytest.param(lambda _: {}, "with at least one image", id="no-images"),
        pytest.param(lambda _: {"images": [3]}, r"images\[0\] is not as mito evaluate", id="int"),
        pytest.param(
            broken(lambda e: e["counts"].pop("n_true")), r"KeyError: 'n_true'", id="count"
        ),
        pytest.param(broken(lambda e: e["counts"].update(n_true=None)), "'None' is no", id="null"),
        pytest.param(broken(lambda e: e["detection_matches"].append(1)), "do not fit", id="length"),
        pytest.param(
            broken(lambda e: e.update(detection_matches=[4096])), "do not fit", id="too-many-bits"
        ),
        pytest.param(
            broken(lambda e: e.update(detection_matches=[10**40])), "OverflowError", id="huge"
        ),
    ],
)
def test_files_of_others_are_refused_in_one_line(files, tmp_path, make, message):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(make(json.loads(files[0][0].read_text()))))
    with pytest.raises(AnnotationError, match=message) as caught:
        read_evaluation(path)
    assert "\n" not in str(caught.value)


def test_no_common_image(files, tmp_path):
    document = json.loads(files[0][0].read_text())
    for entry in document["images"]:
        entry["image"] = "z" + entry["image"].replace("/", "_")
    (tmp_path / "z.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="shares no image with"):
        differences(files[0][0], tmp_path / "z.json")


def with_run(path, region=None, min_area_px=0):
    document = json.loads(path.read_text())
    inputs = {} if region is None else {"region": {"path": "r.zip", "sha256": region}}
    if region == "folder":
        del inputs["region"]["sha256"]
    document["run"] = {
        "options": {"min_area_px": min_area_px, "region": region and "r.zip"},
        "inputs": inputs,
    }
    changed = path.with_stem(f"{path.stem}_{region}_{min_area_px}")
    changed.write_text(json.dumps(document))
    return changed


@pytest.mark.parametrize(
    ("base", "other", "message"),
    [
        pytest.param({}, {"region": "ab"}, "with a region, .* with no region", id="region"),
        pytest.param({"region": "ab"}, {}, "with no region, .* with a region", id="no-region"),
        pytest.param({"region": "ab"}, {"region": "c"}, "a region, .* another one", id="regions"),
        pytest.param({}, {"min_area_px": 25}, "--min-area-px 25, .* with 0;", id="area"),
    ],
)
def test_evaluations_made_otherwise_are_refused(files, base, other, message):
    first, second = (with_run(files[0][0], **given) for given in (base, other))
    with pytest.raises(ConfigError, match=message):
        differences(first, second)
    differences(second, second)
    if "region" in other:
        folder = with_run(files[0][0], region="folder")
        differences(folder, second)  # may hold more than the regions of these images
        with pytest.raises(ConfigError, match=r"with a region, .* with no region"):
            differences(with_run(files[0][0]), folder)
    differences(files[0][0], second)  # a file that does not say


def test_a_corrected_truth_is_refused(tmp_path):
    true = image("a.png", 2)
    larger = replace(true, masks=(true.masks[0], rle.place(np.ones((5, 4), bool), 6, 3, HW)))
    for name, truth in (("old", true), ("new", larger)):
        metrics = evaluate([truth], [image("a.png", 2, np.array([0.9, 0.8]))])
        write_metrics(tmp_path / f"{name}.json", metrics_document(metrics, {}))
    with pytest.raises(ConfigError, match=r"a.png cover 36 px, but 32 px in .*old.json"):
        differences(tmp_path / "old.json", tmp_path / "new.json")
