"""Configs: Detectron2's keys, ours, YAML files with ``_BASE_`` and ``KEY VALUE`` overrides."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from detectron2.config import CfgNode, get_cfg

from mito_instance.detection.config_ranges import check_ranges
from mito_instance.detection.precision import choose_device
from mito_instance.detection.semantic_config import add_semantic_config
from mito_instance.errors import ConfigError

MAX_CONFIG_BYTES = 1024**2
MAX_CONFIG_VALUES = 100_000
MAX_CONFIG_FILES = 50
_MERGE = "tag:yaml.org,2002:merge"

_WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_QUOTED = re.compile(r"'[^'\\]*'|\"[^\"\\]*\"")
_EXACT_IN_A_FLOAT = 2**53


def add_mito_config(cfg: CfgNode) -> None:
    """Add the keys of this project, with their defaults, to a Detectron2 config."""
    cfg.MITO = CfgNode()
    # Arithmetic of the forward pass: auto, fp32, bf16 or fp16.
    cfg.MITO.PRECISION = "auto"
    # channels_last memory: much faster convolutions on CPUs and tensor cores.
    cfg.MITO.CHANNELS_LAST = True
    # Blocks in the last stage of a light backbone; 0 keeps all.
    cfg.MITO.RES5_BLOCKS = 0
    # Instances smaller than this many pixels (after augmentation) are specks: not learned; a
    # semantic network does not look at their pixels, to a Mask R-CNN they are background. In
    # validation, pixels are those of MITO.PIXEL_SIZE_NM, whatever the images have.
    cfg.MITO.MIN_AREA_PX = 25
    # Grey-level percentiles of the whole image that are stretched to 0 and 255.
    cfg.MITO.CONTRAST_PERCENTILES = (0.5, 99.5)
    # Share of the sampled boxes, the hardest ones, that the classification learns from. Below 1,
    # look-alikes (multivesicular bodies, lysosomes) are not outvoted by easy background.
    cfg.MITO.HARD_BOX_FRACTION = 1.0
    # A dense foreground map beside the instance heads: trained on every pixel, it multiplies each
    # detection's score by its mean probability inside the mask, to this power.
    cfg.MITO.FOREGROUND = CfgNode()
    cfg.MITO.FOREGROUND.ENABLED = False
    cfg.MITO.FOREGROUND.CONV_DIM = 64
    cfg.MITO.FOREGROUND.LOSS_WEIGHT = 0.5
    cfg.MITO.FOREGROUND.SCORE_POWER = 1.0
    # Share of a second map in the probability, below 1: that of a small U-Net which sees the image
    # at half the resolution; 0: there is none. Both learn from the same losses.
    cfg.MITO.FOREGROUND.COARSE_SHARE = 0.0
    # Share of the map in each mask, below 0.5; the rest is the mask head's.
    cfg.MITO.FOREGROUND.MASK_WEIGHT = 0.0
    # Probabilities by which the map corrects outlines: pixels of a mask below the first leave it,
    # pixels of the second or more that are in no mask join the one beside them, if that reaches
    # MITO.SCORE_THRESHOLD. Such as (0.4, 0.6); (): outlines are the mask head's.
    cfg.MITO.FOREGROUND.OUTLINE_LIMITS = ()
    # Share of the pixels, the hardest ones, that its cross-entropy learns from.
    cfg.MITO.FOREGROUND.HARD_PIXEL_FRACTION = 1.0
    # sgd (with momentum) or adamw; U-Nets learn faster with the latter.
    cfg.MITO.OPTIMIZER = "sgd"
    # Validation and the saved model use a running mean of the weights that keeps this share of
    # itself at every step, such as 0.999; 0: the weights as they are.
    cfg.MITO.EMA_DECAY = 0.0
    # Validations in a row without a higher AP that end a training early; 0: none do.
    cfg.MITO.EARLY_STOPPING_PATIENCE = 0
    # In prediction, the box heads see every proposal of at least this objectness (a probability),
    # and at least so many of each image. MODEL.RPN.*_TOPK_TEST bound this from above.
    cfg.MITO.MIN_OBJECTNESS = 0.3
    cfg.MITO.MIN_PROPOSALS = 300
    # Score at and above which a detection counts as a mitochondrion; chosen on validation.
    cfg.MITO.SCORE_THRESHOLD = 0.5
    # Pixel size in nm of training and prediction. In training every image whose own is known is
    # resampled to it; in prediction those are that differ by more than a quarter. 0: none is.
    cfg.MITO.PIXEL_SIZE_NM = 0.0
    # Least and largest median size (square root of the area, in the model's pixels) of a page's
    # instances that the model judges well: other pages are resized and looked at again. Empty: no
    # page is. A training leaves it empty.
    cfg.MITO.FAMILIAR_PX = ()
    # Names of categories 1, 2, ...; a training takes them from its data.
    cfg.MITO.CLASS_NAMES = ()
    # Edge of the square tiles that larger images are cut into, and their overlap.
    cfg.MITO.TILE_PX = 1024
    cfg.MITO.TILE_OVERLAP_PX = 256

    cfg.MITO.AUGMENT = CfgNode()
    # Edge of the square training crop.
    cfg.MITO.AUGMENT.CROP_PX = 320
    # Chance that a crop is centred near an instance instead of anywhere.
    cfg.MITO.AUGMENT.CROP_ON_INSTANCE = 0.7
    # Flips and turns by 90°: all eight orientations, each equally likely. Without quarter turns
    # the four that keep the image's axes: flips and the turn by 180°.
    cfg.MITO.AUGMENT.ORIENTATIONS = True
    cfg.MITO.AUGMENT.QUARTER_TURNS = True
    # Zoom factor, log-uniform in this range, on top of the resampling to MITO.PIXEL_SIZE_NM: a
    # crop then shows MITO.PIXEL_SIZE_NM / factor nm a pixel. 5 nm with (0.8, 1.25) trains on
    # 4 to 6.25 nm a pixel. Of images without a pixel size it zooms what they have.
    cfg.MITO.AUGMENT.SCALE = (1.0, 1.0)
    # Largest turn to either side, in degrees, at most 45: quarter turns do the rest.
    cfg.MITO.AUGMENT.ROTATION_DEG = 0.0
    # Elastic deformation: nodes this many px apart are moved by up to ELASTIC_PX (at most a
    # quarter of it: nothing folds) along each axis, smoothly in between; its chance.
    cfg.MITO.AUGMENT.ELASTIC_PX = 0.0
    cfg.MITO.AUGMENT.ELASTIC_CELL_PX = 64.0
    cfg.MITO.AUGMENT.ELASTIC_PROBABILITY = 0.5
    # Most instances pasted into a crop, from the same or another training image at the same
    # pixel size (the number is uniform from 0); half the width of the seam where both blend.
    cfg.MITO.AUGMENT.COPY_PASTE_MAX = 0
    cfg.MITO.AUGMENT.COPY_PASTE_SEAM_PX = 1.5
    # COCO files of what is no mitochondrion but resembles one, such as false.json of
    # `mito evaluate` on the training images; the chance that one of them is pasted, in place of
    # an instance. A crop then shows both with the same seams, and only what they are differs.
    cfg.MITO.AUGMENT.LOOKALIKES = ()
    cfg.MITO.AUGMENT.LOOKALIKE_SHARE = 0.5
    # Largest slow drift of brightness over the crop, as a fraction of 255; its chance.
    cfg.MITO.AUGMENT.ILLUMINATION = 0.0
    cfg.MITO.AUGMENT.ILLUMINATION_PROBABILITY = 0.3
    # Contrast factor around the crop's mean, and brightness shift as a fraction of 255.
    cfg.MITO.AUGMENT.CONTRAST = (0.8, 1.2)
    cfg.MITO.AUGMENT.BRIGHTNESS = (-0.1, 0.1)
    # Exponent on grey levels in [0, 1], log-uniform.
    cfg.MITO.AUGMENT.GAMMA = (1.0, 1.0)
    # Chance that contrast, brightness and gamma are changed, all three together.
    cfg.MITO.AUGMENT.GREY_PROBABILITY = 1.0
    # Largest sigma of a Gaussian blur in px, and of Gaussian noise in grey levels; the
    # chance of each.
    cfg.MITO.AUGMENT.BLUR_SIGMA_PX = 0.0
    cfg.MITO.AUGMENT.NOISE_SIGMA = 0.0
    cfg.MITO.AUGMENT.BLUR_PROBABILITY = 0.3
    cfg.MITO.AUGMENT.NOISE_PROBABILITY = 0.3
    # Noise of counting electrons (Poisson): the fewest that a white pixel stands for, such as 30
    # (drawn up to 8 times that); 0: none. Its chance.
    cfg.MITO.AUGMENT.SHOT_NOISE_ELECTRONS = 0.0
    cfg.MITO.AUGMENT.SHOT_NOISE_PROBABILITY = 0.3
    # Adaptive histogram equalisation (CLAHE) with a clip limit from 1 to this; 0: none. Its
    # chance.
    cfg.MITO.AUGMENT.CLAHE_CLIP_LIMIT = 0.0
    cfg.MITO.AUGMENT.CLAHE_PROBABILITY = 0.3
    # How often an epoch shows each image of each file in DATASETS.TRAIN; empty: once.
    cfg.MITO.DATASET_REPEATS = ()
    # The same for images without any instance, on top: below 1, they come less often.
    cfg.MITO.EMPTY_IMAGE_REPEATS = 1.0


class _LocalConfig(CfgNode):
    """Opens files of this machine only; Detectron2's own fetch a ``_BASE_`` from the web."""

    @classmethod
    def _open_cfg(cls, filename: str) -> IO[str]:
        path = Path(filename)
        if not path.is_file():
            raise ValueError(f"_BASE_ must be a file on this machine, got {filename}")
        n_bytes = path.stat().st_size
        if n_bytes > MAX_CONFIG_BYTES:
            raise ValueError(
                f"a config must be <= {MAX_CONFIG_BYTES} bytes, {filename} has {n_bytes}"
            )
        text = path.read_text(encoding="utf-8")
        # A few lines can stand for billions. Only these signs write a merge key.
        if ("<<" in text or "!" in text) and any(map(_is_merge, yaml.parse(text))):
            raise ValueError(f"{filename}: merge keys (<<) are not read; write the values out")
        return io.StringIO(text)


