"""How much of the image, or of the object in it, a transformer still shows.

Convention
----------
θ maps points of the *output* to the points of the *input* that they are read from, and a grid holds
the latter for each pixel of the output. A point is (x, y), x to the right and y down, normalised so
that either image is [-1, 1] both ways. With ``align_corners=True``, -1 and 1 are the centres of the
outermost pixels; with False they are the outer edges of the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stnlib.checks.tensors import check_flag, check_grid, check_images, check_tensor, is_symbolic
from stnlib.checks.values import shown
from stnlib.diagnostics.theta import as_affine

__all__ = ["black_share", "coverage", "footprint", "grid_coverage", "object_coverage"]


def coverage(theta: Tensor) -> Tensor:
    """Share of the output's area whose sampling point lies inside the image; exact.

    The output is the square [-1, 1] both ways; an affine transform sends inside the image what
    lies between two pairs of parallel lines. Square and lines bound a polygon. Cut at the height
    of every crossing of two lines it falls into trapezoids, whose areas are added. For other
    families see `grid_coverage`.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point, affine.

    Returns
    -------
    Tensor
        (N,) float64 in [0, 1], differentiable; θ that is not finite sees nothing: 0.

    Raises
    ------
    TypeError, ValueError
        One line, where θ is of another type or shape, or not affine.
    """
    # Beside a training step an operation costs most at its first use: so few kinds are used here.
    matrix = as_affine(theta).permute(1, 2, 0)
    matrix = matrix.to(torch.float64, memory_format=torch.contiguous_format)
    finite = (matrix * 0).sum(dim=(0, 1)) == 0
    matrix = torch.where(finite, matrix, 0.0)
    signs = _SIGNS.to(matrix.device)
    cuts = _cuts(matrix, signs)
    low, high = cuts[:-1], cuts[1:]
    across, along, shift = matrix.unsqueeze(2).unbind(dim=1)
    # At height y, a x + b y + t is in [-1, 1] for x around a centre; if a = 0, for all or for none:
    # as with 1e-100, but for a line that is ±1 throughout, which counts as inside.
    flat = across == 0
    across = torch.where(flat, 1e-100, across)
    half = torch.where(flat, 1e100 * (1 + 1e-15), 1 / across.abs())
    centre = (along * ((low + high) / 2) + shift) / across  # of -x, as large an area
    reach = (half + signs[1, :2, None, None, None] * centre).amin(dim=1)  # either way from 0
    length = reach.clamp(-1, 1).sum(dim=0).clamp(0, 2)
    return (length * (high - low)).sum(dim=0) * finite / 4


_SIGNS = torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]], dtype=torch.float64)
_SIDE = torch.tensor([[[1.0], [0.0], [0.0]]], dtype=torch.float64)


def _cuts(matrix: Tensor, signs: Tensor) -> Tensor:
    """Heights in [-1, 1] at which lines cross that bound what is seen, and ±1: (14, N), in order.

    The lines are p x + q y + r = ±1 with (p, q, r) = (1, 0, 0) for the square's sides, and the
    rows of `matrix`, (2, 3, N). Two of them, s = ±1 and s' = ±1, cross at
    (s' p - s p' + r p' - r' p) over (p q' - p' q). Where they are parallel the height is any: one
    cut more changes no area.
    """
    n = matrix.shape[2]
    side = _SIDE.to(matrix.device).expand(1, 3, n)
    p, q, r = torch.cat([side, matrix]).unsqueeze(1).unbind(dim=2)
    p1, q1, r1 = torch.cat([matrix, side]).unsqueeze(1).unbind(dim=2)
    first, second = signs.unsqueeze(2)
    crossing = p * q1 - p1 * q
    height = (first * p - second * p1 + (r * p1 - r1 * p)) / (crossing + (crossing == 0))
    ends = signs[1, :2, None].expand(2, n)
    return torch.cat([height.flatten(0, 1).clamp(-1, 1), ends]).sort(dim=0).values


def grid_coverage(grid: Tensor) -> Tensor:
    """Share of sampling points that lie inside the image: for every family; counted.

    Records hold this one, whatever the family: it comes within a pixel's width of `coverage`.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point, h and w at least 1.

    Returns
    -------
    Tensor
        (N,) float32 in [0, 1]; NaN coordinates count as outside.

    Raises
    ------
    TypeError, ValueError
        One line, where `grid` is of another type or shape.
    """
    check_grid("grid", grid)
    return (grid.abs() <= 1).all(dim=-1).float().mean(dim=(1, 2))


def object_coverage(
    theta: Tensor,
    points: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    align_corners: bool = True,
) -> Tensor:
    """Share of an object that an affine transformer still shows.

    Unlike `coverage`, it does not count empty canvas as seen, and zooming out loses nothing.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point, affine.
    points : Tensor | None
        (P, 2) or (N, P, 2), floating point: points of the object in the input.
    mask : Tensor | None
        Instead of points: (H, W) for all images, (N, H, W) or (N, 1, H, W), bool or ≥ 0: how much
        of the object each pixel of the input holds. A pixel counts where its centre is.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the mask's outermost pixels.

    Returns
    -------
    Tensor
        (N,) float32 in [0, 1]: the share of the object that lies within the output. Where θ cannot
        be inverted or is not finite, nothing is seen: 0. Where a mask is empty: NaN.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape, or there are not points or a mask.
    """
    n = len(as_affine(theta))
    check_flag("align_corners", align_corners)
    if (points is None) == (mask is None):
        raise ValueError("object_coverage needs points or a mask, one of the two")
    if points is not None:
        check_points(points, n)
        return _seen(theta, points).float().mean(dim=1)
    if not isinstance(mask, Tensor) or mask.is_complex() or mask.layout is not torch.strided:
        raise TypeError(f"mask must be a dense tensor, bool or >= 0, not {shown(mask)}")
    if mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    if mask.ndim not in (2, 3) or 0 in mask.shape[-2:] or (mask.ndim == 3 and len(mask) != n):
        raise ValueError(
            f"mask must have shape (H, W), (N, H, W) or (N, 1, H, W) with N = {n}, "
            f"not {tuple(mask.shape)}"
        )
    weight = mask.double().flatten(-2)
    seen = _seen(theta, _centres(mask, align_corners))
    return ((seen * weight).sum(dim=1) / weight.sum(dim=-1)).float()


def check_points(points: Tensor, n: int) -> None:
    """Raise a TypeError or ValueError unless `points` are (P, 2) or (N, P, 2), floating point."""
    check_tensor("points", points)
    shape = tuple(points.shape)
    if points.ndim not in (2, 3) or shape[-1] != 2 or not shape[-2] or shape[:-2] not in ((), (n,)):
        raise ValueError(f"points must have shape (P, 2) or (N, P, 2) with N = {n}, not {shape}")


def _seen(theta: Tensor, points: Tensor) -> Tensor:
    """Whether points of the input lie within the output: (N, P), bool."""
    matrix = as_affine(theta).double()
    linear, shift = matrix[:, :, :2], matrix[:, None, :, 2]
    inverse, singular = torch.linalg.inv_ex(linear)
    inverse = torch.where(singular.bool()[:, None, None], torch.nan, inverse)
    inside = ((points.double() - shift) @ inverse.mT).abs() <= 1 + 1e-6  # the edge, rounded
    return inside.all(dim=-1)


def _centres(mask: Tensor, align_corners: bool) -> Tensor:
    """Centres of a mask's pixels, row by row, normalised (x, y): (H·W, 2) float64."""
    axes = []
    for n in mask.shape[-2:]:
        end = 1.0 if align_corners else 1.0 - 1.0 / n
        end = end if n > 1 else 0.0
        axes.append(torch.linspace(-end, end, n, dtype=torch.float64, device=mask.device))
    y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def footprint(grid: Tensor) -> Tensor:
    """Outline of the sampled region in the input's coordinates.

    Convention: see the module.

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point, h and w at least 1.

    Returns
    -------
    Tensor
        (N, 2 (h + w) - 3, 2), of the grid's dtype: its border points, clockwise from the top left
        corner and back to it, ready to be drawn as a line.

    Raises
    ------
    TypeError, ValueError
        One line, where `grid` is of another type or shape.
    """
    check_grid("grid", grid)
    top, right = grid[:, 0], grid[:, 1:, -1]
    bottom, left = grid[:, -1, :-1].flip(1), grid[:, :-1, 0].flip(1)
    return torch.cat([top, right, bottom, left], dim=1)


