"""How far a transformer is from undoing distortions that are known.

Convention
----------
θ maps points of the *output* to the points of the *input* that they are read from. A point is
(x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways; -1 and 1
are the centres of the outermost pixels (``align_corners=True``).
"""

from __future__ import annotations

from torch import Tensor

from stnlib.checks.tensors import check_same
from stnlib.checks.values import require, whole
from stnlib.diagnostics.footprints import check_points, object_coverage
from stnlib.diagnostics.theta import as_affine, decompose

__all__ = ["pose_summary", "through"]

SAME = 1e-5  # below, true values differ by rounding alone


def through(theta: Tensor, points: Tensor) -> Tensor:
    """Where affine θ look for points in the input.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point.
    points : Tensor
        (P, 2) or (N, P, 2), points of the output, of θ's dtype.

    Returns
    -------
    Tensor
        (N, P, 2), points of the input, of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    matrix = as_affine(theta)
    check_points(points, len(matrix))
    check_same(theta=theta, points=points)
    return points @ matrix[:, :, :2].mT + matrix[:, None, :, 2]


def pose_summary(theta: Tensor, truth: Tensor, points: Tensor, size: int) -> dict[str, float]:
    """How far affine θ are from those that would undo each image's distortion.

    Convention: see the module.

    Parameters
    ----------
    theta, truth : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point, predicted and true; N at least 1.
    points : Tensor
        (P, 2), floating point, points of the object where it is upright.
    size : int
        Height and width of the input in pixels.

    Returns
    -------
    dict[str, float]
        `theta_error`, the root mean square distance in pixels between where θ and where the true θ
        looks for the object's points; `object_coverage`, its mean over images; and
        `undone_rotation`, `undone_tx`, `undone_ty` and `undone_scale`, each where its true value
        differs between images: slopes of the least-squares lines from the true values to the
        predicted ones, 1 where the distortion is undone, 0 where ignored.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    require("size", size, whole(1))
    theta, truth = as_affine(theta).double(), as_affine(truth).double()
    if theta.shape != truth.shape or not len(theta):
        raise ValueError(
            "theta and truth must be of the same images, at least one, "
            f"not {len(theta)} and {len(truth)}"
        )
    check_points(points, len(truth))
    places = through(truth, points.double())
    distance = (through(theta, points.double()) - places).square().sum(-1)
    summary = {
        "theta_error": distance.mean().sqrt().item() * (size - 1) / 2,
        "object_coverage": object_coverage(theta, places).mean().item(),
    }
    found, wanted = decompose(theta), decompose(truth)
    for name in ("rotation", "tx", "ty", "scale"):
        x = wanted[name] - wanted[name].mean()
        if x.abs().max() > SAME:
            slope = (x * found[name]).sum() / x.square().sum()
            summary[f"undone_{name}"] = slope.item()
    return summary
