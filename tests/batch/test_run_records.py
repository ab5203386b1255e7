"""What results were made with is told beside them."""

from __future__ import annotations

import json

from mito_instance.batch.outputs import Outputs
from mito_instance.batch.run_records import write_record


def test_a_table_has_its_record_beside_it(tmp_path):
    outputs = Outputs(tmp_path / "objects.csv", tmp_path / "overlays", tmp_path / "rois")
    outputs.check([])
    outputs.write([], [], [], {"mito_instance": "1", "score_threshold": 0.3})
    place = tmp_path / "objects.run.json"
    assert json.loads(place.read_text())["score_threshold"] == 0.3
    outputs.write([], [], [], {"mito_instance": "2"})
    assert json.loads(place.read_text()) == {"mito_instance": "2"}
    assert not any((tmp_path / "overlays").iterdir())


def test_a_file_of_another_is_kept(tmp_path, caplog):
    for name, text in (("a.json", "{}"), ("b.json", "[" * 9), ("c.json", "7")):
        (tmp_path / name).write_text(text)
        write_record(tmp_path / name, {"mito_instance": "1"})
        assert (tmp_path / name).read_text() == text
    assert caplog.text.count("was not written by this program; it is kept") == 3


def test_an_output_of_the_records_name_is_that_output(tmp_path):
    outputs = Outputs(tmp_path / "objects.csv", coco=tmp_path / "objects.run.json")
    outputs.check([])
    outputs.write([], [], [], {"mito_instance": "1"})
    assert "images" in json.loads((tmp_path / "objects.run.json").read_text())
