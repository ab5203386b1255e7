"""The command compare: table, files and errors."""

import csv

import numpy as np
import pytest

from mito_instance.cli.compare import main
from mito_instance.evaluation.evaluate import evaluate
from mito_instance.evaluation.tables import metrics_document, write_metrics
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle

HW = (20, 60)


@pytest.fixture(scope="module")
def metrics(tmp_path_factory):
    """Evaluations of two predictions of three images; the second finds more."""
    folder = tmp_path_factory.mktemp("evaluations")

    def images(numbers, scores):
        return [
            ImageInstances(
                f"{i}.png",
                HW,
                tuple(rle.place(np.ones((6, 6), dtype=bool), 9 * k, 5, HW) for k in range(n)),
                np.linspace(0.9, 0.5, n) if scores else None,
            )
            for i, n in enumerate(numbers)
        ]

    paths = []
    for name, numbers in (("old", [1, 3, 2]), ("new", [3, 5, 6])):
        found = evaluate(images([4, 5, 6], scores=False), images(numbers, scores=True))
        path = folder / name / "metrics.json"
        write_metrics(path, metrics_document(found, {}))
        paths.append(str(path))
    return paths


def test_table_and_files(metrics, tmp_path, capsys):
    assert main([*metrics, "-o", str(tmp_path / "o")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("new - old, 3 images\n")
    recall = next(line.split() for line in out.splitlines() if "recall_50" in line)
    assert recall[:4] == ["recall_50", "0.4000", "0.9333", "+0.5333"]
    assert recall[-1] == "*"
    assert err == ""
    with (tmp_path / "o" / "comparison.csv").open() as file:
        rows = {row["figure"]: row for row in csv.DictReader(file)}
    assert (rows["recall_50"]["is_clear"], rows["n_missed"]["difference"]) == ("1", "-8")
    report = (tmp_path / "o" / "comparison.html").read_text()
    assert "<svg" in report
    assert "new – old" in report


def test_no_intervals(metrics, tmp_path, capsys):
    assert main([*metrics, "--bootstrap", "0", "-o", str(tmp_path)]) == 0
    assert "[" not in capsys.readouterr().out.split("interval")[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["{0}"], "needs two or more metrics.json, got 1", id="one"),
        pytest.param(["{0}", "none.json"], "none.json: cannot read", id="absent"),
        pytest.param(["{0}", "{1}", "--group-regex", "x("], "no regular expression", id="regex"),
    ],
)
def test_errors_are_one_line(metrics, capsys, arguments, message):
    assert main([argument.format(*metrics) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
