import io
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("detectron2")

from safetensors.torch import load_file, save_file  # noqa: E402 (after the check)

from mito_instance.detection.config import load_config  # noqa: E402
from mito_instance.detection.model import build_network  # noqa: E402
from mito_instance.detection.torchvision_layout import torchvision_to_detectron2  # noqa: E402
from mito_instance.detection.weights import (  # noqa: E402
    SafeCheckpointer,
    load_for_prediction,
    read_weights_file,
    save_model,
)
from mito_instance.errors import WeightsError  # noqa: E402


class Exploit:
    """Its pickle makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def small_network():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": Exploit(tmp_path / "it-ran")}))
    with pytest.raises(WeightsError, match=r"model.pkl: not a weights file that is safe to load"):
        read_weights_file(path)
    assert not (tmp_path / "it-ran").exists()
    pickle.loads(path.read_bytes())  # where nothing restricts it, it does
    assert (tmp_path / "it-ran").exists()


def test_a_torch_file_that_runs_code_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    torch.save({"model": Exploit(tmp_path / "it-ran")}, path)
    with pytest.raises(WeightsError, match="safe to load"):
        read_weights_file(path)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("name", ["noise.pkl", "noise.pth", "noise.safetensors"])
def test_noise_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(500))
    with pytest.raises(WeightsError, match=name) as caught:
        read_weights_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_to_pass(tmp_path):
    with pytest.raises(WeightsError, match=r"absent.pth: weights file not found; pass"):
        read_weights_file(tmp_path / "absent.pth")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_of_arrays_in_the_zoo_layout_is_read(tmp_path, protocol):
    path = tmp_path / "zoo.pkl"
    content = {"model": {"a.weight": np.arange(6.0).reshape(2, 3)}, "__author__": "someone"}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    loaded = read_weights_file(path)
    assert loaded["__author__"] == "someone"
    np.testing.assert_array_equal(loaded["model"]["a.weight"], content["model"]["a.weight"])


def test_a_pickled_state_dict_of_tensors_is_read(tmp_path):
    path = tmp_path / "resnet.pkl"
    weights = {"conv1.weight": torch.ones(2, 3), "layer1.0.conv1.weight": torch.zeros(2)}
    path.write_bytes(pickle.dumps(weights))
    loaded = read_weights_file(path)
    assert loaded["matching_heuristics"] is True
    assert set(loaded["model"]) == {"stem.conv1.weight", "res2.0.conv1.weight"}


def test_an_unknown_codec_is_refused(tmp_path):
    path = tmp_path / "codec.pkl"
    path.write_bytes(b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.")
    with pytest.raises(WeightsError, match="codec 'zlib' is not allowed"):
        read_weights_file(path)


@pytest.mark.parametrize(
    ("torchvision", "detectron2"),
    [
        ("conv1.weight", "stem.conv1.weight"),
        ("bn1.running_var", "stem.conv1.norm.running_var"),
        ("layer1.0.bn2.bias", "res2.0.conv2.norm.bias"),
        ("layer4.1.conv1.weight", "res5.1.conv1.weight"),
        ("layer3.0.downsample.0.weight", "res4.0.shortcut.weight"),
        ("layer3.0.downsample.1.running_mean", "res4.0.shortcut.norm.running_mean"),
    ],
)
def test_torchvision_names(torchvision, detectron2):
    assert list(torchvision_to_detectron2({torchvision: 1})) == [detectron2]


def test_the_classifier_is_left_out():
    assert torchvision_to_detectron2({"fc.weight": 1, "bn1.num_batches_tracked": 2}) == {}


def test_saved_matrices_are_half_and_vectors_full_precision(tmp_path):
    network = small_network()
    save_model(network, tmp_path / "m.safetensors")
    stored = load_file(str(tmp_path / "m.safetensors"))
    assert stored["0.weight"].dtype == torch.float16
    assert stored["1.running_var"].dtype == torch.float32
    other = small_network()
    load_for_prediction(other, tmp_path / "m.safetensors")
    torch.testing.assert_close(other[0].weight, network[0].weight, atol=1e-3, rtol=1e-3)


def test_a_path_with_a_question_mark_is_refused(tmp_path):
    path = tmp_path / "lr0.01?" / "model.safetensors"
    path.parent.mkdir()
    save_model(small_network(), path)
    with pytest.raises(WeightsError, match=r"paths with a \? cannot be loaded; rename the folder"):
        SafeCheckpointer(small_network()).load(str(path))


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(small_network(), tmp_path / "m.safetensors")
    with pytest.raises(WeightsError, match=r"1 of 2 tensors are missing and 1 have another shape"):
        load_for_prediction(
            torch.nn.ModuleDict(
                {
                    "0": torch.nn.Conv2d(1, 5, 3, bias=False),
                    "9": torch.nn.Conv2d(1, 1, 1, bias=False),
                }
            ),
            tmp_path / "m.safetensors",
        )


def test_legacy_pickle_bytes_in_latin1(tmp_path):
    buffer = io.BytesIO()
    pickle.dump({"model": {"x": np.float64(2.5)}, "__author__": "a"}, buffer, protocol=2)
    path = tmp_path / "old.pkl"
    path.write_bytes(buffer.getvalue())
    assert read_weights_file(path)["model"]["x"] == 2.5


def test_what_torch_saved_may_be_called_a_pickle(tmp_path):
    path = tmp_path / "w.pkl"
    torch.save({"a.weight": torch.ones(2)}, path)
    assert list(read_weights_file(path)["model"]) == ["a.weight"]
    torch.save({"model": Exploit(tmp_path / "it-ran")}, path)
    with pytest.raises(WeightsError, match="safe to load"):
        read_weights_file(path)
    assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("wrapped", [{}, {"model": None}, {"state_dict": None}])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_torchvisions_layout_is_told_in_every_kind_of_file(tmp_path, suffix, wrapped):
    weights = {"conv1.weight": torch.ones(2), "layer1.0.conv1.weight": torch.ones(3)}
    path = tmp_path / f"r18{suffix}"
    if suffix == ".safetensors":
        save_file(weights, str(path))
    else:
        torch.save(dict.fromkeys(wrapped, weights) or weights, path)
    content = read_weights_file(path)
    assert sorted(content["model"]) == ["res2.0.conv1.weight", "stem.conv1.weight"]
    assert content["matching_heuristics"]


@pytest.mark.parametrize(
    "content", [{"epoch": 3, "net": {}}, {"model": 3}, {"model": {"a": {}}}, {"blobs": [1]}]
)
def test_other_things_than_named_arrays_are_one_line(tmp_path, content):
    path = tmp_path / "w.pth"
    torch.save(content, path)
    with pytest.raises(WeightsError, match=r"w.pth: .*not (an array|named weights)"):
        read_weights_file(path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_weights_of_something_else_are_refused_although_frozen_norms_make_up_their_own(
    tmp_path, light_config, tiny_overrides, name
):
    path = tmp_path / name
    foreign = {"encoder.layer.0.weight": torch.zeros(3, 3)}
    if name.endswith("safetensors"):
        save_file(foreign, str(path))
    else:
        torch.save({"model": foreign}, path)
    network = build_network(load_config(light_config, tiny_overrides))
    with pytest.raises(WeightsError, match=r"none of its \d+ tensors is in the file"):
        SafeCheckpointer(network).load(str(path))


def test_the_package_carries_one_model(light_config, tiny_overrides):
    network = build_network(load_config(light_config, tiny_overrides))
    with pytest.raises(WeightsError, match=r"shipped://big: .* there is shipped://mask_rcnn_light"):
        SafeCheckpointer(network).load("shipped://big")


def test_names_are_matched_by_their_ends_where_that_is_asked_for(tmp_path):
    path = tmp_path / "w.pth"
    given = small_network()[:1].state_dict()
    torch.save({"model": given}, path)
    network = torch.nn.ModuleDict({"backbone": small_network()[:1]})
    SafeCheckpointer(network).load(f"{path}?matching_heuristics=True")
    loaded = network["backbone"].state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in given.items())
    for words in ("", "?matching_heuristics=False"):
        with pytest.raises(WeightsError, match="is in the file"):
            SafeCheckpointer(network).load(f"{path}{words}")
    with pytest.raises(WeightsError, match=r"w.pth\?a=1: nothing but \?matching_heuristics=True"):
        SafeCheckpointer(network).load(f"{path}?a=1")