def _is_merge(event: Any) -> bool:
    if not isinstance(event, yaml.ScalarEvent):
        return False
    return event.tag == _MERGE or bool(event.implicit[0] and event.value == "<<")


def _n_bases(filename: str, known: dict[str, int]) -> int:
    """How often files are opened for a config and all that it builds on.

    Raises:
        ValueError: if that is more than `MAX_CONFIG_FILES`.
    """
    if filename not in known:
        text = _LocalConfig._open_cfg(filename).read()
        # Only letters or escapes write the key; configs of models have neither.
        may_have_bases = "_BASE_" in text or "\\" in text
        loaded = yaml.safe_load(text) if may_have_bases else None
        bases = loaded.get("_BASE_", []) if isinstance(loaded, dict) else []
        known[filename] = 1
        for base in [bases] if isinstance(bases, str) else bases:
            if not isinstance(base, str):
                raise ValueError(f"{filename}: _BASE_ must name files, got {type(base).__name__}")
            path = Path(filename).parent / Path(base).expanduser()
            known[filename] += _n_bases(str(path), known)
    if known[filename] > MAX_CONFIG_FILES:
        raise ValueError(f"a config and all that it builds on must be <= {MAX_CONFIG_FILES} files")
    return known[filename]


def default_config() -> CfgNode:
    """Detectron2's defaults with ours added, and no cap that dense tissue reaches."""
    cfg = get_cfg()
    add_mito_config(cfg)
    add_semantic_config(cfg)
    cfg.MODEL.DEVICE = "auto"
    cfg.MODEL.META_ARCHITECTURE = "MitoMaskRCNN"
    cfg.MODEL.PROPOSAL_GENERATOR.NAME = "MitoRPN"
    cfg.MODEL.ROI_HEADS.NAME = "MitoROIHeads"
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 5000
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 10000
    cfg.TEST.DETECTIONS_PER_IMAGE = 2000
    # RLE keeps holes and overlaps, which polygons lose.
    cfg.INPUT.MASK_FORMAT = "bitmask"
    # Images without mitochondria teach what is none.
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.DATASETS.TRAIN = ()
    cfg.DATASETS.TEST = ()
    cfg.OUTPUT_DIR = "./output"
    return cfg


