"""Localisation networks: the paper's (Table I), and those that may be more robust."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import at_least_float32, check_fits, check_images, check_module
from stnlib.checks.values import choice, number, require, whole
from stnlib.sampler import sample_native
from stnlib.transforms import Family, bounded, compose, family
from stnlib.transforms.families import PlanarFamily

__all__ = ["LOCNETS", "THETA_INITS", "LocNet", "Scaled", "glorot"]

LOCNETS = (
    *("paper", "x4", "x16", "relu", "groupnorm", "deep", "shared", "bounded", "normalised"),
    *("centred", "cnn", "fcn"),
)
THETA_INITS = ("identity", "small_random", "glorot")


def glorot(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, Keras's default, in place.

    Parameters
    ----------
    module : nn.Module
        Its `nn.Conv2d` and `nn.Linear` are drawn, in the order of `modules()`.
    """
    check_module("module", module)
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class Scaled(nn.Module):
    """Features times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return features * self.factor


class LocNet(nn.Module):
    """A localisation network: images to the parameters of a transform.

    ========== ======= ======= ========= ======================================================
    kind       CM      C10     C10D      parameters on these images, and what it is
    ========== ======= ======= ========= ======================================================
    paper      26,896  15,896  111,896   Table I of Possatti and de Freitas (2018), with what
                                         their code adds (unpadded convolutions)
    x4         105,786 59,786  443,786   every width doubled
    x16        419,566 231,566 1,767,566 every width times four
    relu       26,896  15,896  111,896   a ReLU after each convolution
    groupnorm  26,976  15,976  111,976   each convolution normalised in 4 groups of channels
                                         (Wu and He, 2018)
    deep       36,686  25,686  121,686   after each convolution a ReLU and a padded 3×3
                                         convolution; one more dense layer
    shared     41,376  33,376  145,376   the classifier's first block instead of the first
                                         convolution, trained by both, as in Finnveden et al.
                                         (2021): θ comes from the block's view of the image,
                                         then the block sees the transformed image; the block's
                                         own parameters are not counted here
    bounded    26,896  15,896  111,896   tanh instead of the last ReLU: ‖φ‖₁ ≤ 50
    normalised 26,896  15,896  111,896   a layer normalisation without weights after the last
                                         ReLU: ‖φ‖₁ ≤ 50
    centred    26,896  15,896  111,896   that normalisation before the last ReLU: some feature is
                                         always above 0, and ‖φ‖₁ ≤ 25
    cnn        17,086  13,286  51,686    of Jaderberg et al. (2015) before distorted MNIST: as
                                         relu, but 20 units, and the first pooling averages
    fcn        53,542  100,646 395,558   of theirs, too: three dense layers of 32 units
    ========== ======= ======= ========= ======================================================

    φ, the last features, are what the last layer makes θ of. That layer begins with zero weights
    and the identity as bias, so that the transformer begins as the identity whatever the image.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    channels : int
        Of the input.
    size : int
        Height and width of the input in pixels, at least 28; 22 for `shared`; any for `fcn`.
    transform : str | Family
        The family of `stnlib.transforms`, which has the meaning of θ's entries, or its name.
    kind : str
        One of `LOCNETS`.
    bound : float | None
        Keeps every parameter of θ within so much of the identity's, by a tanh (see
        `stnlib.transforms.bounded`); None for no bound.
    theta_init : str
        `identity`; or, for what happens without, `small_random`: the identity as bias but a tenth
        of Glorot's weights; `glorot`: Glorot's weights and zero bias, as any layer.
    scale_init : float
        Scale of the first view where θ begins as the identity: 0.5 spans half of the image's side,
        as an output of half the size does pixel by pixel.
    hidden_scale : float
        Factor of what the first dense layer is given, whose initial weights are divided by it: the
        same function, in which a step of Adam's moves that layer's output so many times as far.
    warps : int
        How often the network looks: first at the image, then at the view that the warps so far
        give of it, each time to compose one more; θ is of all together. Every look is at the image
        itself, so that nothing blurs and nothing is cut off. Lin and Lucey (2017, Figure 5) call
        it an inverse compositional network; their code takes 4 warps, and multiplies matrices in
        the other order. The family must have matrices.
    shared : nn.Module | None
        The classifier's layers for kind `shared`. They stay the classifier's: parameters, state
        and learning rate are counted there, and they move to a device with it.

    Raises
    ------
    TypeError, ValueError
        When the input is too small for the 5×5 convolutions after pooling, a name unknown or an
        argument of another type; in a forward pass, when images are not of `channels` and `size`.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        transform: str | Family = "affine",
        kind: str = "paper",
        *,
        bound: float | None = None,
        theta_init: str = "identity",
        scale_init: float = 1.0,
        hidden_scale: float = 1.0,
        warps: int = 1,
        shared: nn.Module | None = None,
    ) -> None:
        super().__init__()
        require("channels", channels, whole(1))
        require("size", size, whole(1))
        require("scale_init", scale_init, number(above=0))
        require("hidden_scale", hidden_scale, number(above=0))
        require("warps", warps, whole(1))
        _check(kind, theta_init, shared)
        self.family, self.warps = family(transform), warps
        if warps > 1 and not isinstance(self.family, PlanarFamily):
            raise ValueError(f"warps must be 1 for family {self.family.name}, which has no matrix")
        self.bounds = None if bound is None else bounded(self.family, bound)
        if scale_init != 1 and (self.bounds or 1 not in self.family.neutral):
            raise ValueError(
                "scale_init must be 1 with a bound, translations, rotations, windows or splines"
            )
        self._shared = (shared or nn.Sequential(),)  # in a tuple: not a part of this module
        self._seen = (channels, size)
        with torch.no_grad():
            _, channels, side, _ = self.shared(torch.zeros(1, channels, size, size)).shape
        self.features = _features(kind, channels, side, size)
        units = _units(kind)
        self.scale_init = scale_init
        self.theta = nn.Linear(units, self.family.n_parameters)
        glorot(self)
        if hidden_scale != 1:
            _scale_hidden(self.features, hidden_scale)
        if theta_init == "identity":
            self.to_identity()
        elif theta_init == "small_random":
            with torch.no_grad():
                self.theta.weight.mul_(0.1)
                self.theta.bias.copy_(self._first_theta())

    @property
    def shared(self) -> nn.Module:
        """The classifier's layers that come first; none but for kind `shared`."""
        return self._shared[0]

    @torch.no_grad()
    def to_identity(self) -> None:
        """Make the last layer give the identity at the first scale, whatever the image."""
        self.theta.weight.zero_()
        self.theta.bias.copy_(self._first_theta())

    def _first_theta(self) -> Tensor:
        """θ of the identity at the first scale: (P,). Only where θ holds the scale."""
        return self.family.identity() * self.scale_init

    def phi(self, images: Tensor) -> Tensor:
        """φ, the last features.

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, 50); 100 and 200 features for `x4` and `x16`, 20 and 32 for `cnn` and `fcn`.
        """
        return self._through(images, self.features)

    def preactivation(self, images: Tensor) -> Tensor:
        """What the last activation makes φ of: where no entry is above 0, a ReLU's φ is 0.

        Parameters
        ----------
        images : Tensor
            As `phi` takes them.

        Returns
        -------
        Tensor
            Of φ's shape.
        """
        kinds = (nn.ReLU, nn.Tanh)
        last = max(i for i, layer in enumerate(self.features) if isinstance(layer, kinds))
        return self._through(images, self.features[:last])

    def _through(self, images: Tensor, layers: nn.Module) -> Tensor:
        check_images("images", images, *self._seen)
        check_fits(images, self.theta.weight)
        return layers(self.shared(images))

    def forward(self, images: Tensor) -> Tensor:
        """θ of each image.

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, P), at least float32 even under autocast; P is 6 for `affine`.
        """
        theta = self._located(images)
        for _ in range(self.warps - 1):
            grid = self.family.grid(theta, (images.shape[-2], images.shape[-1]))
            step = self._located(sample_native(images.to(grid.dtype), grid))
            with torch.autocast(images.device.type, enabled=False):
                both = compose(self.family.matrix(theta), self.family.matrix(step))
                theta = self.family.from_matrix(both)
        return theta

    def _located(self, images: Tensor) -> Tensor:
        """θ of one look."""
        phi = self.phi(images)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse for θ
            theta = self.theta(at_least_float32(phi))
            return theta if self.bounds is None else self.bounds.constrain(theta)


