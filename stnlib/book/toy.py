"""A spatial transformer in one dimension, in which everything can be computed exactly.

The loss compares the view g with a target h: L(θ) = ∫ (g - h)² du. Integrals are exact up to
rounding: between breakpoints an integrand is a polynomial of degree 2, for which two Gauss points
are enough. ``book/appendix/toy.ipynb`` derives and uses it.

Convention
----------
An image is a function f on [-1, 1], linear between knots and 0 outside. The transform θ = (s, t)
shows g(u) = f(s·u + t) for u in [-1, 1]; s > 1 zooms out, and the image is out of sight when
|t| ≥ 1 + |s|. θ is (..., 2) float64, the last axis (s, t); whatever leads it leads the results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike

from stnlib.checks.values import number, require, shown, whole

__all__ = ["Gradient", "Image", "cone", "floats", "gradient", "loss", "sampled_gradient"]


@dataclass(frozen=True)
class Image:
    """A function, linear between (knot, value) pairs and 0 outside of [-1, 1].

    Parameters
    ----------
    knots : tuple[float, ...]
        At least two, increasing, the first -1 and the last 1.
    values : tuple[float, ...]
        Brightness at each; any finite numbers.

    Raises
    ------
    ValueError
        One line, where the knots or values are not such.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, row in (("knots", self.knots), ("values", self.values)):
            if floats(name, row).ndim != 1 or not np.isfinite(floats(name, row)).all():
                raise ValueError(f"{name} must be finite numbers, not {shown(row)}")
        ends = (self.knots[0], self.knots[-1]) if len(self.knots) else ()
        rising = bool(np.all(np.diff(self.knots) > 0))
        if ends != (-1, 1) or not rising or len(self.knots) != len(self.values):
            raise ValueError(
                "knots must increase from -1 to 1 and have one value each, "
                f"not knots {shown(self.knots)} with {len(self.values)} values"
            )

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """Brightness at x, of any shape."""
        return np.interp(floats("x", x), self.knots, self.values, left=0.0, right=0.0)

    def slope(self, x: ArrayLike) -> np.ndarray:
        """Derivative: 0 outside, and at a knot that of the right-hand side.

        Parameters
        ----------
        x : ArrayLike
            Any shape.

        Returns
        -------
        np.ndarray
            Of its shape.
        """
        slopes = np.pad(np.diff(self.values) / np.diff(self.knots), 1)
        return slopes[np.searchsorted(self.knots, floats("x", x), "right")]


def cone(border: float) -> Image:
    """Brightness 1 in the middle that falls evenly towards both ends.

    Parameters
    ----------
    border : float
        Brightness there.

    Returns
    -------
    Image
        Of three knots.
    """
    require("border", border, number())
    return Image((-1.0, 0.0, 1.0), (border, 1.0, border))


