"""How far a transformer is from undoing distortions that are known."""

from __future__ import annotations

from torch import Tensor

from stnlib.checks.tensors import check_same
from stnlib.checks.values import require, whole
from stnlib.diagnostics.footprints import check_points, object_coverage
from stnlib.diagnostics.theta import as_affine, decompose

__all__ = ["pose_summary", "through"]

SAME = 1e-5  # below, true values differ by rounding alone


def through(theta: Tensor, points: Tensor) -> Tensor:
    """Send points (P, 2) or (N, P, 2) through affine θ, (N, 6) or (N, 2, 3): (N, P, 2).

    Points of the output, to where θ looks for them in the input; normalised (x, y).
    """
    matrix = as_affine(theta)
    check_points(points, len(matrix))
    check_same(theta=theta, points=points)
    return points @ matrix[:, :, :2].mT + matrix[:, None, :, 2]


def pose_summary(theta: Tensor, truth: Tensor, points: Tensor, size: int) -> dict[str, float]:
    """How far affine θ are from those that would undo each image's distortion.

    Parameters
    ----------
    theta, truth : (N, 6), (N, 2, 3) or (N, 3, 3) float, predicted and true, output to input.
    points : (P, 2) float, points of the object where it is upright, normalised (x, y).
    size : height and width of the input in pixels.

    Returns
    -------
    dict with `theta_error`, the root mean square distance in pixels between where θ and where
    the true θ looks for the object's points; `object_coverage`, its mean over images; and
    `undone_rotation`, `undone_tx`, `undone_ty` and `undone_scale`, each where its true value
    differs between images: slopes of the least-squares lines from the true values to the
    predicted ones, 1 where the distortion is undone, 0 where ignored.
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
