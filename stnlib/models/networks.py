"""The paper's networks (Possatti and de Freitas, 2018, Tables II and III), and how to build one."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import check_fits, check_images, check_module
from stnlib.checks.values import choice, number, optional, require, whole
from stnlib.models.canonical import Canonicaliser
from stnlib.models.localisation import LOCNETS, LocNet, glorot
from stnlib.models.today import ResNet, ViT
from stnlib.models.transformer import SpatialTransformer

__all__ = ["CLASSIFIERS", "MODELS", "STN", "C10Net", "CMNet", "build", "count_parameters"]


class _Classifier(nn.Module):
    """Images to class scores: convolutions, `features`, then dense layers, `head`."""

    block: int  # how many of the features come up to the first pooling
    features: nn.Sequential
    head: nn.Sequential

    def __init__(self, channels: int, size: int, classes: int, hidden: int, dropout: float) -> None:
        super().__init__()
        sizes = {"channels": channels, "size": size, "classes": classes, "hidden": hidden}
        for name, value in sizes.items():
            require(name, value, whole(1))
        require("dropout", dropout, number(least=0, most=1))
        self._seen = (channels, size)

    @property
    def first_block(self) -> nn.Sequential:
        """The layers up to the first pooling, which a localisation network may share."""
        return self.features[: self.block]

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (logits).

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, classes).
        """
        check_images("images", images, *self._seen)
        check_fits(images, cast(nn.Conv2d, self.features[0]).weight)
        return self.head(self.features(images))


class CMNet(_Classifier):
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


class C10Net(_Classifier):
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


class STN(nn.Module):
    """A classifier behind a spatial transformer; the paper's STN is a baseline so led.

    Parameters
    ----------
    transformer : SpatialTransformer
        Images to images.
    classifier : nn.Module
        Images of the transformer's output size to class scores.
    """

    def __init__(self, transformer: SpatialTransformer, classifier: nn.Module) -> None:
        super().__init__()
        check_module("transformer", transformer)
        check_module("classifier", classifier)
        self.transformer = transformer
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (logits).

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), floating point, as the transformer takes them.

        Returns
        -------
        Tensor
            (N, classes).
        """
        return self.classifier(self.transformer(images))


_PAPERS: dict[str, type[CMNet | C10Net]] = {"cm": CMNet, "c10": C10Net}
_TODAYS: dict[str, type[ResNet | ViT]] = {"resnet": ResNet, "vit": ViT}
CLASSIFIERS: dict[str, type[CMNet | C10Net | ResNet | ViT]] = {**_PAPERS, **_TODAYS}
MODELS = ("baseline", "baseline_wide", "stn", "stn_frozen", "oracle", "crop")


def build(
    name: str,
    channels: int,
    size: int,
    classes: int,
    *,
    transform: str = "affine",
    output_size: int | None = None,
    padding: str = "zeros",
    sampler: str = "bilinear",
    dropout: float = 0.0,
    classifier: str = "cm",
    width: int | None = None,
    locnet: str = "paper",
    bound: float | None = None,
    theta_init: str = "identity",
    scale_init: float = 1.0,
    hidden_scale: float = 1.0,
    warps: int = 1,
) -> nn.Module:
    """Make one of the study's networks with freshly drawn weights.

    The classifier is drawn before the localisation network, so that with one seed a
    baseline and an STN begin with the same classifier and can be compared in pairs.

    Parameters
    ----------
    name : str
        `baseline` (Table II or III), `stn` (Table I before it), `stn_frozen` (its transformer stays
        the identity), `baseline_wide` (a baseline whose first dense layer is widened to the
        parameter count of the STN, to less than one unit); `oracle` and `crop` are baselines, whose
        images are prepared (`stnlib.data.distorted.VIEWS`).
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    transform, padding, sampler : str
        Of the `SpatialTransformer`.
    output_size : int | None
        Height and width in pixels of what the classifier sees; None for `size`.
    dropout : float
        Of the classifier.
    classifier : str
        `cm` (Table II, Cluttered MNIST), `c10` (Table III, CIFAR-10), `resnet` or `vit`: see
        `ResNet` and `ViT`, which have no `baseline_wide` and no layers for the locnet `shared`.
    width : int | None
        Of a `ResNet` or `ViT`; None for the usual one.
    locnet, theta_init : str
        Kind of the `LocNet`, and how its last layer begins; `canonical` for a `Canonicaliser` in
        its place, of which nothing else can be asked.
    bound : float | None
        Of the `LocNet`.
    scale_init, hidden_scale : float
        Of the `LocNet`.
    warps : int
        Of the `LocNet`.

    Returns
    -------
    nn.Module
        A classifier, or an `STN` for names that begin with `stn`.

    Raises
    ------
    TypeError, ValueError
        When a name is unknown, a size too small or an argument of another type.
    """
    require("model", name, choice(*MODELS))
    require("classifier", classifier, choice(*CLASSIFIERS))
    require("locnet", locnet, choice(*LOCNETS, "canonical"))
    require("output_size", output_size, optional(whole(1)))
    require("width", width, optional(whole(1)))
    seen = output_size or size
    network: CMNet | C10Net | ResNet | ViT
    if classifier in _TODAYS:
        if name == "baseline_wide" or locnet == "shared":
            raise ValueError(
                f"baseline_wide and shared layers are for cm and c10, not {classifier}"
            )
        more = {"width": width} if width else {}
        network = _TODAYS[classifier](channels, seen, classes, dropout=dropout, **more)
    else:
        if width:
            raise ValueError(f"width is for the classifiers resnet and vit, not {classifier}")
        kind, more = _PAPERS[classifier], {}
        if name == "baseline_wide":
            more["hidden"] = _width_to_match(LocNet(channels, size, transform), kind, seen, classes)
        network = kind(channels, seen, classes, dropout=dropout, **more)
    if not name.startswith("stn"):
        return network
    options: dict[str, Any] = {"bound": bound, "theta_init": theta_init}
    options |= {"scale_init": scale_init, "hidden_scale": hidden_scale, "warps": warps}
    localisation: LocNet | Canonicaliser
    if locnet == "canonical":
        if (transform, *options.values()) != ("affine", *_PLAIN):
            raise ValueError(
                f"locnet canonical is for transform affine, without {', '.join(options)}"
            )
        localisation = Canonicaliser(channels, size)
    else:
        shared = cast(_Classifier, network).first_block if locnet == "shared" else None
        localisation = LocNet(channels, size, transform, locnet, shared=shared, **options)
    if name == "stn_frozen":
        localisation.requires_grad_(False)
    output = (output_size, output_size) if output_size else None
    transformer = SpatialTransformer(localisation, transform, output, padding, sampler)
    return STN(transformer, network)


_PLAIN = (None, "identity", 1.0, 1.0, 1)  # what a `LocNet` is asked for by default


def _width_to_match(locnet: nn.Module, kind: type[CMNet | C10Net], size: int, classes: int) -> int:
    """Units of a classifier's first dense layer that make it larger by `locnet`'s parameters."""
    with torch.device("meta"):  # shapes without numbers: nothing is drawn
        first = cast(nn.Linear, kind(size=size, classes=classes).head[0])
        unit = [count_parameters(kind(size=size, classes=classes, hidden=n)) for n in (1, 2)]
    return first.out_features + math.floor(count_parameters(locnet) / (unit[1] - unit[0]))


def count_parameters(module: nn.Module) -> int:
    """Number of weights and biases, trained or not.

    Parameters
    ----------
    module : nn.Module
        Any.

    Returns
    -------
    int
        0 or more.
    """
    check_module("module", module)
    return sum(p.numel() for p in module.parameters())
