"""The layers of the semantic networks: built by libraries, adapted to one grey channel."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from torch import Tensor, nn

from mito_instance.errors import ConfigError
from mito_instance.inference.tiling import MIN_TILE_PX

ENCODERS = ("resnet18", "resnet34", "resnet50", "resnet101")


def build_2d(cfg: CfgNode) -> tuple[nn.Module, str]:
    """A 2D network with random weights. Nothing is downloaded.

    Args:
        cfg: reads ``MITO.SEMANTIC`` and ``MODEL.RESNETS.STRIDE_IN_1X1``.

    Returns:
        A module that maps (N, 1, H, W) to logits (N, 1, H, W), and the name of its encoder,
        whose own names are torchvision's.

    Raises:
        ConfigError: for a network or encoder that there is not.
    """
    keys = cfg.MITO.SEMANTIC
    if keys.ENCODER not in ENCODERS:
        raise ConfigError(
            f"MITO.SEMANTIC.ENCODER: must be one of {', '.join(ENCODERS)}, got {keys.ENCODER!r}"
        )
    if keys.NETWORK == "unet":
        network, encoder = _unet(cfg), "encoder"
    elif keys.NETWORK == "fcn":
        network, encoder = _fcn(cfg), "fcn.backbone"
    else:
        raise ConfigError(f"MITO.SEMANTIC.NETWORK: must be unet or fcn, got {keys.NETWORK!r}")
    if cfg.MODEL.RESNETS.STRIDE_IN_1X1:
        _stride_in_1x1(network.get_submodule(encoder))
    return network, encoder


def _unet(cfg: CfgNode) -> nn.Module:
    import segmentation_models_pytorch as smp

    keys = cfg.MITO.SEMANTIC
    depth = int(keys.ENCODER_DEPTH)
    if not 3 <= depth <= 5 or len(keys.DECODER_CHANNELS) != depth:
        raise ConfigError(
            "MITO.SEMANTIC.ENCODER_DEPTH: must be 3 to 5, with as many DECODER_CHANNELS; got "
            f"{depth} and {len(keys.DECODER_CHANNELS)}"
        )
    network: nn.Module = smp.Unet(
        keys.ENCODER,
        encoder_depth=depth,
        encoder_weights=None,
        decoder_channels=tuple(keys.DECODER_CHANNELS),
        in_channels=1,
        classes=1,
    )
    encoder = network.get_submodule("encoder")
    for stage in range(depth, 5):  # built all the same, and never used
        setattr(encoder, f"layer{stage}", nn.Identity())
    return network


class _OnlyOut(nn.Module):
    """The one tensor in the dict that a network of torchvision returns."""

    def __init__(self, fcn: nn.Module) -> None:
        super().__init__()
        self.fcn = fcn

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the images' size."""
        out: Tensor = self.fcn(images)["out"]
        return out


def _fcn(cfg: CfgNode) -> nn.Module:
    from torchvision.models import segmentation

    encoder = cfg.MITO.SEMANTIC.ENCODER
    builders = {"resnet50": segmentation.fcn_resnet50, "resnet101": segmentation.fcn_resnet101}
    if encoder not in builders:
        raise ConfigError(
            f"MITO.SEMANTIC.ENCODER: an fcn has one of {', '.join(builders)}, got {encoder!r}"
        )
    fcn = builders[encoder](weights=None, weights_backbone=None, num_classes=1)
    fcn.backbone.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return _OnlyOut(fcn)


def _stride_in_1x1(encoder: nn.Module) -> None:
    """Move the strides of bottlenecks where weights of the first ResNets (MSRA) expect them."""
    from torchvision.models.resnet import Bottleneck

    for block in encoder.modules():
        if isinstance(block, Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)


