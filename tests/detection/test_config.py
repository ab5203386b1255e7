import pytest

pytest.importorskip("detectron2")

from mito_instance.detection import config_ranges
from mito_instance.detection.config import load_config
from mito_instance.detection.config_ranges import (
    check_training,
    warn_of_frozen_noise,
    warn_of_idle_keys,
)
from mito_instance.detection.precision import Precision, choose_device
from mito_instance.detection.trainer import Trainer
from mito_instance.errors import ConfigError
from mito_instance.inference import tiling

RECIPES = [
    "mask_rcnn_light.yaml",
    "mask_rcnn_R_50_FPN.yaml",
    "mask_rcnn_R_50_FPN_tem.yaml",
    "mask_rcnn_R_101_FPN.yaml",
    "mask_rcnn_cascade_R_50_FPN.yaml",
]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_keeps_empty_images_rle_masks_and_all_detections(light_config, name):
    cfg = load_config(light_config.with_name(name))
    assert cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS is False
    assert cfg.INPUT.MASK_FORMAT == "bitmask"
    assert cfg.TEST.DETECTIONS_PER_IMAGE >= 1000
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 1
    assert cfg.MODEL.DEVICE != "auto"


def test_every_recipe_is_known_here(light_config):
    assert sorted(path.name for path in light_config.parent.glob("mask_rcnn*.yaml")) == sorted(
        RECIPES
    )


@pytest.mark.parametrize("name", RECIPES[1:])
def test_weights_of_the_zoo_are_those_of_detectron2s_own_recipe(light_config, name):
    """The address in a recipe is the one that Detectron2 knows for the architecture."""
    from detectron2.model_zoo.model_zoo import _ModelZooUrls

    weights = load_config(light_config.with_name(name)).MODEL.WEIGHTS
    path = weights.removeprefix("detectron2://")
    known = {f"{key}/{value}" for key, value in _ModelZooUrls.CONFIG_PATH_TO_URL_SUFFIX.items()}
    assert path in known


def test_the_recipe_for_tem_shrinks_its_images_to_a_quarter(light_config):
    cfg = load_config(light_config.with_name("mask_rcnn_R_50_FPN_tem.yaml"))
    assert 1.25 / cfg.MITO.PIXEL_SIZE_NM == 0.25
    assert cfg.MITO.AUGMENT.ORIENTATIONS
    assert not cfg.MITO.AUGMENT.QUARTER_TURNS
    assert cfg.MITO.TILE_PX < 1216


def test_overrides_win(light_config):
    assert load_config(light_config, ["SOLVER.MAX_ITER", "7"]).SOLVER.MAX_ITER == 7


