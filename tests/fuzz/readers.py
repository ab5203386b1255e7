"""Every reader of files from strangers, with small right files that mutations start from."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import tifffile

from mito_instance.errors import MitoInstanceError
from mito_instance.instances import ImageInstances
from mito_instance.masks import rle
from tests.fuzz.mutate import mutate_bytes, mutate_png, mutate_text

GOLDEN = Path(__file__).parents[1] / "golden"
GREY = np.random.default_rng(0).integers(0, 256, (12, 17), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 17, 3), dtype=np.uint8)
MASK = np.zeros((12, 17), np.uint8)
MASK[2:8, 3:9] = 255
MASK[5:10, 12:16] = 255


@dataclass(frozen=True)
class Reader:
    """A reader, and how it is tried.

    Args:
        name: short.
        suffix: of the file that it gets.
        seeds: makes right files.
        read: reads one; what it raises but a `MitoInstanceError` is a defect.
        mutate: damages one.
        needs: package without which it cannot be tried.
    """

    name: str
    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], None]
    mutate: Callable[[bytes, random.Random], bytes] = mutate_bytes
    needs: str | None = None

    def try_one(self, seeds: list[bytes], seed: str, path: Path) -> None:
        """Write one damaged file and read it.

        Raises:
            Exception: what the reader should not have raised.
        """
        rng = random.Random(seed)
        path.write_bytes(self.mutate(rng.choice(seeds), rng))
        with warnings.catch_warnings(), contextlib.suppress(MitoInstanceError):
            warnings.simplefilter("error", RuntimeWarning)
            self.read(path)


def _encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


def _pillow(form: str, mode: str, pixels: np.ndarray = GREY, **options: object) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(pixels)
    image = image.quantize(8) if mode == "P" else image.convert(mode)
    image.save(stream, form, **options)
    return stream.getvalue()


def png_files() -> list[bytes]:
    """All depths and kinds of colour."""
    deep = GREY.astype(np.uint16) * 200
    arrays = (GREY, deep, COLOUR, np.dstack([COLOUR, GREY]), np.dstack([deep] * 3), MASK)
    found = [_encoded(".png", pixels) for pixels in arrays]
    return [*found, _pillow("PNG", "1"), _pillow("PNG", "P", COLOUR), _pillow("PNG", "LA")]


def jpeg_files() -> list[bytes]:
    """Grey, colour, progressive, with restart markers."""
    return [
        _encoded(".jpg", GREY),
        _encoded(".jpg", COLOUR),
        _encoded(".jpg", COLOUR, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        _encoded(".jpg", GREY, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        _pillow("JPEG", "CMYK", COLOUR),
    ]


def bmp_files() -> list[bytes]:
    """Grey, colour, 1 bit, a palette."""
    found = [_encoded(".bmp", GREY), _encoded(".bmp", COLOUR)]
    return [*found, _pillow("BMP", "1"), _pillow("BMP", "P", COLOUR)]


def tiff_files() -> list[bytes]:
    """All kinds of layout and compression that are read."""
    stack = np.stack([GREY, 255 - GREY, MASK])
    physical = {"PhysicalSizeX": 5.0, "PhysicalSizeXUnit": "nm"}
    cases: list[tuple[np.ndarray, dict[str, object]]] = [
        (GREY, {}),
        (GREY, {"imagej": True, "resolution": (200, 200), "metadata": {"unit": "um"}}),
        (stack, {"imagej": True, "metadata": {"axes": "ZYX"}}),
        (stack, {"photometric": "minisblack"}),
        (stack, {"ome": True, "metadata": {"axes": "ZYX", **physical}}),
        (GREY.astype(np.uint16) * 200, {"compression": "zlib", "predictor": True}),
        (GREY.astype(np.float32), {"tile": (16, 16), "compression": "zlib"}),
        (COLOUR, {"photometric": "rgb"}),
        (np.moveaxis(COLOUR, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        (MASK > 0, {"photometric": "miniswhite"}),
        (GREY, {"bigtiff": True, "rowsperstrip": 5}),
        (GREY.astype(np.int32), {"byteorder": ">"}),
        (GREY, {"compression": "lzw"}),
        (COLOUR, {"compression": "jpeg", "photometric": "rgb"}),
        (GREY, {"compression": "jpeg2000"}),
        (GREY, {"compression": "packbits"}),
    ]
    found = []
    for pixels, options in cases:
        stream = io.BytesIO()
        tifffile.imwrite(stream, pixels, **options)
        found.append(stream.getvalue())
    lzw, packbits, jpeg = 5, 32773, 7
    found += [
        _encoded(".tif", GREY, cv2.IMWRITE_TIFF_COMPRESSION, code) for code in (lzw, packbits, jpeg)
    ]
    return [*found, _pillow("TIFF", "P", COLOUR), _pillow("TIFF", "1")]


def mrc_files() -> list[bytes]:
    """Of several modes."""
    import mrcfile

    found = []
    for pixels in (GREY.astype(np.int8), GREY.astype(np.int16), np.stack([GREY] * 2).astype("f4")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "seed.mrc"
            with mrcfile.new(path) as file:
                file.set_data(pixels)
                file.voxel_size = 50.0
            found.append(path.read_bytes())
    return found


def dm_files() -> list[bytes]:
    """DM3 and DM4, both orders of bytes."""
    from tests.dm_writer import DmFile

    found = []
    for version, order in ((3, "<"), (4, "<"), (4, ">")):
        writer = DmFile(version, order)
        image = writer.image(GREY.astype(np.int16), (5.0, 5.0), ("nm", "nm"))
        found.append(writer.bytes([writer.thumbnail(), image]))
    return found


def coco_files() -> list[bytes]:
    """Every form of segmentation, with and without scores."""
    image = {"id": 1, "file_name": "a.tif", "width": 17, "height": 12}
    stack = {**image, "id": 2, "file_name": "s.tif", "frame": 3, "pixel_size_nm": 5.0}
    square = [2, 2, 9, 2, 9, 8, 2, 8]
    masks = [
        [square],
        [square, [10, 1, 14, 1, 14, 5]],
        {"size": [12, 17], "counts": [30, 5, 7, 5, 157]},
        rle.encode(MASK > 0),
    ]
    annotations = [
        {"id": n, "image_id": 1 + n % 2, "category_id": 1, "segmentation": mask, "iscrowd": 0}
        for n, mask in enumerate(masks)
    ]
    categories = [{"id": 1, "name": "mitochondrion"}]
    scored = [{**entry, "score": 0.5, "track_id": 2, "name": "m"} for entry in annotations]
    documents = [
        {"images": [image, stack], "annotations": given, "categories": categories, "info": {}}
        for given in (annotations, scored, [])
    ]
    return [json.dumps(document).encode() for document in documents]


def results_files() -> list[bytes]:
    """Results lists of the first image of `coco_files`."""
    found = [{"image_id": 1 + n % 2, "score": 0.5, "category_id": 1} for n in range(3)]
    for entry, mask in zip(found, (rle.encode(MASK > 0), rle.encode(MASK == 0)), strict=False):
        entry["segmentation"] = mask
    return [json.dumps(found[:2]).encode(), b"[]"]


def metrics_files() -> list[bytes]:
    """What `mito evaluate` writes of two images, one of them empty."""
    from mito_instance.evaluation.evaluate import evaluate
    from mito_instance.evaluation.tables import metrics_document, write_metrics

    masks = (rle.encode(MASK > 0), rle.encode(MASK == 0))
    true = [ImageInstances("a.tif", MASK.shape, masks), ImageInstances("b.tif", MASK.shape, ())]
    pred = [replace(page, scores=np.linspace(0.9, 0.5, len(page))) for page in true]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.json"
        write_metrics(path, metrics_document(evaluate(true, pred), {}))
        return [path.read_bytes()]


def labelme_files() -> list[bytes]:
    """All shapes."""
    square = [[2, 2], [9, 2], [9, 8], [2, 8.5]]
    shapes = [
        {"label": "m", "points": square, "shape_type": "polygon", "group_id": None},
        {"label": "m", "points": square[::2], "shape_type": "rectangle", "group_id": 3},
        {"label": "m", "points": square[:2], "shape_type": "circle", "flags": {}},
        {"label": "l", "points": square[:2], "shape_type": "line"},
    ]
    document = {"version": "5.0", "imagePath": "a.png", "imageHeight": 12, "imageWidth": 17}
    return [json.dumps({**document, "shapes": shapes}).encode()]


def roi_files() -> list[bytes]:
    """Every kind, as ImageJ wrote it."""
    with zipfile.ZipFile(GOLDEN / "imagej_kinds.zip") as archive:
        return [archive.read(name) for name in archive.namelist()]


def roi_zips() -> list[bytes]:
    """Zips of a few ROIs, stored and deflated, and a zip in a zip."""
    rois = roi_files()[:4]
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            for number, roi in enumerate(rois):
                archive.writestr(f"{number}.roi", roi)
            if found:
                archive.writestr("more.zip", found[0])
        found.append(stream.getvalue())
    return found


def weights_pickles() -> list[bytes]:
    """State dicts of arrays, of the protocols 0 to 4."""
    values = OrderedDict(a=np.zeros((2, 3), np.float32), b=np.arange(4.0))
    return [pickle.dumps({"model": values, "n": 3}, protocol=protocol) for protocol in range(5)]


def torch_files() -> list[bytes]:
    """A checkpoint as torch writes it, zipped and not."""
    import torch

    found = []
    for is_zip in (True, False):
        stream = io.BytesIO()
        values = {"model": {"a": torch.zeros(2, 3)}, "iteration": 3}
        torch.save(values, stream, _use_new_zipfile_serialization=is_zip)
        found.append(stream.getvalue())
    return found


def safetensors_files() -> list[bytes]:
    """Two tensors."""
    import torch
    from safetensors.torch import save

    return [save({"a": torch.zeros(2, 3), "b": torch.ones(4, dtype=torch.float16)})]


def config_files() -> list[bytes]:
    """The recipes that stand alone, and a recipe of each kind that has a base."""
    folder = Path(__file__).parents[2] / "configs"
    recipes = [path.read_bytes() for path in sorted(folder.glob("*.yaml"))]
    based = [f"_BASE_: {path}\n" for path in sorted(folder.glob("semantic/*.yaml"))[:2]]
    based.append(f"_BASE_: {folder / 'mask_rcnn_light.yaml'}\nMITO:\n  TILE_PX: 512\n")
    return [*(one for one in recipes if b"_BASE_" not in one), *(one.encode() for one in based)]


def read_image(path: Path) -> None:
    """All pages, in their own depth and for the eye; sizes and pixel sizes."""
    from mito_instance.io import images

    for read in (images.page_sizes_hw, images.page_pixel_sizes):
        with contextlib.suppress(MitoInstanceError):
            read(path)
    for page in images.read_pages(path):
        assert page.pixels.ndim == 2
        assert images.to_uint8(page.pixels).shape == page.pixels.shape


def read_mask(path: Path) -> None:
    """All pages as masks."""
    from mito_instance.io.mask_pages import read_mask_pages

    for page in read_mask_pages(path):
        assert page.values.ndim == 2


def read_coco_json(path: Path) -> None:
    """As truth or prediction; what is accepted has valid masks."""
    from mito_instance.io.coco import read_coco

    for image in read_coco(path):
        for mask in image.masks:
            assert 0 < rle.area_px(mask) <= image.image_hw[0] * image.image_hw[1]


def check_coco_json(path: Path) -> None:
    """As `mito check` reads it."""
    from mito_instance.annotations.checks import check_coco

    check_coco(path)


def read_results_json(path: Path) -> None:
    """A results list, with the images of a truth."""
    from mito_instance.evaluation.results_list import read_predictions

    truth = path.with_name("truth.json")
    if not truth.exists():
        truth.write_bytes(coco_files()[0])
    for image in read_predictions(path, truth):
        assert image.scores is None or len(image.scores) == len(image.masks)


def read_metrics_json(path: Path) -> None:
    """As `mito compare` reads it."""
    from mito_instance.evaluation.compare import read_evaluation

    read_evaluation(path)


def read_labelme_json(path: Path) -> None:
    """Shapes, filled."""
    from mito_instance.annotations.polygon_files import read_labelme

    _fill([shape.ring] for shape in read_labelme(path).shapes)


def read_yolo_text(path: Path) -> None:
    """Shapes, filled."""
    from mito_instance.annotations.polygon_files import read_yolo

    _fill([shape.ring] for shape in read_yolo(path, (12, 17)).shapes)


def read_imagej(path: Path) -> None:
    """ROIs, filled."""
    from mito_instance.io.imagej_roi import ImageJRoi, read_rois

    rois = [roi for roi in read_rois(path) if isinstance(roi, ImageJRoi)]
    _fill(roi.rings for roi in rois)


def read_pixel_sizes(path: Path) -> None:
    """A table of two columns."""
    from mito_instance.io.pixel_sizes import read_pixel_size_list

    read_pixel_size_list(path, [path.parent / "a.tif", Path("b/c.tif")])


def read_pairs_table(path: Path) -> None:
    """A table of two columns."""
    from mito_instance.annotations.pairs_table import read_pairs

    read_pairs(path)


def read_config(path: Path) -> None:
    """A config as training reads it."""
    from mito_instance.detection.config import load_config

    load_config(path)


def read_weights(path: Path) -> None:
    """Weights, by suffix."""
    from mito_instance.detection.weights import read_weights_file

    read_weights_file(path)


def _fill(outlines: object) -> None:
    from mito_instance.masks.polygons import rasterise

    for rings in outlines:  # type: ignore[attr-defined]
        with contextlib.suppress(MitoInstanceError):
            rasterise(rings, (768, 1024), "x")


_SIZES = [b"image,nm\na.tif,5\nc.tif,4.5\n", b"a.tif;5,5\r\n", b"\xef\xbb\xbfa.tif\t5\n"]
_PAIRS = [b"image,rois\na.tif,a.zip\nb c.tif,sub/b.roi\n", b'"a,1.tif",a.roi\n']
_YOLO = [b"0 0.1 0.1 0.9 0.1 0.5 0.9\n1 0.2 0.2 0.4 0.2 0.4 0.4 0.2 0.4\n"]

READERS = [
    Reader("roi", ".roi", roi_files, read_imagej),
    Reader("roi-zip", ".zip", roi_zips, read_imagej),
    Reader("png", ".png", png_files, read_image, mutate_png),
    Reader("jpeg", ".jpg", jpeg_files, read_image),
    Reader("bmp", ".bmp", bmp_files, read_image),
    Reader("tiff", ".tif", tiff_files, read_image),
    Reader("mrc", ".mrc", mrc_files, read_image, needs="mrcfile"),
    Reader("dm", ".dm4", dm_files, read_image),
    Reader("mask-png", ".png", png_files, read_mask, mutate_png),
    Reader("mask-tiff", ".tif", tiff_files, read_mask),
    Reader("coco", ".json", coco_files, read_coco_json, mutate_text),
    Reader("check", ".json", coco_files, check_coco_json, mutate_text),
    Reader("results", ".json", results_files, read_results_json, mutate_text),
    Reader("metrics", ".json", metrics_files, read_metrics_json, mutate_text),
    Reader("labelme", ".json", labelme_files, read_labelme_json, mutate_text),
    Reader("yolo", ".txt", lambda: _YOLO, read_yolo_text, mutate_text),
    Reader("pixel-sizes", ".csv", lambda: _SIZES, read_pixel_sizes, mutate_text),
    Reader("pairs", ".csv", lambda: _PAIRS, read_pairs_table, mutate_text),
    Reader("config", ".yaml", config_files, read_config, mutate_text, needs="detectron2"),
    Reader("pickle", ".pkl", weights_pickles, read_weights, needs="detectron2"),
    Reader("torch", ".pth", torch_files, read_weights, needs="detectron2"),
    Reader("safetensors", ".safetensors", safetensors_files, read_weights, needs="detectron2"),
]