def load_config(config_file: Path | None, overrides: Sequence[str] = ()) -> CfgNode:
    """Read a config file, apply overrides, choose the device and freeze the result.

    Args:
        config_file: YAML file, or None for the defaults alone. It is read with the safe
            loader: tags that run code are refused. Its ``_BASE_`` is a file, never an address.
        overrides: ``KEY VALUE`` pairs as on the command line.

    Raises:
        ConfigError: if the file is missing or no YAML, a key or a value is wrong, or a value is
            out of range.
    """
    cfg = default_config()
    if config_file is not None:
        if not config_file.is_file():
            raise ConfigError(f"{config_file}: config file not found; see configs/ for examples")
        try:
            _n_bases(str(config_file), {})
            loaded = _LocalConfig.load_yaml_with_base(str(config_file), allow_unsafe=False)
            if _n_values(loaded, {}) > MAX_CONFIG_VALUES:
                raise ValueError(f"a config must have <= {MAX_CONFIG_VALUES} values, aliases apart")
            cfg.merge_from_other_cfg(CfgNode(_as_floats(loaded, cfg)))
        except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:
            raise ConfigError(f"{config_file}: not a YAML config ({_one_line(error)})") from error
        except (KeyError, ValueError, AssertionError, OSError, TypeError) as error:
            raise ConfigError(
                f"{config_file}: {_one_line(error)}; see configs/ for the keys that exist"
            ) from error
        except RecursionError as error:
            raise ConfigError(
                f"{config_file}: nested too deeply, or a _BASE_ that leads back to its own file; "
                "see configs/ for examples"
            ) from error
    if len(overrides) % 2:
        raise ConfigError(
            f"overrides must be KEY VALUE pairs, got {len(overrides)} words: {' '.join(overrides)}"
        )
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        try:
            cfg.merge_from_list([key, _as_known(value, cfg, key)])
        except RecursionError as error:
            raise ConfigError(
                f"command line override {_short(key)}: the value is nested too deeply"
            ) from error
        except (KeyError, ValueError, AssertionError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"command line override {_short(key)} {_short(value)}: {_one_line(error)}; see "
                "configs/ for the keys that exist"
            ) from error
    check_ranges(cfg)
    cfg.MODEL.DEVICE = choose_device(cfg.MODEL.DEVICE)
    cfg.freeze()
    return cfg


def _n_values(node: Any, known: dict[int, int]) -> int:
    """Values of a tree once its YAML aliases are written out: some bytes can stand for billions."""
    if not isinstance(node, dict | list | tuple):
        return 1
    if id(node) not in known:
        inner = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_n_values(value, known) for value in inner)
    return known[id(node)]


def _as_floats(given: Any, known: Any) -> Any:
    """Whole numbers as floats where the defaults are floats: 5 means 5.0."""
    if isinstance(given, dict) and isinstance(known, dict):
        return {key: _as_floats(value, known.get(key)) for key, value in given.items()}
    is_whole = type(given) is int and abs(given) <= _EXACT_IN_A_FLOAT
    return float(given) if is_whole and isinstance(known, float) else given


def _as_known(value: str, cfg: CfgNode, key: str) -> str:
    """A value of the command line as the default's type has it: 5 means 5.0, or a path "5"."""
    known: Any = cfg
    for name in key.split("."):
        known = known.get(name) if isinstance(known, dict) else None
    if isinstance(known, str) and not _QUOTED.fullmatch(value):
        return repr(value)
    return f"{value}.0" if isinstance(known, float) and _WHOLE.fullmatch(value) else value


def _short(word: str) -> str:
    return " ".join(word.split())[:80]


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())
