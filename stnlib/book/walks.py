"""Walks: how far Adam moves a transformer of `stnlib.book.toy`, and when it leaves the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from stnlib.book.toy import floats
from stnlib.checks.values import number, require, shown, whole

__all__ = ["BETAS", "SIGN", "adam", "exit_times", "largest_step", "mean_exit", "two_layers"]

Betas = tuple[float, float]
BETAS = (0.9, 0.999)  # Adam's, by default
SIGN = (0.0, 0.0)  # with these Adam moves by the sign of the gradient
_EPS = 1e-8
_FEATURES = 50  # as many as a localisation network's
_SLACK = 1e-6  # so near to the edge is out: eps makes each of Adam's steps a little short


def adam(
    slope: Callable, start: ArrayLike, size: ArrayLike, steps: int, betas: Betas = BETAS
) -> Iterator[np.ndarray]:
    """Adam's path (Kingma and Ba, 2015), for any number of walkers at once.

    Parameters
    ----------
    slope : Callable
        State → gradient, both of the shape of `start`.
    start : ArrayLike
        The first state, which is not part of the path.
    size : ArrayLike
        Learning rate, 0 or more, one or one for each column.
    steps : int
        0 or more.
    betas : Betas
        Decay of the means of the gradient and of its square, 0 or more and below 1; `SIGN` for
        steps of even size.

    Returns
    -------
    Iterator[np.ndarray]
        A state a step.

    Raises
    ------
    TypeError, ValueError
        One line, before the first step, where an argument is not one of these.
    """
    _check_function("slope", slope)
    require("steps", steps, whole(0))
    _check_betas(betas)
    start, size = floats("start", start), floats("size", size)
    if not (size >= 0).all() or size.shape not in ((), start.shape[-1:]):
        raise ValueError(f"size must be 0 or more, one or one for each column, not {shown(size)}")
    return _adam(slope, start, size, steps, betas)


def _adam(
    slope: Callable, start: np.ndarray, size: np.ndarray, steps: int, betas: Betas
) -> Iterator[np.ndarray]:
    state = start.copy()
    mean, square = np.zeros_like(state), np.zeros_like(state)
    for k in range(1, steps + 1):
        g = slope(state)
        mean = betas[0] * mean + (1 - betas[0]) * g
        square = betas[1] * square + (1 - betas[1]) * g**2
        root = np.sqrt(square / (1 - betas[1] ** k)) + _EPS
        state = state - size * (mean / (1 - betas[0] ** k)) / root
        yield state


def largest_step(betas: Betas = BETAS) -> float:
    """Most that one step of Adam can be, in learning rates, whatever gradients came before.

    By Cauchy and Schwarz, |m| ≤ √v · (1 - β₁) / √((1 - β₂)(1 - β₁²/β₂)), and gradients that grow by
    β₂/β₁ a step attain it. At the default, bias correction only lowers it.

    Parameters
    ----------
    betas : Betas
        As for `adam`, with 0 < β₁² < β₂.

    Returns
    -------
    float
        At least 1.

    Raises
    ------
    ValueError
        One line, for other betas.
    """
    _check_betas(betas)
    if not 0 < betas[0] ** 2 < betas[1]:
        raise ValueError(f"betas must have 0 < β₁² < β₂, not {shown(betas)}")
    return (1 - betas[0]) / np.sqrt((1 - betas[1]) * (1 - betas[0] ** 2 / betas[1]))


def exit_times(
    slope: Callable, start: ArrayLike, size: ArrayLike, steps: int, betas: Betas = BETAS
) -> np.ndarray:
    """Steps until the image is out of sight, |t| ≥ 1 + |s|, for each walker.

    Parameters
    ----------
    slope : Callable
        θ (walkers, 2) → dL/dθ, of its shape.
    start : ArrayLike
        (walkers, 2).
    size : ArrayLike
        Learning rate, 0 or more, one or (2,).
    steps : int
        0 or more; the most that are taken.
    betas : Betas
        As for `adam`.

    Returns
    -------
    np.ndarray
        (walkers,) float64; inf for those in sight after all steps.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of these.
    """
    start = floats("start", start)
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
    inward : ArrayLike
        (n,) probability, below 1, of a step towards 0 at distance 0, 1, … n-1. At 0 there is no
        inward, and its entry does not count.

    Returns
    -------
    float
        All 1/2: n².

    Raises
    ------
    ValueError
        One line, where `inward` is not such.
    """
    inward = floats("inward", inward)
    if inward.ndim != 1 or not len(inward) or not ((inward[1:] >= 0) & (inward[1:] < 1)).all():
        raise ValueError(f"inward must be one probability below 1 or more, not {shown(inward)}")
    total = onward = 1.0  # onward: mean time to get one further out
    for p in inward[1:]:
        onward = (1 + p * onward) / (1 - p)
        total += onward
    return float(total)


def two_layers(
    slope: Callable, lr: float, gamma: float, phi: ArrayLike, steps: int, betas: Betas = BETAS
) -> tuple[np.ndarray, np.ndarray]:
    """θ = b + n·w·φ, φ = ReLU(a): a last layer and its 50 equal features, trained by Adam.

    Parameters
    ----------
    slope : Callable
        θ (walkers,) → dL/dθ (walkers,).
    lr : float
        Learning rate of b and w, which begin at 0; 0 or more.
    gamma : float
        How far a step moves a feature: lr (1 + ‖x‖₁), x being what its layer reads.
    phi : ArrayLike
        (walkers,) the features at the start, > 0.
    steps : int
        At least 1.
    betas : Betas
        As for `adam`.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
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
    phi = np.atleast_1d(floats("phi", phi))
    if phi.ndim != 1 or not (phi > 0).all():
        raise ValueError(f"phi must be one number above 0 for each walker, not {shown(phi)}")

    def parameters_slope(state: np.ndarray) -> np.ndarray:
        b, w, a = state.T
        phi = np.maximum(a, 0)
        g = slope(b + _FEATURES * w * phi)
        return np.stack((g, g * phi, g * w * (a > 0)), -1)

    start = np.stack(np.broadcast_arrays(0.0, 0.0, phi), -1)
    path = np.array([*adam(parameters_slope, start, (lr, lr, gamma), steps, betas)])
    b, w, phi = path[..., 0], path[..., 1], np.maximum(path[..., 2], 0)
    return b + _FEATURES * w * phi, phi


def _check_function(name: str, value: Callable) -> None:
    if not callable(value):
        raise TypeError(f"{name} must be a function, not {shown(value)}")


def _check_betas(betas: Betas) -> None:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers, not {shown(betas)}")
    for beta in betas:
        require("each of betas", beta, number(least=0, below=1))
