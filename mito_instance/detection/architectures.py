"""The architectures that a config can name, and what feeds and uses each of them.

Only this module knows them all. What an architecture needs is imported when it is asked for:
Mask R-CNN works without the libraries of the semantic networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mito_instance.errors import ConfigError, MissingDependencyError
from mito_instance.instances import ImageInstances

if TYPE_CHECKING:
    from detectron2.config import CfgNode
    from torch import nn

    from mito_instance.detection.network_predictor import NetworkPredictor

Mapper = Callable[[ImageInstances, int], dict[str, Any]]
"""Makes the training example of a record and a position in the training's order."""

MASK_RCNN = "MitoMaskRCNN"
SEMANTIC_2D = "SemanticNet2d"
SEMANTIC_3D = "SemanticNet3d"
_LIBRARIES = {
    MASK_RCNN: (),
    SEMANTIC_2D: (("segmentation_models_pytorch", "segmentation-models-pytorch"),),
    SEMANTIC_3D: (("monai", "monai"),),
}


def register(name: str) -> None:
    """Make Detectron2's registry know an architecture.

    Args:
        name: ``MODEL.META_ARCHITECTURE``.

    Raises:
        ConfigError: for a name that is not ours.
        MissingDependencyError: if the library of its layers is not installed.
    """
    if name not in _LIBRARIES:
        raise ConfigError(
            f"MODEL.META_ARCHITECTURE: must be one of {', '.join(_LIBRARIES)}, got {name!r}"
        )
    for package, distribution in _LIBRARIES[name]:
        if find_spec(package) is None:
            raise MissingDependencyError(
                f"{package}: {name} needs it, and it is not installed; pip install {distribution}"
            )
    if name != MASK_RCNN:
        import_module("mito_instance.semantic.architectures")


def sees_neighbours(cfg: CfgNode) -> bool:
    """Whether what a config's model finds in a slice depends on the slices beside it."""
    is_2d = cfg.MODEL.META_ARCHITECTURE == SEMANTIC_2D
    return cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D or (
        is_2d and bool(cfg.MITO.SEMANTIC.NEIGHBOUR_WEIGHT)
    )


def build_mapper(cfg: CfgNode, records: Sequence[ImageInstances], seed: int) -> Mapper:
    """What makes training examples for a config's architecture.

    Args:
        cfg: a config from ``load_config``.
        records: all images of the training.
        seed: of crops and augmentation.

    Raises:
        AnnotationError: if the architecture needs stacks and the images are none.
    """
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D:
        from mito_instance.semantic.stack_data import StackMapper

        return StackMapper(cfg, records, seed)
    from mito_instance.detection.data import MicrographMapper

    return MicrographMapper(cfg, seed, records)


def build_predictor(
    cfg: CfgNode, network: nn.Module, weights: Path | None = None
) -> NetworkPredictor:
    """The predictor of a config's architecture.

    Args:
        cfg: the network's config.
        network: the network, weights loaded.
        weights: the file that they came from, for the record.
    """
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_2D:
        from mito_instance.semantic.neighbour_predictor import NeighbourPredictor
        from mito_instance.semantic.predictor import SemanticPredictor

        if cfg.MITO.SEMANTIC.NEIGHBOUR_WEIGHT:
            return NeighbourPredictor(cfg, network, weights)
        return SemanticPredictor(cfg, network, weights)
    if cfg.MODEL.META_ARCHITECTURE == SEMANTIC_3D:
        from mito_instance.semantic.stack_predictor import StackPredictor

        return StackPredictor(cfg, network, weights)
    from mito_instance.detection.predictor import MaskRCNNPredictor

    return MaskRCNNPredictor(cfg, network, weights)
