"""A ResNet-18/34 feature pyramid whose deepest stage can be cut short to save parameters."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock

from mito_instance.errors import ConfigError

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


@BACKBONE_REGISTRY.register()
def build_light_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """ResNet-18 or -34 of basic blocks with an FPN on strides 4, 8, 16, 32 (and 64, pooled).

    Two thirds of a ResNet-18's parameters lie in its last stage, whose stride of 32 px is
    coarser than most mitochondria; ``MITO.RES5_BLOCKS`` 1 keeps the stage's context and drops
    4.7 million of them.

    Args:
        cfg: reads ``MODEL.RESNETS.{DEPTH,NORM}``, ``MODEL.BACKBONE.FREEZE_AT``, ``MODEL.FPN.*``
            and ``MITO.RES5_BLOCKS`` (0 = all).
        input_shape: channels of the input.

    Raises:
        ConfigError: for another depth than 18 or 34.
    """
    depth = cfg.MODEL.RESNETS.DEPTH
    if depth not in BLOCKS:
        raise ConfigError(
            f"MODEL.RESNETS.DEPTH: must be {' or '.join(map(str, BLOCKS))} for a light backbone, "
            f"got {depth}; for others see mask_rcnn_R_50_FPN.yaml"
        )
    blocks = list(BLOCKS[depth])
    if cfg.MITO.RES5_BLOCKS:
        blocks[3] = cfg.MITO.RES5_BLOCKS
    norm = cfg.MODEL.RESNETS.NORM
    stem = BasicStem(in_channels=input_shape.channels, out_channels=64, norm=norm)
    stages = []
    channels = 64
    for index, count in enumerate(blocks):
        out_channels = 64 * 2**index
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                count,
                stride_per_block=[1 if index == 0 else 2] + [1] * (count - 1),
                in_channels=channels,
                out_channels=out_channels,
                norm=norm,
            )
        )
        channels = out_channels
    features = ["res2", "res3", "res4", "res5"]
    bottom_up = ResNet(stem, stages, out_features=features, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT)
    return FPN(
        bottom_up=bottom_up,
        in_features=features,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
