"""A spatial transformer in one dimension, in which everything can be computed exactly.

An image is a function f on [-1, 1], linear between knots and 0 outside. The transform
θ = (s, t) shows g(u) = f(s·u + t) for u in [-1, 1]; s > 1 zooms out, and the image is out of
sight when |t| ≥ 1 + |s|. The loss compares the view with a target h: L(θ) = ∫ (g - h)² du.
Integrals are exact up to rounding: between breakpoints an integrand is a polynomial of degree
2, for which two Gauss points are enough. ``book/collapse.ipynb`` derives and uses it.

Shapes: θ is (..., 2) float64, the last axis (s, t); whatever leads it leads the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from stnlib.checks.values import number, require, shown, whole

__all__ = [
    "Gradient",
    "Image",
    "adam",
    "cone",
    "exit_times",
    "gradient",
    "largest_step",
    "loss",
    "mean_exit",
    "sampled_gradient",
    "two_layers",
]

Array = np.ndarray
BETAS = (0.9, 0.999)  # Adam's, by default
SIGN = (0.0, 0.0)  # with these Adam moves by the sign of the gradient
_EPS = 1e-8
_SLACK = 1e-6  # so near to the edge is out: eps makes each of Adam's steps a little short


@dataclass(frozen=True)
class Image:
    """A function, linear between (knot, value) pairs and 0 outside of [-1, 1].

    Parameters
    ----------
    knots : at least two, increasing, the first -1 and the last 1.
    values : as many, any finite numbers; brightness.

    Raises
    ------
    ValueError
        If the knots or values are not such.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, row in (("knots", self.knots), ("values", self.values)):
            if _array(name, row).ndim != 1 or not np.isfinite(_array(name, row)).all():
                raise ValueError(f"{name} must be finite numbers, not {shown(row)}")
        ends = (self.knots[0], self.knots[-1]) if len(self.knots) else ()
        rising = bool(np.all(np.diff(self.knots) > 0))
        if ends != (-1, 1) or not rising or len(self.knots) != len(self.values):
            raise ValueError(
                "knots must increase from -1 to 1 and have one value each, "
                f"not knots {shown(self.knots)} with {len(self.values)} values"
            )

    def __call__(self, x: ArrayLike) -> Array:
        """Brightness at x, any shape."""
        return np.interp(_array("x", x), self.knots, self.values, left=0.0, right=0.0)

    def slope(self, x: ArrayLike) -> Array:
        """Derivative at x, any shape: 0 outside, and at a knot that of the right-hand side."""
        slopes = np.diff(self.values) / np.diff(self.knots)
        return np.concatenate(([0.0], slopes, [0.0]))[
            np.searchsorted(self.knots, _array("x", x), "right")
        ]


def cone(border: float) -> Image:
    """Brightness 1 in the middle that falls evenly to `border`, any number, at both ends."""
    require("border", border, number())
    return Image((-1.0, 0.0, 1.0), (border, 1.0, border))


class Gradient(NamedTuple):
    """The two parts of dL/dθ by Leibniz' rule; each (..., 2), with respect to s and t."""

    interior: Array
    boundary: Array

    @property
    def total(self) -> Array:
        """Their sum, the derivative."""
        return self.interior + self.boundary


def loss(image: Image, theta: ArrayLike, target: Image) -> Array:
    """∫ (g - h)² du over the view [-1, 1], exactly: (...). Errors as of `gradient`."""
    theta = _checked(image, theta, target)
    u, x, weight = _nodes(image, theta, target)
    return (weight * (image(x) - target(u)) ** 2).sum(-1)


def gradient(image: Image, theta: ArrayLike, target: Image) -> Gradient:
    """dL/dθ, exactly, in its interior and its boundary part.

    The interior part is ∫ 2 (g - h) f'(su + t) (u, 1) du over what is seen of the image. The
    boundary part is, for each border e = ±1 of the image that lies inside of the view, at
    u = (e - t)/s: the speed -(u, 1)/s at which it moves times what its passing costs,
    (f(e) - h)² - h², with the sign of the side. It is 0 where f(e) = 0.

    Raises
    ------
    TypeError, ValueError
        One line, where an image or θ is not such.
    """
    theta = _checked(image, theta, target)
    u, x, weight = _nodes(image, theta, target)
    pull = weight * 2 * (image(x) - target(u)) * image.slope(x)
    interior = np.stack(((pull * u).sum(-1), pull.sum(-1)), -1)
    boundary = np.zeros_like(interior)
    s, t = theta[..., 0], theta[..., 1]
    for e in (-1.0, 1.0):
        with np.errstate(divide="ignore", invalid="ignore"):
            place, scale = (e - t) / s, 1 / np.abs(s)
        seen = np.abs(place) < 1  # False where s is 0: then no border is in the view
        place, scale = np.where(seen, place, 0), np.where(seen, scale, 0)
        cost = (image(e) - target(place)) ** 2 - target(place) ** 2
        boundary -= (e * cost * scale)[..., None] * np.stack((place, np.ones_like(place)), -1)
    return Gradient(interior, boundary)


