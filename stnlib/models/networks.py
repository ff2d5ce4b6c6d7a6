"""Networks by name: a classifier, alone or behind a spatial transformer, and the controls."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import choice, optional, require, whole
from stnlib.models.canonical import Canonicaliser
from stnlib.models.classifiers import CLASSIFIERS, Classifier
from stnlib.models.localisation import LOCNETS, LocNet
from stnlib.models.transformer import SpatialTransformer

__all__ = ["MODELS", "STN", "build", "count_parameters"]


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
    baseline and an STN begin with the same classifier and can be compared in pairs. Not so `cnn`
    and `fcn`: as in Jaderberg et al. (2015), a network has 400,000 parameters in all, or a few
    less, so that an STN's classifier is narrower; behind a transformer it sees images of more than
    28 pixels halved.

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
        `cm` (Table II, Cluttered MNIST), `c10` (Table III, CIFAR-10), `cnn` and `fcn` (Jaderberg
        et al., distorted MNIST), `resnet` and `vit` (`ResNet`, `ViT`). Only the first two have
        `baseline_wide` and layers for the locnet `shared`.
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
    kind = CLASSIFIERS[classifier]
    seen = output_size or size
    leads = name.startswith("stn")
    if classifier not in ("cm", "c10") and (name == "baseline_wide" or locnet == "shared"):
        raise ValueError(f"baseline_wide and shared layers are for cm and c10, not {classifier}")
    if width and classifier not in ("resnet", "vit"):
        raise ValueError(f"width is for the classifiers resnet and vit, not {classifier}")
    options = {"bound": bound, "theta_init": theta_init, "scale_init": scale_init}
    options |= {"hidden_scale": hidden_scale, "warps": warps}
    locate = partial(_locator, channels, size, transform, locnet, options)
    shape: dict[str, Any] = {"width": width} if width else {}
    if name == "baseline_wide":
        shape["hidden"] = _width_to_match(LocNet(channels, size, transform), kind, seen, classes)
    elif classifier in _MATCHED:
        shape["halved"] = leads and seen > _PLAIN
        with torch.device("meta"):  # shapes without numbers: nothing is drawn
            spent = count_parameters(locate()) if leads else 0
            sized = partial(kind, channels, seen, classes, **shape)
            shape["hidden"] = _width_within(_PARAMETERS - spent, sized)
    network = kind(channels, seen, classes, dropout=dropout, **shape)
    if not leads:
        return network
    localisation = locate(cast(Classifier, network).first_block if locnet == "shared" else None)
    if name == "stn_frozen":
        localisation.requires_grad_(False)
    output = (output_size, output_size) if output_size else None
    transformer = SpatialTransformer(localisation, transform, output, padding, sampler)
    return STN(transformer, network)


def _locator(
    channels: int,
    size: int,
    transform: str,
    locnet: str,
    options: dict[str, Any],
    shared: nn.Module | None = None,
) -> LocNet | Canonicaliser:
    """What returns θ: a `LocNet` of some options, or a `Canonicaliser`, which has none."""
    if locnet != "canonical":
        return LocNet(channels, size, transform, locnet, shared=shared, **options)
    if (transform, *options.values()) != ("affine", None, "identity", 1.0, 1.0, 1):
        raise ValueError(f"locnet canonical is for transform affine, without {', '.join(options)}")
    return Canonicaliser(channels, size)


# Of Jaderberg et al. (2015): the classifiers for distorted MNIST, the most parameters of a network,
# and the side in pixels above which a transformer's output is halved.
_MATCHED, _PARAMETERS, _PLAIN = ("cnn", "fcn"), 400_000, 28


def _width_to_match(locnet: nn.Module, kind: Callable[..., Any], size: int, classes: int) -> int:
    """Units of a classifier's first dense layer that make it larger by `locnet`'s parameters."""
    with torch.device("meta"):  # shapes without numbers: nothing is drawn
        first = cast(nn.Linear, kind(size=size, classes=classes).head[0])
        unit = [count_parameters(kind(size=size, classes=classes, hidden=n)) for n in (1, 2)]
    return first.out_features + math.floor(count_parameters(locnet) / (unit[1] - unit[0]))


def _width_within(parameters: int, sized: Callable[..., nn.Module]) -> int:
    """The most `hidden` with which a classifier has no more than so many parameters."""
    widths = range(1, parameters)
    return bisect.bisect_right(widths, parameters, key=lambda n: count_parameters(sized(hidden=n)))


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