class Gradient(NamedTuple):
    """The two parts of dL/dθ by Leibniz' rule.

    Parameters
    ----------
    interior, boundary : np.ndarray
        (..., 2), with respect to s and t.
    """

    interior: np.ndarray
    boundary: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Their sum, the derivative."""
        return self.interior + self.boundary


def loss(image: Image, theta: ArrayLike, target: Image) -> np.ndarray:
    """∫ (g - h)² du over the view [-1, 1], exactly.

    Convention: see the module.

    Parameters
    ----------
    image, target : Image
        f and h.
    theta : ArrayLike
        (..., 2).

    Returns
    -------
    np.ndarray
        (...).

    Raises
    ------
    TypeError, ValueError
        One line, where an image or θ is not such.
    """
    theta = _checked(image, theta, target)
    u, x, weight = _nodes(image, theta, target)
    return (weight * (image(x) - target(u)) ** 2).sum(-1)


def gradient(image: Image, theta: ArrayLike, target: Image) -> Gradient:
    """dL/dθ, exactly, in its interior and its boundary part.

    The interior part is ∫ 2 (g - h) f'(su + t) (u, 1) du over what is seen of the image. The
    boundary part is, for each border e = ±1 of the image that lies inside of the view, at
    u = (e - t)/s: the speed -(u, 1)/s at which it moves times what its passing costs,
    (f(e) - h)² - h², with the sign of the side. It is 0 where f(e) = 0.

    Convention: see the module.

    Parameters
    ----------
    image, target : Image
        f and h.
    theta : ArrayLike
        (..., 2).

    Returns
    -------
    Gradient
        Its parts (..., 2).

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
) -> np.ndarray:
    """dL/dθ as autograd has it: the image in pixels, the view at points, a sampler of `stnlib`.

    The image has two equal rows, and the upper one is read: the clipped sampler's last row is
    always black, and in an image that is one pixel high the last row is the only one.

    Convention: see the module.

    Parameters
    ----------
    method : Callable
        `sample`, `sample_clipped` or the like of `stnlib.sampler`.
    image, target : Image
        f and h.
    theta : ArrayLike
        (2,).
    pixels, points : int
        Of the image and of the view, at least 2.

    Returns
    -------
    np.ndarray
        (2,).

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of these.
    """
    theta = _checked(image, theta, target)
    if theta.shape != (2,):
        raise ValueError(f"theta must have shape (2,), not {theta.shape}")
    if not callable(method):
        raise TypeError(f"method must be a function, not {shown(method)}")
    require("pixels", pixels, whole(2))
    require("points", points, whole(2))
    row = torch.from_numpy(image(np.linspace(-1, 1, pixels))).expand(1, 1, 2, pixels)
    u = torch.from_numpy((np.arange(points) + 0.5) * 2 / points - 1)  # midpoints
    leaf = torch.tensor(theta, requires_grad=True)
    x = leaf[0] * u + leaf[1]
    view = method(row, torch.stack((x, -torch.ones_like(x)), -1)[None, None])[0, 0, 0]
    total = (view - torch.from_numpy(target(u.numpy()))).square().sum() * 2 / points
    return torch.autograd.grad(total, leaf)[0].numpy()


def floats(name: str, value: ArrayLike) -> np.ndarray:
    """A value as an array.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : ArrayLike
        Real numbers, any shape.

    Returns
    -------
    np.ndarray
        float64.

    Raises
    ------
    ValueError
        One line, where it is no numbers.
    """
    try:
        if isinstance(value, str | bytes) or value is None or np.iscomplexobj(value):
            raise ValueError
        return np.asarray(value, float)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ValueError(f"{name} must be numbers, not {shown(value)}") from None


def _checked(image: Image, theta: ArrayLike, target: Image) -> np.ndarray:
    """θ as an array, once it and both images are checked."""
    for name, value in (("image", image), ("target", target)):
        if not isinstance(value, Image):
            raise TypeError(f"{name} must be an Image, not {shown(value)}")
    theta = floats("theta", theta)
    if theta.shape[-1:] != (2,):
        raise ValueError(f"theta must have shape (..., 2), not {theta.shape}")
    return theta


def _nodes(image: Image, theta: np.ndarray, target: Image) -> tuple[np.ndarray, ...]:
    """Two Gauss points for each piece of the view: u, where it looks x = su + t, and weight."""
    s, t = theta[..., :1], theta[..., 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        breaks = np.nan_to_num((np.array(image.knots) - t) / s, posinf=1, neginf=-1)
    others = np.broadcast_to(target.knots, (*theta.shape[:-1], len(target.knots)))
    u = np.sort(np.concatenate((np.clip(breaks, -1, 1), others), -1), -1)
    middle, half = (u[..., 1:] + u[..., :-1]) / 2, (u[..., 1:] - u[..., :-1]) / 2
    u = np.concatenate((middle - half / np.sqrt(3), middle + half / np.sqrt(3)), -1)
    return u, s * u + t, np.concatenate((half, half), -1)
