r"""What anchors, mask grid and pixel size allow at best: bounds of a design, without any training.

A network that finds every instance and knows its mask still answers in cells of a grid, and learns
boxes from the anchors that lie near them. Measured on the truth itself, image by image:

- anchors: the greatest IoU of each instance's box with any anchor of the image;
- mask grid: the IoU of each mask with itself after the grid of a mask head and back, once as the
  bool cells that training sets as the target and once as the cells' mean;
- pixel size: the same after the way to a coarser pixel and back, where the truth states its own;
- proposals, with ``--weights``: the greatest IoU of each instance's box with a proposal of a model.

``ap_bound`` is the AP of a model whose every mask is that good. Prints one JSON object.

Example:
    python benchmarks/design_bounds.py epfl_val.json --weights shipped://mask_rcnn_light
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import BitMasks, Boxes, pairwise_iou

from mito_instance.api import load_model
from mito_instance.detection.predictor import MaskRCNNPredictor, paste_mask
from mito_instance.inference.resampling import masks_at_page_size, resize_page
from mito_instance.instances import ImageInstances
from mito_instance.io.coco import read_coco
from mito_instance.io.images import read_page
from mito_instance.masks import rle

STRIDES = (4, 8, 16, 32, 64)
HALVED = (16, 32, 64, 128, 256)
ANCHORS = {
    "COCO: 32 to 512 px, ratios 0.5, 1, 2": ((32, 64, 128, 256, 512), (0.5, 1.0, 2.0)),
    "16 to 256 px, ratios 0.5, 1, 2": (HALVED, (0.5, 1.0, 2.0)),
    "16 to 256 px, ratios 0.4, 1, 2.5": (HALVED, (0.4, 1.0, 2.5)),
    "16 to 256 px, ratios 0.33, 0.6, 1, 1.7, 3": (HALVED, (0.33, 0.6, 1.0, 1.7, 3.0)),
}
GRIDS = (14, 28, 56, 112)
PIXEL_SIZES_NM = (7.5, 10.0, 15.0, 20.0)
IOUS = np.arange(0.5, 1.0, 0.05)
MIN_AREA_PX = 25
SHIPPED = "shipped://mask_rcnn_light"

Floats = npt.NDArray[np.float64]


def shares(ious: Floats, limits: tuple[float, ...]) -> dict[str, float]:
    """Mean, and the shares of instances of at least each limit."""
    figures = {"mean_iou": ious.mean(), **{f"share_{at:g}": (ious >= at).mean() for at in limits}}
    return {name: round(float(value), 4) for name, value in figures.items()}


def of_boxes(ious: Floats) -> dict[str, float]:
    """Figures of boxes."""
    return shares(ious, (0.5, 0.7, 0.9))


def of_masks(ious: list[float]) -> dict[str, float]:
    """Figures of masks, and the AP that they bound."""
    found = np.asarray(ious)
    bound = float(np.mean([(found >= at).mean() for at in IOUS]))
    return {**shares(found, (0.75, 0.9, 0.95)), "ap_bound": round(bound, 4)}


def anchor_ious(
    truth: list[ImageInstances], sizes: tuple[int, ...], ratios: tuple[float, ...]
) -> Floats:
    """The greatest IoU of each instance's box with an anchor of its image."""
    generator = DefaultAnchorGenerator(
        sizes=[[size] for size in sizes], aspect_ratios=[list(ratios)], strides=list(STRIDES)
    )
    best = []
    for image in truth:
        height, width = image.image_hw
        maps = [torch.zeros(1, 1, -(-height // step), -(-width // step)) for step in STRIDES]
        best.append(best_ious(image, Boxes.cat(generator(maps))))
    return np.concatenate(best)


def proposal_ious(truth: list[ImageInstances], weights: Path | None) -> tuple[Floats, float]:
    """The greatest IoU of each instance's box with a proposal, and the proposals an image.

    Images are seen in their own pixels.

    Args:
        truth: images with instances.
        weights: model folder of a Mask R-CNN; None for the model in the package.
    """
    model: Any = load_model(weights)
    if not isinstance(model, MaskRCNNPredictor):
        raise SystemExit(f"{weights}: is no Mask R-CNN and has no proposals")
    best, count = [], 0
    seen: list[Boxes] = []
    model.network.proposal_generator.register_forward_hook(
        lambda _module, _inputs, output: seen.append(output[0][0].proposal_boxes)
    )
    for image in truth:
        seen.clear()
        model.predict([model.prepare(read_page(Path(image.image), image.frame).pixels)])
        best.append(best_ious(image, seen[0]))
        count += len(seen[0])
    return np.concatenate(best), count / len(truth)


def best_ious(image: ImageInstances, boxes: Boxes) -> Floats:
    """The greatest IoU of each instance's box with any of the boxes."""
    best: Floats = pairwise_iou(Boxes(boxes_of(image)), boxes).max(dim=1).values.numpy()
    return best


def boxes_of(image: ImageInstances) -> torch.Tensor:
    """Boxes (N, 4) as corners in pixels."""
    x, y, width, height = np.array([rle.box_xywh(mask) for mask in image.masks]).T
    return torch.from_numpy(np.stack([x, y, x + width, y + height], axis=1)).float()


def grid_ious(truth: list[ImageInstances], edge: int, *, is_soft: bool) -> list[float]:
    """IoU of each mask with itself after a grid of ``edge`` cells an axis on its box."""
    found = []
    for image in truth:
        for mask, box in zip(image.masks, boxes_of(image), strict=True):
            x, y, width, height = rle.box_xywh(mask)
            inside = rle.crop(mask, (x, y, width, height))
            if is_soft:
                cells = cell_means(inside, edge)
            else:
                whole = BitMasks(torch.from_numpy(inside)[None])
                local = torch.tensor([[0.0, 0.0, width, height]])
                cells = whole.crop_and_resize(local, edge)[0].float().numpy()
            pasted, left, top = paste_mask(cells, box.numpy(), image.image_hw)
            back = rle.place(pasted, left, top, image.image_hw)
            found.append(float(rle.iou_matrix([mask], [back])[0, 0]))
    return found


def cell_means(mask: npt.NDArray[np.bool_], edge: int) -> npt.NDArray[np.float32]:
    """Mean of a mask over each of ``edge``² cells, pixels shared among the cells they span."""
    rows, columns = (overlaps(length, edge) for length in mask.shape)
    return np.asarray(rows @ mask @ columns.T, dtype=np.float32)


def overlaps(length: int, cells: int) -> Floats:
    """(cells, length): the part of each cell's extent that each pixel covers; rows sum to 1."""
    edges = np.linspace(0, length, cells + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)[None]
    covered = np.minimum(high, pixels + 1) - np.maximum(low, pixels)
    return np.asarray(covered.clip(min=0) / (length / cells))


def pixel_ious(truth: list[ImageInstances], nm: float) -> list[float]:
    """IoU of each mask with itself after the way to pixels of ``nm`` and back.

    Args:
        truth: images of known pixel size.
        nm: the coarser pixel size.
    """
    found = []
    for image in truth:
        zoom = image.pixel_size.nm / nm
        for mask in image.masks:
            small = resize_page(rle.decode(mask).astype(np.uint8) * 255, zoom) >= 128
            coarse = ImageInstances(image.image, small.shape, (rle.encode(small),))
            back = masks_at_page_size(coarse, image).masks
            found.append(float(rle.iou_matrix([mask], list(back))[0, 0]) if back else 0.0)
    return found


def main() -> None:
    """Measure every bound on one truth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("truth", type=Path, help="COCO JSON")
    parser.add_argument("--weights", help=f"folder of a Mask R-CNN, or {SHIPPED}")
    arguments = parser.parse_args()
    images = read_coco(arguments.truth)
    truth = [image.select([rle.area_px(m) >= MIN_AREA_PX for m in image.masks]) for image in images]
    truth = [image for image in truth if len(image)]
    report: dict[str, Any] = {"instances": sum(map(len, truth)), "anchors": {}, "mask_grid": {}}
    for name, (sizes, ratios) in ANCHORS.items():
        report["anchors"][name] = of_boxes(anchor_ious(truth, sizes, ratios))
    if arguments.weights:
        is_shipped = arguments.weights == SHIPPED
        found, number = proposal_ious(truth, None if is_shipped else Path(arguments.weights))
        report["proposals"] = {**of_boxes(found), "an_image": round(number)}
    for edge in GRIDS:
        report["mask_grid"][edge] = {
            "bool_target": of_masks(grid_ious(truth, edge, is_soft=False)),
            "cell_means": of_masks(grid_ious(truth, edge, is_soft=True)),
        }
    if all(image.pixel_size is not None for image in truth):
        report["pixel_size_nm"] = {nm: of_masks(pixel_ious(truth, nm)) for nm in PIXEL_SIZES_NM}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