def test_a_whole_number_will_do_for_a_float(tmp_path, light_config):
    cfg = load_config(light_config, ["MITO.PIXEL_SIZE_NM", "10", "SOLVER.BASE_LR", "1"])
    assert (cfg.MITO.PIXEL_SIZE_NM, cfg.SOLVER.BASE_LR) == (10.0, 1.0)
    path = tmp_path / "whole.yaml"
    path.write_text("MITO:\n  PIXEL_SIZE_NM: 10\nSOLVER:\n  MAX_ITER: 7\n")
    cfg = load_config(path)
    assert type(cfg.MITO.PIXEL_SIZE_NM) is float
    assert type(cfg.SOLVER.MAX_ITER) is int
    with pytest.raises(ConfigError, match=r"PIXEL_SIZE_NM|Type"):
        load_config(light_config, ["MITO.PIXEL_SIZE_NM", "ten"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("MODEL:\n  NO_SUCH_KEY: 1\n", "MODEL.NO_SUCH_KEY", id="unknown-key"),
        pytest.param("SOLVER:\n  MAX_ITER: many\n", "MAX_ITER", id="wrong-type"),
        pytest.param("a: [1\n", "not a YAML config", id="no-yaml"),
        pytest.param("just text\n", "bad.yaml", id="no-mapping"),
        pytest.param("_BASE_: absent.yaml\n", "absent.yaml", id="missing-base"),
        pytest.param("_BASE_: bad.yaml\n", "leads back to its own file", id="its-own-base"),
        pytest.param("_BASE_: /dev/zero\n", "must be a file on this machine", id="device-as-base"),
        pytest.param(
            "_BASE_: http://127.0.0.1:9/a.yaml\n", "must be a file on this machine", id="web-base"
        ),
        pytest.param("a: " + "[" * 2000 + "]" * 2000, "nested too deeply", id="deep"),
        pytest.param("MODEL: &m\n  X: *m\n", "nested too deeply", id="holds-itself"),
        pytest.param(
            "a0: &a0 {x: 1, y: 2}\n"
            + "".join(f"a{i}: &a{i} {{x: *a{i - 1}, y: *a{i - 1}}}\n" for i in range(1, 60)),
            "must have <= 100000 values",
            id="many-aliases",
        ),
        pytest.param("# " + "x" * 1024**2, "must be <= 1048576 bytes, .* has 1048578", id="large"),
        pytest.param(
            "x: !!python/object/apply:os.system ['true']\n", "not a YAML config", id="runs-code"
        ),
    ],
)
def test_a_bad_config_is_one_line(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(["NO.SUCH", "1"], "NO.SUCH", id="unknown-key"),
        pytest.param(["SOLVER.BASE_LR.x", "1"], r"override SOLVER.BASE_LR.x 1: ", id="below"),
        pytest.param(["MITO.TILE_PX", "32"], "MITO.TILE_PX: .*64", id="small-tiles"),
        pytest.param(["MITO.TILE_OVERLAP_PX", "0"], "MITO.TILE_OVERLAP_PX: .*8", id="no-overlap"),
        *(
            pytest.param(["MITO.FOREGROUND.OUTLINE_LIMITS", limits], "two ascending", id=limits)
            for limits in ("(0.5,)", "(0.6, 0.4)", "(0.4, 1.1)", "(-0.1, 0.5)", "('a', 0.5)")
        ),
        pytest.param(["SOLVER.MAX_ITER"], "KEY VALUE pairs, got 1 words", id="odd"),
        pytest.param(["SOLVER.MAX_ITER", "soon"], "MAX_ITER|Type", id="wrong-type"),
        pytest.param(["DATASETS.TRAIN", "[" * 9000], "DATASETS.TRAIN|nested", id="deep"),
        pytest.param(["DATASETS.TRAIN", "1+" * 9000 + "1"], "DATASETS.TRAIN|nested", id="sum"),
    ],
)
def test_a_bad_override_is_one_line(light_config, overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config(light_config, overrides)


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml: config file not found"):
        load_config(tmp_path / "none.yaml")


def test_a_base_is_inherited(tmp_path, light_config):
    path = tmp_path / "mine.yaml"
    path.write_text(f"_BASE_: {light_config}\nSOLVER:\n  MAX_ITER: 12\n")
    cfg = load_config(path)
    assert cfg.SOLVER.MAX_ITER == 12
    assert cfg.MODEL.FPN.OUT_CHANNELS == 96


@pytest.mark.parametrize(
    ("precision", "message"), [("fp16", "fp16 needs a GPU"), ("int3", "one of auto, fp32")]
)
def test_an_impossible_precision_is_refused(precision, message):
    with pytest.raises(ConfigError, match=message):
        Precision.choose(precision, "cpu")


@pytest.mark.parametrize(
    ("hip", "capability", "expected"),
    [
        (None, (7, 5), "fp16"),
        (None, (8, 0), "bf16"),
        (None, (12, 0), "bf16"),
        ("6", None, "bf16"),
    ],
)
def test_auto_takes_bf16_where_a_gpu_has_it_in_hardware(monkeypatch, hip, capability, expected):
    import torch

    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # counts emulation
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    assert Precision.choose("auto", "cuda").name == expected


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(ConfigError, match="sees no GPU"):
        choose_device("cuda:0")


def test_a_gpu_of_too_high_a_number_is_refused(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (8, 6))
    assert [choose_device(name) for name in ("cuda", "cuda:1", "cpu")] == ["cuda", "cuda:1", "cpu"]
    with pytest.raises(ConfigError, match=r"'cuda:2' asked for, but torch sees 2 GPUs"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("built", "capability", "is_supported"),
    [
        pytest.param(["sm_75", "sm_80"], (7, 0), False, id="too-old"),
        pytest.param(["sm_75", "sm_80"], (8, 6), True, id="later-minor"),
        pytest.param(["sm_80", "sm_86"], (9, 0), False, id="later-major"),
        pytest.param(["sm_80", "compute_80"], (9, 0), True, id="compiled-later"),
        pytest.param(["sm_90a"], (9, 0), True, id="of-one-kind"),
        pytest.param(["sm_120"], (12, 0), True, id="two-digits"),
        pytest.param([], (7, 0), True, id="unknown"),
    ],
)
def test_a_gpu_that_this_torch_was_not_built_for_is_not_taken(
    monkeypatch, caplog, built, capability, is_supported
):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_device("auto") == ("cuda" if is_supported else "cpu")
    assert ("the GPU is not used" in caplog.text) != is_supported
    if is_supported:
        assert choose_device("cuda") == "cuda"
    else:
        with pytest.raises(ConfigError, match="holds nothing for this GPU"):
            choose_device("cuda")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SOLVER: &a {MAX_ITER: 1}\nMITO: {<<: [*a, *a]}\n", "merge keys"),
        ("SOLVER: &a {MAX_ITER: 1}\nMITO: {!!merge x: [*a, *a]}\n", "merge keys"),
        ("_BASE_: " + str([f"{n}.yaml" for n in range(60)]) + "\n", "must be <= 50 files"),
        ("_BASE_: [[a.yaml, b.yaml]]\n", "_BASE_ must name files, got list"),
        ("MITO: {TILE_PX: -" + "1" * 310 + "}\n", "a number of more than 20 digits"),
    ],
    ids=["merge-keys", "merge-tag", "many-bases", "list-of-bases", "huge-number"],
)
def test_configs_that_stand_for_more_than_they_hold_are_one_line(tmp_path, text, message):
    for number in range(60):
        (tmp_path / f"{number}.yaml").write_text("SOLVER: {MAX_ITER: 7}\n")
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert len(str(caught.value)) < 300


