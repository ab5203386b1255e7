"""Each kind of semantic network through the commands that users call."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")
pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("monai")

from detectron2.engine import HookBase  # noqa: E402
from detectron2.utils.events import EventStorage  # noqa: E402

from mito_instance.cli import finetune, train_net  # noqa: E402
from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.config_ranges import check_training  # noqa: E402
from mito_instance.detection.data import load_records  # noqa: E402
from mito_instance.detection.export import export_model  # noqa: E402
from mito_instance.detection.loader import build_train_loader  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.predictor import load_predictor  # noqa: E402
from mito_instance.detection.trainer import Trainer, seed_everything  # noqa: E402
from mito_instance.detection.weights import SafeCheckpointer  # noqa: E402
from mito_instance.errors import (  # noqa: E402
    AnnotationError,
    ConfigError,
    MissingDependencyError,
    WeightsError,
)
from mito_instance.evaluation import thresholds  # noqa: E402
from mito_instance.inference.pipeline import predict_page  # noqa: E402
from mito_instance.instances import ImageInstances  # noqa: E402
from mito_instance.io.coco import read_coco, write_coco  # noqa: E402
from mito_instance.io.images import read_page  # noqa: E402
from mito_instance.masks import rle  # noqa: E402

CONFIGS = Path(__file__).parents[2] / "configs" / "semantic"
TINY = [
    "MODEL.DEVICE", "cpu", "MITO.PRECISION", "fp32", "DATALOADER.NUM_WORKERS", "0",
    "SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "2", "MITO.AUGMENT.CROP_PX", "64",
]  # fmt: skip
TINY_2D = [*TINY, "MITO.SEMANTIC.DECODER_CHANNELS", "(8,8,8,8)"]
TINY_3D = [
    *TINY, "MITO.SEMANTIC.CHANNELS_3D", "(8,8,8,8)",
    "MITO.SEMANTIC.STRIDES_3D", "((1,2,2),(2,2,2),(2,2,2),(1,2,2))",
    "MITO.SEMANTIC.PATCH_SLICES", "8", "MITO.SEMANTIC.BLOCK_SLICES", "8",
    "MITO.SEMANTIC.WINDOW_PX", "64", "MITO.SEMANTIC.WINDOW_OVERLAP_PX", "16",
]  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """COCO JSON of six slices through a dark rod in noise."""
    folder = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(0)
    images = []
    for number in range(6):
        mask = np.zeros((70, 90), dtype=np.uint8)
        cv2.circle(mask, (30 + 4 * number, 35), 14, 1, thickness=-1)
        grey = 150 - 80.0 * mask + rng.normal(0, 5, mask.shape)
        path = folder / f"z{number + 8}.png"  # z8, z9, z10: order by number, not by letters
        cv2.imwrite(str(path), np.clip(grey, 0, 255).astype(np.uint8))
        images.append(ImageInstances(str(path), mask.shape, (rle.encode(mask.astype(bool)),)))
    write_coco(folder / "stack.json", images)
    return folder / "stack.json"


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        pytest.param("unet2d.yaml", TINY_2D, id="2d"),
        pytest.param("unet2d_384.yaml", TINY_2D, id="384"),
        pytest.param(
            "unet_resnet34.yaml",
            [*TINY, "MITO.SEMANTIC.DECODER_CHANNELS", "(8,8,8,8,8)"],
            id="resnet34",
        ),
        pytest.param("fcn_resnet50.yaml", TINY, id="fcn"),
        pytest.param("unet3d.yaml", TINY_3D, id="3d"),
    ],
)
def test_train_net_makes_a_model_that_predicts(stack, tmp_path, capfd, config, overrides):
    words = ["--config-file", str(CONFIGS / config), "--train", str(stack), "--val", str(stack)]
    status = train_net.main([*words, *overrides, "OUTPUT_DIR", str(tmp_path / "run")])
    assert status == 0, capfd.readouterr().err
    folder = tmp_path / "run" / "model"
    metrics = (tmp_path / "run" / "metrics.json").read_text()
    assert "loss_dice" in metrics
    assert "validation/foreground_threshold" in metrics
    card = (folder / "MODEL_CARD.md").read_text()
    assert "| foreground threshold | 0." in card
    assert "FPN" not in card

    predictor = load_predictor(folder, overrides=["MODEL.DEVICE", "cpu"])
    slices = sorted(stack.parent.glob("*.png"))
    found = predict_page(predictor, read_page(slices[0], 0), score_threshold=0.0)
    assert found.image_hw == (70, 90)
    # A network of two steps may find anything, but what it finds is disjoint and scored.
    covered = sum(rle.decode(mask).astype(int) for mask in found.masks)
    assert np.max(covered) <= 1
    assert predictor.rule.foreground_threshold == pytest.approx(
        predictor.cfg.MITO.SEMANTIC.FOREGROUND_THRESHOLD
    )


class Killed(BaseException):
    """Not caught by anything, as a kill is not."""


class Kill(HookBase):
    """Ends the training before its fourth step."""

    def before_step(self):
        if self.trainer.iter == 3:
            raise Killed


@pytest.mark.parametrize(
    ("config", "overrides"),
    [
        pytest.param("unet2d.yaml", TINY_2D, id="2d"),
        pytest.param("unet3d.yaml", TINY_3D, id="3d"),
    ],
)
def test_a_resumed_training_equals_an_undisturbed_one(stack, tmp_path, config, overrides):
    """With AdamW, batch or group norms, and crops of stacks."""

    def trainer(name):
        words = ["DATASETS.TRAIN", f"('{stack}',)", "OUTPUT_DIR", str(tmp_path / name)]
        words += ["SOLVER.MAX_ITER", "5", "SOLVER.CHECKPOINT_PERIOD", "2"]
        (tmp_path / name).mkdir(exist_ok=True)
        seed_everything(1)
        return Trainer(load_config(CONFIGS / config, [*overrides, *words]), None, seed=1)

    whole = trainer("whole")
    whole.resume_or_load(resume=False)
    whole.train()
    first = trainer("killed")
    first.register_hooks([Kill()])
    first.resume_or_load(resume=False)
    with pytest.raises(Killed):
        first.train()
    resumed = trainer("killed")
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    resumed.train()
    expected = whole.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(("n_images", "n_learned"), [(2, 2), (6, 4)])
def test_finetune_keeps_the_last_step_and_chooses_its_thresholds(
    stack, tmp_path, capfd, monkeypatch, n_images, n_learned
):
    # A network of two steps finds nothing that could tell a threshold.
    monkeypatch.setattr(thresholds, "best_score_threshold", lambda *_, **__: 0.42)
    start = tmp_path / "start"
    cfg = load_config(CONFIGS / "unet2d.yaml", TINY_2D)
    export_model(cfg, build_network(cfg), start, score_threshold=0.98)
    few = tmp_path / "few.json"
    write_coco(few, read_coco(stack)[:n_images])
    output = tmp_path / "model"
    words = ["--coco", str(few), "--weights", str(start), "-o", str(output), "--steps", "2"]
    assert finetune.main(words) == 0, capfd.readouterr().err
    card = (output / "MODEL_CARD.md").read_text()
    assert "| foreground threshold | 0." in card
    # Beside the slice that is held back, its neighbour is left out.
    assert len(read_coco(output / "training" / "train.json")) == n_learned
    is_held_out = n_learned < n_images
    assert ("figures and thresholds are those on the training images" in card) != is_held_out
    assert ("(chosen on validation)" in card) == is_held_out
    assert ("(chosen on the images of the training)" in card) != is_held_out
    assert ("| validation |" in card) == is_held_out
    assert load_config(output / "config.yaml").MITO.SCORE_THRESHOLD == 0.42
    curve = (output / "training" / "metrics.json").read_text()
    assert curve.count('"validation/ap"') == 1  # which step is best few images cannot tell
    augment = load_config(output / "config.yaml").MITO.AUGMENT
    assert list(augment.CONTRAST) == list(augment.GAMMA) == [0.92, 1.08]


def test_a_part_without_neighbours_is_told_before_any_training(stack, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(finetune, "_train", lambda *_, **__: pytest.fail("trained"))
    start = tmp_path / "start"
    export_model(
        load_config(CONFIGS / "unet3d.yaml", TINY_3D), torch.nn.Conv2d(1, 1, 1), start, 0.5
    )
    few = tmp_path / "few.json"
    write_coco(few, read_coco(stack)[:3])
    words = ["--coco", str(few), "--weights", str(start), "-o", str(tmp_path / "model")]
    assert finetune.main([*words, "--cross-validate"]) == 2
    assert "a part of the 3 images would hold no two neighbouring slices" in capfd.readouterr().err


def test_cross_validation_trains_on_all_and_chooses_on_what_was_held_out(
    stack, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr(thresholds, "best_score_threshold", lambda *_, **__: 0.42)
    start = tmp_path / "start"
    cfg = load_config(CONFIGS / "unet2d.yaml", TINY_2D)
    export_model(cfg, build_network(cfg), start, score_threshold=0.98)
    few = tmp_path / "few.json"
    write_coco(few, read_coco(stack)[:2])
    output = tmp_path / "model"
    words = ["--coco", str(few), "--weights", str(start), "-o", str(output), "--steps", "2"]
    assert finetune.main([*words, "--cross-validate"]) == 0, capfd.readouterr().err
    errors = capfd.readouterr().err
    assert all(f"{label}: 100%" in errors for label in ("part 1 of 2", "part 2 of 2", "fine-tune"))
    assert len(read_coco(output / "training" / "train.json")) == 2
    left = {path.name.split(".")[0] for path in (output / "training").iterdir()}
    assert left == {"train", "metrics", "events"}
    card = (output / "MODEL_CARD.md").read_text()
    assert "of a cross-validation: each of the images above was predicted by a model" in card
    assert "| score threshold | 0.42 (chosen by cross-validation) |" in card
    assert "are of images that were trained on" not in card
    chosen = load_config(output / "config.yaml").MITO
    assert f"| score_threshold | {chosen.SCORE_THRESHOLD:.4g} |" in card
    assert f"| foreground_threshold | {chosen.SEMANTIC.FOREGROUND_THRESHOLD:.4g} |" in card


def test_3d_examples_are_slices_in_order_with_their_masks(stack):
    cfg = load_config(CONFIGS / "unet3d.yaml", [*TINY_3D, "DATASETS.TRAIN", f"('{stack}',)"])
    loader = build_train_loader(cfg, load_records(cfg.DATASETS.TRAIN, cfg), seed=0)
    batch = next(iter(loader))
    for example in batch:
        assert example["volume"].shape == (8, 64, 64)
        inside = example["foreground"] & example["valid"]
        assert inside.any()
        outside = ~example["foreground"] & example["valid"]
        assert example["volume"][inside].mean() < example["volume"][outside].mean() - 50


def test_a_lone_image_is_predicted_in_3d_with_a_warning(tmp_path, caplog):
    torch.manual_seed(0)
    cfg = load_config(CONFIGS / "unet3d.yaml", TINY_3D)
    from mito_instance.detection.architectures import build_predictor

    predictor = build_predictor(cfg, build_network(cfg))
    cv2.imwrite(str(tmp_path / "cell.png"), np.full((40, 50), 90, np.uint8))
    found = predict_page(predictor, read_page(tmp_path / "cell.png", 0))
    assert found.image_hw == (40, 50)
    assert "cell.png: no neighbouring slices" in caplog.text


def test_single_images_are_nothing_for_3d_training(stack):
    cfg = load_config(CONFIGS / "unet3d.yaml", [*TINY_3D, "DATASETS.TRAIN", f"('{stack}',)"])
    records = load_records(cfg.DATASETS.TRAIN, cfg)[::2]
    with pytest.raises(AnnotationError, match="none of the 3 images follows another"):
        build_train_loader(cfg, records, seed=0)


@pytest.mark.parametrize("prefix", ["", "backbone.bottom_up."], ids=["alone", "in-a-detector"])
def test_an_encoder_starts_from_a_resnet(tmp_path, prefix):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    resnet = resnet18(weights=None)
    weights = resnet.state_dict()
    if prefix:
        from mito_instance.detection.torchvision_layout import torchvision_to_detectron2

        renamed = torchvision_to_detectron2(weights)
        weights = {f"{prefix}{name}": value for name, value in renamed.items()}
    torch.save(weights, tmp_path / "resnet18.pth")
    network = build_network(load_config(CONFIGS / "unet2d.yaml", TINY_2D))
    SafeCheckpointer(network).load(str(tmp_path / "resnet18.pth"))
    encoder = network.get_submodule("network.encoder")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected = resnet.eval().layer1(
            resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(grey.expand(-1, 3, -1, -1)))))
        )
        assert torch.allclose(encoder.eval()(grey)[2], expected, atol=1e-4)


def test_norms_without_statistics_need_the_keys_of_their_kind(tmp_path):
    import torchvision

    from mito_instance.detection.torchvision_layout import torchvision_to_detectron2

    merged = torchvision_to_detectron2(torchvision.models.resnet50().state_dict())
    for name, value in merged.items():
        if name.endswith("running_mean"):
            value.zero_()
        if name.endswith("running_var"):
            value.fill_(1.0)
    torch.save(merged, tmp_path / "merged.pth")
    stride, std = ["MODEL.RESNETS.STRIDE_IN_1X1", "True"], ["MODEL.PIXEL_STD", "[1.0]"]
    for words, message in (
        ([], "norms without statistics"),
        (stride, "grey levels that are not divided"),
        ([*stride, *std], None),
    ):
        cfg = load_config(CONFIGS / "fcn_resnet50.yaml", ["MODEL.DEVICE", "cpu", *words])
        network = build_network(cfg)
        if message is None:
            SafeCheckpointer(network).load(str(tmp_path / "merged.pth"))
        else:
            with pytest.raises(WeightsError, match=message):
                SafeCheckpointer(network).load(str(tmp_path / "merged.pth"))


def caffe2_names(weights):
    """Detectron2's names of a ResNet-18 in those of Caffe2's files, without statistics."""
    branches = {
        "shortcut": "branch1",
        "conv1": "branch2a",
        "conv2": "branch2b",
        "conv3": "branch2c",
    }
    ends = {"weight": "_w", "norm.weight": "_bn_s", "norm.bias": "_bn_b"}
    renamed = {"fc1000_w": np.zeros((10, 3), np.float32)}
    for name, value in weights.items():
        stage, *block, rest = name.replace("norm.", "norm ").split(".")
        end = ends.get(rest.replace("norm ", "norm."))
        if end is None:
            continue
        *number, layer = block
        place = f"{stage}_{number[0]}_{branches[layer]}" if number else "conv1"
        place = f"res_{place}" if place == "conv1" and "_bn" in end else place
        renamed[f"{place}{end}"] = value.numpy()
    return renamed


def test_an_encoder_starts_from_a_resnet_in_caffe2s_names(tmp_path):
    from torchvision.models import resnet18

    from mito_instance.detection.torchvision_layout import torchvision_to_detectron2

    torch.manual_seed(0)
    resnet = resnet18(weights=None)
    renamed = caffe2_names(torchvision_to_detectron2(resnet.state_dict()))
    assert {"conv1_w", "res_conv1_bn_s", "res3_0_branch1_bn_b", "res5_1_branch2b_w"} <= set(renamed)
    (tmp_path / "R-18.pkl").write_bytes(pickle.dumps(renamed))
    network = build_network(load_config(CONFIGS / "unet2d.yaml", TINY_2D))
    SafeCheckpointer(network).load(str(tmp_path / "R-18.pkl"))
    encoder = network.get_submodule("network.encoder")
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        resnet.eval()
        expected = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(grey.expand(-1, 3, -1, -1)))))
        for layer in (resnet.layer1, resnet.layer2, resnet.layer3):
            expected = layer(expected)
        assert torch.allclose(encoder.eval()(grey)[4], expected, atol=1e-4)


def test_a_3d_network_has_no_encoder_to_freeze():
    words = [*TINY_3D, "MITO.SEMANTIC.FREEZE_ENCODER", "True"]
    with pytest.raises(ConfigError, match="FREEZE_ENCODER: a 3D network has no encoder"):
        check_training(load_config(CONFIGS / "unet3d.yaml", words))


def test_another_resnet_is_refused(tmp_path):
    from torchvision.models import resnet34

    torch.save(resnet34(weights=None).state_dict(), tmp_path / "resnet34.pth")
    small = [*TINY, "MITO.SEMANTIC.NETWORK", "fcn", "MITO.SEMANTIC.ENCODER", "resnet50"]
    network = build_network(load_config(CONFIGS / "unet2d.yaml", small))
    with pytest.raises(WeightsError, match="no weights of this network or its encoder"):
        SafeCheckpointer(network).load(str(tmp_path / "resnet34.pth"))


def test_a_frozen_encoder_keeps_its_weights_and_statistics():
    network = build_network(
        load_config(CONFIGS / "unet2d.yaml", [*TINY_2D, "MITO.SEMANTIC.FREEZE_ENCODER", "True"])
    ).train()
    encoder = network.get_submodule("network.encoder")
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.bn1.training
    assert network.network.decoder.training


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        pytest.param(
            "unet2d.yaml", ["MODEL.META_ARCHITECTURE", "RetinaNet"],
            "META_ARCHITECTURE: must be one of MitoMaskRCNN, .* got 'RetinaNet'", id="architecture",
        ),
        pytest.param(
            "unet2d.yaml", ["MITO.SEMANTIC.ENCODER", "vgg"], "ENCODER: must be one of", id="encoder"
        ),
        pytest.param(
            "unet2d.yaml", ["MITO.SEMANTIC.ENCODER_DEPTH", "5"],
            "ENCODER_DEPTH: .* got 5 and 4", id="depth",
        ),
        pytest.param(
            "unet2d.yaml",
            ["MITO.SEMANTIC.FREEZE_ENCODER", "True", "DATASETS.TRAIN", "('a.json',)"],
            "FREEZE_ENCODER: random weights would stay", id="frozen-random-weights",
        ),
        pytest.param(
            "unet_resnet34.yaml",
            [
                "MITO.SEMANTIC.FREEZE_ENCODER", "True", "MITO.SEMANTIC.ENCODER", "resnet50",
                "MODEL.RESNETS.STRIDE_IN_1X1", "True", "MODEL.WEIGHTS", "r50.pkl",
                "DATASETS.TRAIN", "('a.json',)",
            ],
            r"MODEL.PIXEL_STD: an encoder of Caffe2's kind .*add MODEL.PIXEL_STD '\[1.0\]'",
            id="frozen-caffe2",
        ),
        pytest.param(
            "unet3d.yaml", ["MITO.SEMANTIC.PATCH_SLICES", "6"],
            "PATCH_SLICES: must be a multiple of 8", id="patch",
        ),
        pytest.param(
            "unet3d.yaml", ["MITO.SEMANTIC.GROUPS_3D", "5"], "GROUPS_3D: must divide", id="groups"
        ),
    ],
)  # fmt: skip
def test_keys_that_contradict_are_named(config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_network(load_config(CONFIGS / config, overrides))


def test_a_missing_library_is_named(monkeypatch):
    import mito_instance.detection.architectures as architectures

    monkeypatch.setattr(architectures, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install monai"):
        architectures.register("SemanticNet3d")
    architectures.register("MitoMaskRCNN")


def test_pixels_beyond_the_image_do_not_count_in_2d(monkeypatch):
    network = build_network(load_config(CONFIGS / "unet2d.yaml", TINY_2D)).train()
    monkeypatch.setattr(network, "losses", lambda grey, target, valid: valid)
    inside = torch.ones(30, 40, dtype=torch.bool)
    inside[:, :5] = False
    example = {"image": torch.zeros(3, 30, 40), "instances": ()}
    valid = network([example | {"valid": inside}, example])
    assert valid.shape == (2, 1, 32, 64)
    assert torch.equal(valid[0, 0, :30, :40], inside)
    assert [int(counts) for counts in valid.sum(dim=(1, 2, 3))] == [30 * 35, 30 * 40]


def test_all_pixels_count_until_the_learning_rate_has_risen():
    words = [*TINY_2D, "MITO.SEMANTIC.HARD_PIXEL_FRACTION", "0.1", "SOLVER.WARMUP_ITERS", "10"]
    torch.manual_seed(0)
    network = build_network(load_config(CONFIGS / "unet2d.yaml", words)).eval()
    grey = torch.rand(1, 1, 64, 64) * 255
    target = (torch.rand(1, 1, 64, 64) > 0.5).float()
    valid = torch.ones_like(target, dtype=torch.bool)

    def entropy(step: int) -> float:
        with EventStorage(step), torch.no_grad():
            return float(network.losses(grey, target, valid)["loss_bce"])

    assert entropy(0) == entropy(9) < entropy(10) == entropy(500)