def black_share(output: Tensor, images: Tensor | None = None) -> Tensor:
    """Share of outputs that show nothing of their image.

    Such an output is one flat colour: the 0 that a sampler pads with, or the darkest value of its
    image, both up to 1 % of the image's range. It is above 0 because the clipped sampler's
    weights cancel only up to rounding when θ is large. An image that is flat itself has nothing
    to show, and its output does not count.

    Parameters
    ----------
    output : Tensor
        (N, C, h, w), floating point, of a sampler.
    images : Tensor | None
        (N, C, H, W), floating point, what it sampled, in any unit; None for images of the range
        [0, 1].

    Returns
    -------
    Tensor
        () float32 in [0, 1].

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.
    """
    check_images("output", output)
    if images is not None:
        check_images("images", images)
        if len(images) != len(output):
            raise ValueError(f"images must be as many as outputs, {len(output)}, not {len(images)}")
    if images is None:
        return (output.abs().amax(dim=(1, 2, 3)) < FLAT).float().mean()
    darkest = images.amin(dim=(1, 2, 3))
    level = FLAT * (images.amax(dim=(1, 2, 3)) - darkest)
    if output.device.type == "cpu" and not is_symbolic(output):
        some = output[:, :, ::3, ::3]  # where these differ, as they usually do, nothing is flat
        if bool((some.amax(dim=(1, 2, 3)) - some.amin(dim=(1, 2, 3)) > 2 * level).all()):
            return torch.zeros((), device=output.device)
    high, low = output.amax(dim=(1, 2, 3)), output.amin(dim=(1, 2, 3))  # needs no copy, as abs does
    from_padding = torch.maximum(high, -low)
    from_darkest = torch.maximum(high - darkest, darkest - low)
    return (torch.minimum(from_padding, from_darkest) < level).float().mean()


FLAT = 0.01  # share of an image's range
