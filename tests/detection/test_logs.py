import json

import pytest

pytest.importorskip("detectron2")

from mito_instance.detection.logs import check_curves, drop_rows
from mito_instance.errors import ConfigError


def test_rows_to_be_written_again_and_broken_ones_go(tmp_path):
    metrics = tmp_path / "metrics.json"
    rows = [json.dumps({"iteration": number, "lr": 0.1}) for number in (19, 39, 59)]
    metrics.write_text("\n".join([*rows, "[1]", "null", '{"lr": 1}', '{"iteration": 5']))
    drop_rows(metrics, 40)
    assert metrics.read_text() == "\n".join(rows[:2]) + "\n"


def test_no_file_is_no_error(tmp_path):
    drop_rows(tmp_path / "metrics.json", 0)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_in_its_place_stays(tmp_path):
    metrics = tmp_path / "metrics.json"
    text = json.dumps({"ap": 0.5, "run": {"command": "evaluate"}}, indent=1)
    metrics.write_text(text)
    with pytest.raises(ConfigError, match=r"metrics.json: is of mito evaluate, and is not"):
        check_curves(tmp_path)
    assert metrics.read_text() == text


def test_curves_and_nothing_are_no_evaluation(tmp_path):
    check_curves(tmp_path)
    (tmp_path / "metrics.json").write_text('{"iteration": 19, "total_loss": 1.5}\n')
    check_curves(tmp_path)