def test_bases_of_bases_are_counted_once_a_use(tmp_path):
    (tmp_path / "0.yaml").write_text("SOLVER: {MAX_ITER: 7}\n")
    for number in range(1, 9):
        before = f"{number - 1}.yaml"
        (tmp_path / f"{number}.yaml").write_text(f"_BASE_: [{before}, {before}, {before}]\n")
    assert load_config(tmp_path / "3.yaml").SOLVER.MAX_ITER == 7
    with pytest.raises(ConfigError, match="must be <= 50 files"):
        load_config(tmp_path / "8.yaml")


def test_a_config_of_ones_own_loses_no_instance_to_a_cap(tmp_path, light_config):
    path = tmp_path / "mine.yaml"
    path.write_text("SOLVER:\n  MAX_ITER: 7\n")
    mine, ours = load_config(path), load_config(light_config)
    assert mine.TEST.DETECTIONS_PER_IMAGE == ours.TEST.DETECTIONS_PER_IMAGE
    for key in ("PRE_NMS_TOPK_TEST", "POST_NMS_TOPK_TEST"):
        assert mine.MODEL.RPN[key] == ours.MODEL.RPN[key]


@pytest.mark.parametrize("name", RECIPES)
def test_no_recipe_sets_a_key_in_vain(light_config, name, caplog):
    warn_of_idle_keys(load_config(light_config.with_name(name)), has_validation=False)
    assert not caplog.text


@pytest.mark.parametrize(("frozen", "weights"), [(2, ""), (0, ""), (2, "some.pth")])
def test_random_layers_that_stay_so_are_said(light_config, caplog, frozen, weights):
    words = ["MODEL.BACKBONE.FREEZE_AT", str(frozen), "MODEL.WEIGHTS", weights]
    warn_of_frozen_noise(load_config(light_config, words))
    assert ("FREEZE_AT 2, stay so; set it to 0" in caplog.text) == (frozen > 0 and not weights)


@pytest.mark.parametrize("key", ["USE_SIGMOID_CE", "USE_FED_LOSS"])
def test_the_hardest_boxes_are_those_of_the_softmax(light_config, key):
    words = [f"MODEL.ROI_BOX_HEAD.{key}", "True", "MITO.HARD_BOX_FRACTION"]
    check_training(load_config(light_config, [*words, "1.0"]))
    with pytest.raises(ConfigError, match="HARD_BOX_FRACTION: must be 1 with"):
        check_training(load_config(light_config, [*words, "0.5"]))


