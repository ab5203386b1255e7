"""Weights in and out without running a stranger's code: safetensors, ``.pth`` and ``.pkl``."""

from __future__ import annotations

import errno
import logging
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import torch
from detectron2.checkpoint import DetectionCheckpointer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mito_instance.detection.safe_pickle import check_tuples, load_pickle
from mito_instance.detection.torchvision_layout import (
    TORCHVISION,
    check_network_input,
    torchvision_to_detectron2,
)
from mito_instance.detection.weight_matching import describe_matching
from mito_instance.errors import WeightsError

logger = logging.getLogger(__name__)

SHIPPED_PREFIX = "shipped://"
SHIPPED_MODEL = "mask_rcnn_light"
WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.yaml"


def shipped_model() -> Path:
    """Folder of the model that the package carries.

    Raises:
        WeightsError: if the installation is incomplete.
    """
    folder = Path(str(resources.files("mito_instance"))) / "models" / SHIPPED_MODEL
    if not (folder / WEIGHTS_NAME).is_file():
        raise WeightsError(
            f"{folder / WEIGHTS_NAME}: the model that ships with the package is missing; "
            "reinstall mito-instance or pass --weights"
        )
    return folder


def resolve_weights(weights: str) -> Path:
    """Local path of ``MODEL.WEIGHTS``: a file, a model folder or ``shipped://NAME``.

    Raises:
        WeightsError: if none is named, or the package carries none of that name.
    """
    if not weights:
        raise WeightsError("MODEL.WEIGHTS: empty; name the weights to use")
    if weights == SHIPPED_PREFIX + SHIPPED_MODEL:
        return shipped_model() / WEIGHTS_NAME
    if weights.startswith(SHIPPED_PREFIX):
        raise WeightsError(
            f"{weights}: the package carries no such model; "
            f"there is {SHIPPED_PREFIX}{SHIPPED_MODEL}"
        )
    path = Path(weights)
    return path / WEIGHTS_NAME if path.is_dir() else path


def read_weights_file(path: Path) -> dict[str, Any]:
    """Content of a weights file, by its suffix.

    Args:
        path: ``.safetensors``, ``.pkl`` (Detectron2's zoo, Caffe2 or a pickled state dict) or
            anything else that ``torch.load(weights_only=True)`` reads.

    Returns:
        ``{"model": name → tensor or array, …}`` as Detectron2's checkpointer expects it.

    Raises:
        WeightsError: if the file is missing, damaged, or would run code.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path}: weights file not found; pass --weights or MODEL.WEIGHTS with a "
            ".safetensors, .pth or .pkl file"
        )
    try:
        content = _content(path)
    except Exception as error:  # a hostile file can raise anything inside the parsers
        raise WeightsError(
            f"{path}: not a weights file that is safe to load ({first_line(error)}); "
            "use .safetensors, or a .pth or .pkl that holds nothing but tensors"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not named weights")
    content = dict(content)
    if "model" not in content and isinstance(content.get("state_dict"), Mapping):
        content = {"model": content["state_dict"]}  # as other trainers save it
    content = _interpret(content)
    _check_named(content["model"], path)
    return content


def _content(path: Path) -> Any:
    """What lies in a file, read without running code."""
    if path.suffix == ".safetensors":
        return {"model": dict(load_file(str(path)))}
    if path.suffix == ".pkl" and not zipfile.is_zipfile(path):  # torch.save writes a zip
        with path.open("rb") as file:
            return load_pickle(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of protocols; what fails is an error
        with path.open("rb") as file:
            check_tuples(file)
        return torch.load(path, map_location="cpu", weights_only=True)


def _interpret(content: dict[Any, Any]) -> dict[str, Any]:
    """Tell Detectron2's, Caffe2's and torchvision's layouts apart by their keys."""
    weights = content.get("model", content.get("blobs", content))
    if not isinstance(weights, Mapping):
        return {"model": weights}
    if "layer1.0.conv1.weight" in weights:
        return {
            "model": torchvision_to_detectron2(weights),
            "__author__": TORCHVISION,
            "matching_heuristics": True,
        }
    if "model" in content:
        return content
    names = [name for name in weights if not str(name).endswith("_momentum")]
    weights = {name: weights[name] for name in names}
    if any(str(name).startswith("backbone.") for name in names):
        return {"model": weights}
    return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}


def _check_named(weights: Any, path: Path) -> None:
    """Weights are arrays by name; a file of another layout holds other things at that place."""
    if not isinstance(weights, Mapping):
        raise WeightsError(f"{path}: holds a {type(weights).__name__} as model, not named weights")
    for name, value in weights.items():
        if not isinstance(name, str) or not hasattr(value, "shape"):
            raise WeightsError(
                f"{path}: {name!r} is a {type(value).__name__}, not an array; pass a file of named "
                "weights, alone or under the key 'model' or 'state_dict'"
            )


class SafeCheckpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with a reader that runs no code."""

    _source = ""
    _by_heuristics = False
    _given: frozenset[str] = frozenset()

    def load(self, path: str, *args: Any, **kwargs: Any) -> Any:
        """Load weights by path, zoo address or ``shipped://NAME``.

        ``?matching_heuristics=True`` behind them matches names by how they end, as Detectron2
        does. One line of the log says which layers start anew.

        Raises:
            WeightsError: if the file cannot be had, for example without a network, is of
                another architecture, or something else is asked for behind ``?``.
        """
        self._source = path
        self._by_heuristics = False
        if not path:
            return super().load(path, *args, **kwargs)
        local = self._local(path)
        if "?" in local:  # Detectron2 would cut the path off there
            raise WeightsError(f"{local}: paths with a ? cannot be loaded; rename the folder")
        return super().load(local, *args, **kwargs)

    def _local(self, path: str) -> str:
        """The file on this computer; that of an address is fetched if it is not there yet."""
        if path.startswith(SHIPPED_PREFIX) or Path(path).is_dir():
            found = resolve_weights(path)
            if not found.is_file():
                raise self._not_had(path, f"the folder holds no {WEIGHTS_NAME}")
            return str(found)
        if Path(path).is_file():
            return path
        bare, _, query = path.partition("?")
        if query:
            asked = parse_qs(query, keep_blank_values=True)
            self._by_heuristics = asked.pop("matching_heuristics", ["False"]) == ["True"]
            if asked:
                raise WeightsError(
                    f"{path}: nothing but ?matching_heuristics=True can be asked for behind the "
                    f"weights, got {query!r}; leave it out"
                )
        try:
            local = str(self.path_manager.get_local_path(bare))
        except (OSError, AssertionError, ValueError) as error:
            raise self._not_had(path, first_line(error)) from error
        if not Path(local).is_file():
            raise self._not_had(path, "no such file")
        return local

    @staticmethod
    def _not_had(path: str, reason: str) -> WeightsError:
        return WeightsError(
            f"{path}: cannot get these weights ({reason}); without a network, pass a local file as "
            "MODEL.WEIGHTS (or '' to start from random weights)"
        )

    def _load_model(self, checkpoint: dict[str, Any]) -> Any:
        adapt = getattr(self.model, "adapt_weights", None)
        if adapt is not None:  # such a network knows the layouts that it can start from
            checkpoint = {"model": adapt(checkpoint["model"])}
        elif checkpoint.get("__author__") == TORCHVISION:
            check_network_input(self.model, self._source)
        return super()._load_model(checkpoint)

    def _convert_ndarray_to_tensor(self, state_dict: dict[str, Any]) -> None:
        """Called last with the names that the network will be asked for."""
        super()._convert_ndarray_to_tensor(state_dict)
        self._given = frozenset(name.removeprefix("module.") for name in state_dict)

    def _load_file(self, filename: str) -> dict[str, Any]:
        content = read_weights_file(Path(filename))
        return content | {"matching_heuristics": True} if self._by_heuristics else content

    def _log_incompatible_keys(self, incompatible: Any) -> None:
        """In one line, instead of Detectron2's one a tensor."""
        names = self.model.state_dict().keys()
        # A frozen norm makes up the mean and deviation that a file lacks. Old files have them in
        # the norm's weight and bias; where these are lacking too, nothing came from the file.
        made_up = [
            name
            for name in names
            if name not in self._given
            and name.endswith((".running_mean", ".running_var"))
            and f"{name.rpartition('.')[0]}.weight" not in self._given
        ]
        line = describe_matching(
            self._source,
            names,
            dict.fromkeys([*incompatible.missing_keys, *made_up]),
            incompatible.incorrect_shapes,
            incompatible.unexpected_keys,
        )
        logger.info("%s", line)


def load_for_prediction(network: nn.Module, path: Path) -> None:
    """Load trained weights into a network; every tensor must be there and fit.

    Raises:
        WeightsError: if one is missing or has another shape: such a network would predict noise.
    """
    content = read_weights_file(path)
    weights = {
        name: torch.as_tensor(value)
        for name, value in content["model"].items()
        if "anchor_generator" not in name and not name.endswith(("pixel_mean", "pixel_std"))
    }
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights]
    unfit = [
        name
        for name, value in weights.items()
        if name in expected and expected[name].shape != value.shape
    ]
    if missing or unfit:
        raise WeightsError(
            f"{path}: {len(missing)} of {len(expected)} tensors are missing and {len(unfit)} have "
            f"another shape (first: {(missing or unfit)[0]}); pass the --config-file that these "
            "weights were trained with"
        )
    network.load_state_dict({name: weights[name].to(expected[name].dtype) for name in expected})


def save_model(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors: matrices in fp16, vectors (norms, biases) fp32.

    Raises:
        OSError: if the file cannot be written, for example because the disk is full.
    """
    tensors = {
        name: (value.half() if value.ndim > 1 else value.float()).contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    try:
        save_file(tensors, str(path), metadata={"format": "pt"})
    except SafetensorError as error:  # it has the system's reason in its text only
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        reason = os.strerror(number) if found else first_line(error)
        raise OSError(number, reason, str(path)) from error


def first_line(error: BaseException) -> str:
    """What an error says first, short; its kind if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
