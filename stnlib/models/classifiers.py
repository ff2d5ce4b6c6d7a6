"""Classifiers: the two papers' networks without a transformer.

Possatti and de Freitas (2018, Tables II and III), and Jaderberg et al. (2015, Appendix A.4).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from stnlib.checks.tensors import check_flag
from stnlib.models.localisation import glorot
from stnlib.models.scorer import ImageScorer
from stnlib.models.today import ResNet, ViT

__all__ = ["CLASSIFIERS", "CNN", "FCN", "C10Net", "CMNet", "Classifier"]


class Classifier(ImageScorer):
    """Images to class scores: convolutions, `features`, then dense layers, `head`."""

    block: int  # how many of the features come up to the first pooling
    features: nn.Sequential
    head: nn.Sequential

    def __init__(self, channels: int, size: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__(channels, size, classes, dropout, hidden=hidden)

    @property
    def first_block(self) -> nn.Sequential:
        """The layers up to the first pooling, which a localisation network may share."""
        return self.features[: self.block]

    def scores(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


class CMNet(Classifier):
    """The Cluttered MNIST baseline of Table II: images to class scores (logits).

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    hidden : int
        Units of the first dense layer; 256 in the paper.
    dropout : float
        Probability before the last layer, in [0, 1]; 0 in the paper.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed or `size` is too small.
    """

    block = 3

    def __init__(
        self,
        channels: int = 1,
        size: int = 40,
        classes: int = 10,
        hidden: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, size, classes, hidden, dropout)
        side = ((size - 2) // 2 - 2) // 2
        if side < 1:
            raise ValueError(f"size must be at least 10 pixels for Table II's network, not {size}")
        self.features = nn.Sequential(
            nn.Conv2d(channels, 32, 3),
            nn.MaxPool2d(2),  # before the ReLU: they commute, and a quarter is left to rectify
            nn.ReLU(),
            nn.Conv2d(32, 32, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(32 * side * side, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        glorot(self)


class C10Net(Classifier):
    """The CIFAR-10 and CIFAR-10-DISTORTED baseline of Table III: images to class scores.

    Three times two convolutions: the first padded so that it keeps the size, the second not
    (the padding is in the paper's code, the paper is silent).

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    hidden : int
        Units of the first dense layer; 512 in the paper.
    dropout : float
        Probability before the last layer, in [0, 1]; 0 in the paper.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed or `size` is too small.
    """

    block = 5

    def __init__(
        self,
        channels: int = 3,
        size: int = 32,
        classes: int = 10,
        hidden: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, size, classes, hidden, dropout)
        layers: list[nn.Module] = []
        side = size
        for width in (48, 96, 192):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            layers += [nn.Conv2d(width, width, 3), nn.MaxPool2d(2), nn.ReLU()]  # as in CMNet
            channels, side = width, (side - 2) // 2
        if side < 1:
            raise ValueError(f"size must be at least 22 pixels for Table III's network, not {size}")
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 256),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(256, classes),
        )
        glorot(self)


class CNN(Classifier):
    """The CNN of Jaderberg et al. (2015) for distorted MNIST: images to class scores.

    A 9×9 and a 7×7 convolution, each with 2×2 max-pooling, and the last layer. The pooling keeps
    what is left over at the edge; else a 42×42 image that is halved first would be too small.

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    hidden : int
        Filters of either convolution; 32 to 64 in the paper.
    dropout : float
        Probability before the last layer, in [0, 1]; 0 in the paper.
    halved : bool
        Whether 2×2 pixels are averaged first, as in the paper behind a transformer of images larger
        than MNIST's.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed or `size` is too small.
    """

    block = 3

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        classes: int = 10,
        hidden: int = 64,
        dropout: float = 0.0,
        halved: bool = False,
    ) -> None:
        super().__init__(channels, size, classes, hidden, dropout)
        check_flag("halved", halved)
        side = size // 2 if halved else size
        for kernel in (9, 7):
            side = -(-(side - kernel + 1) // 2)
        if side < 1:
            least = 40 if halved else 20
            raise ValueError(f"size must be at least {least} pixels for the CNN, not {size}")
        self.features = nn.Sequential(
            *([nn.AvgPool2d(2)] if halved else []),
            nn.Conv2d(channels, hidden, 9),
            nn.MaxPool2d(2, ceil_mode=True),  # before the ReLU: as in CMNet
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 7),
            nn.MaxPool2d(2, ceil_mode=True),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(hidden * side * side, classes),
        )
        glorot(self)


class FCN(Classifier):
    """The fully connected network of Jaderberg et al. (2015) for distorted MNIST.

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    hidden : int
        Units of either hidden layer; 128 to 256 in the paper.
    dropout : float
        Probability before the last layer, in [0, 1]; 0 in the paper.
    halved : bool
        As of `CNN`.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """

    block = 0

    def __init__(
        self,
        channels: int = 1,
        size: int = 28,
        classes: int = 10,
        hidden: int = 256,
        dropout: float = 0.0,
        halved: bool = False,
    ) -> None:
        super().__init__(channels, size, classes, hidden, dropout)
        check_flag("halved", halved)
        side = size // 2 if halved else size
        self.features = nn.Sequential(*([nn.AvgPool2d(2)] if halved else []), nn.Flatten())
        self.head = nn.Sequential(
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        glorot(self)


CLASSIFIERS: dict[str, Callable[..., Classifier | ResNet | ViT]] = {
    **{"cm": CMNet, "c10": C10Net},
    **{"cnn": CNN, "fcn": FCN},
    **{"resnet": ResNet, "vit": ViT},
}
