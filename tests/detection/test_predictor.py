import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from detectron2.layers.mask_ops import paste_masks_in_image  # noqa: E402
from detectron2.structures import Boxes, Instances  # noqa: E402
from torch import nn  # noqa: E402

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.network_predictor import NetworkPredictor  # noqa: E402
from mito_instance.detection.predictor import (  # noqa: E402
    MaskRCNNPredictor,
    load_predictor,
    paste_mask,
    without_islands,
)
from mito_instance.detection.trainer import export_model  # noqa: E402
from mito_instance.errors import ConfigError, WeightsError  # noqa: E402
from mito_instance.masks import rle  # noqa: E402


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([10.3, 5.7, 40.2, 33.9], id="inside"),
        pytest.param([0.5, 0.2, 20.0, 15.5], id="near-the-corner"),
        pytest.param([50.0, 30.0, 63.9, 47.5], id="near-the-far-border"),
        pytest.param([4.2, 4.2, 5.9, 6.1], id="tiny"),
    ],
)
def test_pasting_equals_detectron2(box):
    soft = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0))
    expected = paste_masks_in_image(soft, torch.tensor([box]), (48, 64), threshold=0.5)[0].numpy()
    mask, x, y = paste_mask(soft[0].numpy(), np.array(box), (48, 64))
    ours = np.zeros((48, 64), dtype=bool)
    ours[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
    # At exactly half, the last bit of the arithmetic decides.
    assert (ours != expected).sum() <= 1


@pytest.mark.parametrize("box", [[-8.5, 0, 64, 33.9], [0, -3.2, 60.5, 48], [20, 10, 90, 80]])
def test_what_the_image_cuts_off_reaches_its_border(box):
    """Detectron2 fades there as well, as if the object ended at the border."""
    soft = np.full((28, 28), 0.6, np.float32)
    mask, x, y = paste_mask(soft, np.array(box), (48, 64))
    sides = [box[0] <= 0, box[1] <= 0, box[2] >= 64, box[3] >= 48]
    inner = mask[5:-5, 5:-5]
    assert inner.all()
    assert [
        mask[5:-5, 0].all(),
        mask[0, 5:-5].all(),
        mask[5:-5, -1].all(),
        mask[-1, 5:-5].all(),
    ] == sides
    assert (x, y) == (max(0, int(box[0])), max(0, int(box[1])))


def test_a_box_outside_the_image_is_empty():
    mask, _, _ = paste_mask(np.ones((4, 4), np.float32), np.array([70.0, 5, 80, 9]), (48, 64))
    assert mask.size == 0


@pytest.fixture
def model_folder(light_config, tiny_overrides, tmp_path):
    torch.manual_seed(0)
    # An untrained map calls everything background: with a share in the masks none would be left.
    words = ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.0", "MITO.FOREGROUND.MASK_WEIGHT", "0.0"]
    words += ["MITO.FOREGROUND.OUTLINE_LIMITS", "()"]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    export_model(cfg, build_network(cfg), tmp_path / "model", score_threshold=0.35)
    return tmp_path / "model"


def test_a_model_folder_is_all_that_prediction_needs(model_folder):
    predictor = load_predictor(model_folder)
    assert predictor.score_threshold == 0.35
    page = np.random.default_rng(0).integers(0, 4000, (100, 130)).astype(np.uint16)
    tile = predictor.prepare(page)
    assert tile.dtype == np.uint8
    (found,) = predictor.predict([tile])
    assert found.image_hw == (100, 130)
    assert len(found)
    assert (np.diff(found.scores) <= 0).all()


def test_the_model_in_the_package_knows_sizes_and_one_s_own_does_not(model_folder):
    assert load_predictor().familiar_px == (28.0, 90.0)
    assert load_predictor(model_folder).familiar_px == ()


def test_which_device_of_a_kind_it_was_changes_no_hash(light_config):
    config = load_config(light_config, ["MODEL.DEVICE", "cpu", "MITO.PRECISION", "fp32"])
    records = []
    for device in ("cpu", "cpu:0"):
        config.defrost()
        config.MODEL.DEVICE = device
        records.append(NetworkPredictor(config, nn.Identity()).record())
    assert records[0] | {"device": "cpu:0"} == records[1]
    config.MITO.MIN_AREA_PX += 1
    assert (
        NetworkPredictor(config, nn.Identity()).record()["config_sha256"]
        != records[0]["config_sha256"]
    )


def test_tiles_of_different_sizes_give_a_result_each(model_folder):
    tiles = [np.zeros((70, 64), np.uint8), np.full((64, 90), 200, np.uint8)]
    found = load_predictor(model_folder).predict(tiles)
    assert [instances.image_hw for instances in found] == [(70, 64), (64, 90)]


def test_no_tiles_give_no_results(model_folder):
    assert load_predictor(model_folder).predict([]) == []


def test_weights_of_another_config_are_refused(model_folder, light_config):
    with pytest.raises(WeightsError, match="have another shape"):
        load_predictor(model_folder / "model.safetensors", light_config)


def test_weights_without_a_config_are_refused(model_folder, tmp_path):
    lonely = tmp_path / "lonely.safetensors"
    lonely.write_bytes((model_folder / "model.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="no config for these weights; pass --config-file"):
        load_predictor(lonely)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"absent.pth: weights not found"):
        load_predictor(tmp_path / "absent.pth")


def test_a_config_without_weights_is_refused(light_config):
    with pytest.raises(WeightsError, match="a config without weights"):
        load_predictor(None, light_config)


def test_prediction_leaves_the_training_mode_as_it_was(light_config, tiny_overrides):
    cfg = load_config(light_config, tiny_overrides)
    network = build_network(cfg).train()
    MaskRCNNPredictor(cfg, network).predict([np.zeros((64, 64), np.uint8)])
    assert network.training


def test_a_least_score_changes_nothing_but_what_is_left_out(model_folder):
    predictor = load_predictor(model_folder)
    tile = np.random.default_rng(1).integers(0, 256, (96, 96), dtype=np.uint8)
    (all_found,) = predictor.predict([tile])
    middle = float(np.float32(np.median(all_found.scores)))
    (found,) = predictor.predict([tile], middle)
    expected = all_found.select(all_found.scores >= middle)
    assert found.masks == expected.masks
    assert 0 < len(found) < len(all_found)


@pytest.mark.parametrize(
    ("limits", "score", "last_column"),
    [
        pytest.param("(0.4, 0.6)", 0.8, 75, id="corrected"),
        pytest.param("(0.4, 0.6)", 0.1, 39, id="does-not-count"),
        pytest.param("()", 0.8, 39, id="as-it-is"),
    ],
)
def test_the_map_completes_what_counts(
    light_config, tiny_overrides, monkeypatch, limits, score, last_column
):
    words = ["MITO.FOREGROUND.OUTLINE_LIMITS", limits, "MITO.SCORE_THRESHOLD", "0.5"]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    predictor = MaskRCNNPredictor(cfg, build_network(cfg))
    one = Instances((64, 96))
    one.pred_boxes = Boxes(torch.tensor([[8.0, 16.0, 40.0, 48.0]]))
    one.scores = torch.tensor([score])
    one.pred_classes = torch.tensor([0])
    one.pred_masks = torch.ones(1, 1, 28, 28)
    probability = torch.zeros(1, 1, 16, 24)
    probability[..., 4:12, 2:19] = 0.9  # columns 8 to 75
    monkeypatch.setattr(predictor.network, "detect", lambda _: ([one], probability))
    (found,) = predictor.predict([np.zeros((64, 96), np.uint8)])
    x, y, width, height = rle.box_xywh(found.masks[0])
    assert abs(x - 8) <= 2
    assert abs(y - 16) <= 2
    assert abs(y + height - 48) <= 2
    assert abs(x + width - 1 - last_column) <= 4


def test_what_counts_keeps_its_pixels_where_more_is_asked_for(
    light_config, tiny_overrides, monkeypatch
):
    words = ["MITO.FOREGROUND.OUTLINE_LIMITS", "(0.4, 0.6)", "MITO.SCORE_THRESHOLD", "0.5"]
    cfg = load_config(light_config, [*tiny_overrides, *words])
    predictor = MaskRCNNPredictor(cfg, build_network(cfg))
    two = Instances((64, 96))
    two.pred_boxes = Boxes(torch.tensor([[8.0, 16, 40, 48], [48.0, 16, 76, 48]]))
    two.scores = torch.tensor([0.9, 0.6])
    two.pred_classes = torch.tensor([0, 0])
    two.pred_masks = torch.ones(2, 1, 28, 28)
    probability = torch.zeros(1, 1, 16, 24)
    probability[..., 4:12, 2:19] = 0.9
    monkeypatch.setattr(predictor.network, "detect", lambda _: ([two], probability))
    tile = np.zeros((64, 96), np.uint8)
    (both,) = predictor.predict([tile], 0.5)
    (one,) = predictor.predict([tile], 0.8)
    assert len(both) == 2
    assert one.masks == both.masks[:1]


def test_every_tile_with_more_than_is_kept_is_said(model_folder, caplog):
    tile = np.random.default_rng(1).integers(0, 256, (96, 128), dtype=np.uint8)
    for most, n_said in ((1000, 0), (3, 1), (3, 2)):
        words = ["TEST.DETECTIONS_PER_IMAGE", str(most)]
        load_predictor(model_folder, overrides=words).predict([tile])
        assert caplog.text.count("a tile of 128 x 96 px has 3 detections, as many") == n_said


def test_islands_in_neighbours_are_left_out():
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:12, 2:12] = True
    mask[14:17, 20:23] = True
    cleaned = without_islands(mask, 50, 60, (100, 100))
    assert cleaned[2:12, 2:12].all()
    assert cleaned.sum() == 100


@pytest.mark.parametrize("corner", [(0, 60), (50, 0), (70, 60), (50, 80)])
def test_parts_at_the_edge_of_a_tile_stay(corner):
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 8:18] = True
    mask[0:3, 0] = mask[19, 27:30] = True  # either pair of edges
    cleaned = without_islands(mask, *corner, (100, 100))
    assert cleaned[5:15, 8:18].all()
    assert 100 < cleaned.sum() < 106


def test_large_parts_and_single_ones_stay():
    mask = np.zeros((10, 30), dtype=bool)
    assert without_islands(mask, 5, 5, (50, 50)) is mask
    mask[1:9, 1:10] = True
    assert without_islands(mask, 5, 5, (50, 50)) is mask
    mask[1:9, 20:26] = True
    assert (without_islands(mask, 5, 5, (50, 50)) == mask).all()
