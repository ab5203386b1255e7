"""Fine-tuning from a model for other classes: what starts anew is listed, nothing else may."""

import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.detection.weight_matching import describe_matching  # noqa: E402
from mito_instance.errors import WeightsError  # noqa: E402
from mito_instance.semantic.encoder_weights import to_torchvision  # noqa: E402

ZOO_NAME = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"
ANEW = {
    "roi_heads.box_predictor.cls_score": ((81, 16), (2, 16)),
    "roi_heads.box_predictor.bbox_pred": ((320, 16), (4, 16)),
    "roi_heads.mask_head.predictor": ((80, 8, 1, 1), (1, 8, 1, 1)),
}
THIN = ["MODEL.RESNETS.STEM_OUT_CHANNELS", "8", "MODEL.RESNETS.RES2_OUT_CHANNELS", "8"]


def coco_model(cfg):
    """The tensors of a Mask R-CNN for 80 classes with random values, as the zoo stores them."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    cfg.MODEL.META_ARCHITECTURE = "GeneralizedRCNN"
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    from detectron2.modeling import build_model

    rng = np.random.default_rng(0)
    return {
        name: rng.normal(size=tuple(value.shape)).astype(np.float32)
        for name, value in build_model(cfg).state_dict().items()
        if not name.startswith("pixel_")
    }


@pytest.fixture
def recipe(light_config):
    return light_config.with_name("mask_rcnn_R_50_FPN.yaml")


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """The cache of downloads, in which a file of the zoo can be laid."""
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "cache" / "detectron2" / ZOO_NAME
    path.parent.mkdir(parents=True)
    return path


def test_the_recipe_starts_from_coco_and_only_the_heads_for_80_classes_start_anew(
    recipe, tiny_overrides, dataset, zoo, caplog, tmp_path
):
    weights = load_config(recipe).MODEL.WEIGHTS
    assert weights == f"detectron2://{ZOO_NAME}"
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    cfg = load_config(recipe, [*overrides, "MODEL.WEIGHTS", weights])
    stored = coco_model(cfg)
    for layer, (shape, _) in ANEW.items():
        assert stored[f"{layer}.weight"].shape == shape
    zoo.write_bytes(pickle.dumps({"model": stored, "__author__": "Detectron2"}))
    (tmp_path / "run").mkdir()
    seed_everything(1)
    caplog.set_level("INFO")
    trainer = Trainer(cfg, None, seed=1)
    trainer.resume_or_load(resume=False)
    loaded = trainer.network.state_dict()
    assert set(stored) <= set(loaded)
    for name, value in loaded.items():
        if name not in stored:
            assert name.startswith("foreground.")  # a head that COCO's model does not have
        elif name.rpartition(".")[0] in ANEW:
            assert tuple(value.shape) != stored[name].shape
        else:
            np.testing.assert_array_equal(value.numpy(), stored[name], err_msg=name)
    (line,) = [r.getMessage() for r in caplog.records if "start anew" in r.getMessage()]
    assert line.startswith(f"{weights}: {len(stored) - 6} of {len(loaded)} tensors loaded;")
    assert line.endswith(", foreground")
    assert "roi_heads.box_predictor.cls_score (81×16 to 2×16)" in line
    assert "roi_heads.box_predictor.bbox_pred (320×16 to 4×16)" in line
    assert "roi_heads.mask_head.predictor (80×8×1×1 to 1×8×1×1)" in line


def test_weights_of_another_architecture_are_refused(recipe, tiny_overrides, dataset, tmp_path):
    path = tmp_path / "wide.pkl"
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    cfg = load_config(recipe, [*overrides, "MODEL.WEIGHTS", str(path)])
    other = load_config(recipe, [*overrides, "MODEL.FPN.OUT_CHANNELS", "12"])
    path.write_bytes(pickle.dumps({"model": coco_model(other), "__author__": "Detectron2"}))
    with pytest.raises(WeightsError, match=r"another shape .*\(first: backbone.fpn_lateral"):
        Trainer(cfg, None, seed=1).resume_or_load(resume=False)


def test_a_backbone_of_another_depth_is_refused(recipe, tiny_overrides, dataset, tmp_path):
    path = tmp_path / "r50.pkl"
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    path.write_bytes(pickle.dumps({"model": coco_model(load_config(recipe, overrides))}))
    deeper = [*overrides, "MODEL.RESNETS.DEPTH", "101", "MODEL.WEIGHTS", str(path)]
    cfg = load_config(recipe, deeper)
    with pytest.raises(WeightsError, match=r"255 of \d+ tensors of its backbone .*res4\.6\."):
        Trainer(cfg, None, seed=1).resume_or_load(resume=False)


def test_a_backbone_behind_another_prefix_is_refused(recipe, tiny_overrides, dataset, tmp_path):
    path = tmp_path / "renamed.pkl"
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    cfg = load_config(recipe, [*overrides, "MODEL.WEIGHTS", str(path)])
    stored = coco_model(cfg)
    renamed = {name.replace("bottom_up.", "body."): value for name, value in stored.items()}
    path.write_bytes(pickle.dumps({"model": renamed}))
    with pytest.raises(WeightsError, match="tensors of its backbone are not in the file"):
        Trainer(cfg, None, seed=1).resume_or_load(resume=False)


def torchvision_resnet(cfg):
    """The backbone of a config in torchvision's names, random values."""
    prefix = "backbone.bottom_up."
    body = {n: value for n, value in coco_model(cfg).items() if n.startswith(prefix)}
    return to_torchvision({name.removeprefix(prefix): value for name, value in body.items()})


