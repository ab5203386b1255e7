"""What ``quantify`` says when the model is the problem; the real loader is used."""

import cv2
import numpy as np
import pytest

pytest.importorskip("detectron2")

from mito_instance.cli import quantify


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--weights", "{tmp}/absent.pth"], "absent.pth: weights not found", id="none"),
        pytest.param(["--weights", "{tmp}"], "model.safetensors", id="folder-without-a-model"),
        pytest.param(
            ["--weights", "{tmp}/noise.pth", "--config-file", "{tmp}/bad.yaml"],
            "NO_SUCH_KEY",
            id="wrong-config-key",
        ),
        pytest.param(["--weights", "{tmp}/noise.pth"], "pass --config-file", id="no-config"),
        pytest.param(["--device", "cuda:77"], "MODEL.DEVICE", id="no-such-device"),
    ],
)
def test_a_model_that_cannot_be_used_is_one_line_and_exit_2(tmp_path, capsys, arguments, message):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    (tmp_path / "noise.pth").write_bytes(b"noise")
    (tmp_path / "bad.yaml").write_text("MODEL:\n  NO_SUCH_KEY: 1\n")
    words = [str(tmp_path / "a.png"), *(word.format(tmp=tmp_path) for word in arguments)]
    assert quantify.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = [line for line in captured.err.splitlines() if line.startswith("error:")]
    assert message in line


def test_a_missing_detectron2_is_one_line_that_says_how_to_install_it(
    tmp_path, capsys, monkeypatch
):
    import mito_instance.detection as detection

    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((64, 64), np.uint8))
    monkeypatch.setattr(detection, "find_spec", lambda name: None if name == "detectron2" else 1)
    assert quantify.main([str(tmp_path / "a.png")]) == 2
    assert "pip install ./third_party/detectron2" in capsys.readouterr().err