def sampled_gradient(
    method: Callable, image: Image, theta: ArrayLike, target: Image, pixels: int, points: int
) -> Array:
    """dL/dθ as autograd has it: the image in pixels, the view at points, a sampler of `stnlib`.

    The image has two equal rows, and the upper one is read: the clipped sampler's last row is
    always black, and in an image that is one pixel high the last row is the only one.

    Parameters
    ----------
    method : `sample`, `sample_clipped` or the like of `stnlib.sampler`.
    theta : (2,), as is the result.
    pixels, points : of the image and of the view, at least 2.
    """
    theta = _checked(image, theta, target)
    if theta.shape != (2,):
        raise ValueError(f"theta must have shape (2,), not {theta.shape}")
    _check_function("method", method)
    require("pixels", pixels, whole(2))
    require("points", points, whole(2))
    row = torch.from_numpy(image(np.linspace(-1, 1, pixels))).expand(1, 1, 2, pixels)
    u = torch.from_numpy((np.arange(points) + 0.5) * 2 / points - 1)  # midpoints
    leaf = torch.tensor(theta, requires_grad=True)
    x = leaf[0] * u + leaf[1]
    view = method(row, torch.stack((x, -torch.ones_like(x)), -1)[None, None])[0, 0, 0]
    total = (view - torch.from_numpy(target(u.numpy()))).square().sum() * 2 / points
    return torch.autograd.grad(total, leaf)[0].numpy()


def adam(
    slope: Callable[[Array], Array], start: ArrayLike, size: ArrayLike, steps: int, betas=BETAS
) -> Iterator[Array]:
    """Adam's path (Kingma and Ba, 2015), for any number of walkers at once: yields `steps` states.

    Parameters
    ----------
    slope : state → gradient, both of the shape of `start`.
    size : learning rate, > 0 or 0, one or one for each column.
    steps : 0 or more.
    betas : decay of the means of the gradient and of its square, 0 or more and below 1; `SIGN` for
        steps of even size.

    Raises
    ------
    TypeError, ValueError
        One line, before the first step, where an argument is not one of these.
    """
    _check_function("slope", slope)
    require("steps", steps, whole(0))
    _check_betas(betas)
    start, size = _array("start", start), _array("size", size)
    if not (size >= 0).all() or size.shape not in ((), start.shape[-1:]):
        raise ValueError(f"size must be 0 or more, one or one for each column, not {shown(size)}")
    return _adam(slope, start, size, steps, betas)


def _adam(slope: Callable, start: Array, size: Array, steps: int, betas) -> Iterator[Array]:
    state = start.copy()
    mean, square = np.zeros_like(state), np.zeros_like(state)
    for k in range(1, steps + 1):
        g = slope(state)
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g**2
        root = np.sqrt(square / (1 - betas[1] ** k)) + _EPS
        state = state - size * (mean / (1 - betas[0] ** k)) / root
        yield state


def largest_step(betas: tuple[float, float] = BETAS) -> float:
    """Most that one step of Adam can be, in learning rates, whatever gradients came before.

    By Cauchy and Schwarz, |m| ≤ √v · (1 - β₁) / √((1 - β₂)(1 - β₁²/β₂)) if 0 < β₁² < β₂, and
    gradients that grow by β₂/β₁ a step attain it. At the default, bias correction only lowers it.
    ValueError for other betas.
    """
    _check_betas(betas)
    if not 0 < betas[0] ** 2 < betas[1]:
        raise ValueError(f"betas must have 0 < β₁² < β₂, not {shown(betas)}")
    return (1 - betas[0]) / np.sqrt((1 - betas[1]) * (1 - betas[0] ** 2 / betas[1]))


def exit_times(
    slope: Callable, start: ArrayLike, size: ArrayLike, steps: int, betas=BETAS
) -> Array:
    """Steps until the image is out of sight, |t| ≥ 1 + |s|, for each walker; inf if not by then.

    Arguments as of `adam`, `start` (walkers, 2): (walkers,) float64.
    """
    start = _array("start", start)
    if start.ndim != 2 or start.shape[1] != 2:
        raise ValueError(f"start must have shape (walkers, 2), not {start.shape}")
    times = np.full(len(start), np.inf)
    for k, theta in enumerate(adam(slope, start, size, steps, betas), 1):
        gone = np.abs(theta[:, 1]) >= 1 + np.abs(theta[:, 0]) - _SLACK
        times[gone & np.isinf(times)] = k
        if np.isfinite(times).all():
            break
    return times