TORCHVISION_INPUT = [
    "MODEL.PIXEL_MEAN", "[123.675, 116.28, 103.53]",
    "MODEL.PIXEL_STD", "[58.395, 57.12, 57.375]",
    "MODEL.RESNETS.STRIDE_IN_1X1", "False",
]  # fmt: skip


def test_torchvisions_resnet_50_needs_its_own_input(
    recipe, tiny_overrides, dataset, tmp_path, caplog
):
    path = tmp_path / "resnet50.pth"
    overrides = [*tiny_overrides, *THIN, "DATASETS.TRAIN", f"('{dataset}',)"]
    overrides += ["MODEL.WEIGHTS", str(path)]
    cfg = load_config(recipe, overrides)
    torch.save(torchvision_resnet(cfg), path)
    with pytest.raises(WeightsError, match=r"PIXEL_STD '\[58\.395.* MODEL.RESNETS.STRIDE_IN_1X1 F"):
        Trainer(cfg, None, seed=1).resume_or_load(resume=False)
    caplog.set_level("INFO")
    cfg = load_config(recipe, [*overrides, *TORCHVISION_INPUT])
    trainer = Trainer(cfg, None, seed=1)
    trainer.resume_or_load(resume=False)
    assert "start anew: backbone.fpn_lateral2, " in caplog.text
    stored = torch.load(path, weights_only=True)["layer4.2.conv3.weight"]
    torch.testing.assert_close(
        trainer.network.backbone.bottom_up.res5[2].conv3.weight.detach(), stored
    )


NAMES = ["body.a.weight", "body.a.bias", "body.b.weight", "head.box_predictor.x.weight"]


@pytest.mark.parametrize(
    ("missing", "unfit", "unused", "message"),
    [
        pytest.param([], [], [], "4 of 4 tensors loaded; none starts anew", id="all"),
        pytest.param(
            NAMES[:2], [], [], "2 of 4 tensors loaded; start anew: body.a", id="one-layer"
        ),
        pytest.param(
            NAMES[:3], [], ["fc.weight", "fc.bias", "head.y.bias"],
            "1 of 4 tensors loaded; start anew: body; in the file but not used: fc, head.y",
            id="a-part",
        ),
        pytest.param(
            NAMES[3:], [(NAMES[3], (81, 4), (2, 4))], [],
            "3 of 4 tensors loaded; start anew: head.box_predictor.x (81×4 to 2×4)", id="classes",
        ),
    ],
)  # fmt: skip
def test_one_line_says_what_starts_anew(missing, unfit, unused, message):
    assert describe_matching("w.pkl", NAMES, missing, unfit, unused) == f"w.pkl: {message}"


@pytest.mark.parametrize(
    ("missing", "unfit", "message"),
    [
        (
            [*NAMES, "backbone.bottom_up.a"],
            [],
            "none of its 5 tensors is in the file",
        ),
        (["backbone.bottom_up.a"], [], r"1 of 1 tensors of its backbone .*, or '' to start"),
        ([], [(NAMES[0], (3, 3), (5, 3))], r"first: body.a.weight, 3×3 in the file, 5×3 in the"),
    ],
)
def test_another_architecture_is_refused(missing, unfit, message):
    with pytest.raises(WeightsError, match=message):
        describe_matching("w.pkl", [*NAMES, "backbone.bottom_up.a"], missing, unfit, [])


def test_a_network_of_ours_has_the_tensors_of_detectron2s(recipe, tiny_overrides):
    cfg = load_config(recipe, [*tiny_overrides, *THIN, "MITO.FOREGROUND.ENABLED", "False"])
    assert set(build_network(cfg).state_dict()) == set(coco_model(cfg))