@pytest.mark.parametrize(
    ("words", "has_validation", "message"),
    [
        (["MITO.EARLY_STOPPING_PATIENCE", "3"], False, "EARLY_STOPPING_PATIENCE 3: ends no train"),
        (
            ["MITO.EARLY_STOPPING_PATIENCE", "3", "TEST.EVAL_PERIOD", "0"],
            True,
            "EARLY_STOPPING_PATIENCE 3: ends no train",
        ),
        (["MITO.EARLY_STOPPING_PATIENCE", "3"], True, ""),
        (
            ["SOLVER.AMP.ENABLED", "True", "TEST.PRECISE_BN.ENABLED", "True"],
            True,
            "not read here: SOLVER.AMP.ENABLED (instead: MITO.PRECISION), TEST.PRECISE_BN.ENABLED",
        ),
        (["INPUT.MIN_SIZE_TRAIN", "(1024,)"], True, "INPUT.MIN_SIZE_TRAIN (instead: MITO.PIXEL_"),
        (
            ["DATALOADER.FILTER_EMPTY_ANNOTATIONS", "True", "INPUT.MASK_FORMAT", "polygon"],
            True,
            "FILTER_EMPTY_ANNOTATIONS (instead: MITO.EMPTY_IMAGE_REPEATS 0), INPUT.MASK_FORMAT",
        ),
        (["MODEL.ROI_HEADS.NAME", "CascadeROIHeads"], True, "or MitoCascadeROIHeads"),
        (["MODEL.PROPOSAL_GENERATOR.NAME", "RPN"], True, "take MitoRPN"),
        (
            ["MITO.SEMANTIC.NEIGHBOUR_WEIGHT", "0.25"],
            True,
            "NEIGHBOUR_WEIGHT 0.25: only 2D semantic networks average over slices",
        ),
        (["MITO.FOREGROUND.ENABLED", "False"], True, "MITO.FOREGROUND.COARSE_SHARE, OUTLINE_LIM"),
    ],
)
def test_keys_that_do_nothing_are_said(light_config, caplog, words, has_validation, message):
    warn_of_idle_keys(load_config(light_config, words), has_validation=has_validation)
    assert message in caplog.text
    assert caplog.text.count("WARNING") == bool(message)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MITO.PIXEL_SIZE_NM", "0.005"),
        ("MITO.PIXEL_SIZE_NM", "-5"),
        ("MITO.CONTRAST_PERCENTILES", "(0.005, 0.995)"),
        ("MITO.CONTRAST_PERCENTILES", "(99.5, 0.5)"),
        ("MITO.CONTRAST_PERCENTILES", "(0.5,)"),
        ("MITO.FAMILIAR_PX", "(28,)"),
        ("MITO.FAMILIAR_PX", "(28, 40)"),
        ("MITO.FAMILIAR_PX", "(0, 40)"),
        ("MITO.FAMILIAR_PX", "(28, 'x')"),
        ("MITO.EMA_DECAY", "1"),
        ("MITO.EMA_DECAY", "-0.5"),
        ("MITO.EMA_DECAY", "99"),
        ("MITO.HARD_BOX_FRACTION", "17"),
        ("MITO.FOREGROUND.HARD_PIXEL_FRACTION", "0"),
        ("MITO.SEMANTIC.BCE_WEIGHT", "-1"),
        ("MITO.SCORE_THRESHOLD", "50"),
        ("MITO.MIN_OBJECTNESS", "-1"),
        ("SOLVER.MAX_ITER", "0"),
        ("SOLVER.BASE_LR", "0"),
        ("SOLVER.BASE_LR_END", "0.5"),
        ("SOLVER.IMS_PER_BATCH", "-2"),
        ("SOLVER.WARMUP_METHOD", "slow"),
        ("DATALOADER.NUM_WORKERS", "100000"),
        ("DATASETS.TRAIN", "(5,)"),
        ("MITO.DATASET_REPEATS", "('a',)"),
        ("MITO.AUGMENT.LOOKALIKES", "(None,)"),
        ("SOLVER.LR_SCHEDULER_NAME", "Cosine"),
        ("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model"),
        ("MODEL.DEVICE", "gpu"),
        ("SEED", "5"),
    ],
)
def test_a_value_out_of_range_is_one_line(light_config, key, value):
    with pytest.raises(ConfigError, match=f"^{key}") as caught:
        check_training(load_config(light_config, [key, value]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "steps", ["(2000, 3000)", "(2000, 1000)", "(1000, 1000)", "(0, 10)", "('a',)"]
)
def test_steps_that_no_schedule_can_have_are_one_line(light_config, steps):
    words = ["SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.MAX_ITER", "3000"]
    check_training(load_config(light_config, [*words, "SOLVER.STEPS", "(1000, 4000)"]))
    with pytest.raises(ConfigError, match=r"^SOLVER\.STEPS: must be rising steps above 0"):
        check_training(load_config(light_config, [*words, "SOLVER.STEPS", steps]))


def test_crops_for_another_number_of_gpus_are_one_line(light_config):
    words = ["SOLVER.IMS_PER_BATCH", "4", "SOLVER.REFERENCE_WORLD_SIZE"]
    check_training(load_config(light_config, [*words, "2"]))
    with pytest.raises(ConfigError, match=r"^SOLVER\.REFERENCE_WORLD_SIZE: must be 0, or divide"):
        check_training(load_config(light_config, [*words, "8"]))


def test_rates_are_checked_as_this_number_of_gpus_has_them(light_config):
    words = ["SOLVER.BASE_LR", "0.02", "SOLVER.BASE_LR_END", "0.005", "MODEL.DEVICE", "cpu"]
    words += ["SOLVER.IMS_PER_BATCH", "16", "SOLVER.REFERENCE_WORLD_SIZE", "8"]
    with pytest.raises(ConfigError, match=r"at most SOLVER\.BASE_LR \(0\.0025\), got 0\.005"):
        Trainer(load_config(light_config, words), None, 0)


def test_a_schedule_whose_last_step_fails_is_refused(light_config):
    words = ["SOLVER.LR_SCHEDULER_NAME", "WarmupStepWithFixedGammaLR"]
    with pytest.raises(ConfigError, match=r"^SOLVER\.LR_SCHEDULER_NAME: must be one of"):
        check_training(load_config(light_config, words))


@pytest.mark.parametrize("name", ["unet2d", "unet3d"])
def test_a_semantic_network_learns_one_class(light_config, name):
    """It would learn and count all of them as mitochondria."""
    config = light_config.with_name("semantic") / f"{name}.yaml"
    with pytest.raises(ConfigError, match=r"^MODEL\.ROI_HEADS\.NUM_CLASSES: must be 1, got 2"):
        check_training(load_config(config, ["MODEL.ROI_HEADS.NUM_CLASSES", "2"]))


def test_a_semantic_network_needs_a_loss(light_config):
    words = ["MITO.SEMANTIC.BCE_WEIGHT", "0", "MITO.SEMANTIC.DICE_WEIGHT", "0"]
    cfg = load_config(light_config.parent / "semantic" / "unet3d.yaml", words)
    with pytest.raises(ConfigError, match=r"one must be above 0, got 0 and 0"):
        check_training(cfg)


def test_a_3d_network_pastes_nothing_and_says_so(light_config):
    config = light_config.with_name("semantic") / "unet3d.yaml"
    with pytest.raises(ConfigError, match="COPY_PASTE_MAX: nothing is pasted into the patches"):
        check_training(load_config(config, ["MITO.AUGMENT.COPY_PASTE_MAX", "4"]))


def test_a_model_predicts_whatever_its_training_was(light_config):
    """Keys that trainings alone read do not keep an older model from being used."""
    words = ["SEED", "42", "MITO.EMA_DECAY", "1", "SOLVER.MAX_ITER", "0"]
    assert load_config(light_config, words).SEED == 42


@pytest.mark.parametrize("name", ["2026_07_28", "7", "1e3", "it's", "[a]", "None", "a b", '"', ""])
def test_a_path_is_taken_as_it_stands(light_config, name):
    cfg = load_config(light_config, ["OUTPUT_DIR", name, "MODEL.WEIGHTS", name])
    assert (name, name) == (cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS)


def test_a_quoted_path_loses_its_quotes(light_config):
    cfg = load_config(light_config, ["OUTPUT_DIR", "'7'", "MODEL.WEIGHTS", '""'])
    assert (cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS) == ("7", "")


def test_tiles_of_a_config_are_those_that_prediction_takes():
    least = (config_ranges.LEAST_TILE_PX, config_ranges.LEAST_OVERLAP_PX)
    assert least == (tiling.MIN_TILE_PX, tiling.MIN_OVERLAP_PX)