def mean_exit(inward: ArrayLike) -> float:
    """Mean number of steps that a walk from 0 takes to leave (-n, n), exactly.

    Parameters
    ----------
    inward : (n,) probability, below 1, of a step towards 0 at distance 0, 1, … n-1. At 0 there is
        no inward, and its entry does not count. All 1/2: n².
    """
    inward = _array("inward", inward)
    if inward.ndim != 1 or not len(inward) or not ((inward[1:] >= 0) & (inward[1:] < 1)).all():
        raise ValueError(f"inward must be one probability below 1 or more, not {shown(inward)}")
    total = onward = 1.0  # onward: mean time to get one further out
    for p in inward[1:]:
        onward = (1 + p * onward) / (1 - p)
        total += onward
    return float(total)


def two_layers(
    slope: Callable, lr: float, gamma: float, phi: ArrayLike, steps: int, n=50, betas=BETAS
) -> tuple[Array, Array]:
    """θ = b + n·w·φ, φ = ReLU(a): a last layer and its n equal features, trained by Adam.

    Parameters
    ----------
    slope : θ (walkers,) → dL/dθ (walkers,).
    lr : learning rate of b and w, which begin at 0.
    gamma : how far a step moves a feature: lr (1 + ‖x‖₁), x being what its layer reads.
    phi : (walkers,) the features at the start, > 0.

    Returns
    -------
    θ and φ, each (steps, walkers).

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of these.
    """
    _check_function("slope", slope)
    require("lr", lr, number(least=0))
    require("gamma", gamma, number(least=0))
    require("steps", steps, whole(1))
    require("n", n, whole(1))
    phi = np.atleast_1d(_array("phi", phi))
    if phi.ndim != 1 or not (phi > 0).all():
        raise ValueError(f"phi must be one number above 0 for each walker, not {shown(phi)}")

    def parameters_slope(state: Array) -> Array:
        b, w, a = state.T
        g, phi = slope(b + n * w * np.maximum(a, 0)), np.maximum(a, 0)
        return np.stack((g, g * phi, g * w * (a > 0)), -1)

    start = np.stack(np.broadcast_arrays(0.0, 0.0, phi), -1)
    path = np.array([*adam(parameters_slope, start, (lr, lr, gamma), steps, betas)])
    b, w, phi = path[..., 0], path[..., 1], np.maximum(path[..., 2], 0)
    return b + n * w * phi, phi


def _array(name: str, value: ArrayLike) -> Array:
    """The value as float64; a ValueError of one line where it is no numbers."""
    try:
        if isinstance(value, str | bytes) or value is None or np.iscomplexobj(value):
            raise ValueError
        return np.asarray(value, float)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name} must be numbers, not {shown(value)}") from None


def _checked(image: Image, theta: ArrayLike, target: Image) -> Array:
    """θ as an array, once it and both images are checked."""
    for name, value in (("image", image), ("target", target)):
        if not isinstance(value, Image):
            raise TypeError(f"{name} must be an Image, not {shown(value)}")
    theta = _array("theta", theta)
    if theta.shape[-1:] != (2,):
        raise ValueError(f"theta must have shape (..., 2), not {theta.shape}")
    return theta


def _check_function(name: str, value: Callable) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function, not {shown(value)}")


def _check_betas(betas: tuple[float, float]) -> None:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers, not {shown(betas)}")
    for beta in betas:
        require("each of betas", beta, number(least=0, below=1))


def _nodes(image: Image, theta: Array, target: Image) -> tuple[Array, Array, Array]:
    """Two Gauss points for each piece of the view: u, where it looks x = su + t, and weight."""
    s, t = theta[..., :1], theta[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        breaks = np.nan_to_num((np.array(image.knots) - t) / s, posinf=1, neginf=-1)
    others = np.broadcast_to(target.knots, (*theta.shape[:-1], len(target.knots)))
    u = np.sort(np.concatenate((np.clip(breaks, -1, 1), others), -1), -1)
    middle, half = (u[..., 1:] + u[..., :-1]) / 2, (u[..., 1:] - u[..., :-1]) / 2
    u = np.concatenate((middle - half / np.sqrt(3), middle + half / np.sqrt(3)), -1)
    return u, s * u + t, np.concatenate((half, half), -1)
