"""Config keys of the semantic baselines: networks that tell foreground from background."""

from __future__ import annotations

from detectron2.config import CfgNode


def add_semantic_config(cfg: CfgNode) -> None:
    """Add the keys under ``MITO.SEMANTIC``, with their defaults, to a config."""
    keys = cfg.MITO.SEMANTIC = CfgNode()
    # 2D: unet (segmentation-models-pytorch) or fcn (torchvision's, ResNet-50 or -101 encoder).
    keys.NETWORK = "unet"
    # 2D: resnet18, resnet34, resnet50 or resnet101; an fcn has one of the latter two.
    keys.ENCODER = "resnet18"
    # 2D U-Net: stages of the encoder that are used, 3 to 5, and channels of the decoder's stages.
    keys.ENCODER_DEPTH = 5
    keys.DECODER_CHANNELS = (256, 128, 64, 32, 16)
    # 2D: keep the encoder as MODEL.WEIGHTS has it, its batch statistics included.
    keys.FREEZE_ENCODER = False
    # 3D U-Net (MONAI): channels of its levels, and by how much each level is coarser than the
    # one before in (slices, rows, columns); the first number is the input's own reduction.
    keys.CHANNELS_3D = (16, 32, 64, 128)
    keys.STRIDES_3D = ((1, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    # 3D: groups of channels that the group norm takes together.
    keys.GROUPS_3D = 8
    # 3D: slices of a training patch (its edge is MITO.AUGMENT.CROP_PX), and slices that are
    # predicted at once; a quarter of a patch's depth at both ends of these is context only.
    keys.PATCH_SLICES = 16
    keys.BLOCK_SLICES = 32
    # Edge of the windows in which a page is predicted by 3D networks, and their overlap.
    keys.WINDOW_PX = 256
    keys.WINDOW_OVERLAP_PX = 64
    # 2D: share of either neighbouring slice in the map that a page's instances come from, 0 to
    # 1/3; 0: pages are predicted by themselves. Neighbours are pages of one file, or files of
    # one folder with consecutive numbers.
    keys.NEIGHBOUR_WEIGHT = 0.0
    # Weights of the binary cross-entropy and of the Dice loss.
    keys.BCE_WEIGHT = 1.0
    keys.DICE_WEIGHT = 1.0
    # Part of the pixels, in (0, 1], whose cross-entropy counts: the hardest ones. During
    # SOLVER.WARMUP_ITERS all do: a network that knows nothing yet learns from its hardest
    # pixels to say one half everywhere, for a hundred steps and more.
    keys.HARD_PIXEL_FRACTION = 1.0
    # From probability to instances. Pixels of at least this probability are foreground; a
    # training with validation chooses it there, for the best Dice.
    keys.FOREGROUND_THRESHOLD = 0.5
    # Pixels of at least this probability, in components of at least this area, are seeds: the
    # foreground is divided among them by a watershed. A foreground component without a seed
    # is one instance.
    keys.SEED_THRESHOLD = 0.8
    keys.SEED_MIN_AREA_PX = 25
    # Seeds are cut at necks that are this much narrower than the lobes, in pixels from the
    # edge; 0: they are not cut.
    keys.NECK_DEPTH_PX = 3.0