_WIDTH, _UNITS = 20, 50
_WIDER = {"x4": 2, "x16": 4}
_JADERBERG = {"cnn": 20, "fcn": 32}  # units


def _units(kind: str) -> int:
    """How many features φ has."""
    return _JADERBERG.get(kind, _UNITS * _WIDER.get(kind, 1))


def _features(kind: str, channels: int, side: int, size: int) -> nn.Sequential:
    """The layers up to φ, for `channels` of `side`² pixels that come of images of `size`²."""
    width, units = _WIDTH * _WIDER.get(kind, 1), _units(kind)
    if kind == "fcn":
        sides = (channels * side * side, units, units, units)
        dense = [(nn.Linear(n_in, n), nn.ReLU()) for n_in, n in itertools.pairwise(sides)]
        return nn.Sequential(nn.Flatten(), *itertools.chain(*dense))
    layers: list[nn.Module] = []
    for n_in in (channels,) if kind == "shared" else (channels, width):
        average = kind == "cnn" and not layers
        layers += [nn.AvgPool2d(2) if average else nn.MaxPool2d(2), nn.Conv2d(n_in, width, 5)]
        side = side // 2 - 4
        if kind in ("relu", "cnn"):
            layers += [nn.ReLU()]
        elif kind == "groupnorm":
            layers += [nn.GroupNorm(4, width)]
        elif kind == "deep":
            layers += [nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)]
    if side < 1:
        least, name = (22, "the shared") if kind == "shared" else (28, "Table I's")
        raise ValueError(f"size must be at least {least} pixels for {name} LocNet, not {size}")
    layers += [nn.Flatten(), nn.Linear(width * side * side, units)]
    if kind == "deep":
        layers += [nn.ReLU(), nn.Linear(units, units)]
    ends: list[nn.Module] = [nn.Tanh() if kind == "bounded" else nn.ReLU()]
    if kind in ("normalised", "centred"):
        ends.insert(kind == "normalised", nn.LayerNorm(units, elementwise_affine=False))
    layers += ends
    return nn.Sequential(*layers)


@torch.no_grad()
def _scale_hidden(features: nn.Sequential, factor: float) -> None:
    """Multiply what the first dense layer is given and divide its weights, in place."""
    dense = ((i, layer) for i, layer in enumerate(features) if isinstance(layer, nn.Linear))
    place, first = next(dense)
    first.weight.div_(factor)
    features.insert(place, Scaled(factor))


def _check(kind: str, theta_init: str, shared: nn.Module | None) -> None:
    require("locnet", kind, choice(*LOCNETS))
    require("theta_init", theta_init, choice(*THETA_INITS))
    if shared is not None:
        check_module("shared", shared)
    if (kind == "shared") != (shared is not None):
        raise ValueError("shared layers are for the locnet shared, which needs them")
