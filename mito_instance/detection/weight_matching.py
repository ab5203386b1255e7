"""Which layers of a network found their weights in a file, and which start anew."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from mito_instance.errors import WeightsError

Shape = tuple[int, ...]

# Their shapes follow from the number of classes, or of anchors: a file for other classes is fine.
LAST_LAYERS = (
    "box_predictor.",
    "mask_head.predictor.",
    "mask_head.coarse_head.prediction.",
    "mask_head.point_head.predictor.",
    "rpn_head.objectness_logits.",
    "rpn_head.anchor_deltas.",
)
# What sees the image. A part of it from noise, perhaps frozen, spoils all that comes after it.
BODIES = ("backbone.bottom_up.", "network.encoder.", "network.fcn.backbone.")
_MAX_NAMES = 12


def describe_matching(
    path: str,
    names: Collection[str],
    missing: Iterable[str],
    unfit: Sequence[tuple[str, Shape, Shape]],
    unused: Iterable[str],
) -> str:
    """One line on what a file gave to a network.

    Args:
        path: the file, as the user named it.
        names: all tensors of the network.
        missing: those that the file does not have.
        unfit: name, shape in the file and shape in the network of those that differ.
        unused: tensors of the file that the network does not have.

    Returns:
        How many tensors were loaded, and by layer which start anew and which were not used.

    Raises:
        WeightsError: if another tensor than of a last layer has another shape, none fits, or the
            body (the backbone without its pyramid, the encoder) is not all there: the file is of
            another architecture, and training would go on from noise.
    """
    differ = {name: (old, new) for name, old, new in unfit}
    foreign = [name for name in differ if not any(part in name for part in LAST_LAYERS)]
    if foreign:
        old, new = differ[foreign[0]]
        raise WeightsError(
            f"{path}: does not fit this network: {len(foreign)} tensors have another shape (first: "
            f"{foreign[0]}, {_times(old)} in the file, {_times(new)} in the network); pass weights "
            "of this architecture, or the config that these were trained with"
        )
    absent = [name for name in missing if name not in differ]
    n_loaded = len(names) - len(differ) - len(absent)
    if names and n_loaded <= 0:
        raise WeightsError(
            f"{path}: does not fit this network: none of its {len(names)} tensors is in the file; "
            "pass weights of this architecture, or '' to start from random weights"
        )
    lost = [name for name in absent if _is_of_body(name) and not _is_made_up(name, absent)]
    if lost:
        n_body = sum(map(_is_of_body, names))
        raise WeightsError(
            f"{path}: does not fit this network: {len(lost)} of {n_body} tensors of its backbone "
            f"are not in the file (first: {lost[0]}); pass weights of this architecture (a "
            "backbone of another depth is another one), or '' to start from random weights"
        )
    anew = [*_by_layer(differ), *_common_parts(absent, names)]
    parts = [f"{n_loaded} of {len(names)} tensors loaded"]
    parts.append(f"start anew: {_listed(anew)}" if anew else "none starts anew")
    unused = list(unused)
    not_used = _common_parts(unused, [*names, *unused])
    if not_used:
        parts.append(f"in the file but not used: {_listed(not_used)}")
    return f"{path}: {'; '.join(parts)}"


def _is_made_up(name: str, absent: Collection[str]) -> bool:
    """Whether a network starts a tensor from what needs no file: statistics, offsets of 0."""
    module, _, kind = name.rpartition(".")
    is_statistic = kind in ("running_mean", "running_var", "num_batches_tracked")
    return (is_statistic and f"{module}.weight" not in absent) or ".conv2_offset." in name


def _is_of_body(name: str) -> bool:
    return name.startswith(BODIES)


def _by_layer(differ: Mapping[str, tuple[Shape, Shape]]) -> list[str]:
    """Layers whose tensors differ, with the shapes of the largest of each."""
    layers: dict[str, tuple[Shape, Shape]] = {}
    for name, shapes in differ.items():
        layer = name.rpartition(".")[0]
        if layer not in layers or len(shapes[1]) > len(layers[layer][1]):
            layers[layer] = shapes
    return [f"{layer} ({_times(old)} to {_times(new)})" for layer, (old, new) in layers.items()]


def _common_parts(chosen: Iterable[str], names: Iterable[str]) -> list[str]:
    """The shortest module paths all of whose tensors are among the chosen, in their order."""
    chosen = list(chosen)
    others = set(names) - set(chosen)
    parts: dict[str, None] = {}
    for name in chosen:
        steps = name.split(".")
        for depth in range(1, len(steps) + 1):
            part = ".".join(steps[:depth])
            if not any(other == part or other.startswith(f"{part}.") for other in others):
                parts[part] = None
                break
    return list(parts)


def _listed(parts: Sequence[str]) -> str:
    more = f" and {len(parts) - _MAX_NAMES} more" if len(parts) > _MAX_NAMES else ""
    return ", ".join(parts[:_MAX_NAMES]) + more


def _times(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "1"
