"""A small U-Net that sees the micrograph at half its resolution, and so more of the tissue."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

SHRINK = 2
"""By how much the image is shrunk before the network sees it."""

STRIDE_PX = 2 * SHRINK
"""Pixels of the image that a cell of the map spans."""

_WIDTHS = (64, 64, 128, 256)
"""Channels of the encoder's stem and of its stages, each but the first at half the resolution."""

_DECODER_WIDTHS = (120, 64, 32)


class CoarseMap(nn.Module):
    """Foreground logits of a grey image: three stages of a ResNet-18, and a decoder with skips.

    Noise hides at full resolution what a body is; at half of it a crop of the same cost shows four
    times the tissue. 3.5 million parameters. Names within ``encoder`` are torchvision's.

    Source: Ronneberger et al. 2015 (U-Net), He et al. 2016 (ResNet).
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        *skips, width = _WIDTHS
        blocks = []
        for skip, channels in zip(reversed(skips), _DECODER_WIDTHS, strict=True):
            blocks.append(_two_convolutions(width + skip, channels))
            width = channels
        self.decoder = nn.ModuleList(blocks)
        self.predictor = nn.Conv2d(width, 1, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        # A tenth of a micrograph is mitochondria: start there, not at a half.
        nn.init.normal_(self.predictor.weight, std=0.01)
        self.predictor.bias = nn.Parameter(torch.full((1,), -2.2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, 1, H / 4, W / 4), in fp32.

        Args:
            images: (N, C, H, W), normalised; the channels are those of one grey level, and of
                them the first is taken. Edges are multiples of 4.
        """
        skips = self.encoder(F.avg_pool2d(images[:, :1], SHRINK))
        x = skips.pop()
        for block in self.decoder:
            skip = skips.pop()
            x = F.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        logits: torch.Tensor = self.predictor(x)
        return logits.float()

    def fold(self) -> None:
        """Make the batch norms part of the convolutions before them; it trains no more."""
        for parent in list(self.modules()):
            for (name, layer), (norm_name, norm) in pairwise(list(parent.named_children())):
                if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(layer.eval(), norm.eval()))
                    setattr(parent, norm_name, nn.Identity())


class _Encoder(nn.Module):
    """Stem and first three stages of a ResNet-18 for one grey channel."""

    def __init__(self) -> None:
        super().__init__()
        stem, *widths = _WIDTHS
        self.conv1 = nn.Conv2d(1, stem, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(stem, widths[0], stride=1)
        self.layer2 = _stage(widths[0], widths[1], stride=2)
        self.layer3 = _stage(widths[1], widths[2], stride=2)

    def forward(self, grey: torch.Tensor) -> list[torch.Tensor]:
        """Features (N, C, h / s, w / s) of the strides 2, 4, 8 and 16."""
        features = [F.relu(self.bn1(self.conv1(grey)))]
        features.append(self.layer1(self.maxpool(features[-1])))
        features.append(self.layer2(features[-1]))
        features.append(self.layer3(features[-1]))
        return features


def _stage(channels_in: int, channels: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1:
        shortcut = nn.Sequential(
            nn.Conv2d(channels_in, channels, 1, stride=stride, bias=False),
            nn.BatchNorm2d(channels),
        )
    first = BasicBlock(channels_in, channels, stride, shortcut)
    return nn.Sequential(first, BasicBlock(channels, channels))


def _two_convolutions(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