def build_3d(cfg: CfgNode) -> nn.Module:
    """A 3D U-Net with random weights.

    Args:
        cfg: reads ``MITO.SEMANTIC`` and ``MITO.AUGMENT.CROP_PX``.

    Returns:
        A module that maps (N, 1, D, H, W) to logits, smaller by the first level's strides.

    Raises:
        ConfigError: for channels and strides that do not fit each other or the patches.
    """
    keys = cfg.MITO.SEMANTIC
    channels, strides = list(keys.CHANNELS_3D), [list(stride) for stride in keys.STRIDES_3D]
    if len(channels) != len(strides) or len(channels) < 3 or any(len(s) != 3 for s in strides):
        raise ConfigError(
            "MITO.SEMANTIC.STRIDES_3D: needs three numbers for each of three or more CHANNELS_3D; "
            f"got {len(strides)} and {len(channels)} levels"
        )
    if any(type(step) is not int or step < 1 for stride in strides for step in stride):
        raise ConfigError(
            f"MITO.SEMANTIC.STRIDES_3D: must be whole numbers from 1 on, got {strides}"
        )
    groups = int(keys.GROUPS_3D)
    if groups < 1 or any(count % groups for count in channels):
        raise ConfigError(f"MITO.SEMANTIC.GROUPS_3D: must divide {channels}, got {groups}")
    total = strides_3d(cfg)
    sizes = {
        "MITO.SEMANTIC.PATCH_SLICES": (int(keys.PATCH_SLICES), total[0]),
        "MITO.SEMANTIC.BLOCK_SLICES": (int(keys.BLOCK_SLICES), total[0]),
        "MITO.SEMANTIC.WINDOW_PX": (int(keys.WINDOW_PX), max(total[1:])),
        "MITO.AUGMENT.CROP_PX": (int(cfg.MITO.AUGMENT.CROP_PX), max(total[1:])),
    }
    for name, (size, stride) in sizes.items():
        if size % stride or size < 2 * stride:
            raise ConfigError(
                f"{name}: must be a multiple of {stride}, and at least twice that (all of "
                f"MITO.SEMANTIC.STRIDES_3D together), got {size}"
            )
    least_px = {
        "MITO.SEMANTIC.WINDOW_PX": (int(keys.WINDOW_PX), MIN_TILE_PX),
        "MITO.SEMANTIC.WINDOW_OVERLAP_PX": (int(keys.WINDOW_OVERLAP_PX), 0),
    }
    for name, (size, least) in least_px.items():
        if size < least:
            raise ConfigError(f"{name}: must be at least {least}, got {size}")
    if int(keys.BLOCK_SLICES) < int(keys.PATCH_SLICES):
        raise ConfigError(
            f"MITO.SEMANTIC.BLOCK_SLICES: must not be less than PATCH_SLICES {keys.PATCH_SLICES}, "
            f"got {keys.BLOCK_SLICES}"
        )
    from monai.networks.nets import DynUNet

    network: Any = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        # A level that does not shrink the slices' axis does not mix slices either.
        kernel_size=[[3 if step > 1 else 1, 3, 3] for step, _, _ in strides],
        strides=strides,
        upsample_kernel_size=strides[1:],
        filters=channels,
        norm_name=("GROUP", {"num_groups": groups, "affine": True}),
    )
    return _UNet3d(network)


class _UNet3d(nn.Module):
    """The parts of MONAI's DynUNet, each under one name.

    DynUNet registers its layers a second time, as a nest of skip connections: a checkpoint
    would hold all weights twice.
    """

    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.input_block = parts.input_block
        self.downsamples = parts.downsamples
        self.bottleneck = parts.bottleneck
        self.upsamples = parts.upsamples
        self.output_block = parts.output_block

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits, smaller than the volumes by the first level's strides."""
        skips = [self.input_block(volumes)]
        for downsample in self.downsamples:
            skips.append(downsample(skips[-1]))
        features = self.bottleneck(skips[-1])
        for upsample, skip in zip(self.upsamples, reversed(skips), strict=True):
            features = upsample(features, skip)
        logits: Tensor = self.output_block(features)
        return logits


def strides_3d(cfg: CfgNode) -> tuple[int, int, int]:
    """By how much the coarsest level of a 3D network is coarser in slices, rows and columns."""
    total = [1, 1, 1]
    for stride in cfg.MITO.SEMANTIC.STRIDES_3D:
        total = [have * int(more) for have, more in zip(total, stride, strict=True)]
    return total[0], total[1], total[2]
