"""A model folder at the start is fed as it was, or it is said."""

import pytest

pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config
from mito_instance.detection.export import export_model
from mito_instance.detection.model import build_network
from mito_instance.detection.start_model import check_start, start_folder
from mito_instance.errors import ConfigError

TORCHVISION = ["MODEL.PIXEL_STD", "[58.395, 57.12, 57.375]", "MODEL.RESNETS.STRIDE_IN_1X1", "False"]


@pytest.fixture(scope="module")
def model(tiny, light_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start") / "model"
    folder.mkdir()
    cfg = load_config(light_config, tiny)
    export_model(cfg, build_network(cfg), folder, 0.5)
    return folder


@pytest.mark.parametrize(
    ("words", "error", "warning"),
    [
        pytest.param([], "", "", id="same"),
        pytest.param(
            ["MODEL.PIXEL_STD", "[1.0, 1.0, 1.0]"],
            r"fed otherwise.* add MODEL\.PIXEL_STD '\[58\.395, 57\.12, 57\.375\]'$",
            "",
            id="deviation",
        ),
        pytest.param(
            ["MODEL.RESNETS.STRIDE_IN_1X1", "False"], "", "", id="stride-of-no-bottleneck"
        ),
        pytest.param(
            ["MITO.CONTRAST_PERCENTILES", "(1.0, 99.0)"],
            "",
            "to keep it, add MITO.CONTRAST_PERCENTILES '(0.5, 99.5)'",
            id="grey-levels",
        ),
    ],
)
def test_a_start_that_was_fed_otherwise(model, light_config, tiny, caplog, words, error, warning):
    cfg = load_config(light_config, [*tiny, "MODEL.WEIGHTS", str(model), *words])
    if error:
        with pytest.raises(ConfigError, match=error):
            check_start(cfg)
    else:
        check_start(cfg)
    assert (warning in caplog.text) if warning else not caplog.records


def test_bottlenecks_must_halve_in_the_layer_that_they_did(model, light_config, tiny):
    r50 = light_config.with_name("mask_rcnn_R_50_FPN.yaml")
    words = ["MODEL.WEIGHTS", str(model), "MODEL.DEVICE", "cpu"]
    with pytest.raises(ConfigError, match=r"MODEL\.PIXEL_MEAN .* MODEL\.PIXEL_STD"):
        check_start(load_config(r50, words))
    own = load_config(model / "config.yaml")
    same = ["MODEL.PIXEL_MEAN", f"{own.MODEL.PIXEL_MEAN}", "MODEL.PIXEL_STD", TORCHVISION[1]]
    stride = str(not own.MODEL.RESNETS.STRIDE_IN_1X1)
    with pytest.raises(ConfigError, match=r"add MODEL\.RESNETS\.STRIDE_IN_1X1 "):
        check_start(load_config(r50, [*words, *same, TORCHVISION[2], stride]))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        pytest.param(["MODEL.RESNETS.STRIDE_IN_1X1", "True"], "", id="no-bottleneck"),
        pytest.param(["MODEL.PIXEL_MEAN", "[120.0, 110.0]"], "", id="same-mean"),
        pytest.param(["MODEL.PIXEL_MEAN", "[120.0]"], "fed otherwise", id="mean"),
    ],
)
def test_a_semantic_network_is_fed_one_grey_level(light_config, tmp_path, words, error):
    path = light_config.with_name("semantic") / "unet2d.yaml"
    own = ["MODEL.DEVICE", "cpu", "MODEL.PIXEL_MEAN", "[115.0]", "MODEL.WEIGHTS", ""]
    cfg = load_config(path, own)
    export_model(cfg, build_network(cfg), tmp_path, 0.5)
    cfg = load_config(path, [*own[:-1], str(tmp_path), *words])
    if error:
        with pytest.raises(ConfigError, match=error):
            check_start(cfg)
    else:
        check_start(cfg)


def test_only_model_folders_have_a_config_of_their_own(model, tmp_path, light_config, caplog):
    assert start_folder(str(model)) == start_folder(str(model / "model.safetensors")) == model
    assert start_folder("shipped://mask_rcnn_light").name == "mask_rcnn_light"
    for other in ("", "shipped://none", "detectron2://x.pkl", str(tmp_path / "resnet.pkl")):
        assert start_folder(other) is None
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "model.safetensors").touch()
    (damaged / "config.yaml").write_text("NO: key")
    check_start(load_config(light_config, ["MODEL.WEIGHTS", str(damaged), "MODEL.DEVICE", "cpu"]))
    assert "whether the training fits this start is not known" in caplog.text
