"""A small U-Net that sees the micrograph at half its resolution, and so more of the tissue."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock, ResNet

SHRINK = 2
"""By how much the image is shrunk before the network sees it."""

STRIDE_PX = 2 * SHRINK
"""Pixels of the image that a cell of the map spans."""

_DECODER_CHANNELS = (120, 64, 32)


class CoarseMap(nn.Module):
    """Foreground logits of a grey image: three stages of a ResNet-18, and a decoder with skips.

    Noise hides at full resolution what a body is; at half of it a crop of the same cost shows four
    times the tissue. 3.5 million parameters. Names within ``encoder`` are torchvision's.

    Source: Ronneberger et al. 2015 (U-Net), He et al. 2016 (ResNet).
    """

    def __init__(self) -> None:
        super().__init__()
        encoder = ResNet(BasicBlock, [2, 2, 2, 2])
        encoder.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        # Built all the same, and never used.
        encoder.layer4 = encoder.avgpool = encoder.fc = nn.Identity()
        self.encoder = encoder
        width = 256
        blocks = []
        for skip, channels in zip((128, 64, 64), _DECODER_CHANNELS, strict=True):
            blocks.append(_two_convolutions(width + skip, channels))
            width = channels
        self.decoder = nn.ModuleList(blocks)
        self.predictor = nn.Conv2d(width, 1, 3, padding=1)
        # A tenth of a micrograph is mitochondria: start there, not at a half.
        nn.init.constant_(self.predictor.bias, -2.2)  # type: ignore[arg-type]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1, H / 4, W / 4), in fp32.

        Args:
            images: (N, C, H, W), normalised; the channels are those of one grey level, and of
                them the first is taken. Edges are multiples of 32.
        """
        half = F.avg_pool2d(images[:, :1], SHRINK)
        return self.logits_of_half(half)

    def logits_of_half(self, half: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1, h / 2, w / 2) of images (N, 1, h, w) that are shrunk already."""
        encoder = self.encoder
        skips = [F.relu(encoder.bn1(encoder.conv1(half)))]
        skips.append(encoder.layer1(encoder.maxpool(skips[-1])))
        skips.append(encoder.layer2(skips[-1]))
        x = encoder.layer3(skips[-1])
        for block in self.decoder:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1))
        logits: torch.Tensor = self.predictor(x)
        return logits.float()

    def fold(self) -> None:
        """Make the batch norms part of the convolutions before them; it trains no more."""
        for parent in list(self.modules()):
            for (name, layer), (norm_name, norm) in pairwise(list(parent.named_children())):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(layer.eval(), norm.eval()))
                    setattr(parent, norm_name, nn.Identity())


def _two_convolutions(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
