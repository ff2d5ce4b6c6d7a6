"""Classifiers of today: ResNet-18 and a small vision transformer, of torchvision's parts.

torchvision is imported where one is made: the core needs PyTorch alone.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from stnlib.models.scorer import ImageScorer

__all__ = ["ResNet", "ViT"]

_PATCH = 4  # side in pixels of what a vision transformer takes as one token
_DEPTH = 6  # its blocks, half of ViT-Ti's


class _Today(ImageScorer):
    """A classifier all of which is `layers`, as wide as is asked."""

    layers: nn.Module
    unit: int  # what its width is a multiple of

    def __init__(self, channels: int, size: int, classes: int, width: int, dropout: float) -> None:
        super().__init__(channels, size, classes, dropout, width=width)
        if width % self.unit:
            kind = type(self).__name__
            raise ValueError(f"width must be a multiple of {self.unit} for {kind}, not {width}")

    def scores(self, images: Tensor) -> Tensor:
        return self.layers(images)


class ResNet(_Today):
    """ResNet-18 for small images, with GELU in the place of ReLU.

    He et al. (2016), Table 1, with the first layer that their Section 4.2 has for CIFAR-10: a 3×3
    convolution of stride 1 and no pooling. Blocks are torchvision's, and so are initial weights.

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    width : int
        Channels of the first stage, doubled in each of the three others, a multiple of 16; 64 in
        ResNet-18.
    dropout : float
        Probability before the last layer, in [0, 1].

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """

    # From 8 channels, last in memory, a 1×1 convolution of stride 2 writes beside its memory in its
    # backward pass on a processor (PyTorch 2.14 with oneDNN; from 16 it does not).
    unit = 16

    def __init__(
        self,
        channels: int = 3,
        size: int = 64,
        classes: int = 10,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, size, classes, width, dropout)
        stem = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        layers: list[nn.Module] = [stem, nn.BatchNorm2d(width), nn.GELU()]
        wide = [width, width, 2 * width, 4 * width, 8 * width]
        for before, after in pairwise(wide):
            layers += _stage(before, after)
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(wide[-1], classes))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _stage(before: int, after: int) -> list[nn.Module]:
    """Two blocks, of which the first halves height and width where it widens."""
    from torchvision.models.resnet import BasicBlock  # late: see the module

    stride, shorter = 1, None
    if before != after:
        convolution = nn.Conv2d(before, after, 1, 2, bias=False)
        stride, shorter = 2, nn.Sequential(convolution, nn.BatchNorm2d(after))
    blocks = [BasicBlock(before, after, stride, shorter), BasicBlock(after, after)]
    for block in blocks:
        block.relu = nn.GELU()
    return blocks


class ViT(_Today):
    """A small vision transformer, torchvision's (Dosovitskiy et al., 2021).

    Six blocks, patches of 4×4 pixels, heads of 32 features, a class token. The last layer begins
    as 0, as torchvision has it: what stands before the classifier has no gradient in the first
    step.

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels, a multiple of 4) and their labels.
    width : int
        Features of a token, a multiple of 32; 192 as in ViT-Ti (Touvron et al., 2021).
    dropout : float
        Probability before the last layer, in [0, 1].

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """

    unit = 32  # features of an attention head

    def __init__(
        self,
        channels: int = 3,
        size: int = 64,
        classes: int = 10,
        width: int = 192,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, size, classes, width, dropout)
        if size % _PATCH:
            raise ValueError(f"size must be a multiple of {_PATCH} for ViT, not {size}")
        from torchvision.models import VisionTransformer  # late: see the module

        heads = width // self.unit
        network = VisionTransformer(
            size, _PATCH, _DEPTH, heads, width, 4 * width, num_classes=classes
        )
        if channels != 3:
            network.conv_proj = nn.Conv2d(channels, width, _PATCH, _PATCH)
            nn.init.trunc_normal_(network.conv_proj.weight, std=(channels * _PATCH**2) ** -0.5)
        network.heads = nn.Sequential(nn.Dropout(dropout), network.heads.head)
        self.layers = network
