import json

import pytest

pytest.importorskip("detectron2")

from mito_instance.detection.logs import drop_rows


def test_rows_to_be_written_again_and_broken_ones_go(tmp_path):
    metrics = tmp_path / "metrics.json"
    rows = [json.dumps({"iteration": number, "lr": 0.1}) for number in (19, 39, 59)]
    metrics.write_text("\n".join([*rows, "[1]", "null", '{"lr": 1}', '{"iteration": 5']))
    drop_rows(metrics, 40)
    assert metrics.read_text() == "\n".join(rows[:2]) + "\n"


def test_no_file_is_no_error(tmp_path):
    drop_rows(tmp_path / "metrics.json", 0)
    assert list(tmp_path.iterdir()) == []
