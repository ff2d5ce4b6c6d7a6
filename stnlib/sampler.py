"""Sampling an image at the points of a grid: four forms of one equation.

`sample_loop` is the equation, `sample` the same vectorised, `sample_native` PyTorch's own
and `sample_clipped` the form that most Keras and TensorFlow transformers of 2016 to 2018 share,
which differs. The first three agree in value and gradient; the book derives all four.
Image and output may have any height and width.

Convention
----------
A grid holds, for each pixel of the *output*, the point of the *input* that it is read from. A point
is (x, y), x to the right and y down, normalised so that the image is [-1, 1] both ways. With
``align_corners=True``, -1 and 1 are the centres of the outermost pixels; with False they are the
outer edges of the image. In pixel coordinates the centres are 0, 1, … W - 1.

Source: Jaderberg et al., "Spatial Transformer Networks" (2015), equations 3 to 7.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from stnlib.checks.tensors import FLOATS, check_flag, check_tensor, is_symbolic, recording, tracing
from stnlib.checks.values import choice, number, require, shown, whole

__all__ = [
    "KERNELS",
    "PADDINGS",
    "SAMPLERS",
    "kernel_weight",
    "sample",
    "sample_clipped",
    "sample_loop",
    "sample_native",
    "to_pixels",
]

PADDINGS = ("zeros", "border", "reflection")
KERNELS = ("bilinear", "integer")

_PADDING, _KERNEL, _NUMBER, _SIZE = choice(*PADDINGS), choice(*KERNELS), number(), whole(1)


def sample_loop(
    image: Tensor,
    grid: Tensor,
    *,
    padding: str = "zeros",
    align_corners: bool = True,
    kernel: str = "bilinear",
) -> Tensor:
    """Sum over every pixel of the image, for every output pixel: the equation as it stands.

    For reading and for checking: its cost is h·w·H·W.

    Convention: see the module.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), floating point, none of the sizes 0 but N.
    grid : Tensor
        (N, h, w, 2), of the image's dtype and on its device; finite.
    padding : str
        What lies outside of the image: `zeros`, `border` (the nearest pixel) or `reflection`.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    kernel : str
        `bilinear` (equation 5) or `integer` (equation 4, the nearest pixel).

    Returns
    -------
    Tensor
        (N, C, h, w), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or the grid is not finite.
    """
    _check(image, grid, padding, align_corners, kernel, finite=True)
    height, width = image.shape[2:]
    x, y = _coordinates(grid, height, width, padding, align_corners)
    out = image.new_zeros(image.shape[0], image.shape[1], *grid.shape[1:3])
    for b, i, j in torch.cartesian_prod(*map(torch.arange, x.shape)).tolist():
        value = image.new_zeros(image.shape[1])
        for n in range(height):
            for m in range(width):
                weight = kernel_weight(x[b, i, j], m, kernel) * kernel_weight(y[b, i, j], n, kernel)
                value = value + image[b, :, n, m] * weight
        out[b, :, i, j] = value
    return out


def sample(
    image: Tensor,
    grid: Tensor,
    *,
    padding: str = "zeros",
    align_corners: bool = True,
    kernel: str = "bilinear",
) -> Tensor:
    """`sample_loop`, vectorised: only the four pixels around a point have a weight.

    Differentiable any number of times, with respect to image and grid (PyTorch's own is so since
    release 2.12). Between pixel centres the second derivative by x alone, or by y alone, is 0: the
    kernel is linear in each. The integer kernel has no derivative by the grid.

    Convention: see the module.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), floating point, none of the sizes 0 but N.
    grid : Tensor
        (N, h, w, 2), of the image's dtype and on its device; finite.
    padding : str
        What lies outside of the image: `zeros`, `border` (the nearest pixel) or `reflection`.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    kernel : str
        `bilinear` (equation 5) or `integer` (equation 4, the nearest pixel).

    Returns
    -------
    Tensor
        (N, C, h, w), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or the grid is not finite. In a
        recorded program or `torch.func.vmap` that gives NaN, or 0 with the integer kernel.
    """
    _check(image, grid, padding, align_corners, kernel, finite=True)
    height, width = image.shape[2:]
    x, y = _coordinates(grid, height, width, padding, align_corners)
    if kernel == "integer":
        return _pixels(image, torch.floor(x + 0.5), torch.floor(y + 0.5))
    left, top = torch.floor(x), torch.floor(y)  # floor has derivative 0: the weights carry it all
    right, bottom = left + 1, top + 1
    to_right, to_bottom = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    upper = torch.lerp(_pixels(image, left, top), _pixels(image, right, top), to_right)
    lower = torch.lerp(_pixels(image, left, bottom), _pixels(image, right, bottom), to_right)
    return torch.lerp(upper, lower, to_bottom)


def sample_native(
    image: Tensor,
    grid: Tensor,
    *,
    padding: str = "zeros",
    align_corners: bool = True,
    kernel: str = "bilinear",
) -> Tensor:
    """PyTorch's `grid_sample`: what runs in the networks.

    It differs from `sample_loop` in two places. The integer kernel rounds halves to even where
    equation 4 rounds them up. And a grid that is not finite is no error, because looking for one
    would make the host wait for the device: a point that is not finite gives NaN in the bilinear
    output with padding `zeros`; with the other paddings NaN counts as -1, as PyTorch documents it,
    and has no gradient, and an infinity counts as a point far outside.

    Convention: see the module.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), floating point, none of the sizes 0 but N.
    grid : Tensor
        (N, h, w, 2), of the image's dtype and on its device.
    padding : str
        What lies outside of the image: `zeros`, `border` (the nearest pixel) or `reflection`.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    kernel : str
        `bilinear` (equation 5) or `integer` (equation 4, the nearest pixel).

    Returns
    -------
    Tensor
        (N, C, h, w), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    _check(image, grid, padding, align_corners, kernel, finite=False)
    if padding != "zeros":  # with NaN, or reflected infinities, PyTorch's backward pass can crash
        bound = sum if recording() else max  # unknown sides cannot be compared
        far = torch.finfo(grid.dtype).max / (4 * bound(image.shape[2:]))
        grid = torch.nan_to_num(grid, nan=-1.0).clamp(-far, far)
    mode = "bilinear" if kernel == "bilinear" else "nearest"
    return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=align_corners)


def sample_clipped(
    image: Tensor, grid: Tensor, *, padding: str = "zeros", align_corners: bool = True
) -> Tensor:
    """The historical sampler: corners are clipped to the image, weights come from what is left.

    Its identity is not the identity: -1 falls on pixel 0 but 1 on pixel W, one past the last, so
    that the image is stretched by W/(W-1) and its last row and column are black. Outside of
    [0, W-1) both corners coincide, the weights cancel, and value and gradient are zero: they
    are exactly so only as far as rounding lets them, which for a huge θ is not far. A point that is
    not finite gives NaN in the output, as it does in the originals' arithmetic.

    Source: Lasagne, TensorFlow models ``research/transformer``, STN.keras, seya and others.

    Convention: see the module.

    Parameters
    ----------
    image : Tensor
        (N, C, H, W), floating point, none of the sizes 0 but N.
    grid : Tensor
        (N, h, w, 2), of the image's dtype and on its device; made for ``align_corners=True``.
    padding : str
        Only `zeros`: it is there so that every sampler is called the same way.
    align_corners : bool
        Only True, likewise.

    Returns
    -------
    Tensor
        (N, C, h, w), of the same dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    _check(image, grid, padding, align_corners, "bilinear", finite=False)
    check_clipped(padding, align_corners)
    channels, height, width = image.shape[1:]
    x = 0.5 * (grid[..., 0].flatten(1) + 1.0) * width
    y = 0.5 * (grid[..., 1].flatten(1) + 1.0) * height
    # NaN is no pixel's index; any will do, for the weights are NaN all the same.
    left, top = (torch.nan_to_num(torch.floor(c.detach())) for c in (x, y))
    x0, x1 = left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)
    y0, y1 = top.clamp(0, height - 1), (top + 1).clamp(0, height - 1)
    flat = image.flatten(2)

    def corner(row: Tensor, column: Tensor, weight: Tensor) -> Tensor:
        index = (row * width + column).long().unsqueeze(1).expand(-1, channels, -1)
        return weight.unsqueeze(1) * flat.gather(2, index)

    # Four products, summed: the order of the originals, whose rounding is part of the history.
    out = corner(y0, x0, (x1 - x) * (y1 - y)) + corner(y1, x0, (x1 - x) * (y - y0))
    out = out + corner(y0, x1, (x - x0) * (y1 - y)) + corner(y1, x1, (x - x0) * (y - y0))
    return out.unflatten(2, grid.shape[1:3])


def check_clipped(padding: str, align_corners: bool) -> None:
    """Raise a ValueError for options that the clipped sampler does not have."""
    if padding != "zeros" or align_corners is not True:
        raise ValueError(
            "the clipped sampler allows only padding 'zeros' and align_corners True, "
            f"not {padding!r} and {align_corners}"
        )


SAMPLERS = {"bilinear": sample_native, "clipped": sample_clipped}


def kernel_weight(coordinate: Tensor, pixel: int, kernel: str = "bilinear") -> Tensor:
    """Weight of a pixel for a coordinate: equation 5 (bilinear) or 4 (integer).

    Convention: see the module.

    Parameters
    ----------
    coordinate : Tensor
        In pixels, any shape, floating point; NaN has the weight NaN, or 0 with `integer`.
    pixel : int
        Its number from 0, along the same axis.
    kernel : str
        `bilinear` or `integer`.

    Returns
    -------
    Tensor
        In [0, 1], of the coordinate's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    check_tensor("coordinate", coordinate)
    require("pixel", pixel, _NUMBER)
    require("kernel", kernel, _KERNEL)
    if kernel == "integer":
        return (torch.floor(coordinate + 0.5) == pixel).to(coordinate.dtype)
    return torch.clamp(1 - torch.abs(coordinate - pixel), min=0)


def to_pixels(coordinate: Tensor, size: int, align_corners: bool = True) -> Tensor:
    """Normalised coordinate → pixel coordinate, in which pixel centres are 0, 1, … size - 1.

    Convention: see the module.

    Parameters
    ----------
    coordinate : Tensor
        x or y, any shape, floating point; or a number.
    size : int
        The image's width for x, its height for y, in pixels.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels.

    Returns
    -------
    Tensor
        Of the coordinate's shape and dtype.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    if isinstance(coordinate, Tensor):
        check_tensor("coordinate", coordinate)
    else:
        require("coordinate", coordinate, _NUMBER)
    if not recording():  # there it may be unknown
        require("size", size, _SIZE)
    check_flag("align_corners", align_corners)
    if align_corners:
        return (coordinate + 1) / 2 * (size - 1)
    return ((coordinate + 1) * size - 1) / 2


def _coordinates(
    grid: Tensor, height: int, width: int, padding: str, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """The grid in pixels, folded back into the image as the padding says: two of (N, h, w)."""
    x = to_pixels(grid[..., 0], width, align_corners)
    y = to_pixels(grid[..., 1], height, align_corners)
    return _pad(x, width, padding, align_corners), _pad(y, height, padding, align_corners)


def _pad(coordinate: Tensor, size: int, padding: str, align_corners: bool) -> Tensor:
    if padding == "reflection":
        # The mirrors stand at the centres or at the edges of the outermost pixels.
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        if not tracing() and span == 0:
            return coordinate * 0
        distance = torch.abs(coordinate - low)
        folded = distance % (2 * span)
        coordinate = low + span - torch.abs(folded - span)
    return coordinate if padding == "zeros" else coordinate.clamp(0, size - 1)


def _pixels(image: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """image[n, :, row, column] for every point of (N, h, w), and 0 outside of the image."""
    height, width = image.shape[2:]
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    # NaN, unchecked in a recorded program, is no pixel's index; any will do, its weight is NaN.
    row, column = torch.nan_to_num(row), torch.nan_to_num(column)
    index = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
    index = index.flatten(1).unsqueeze(1).expand(-1, image.shape[1], -1)
    values = image.flatten(2).gather(2, index).unflatten(2, column.shape[1:])
    return values * inside.unsqueeze(1)


def _check(
    image: Tensor, grid: Tensor, padding: str, align_corners: bool, kernel: str, finite: bool
) -> None:
    require("padding", padding, _PADDING)
    require("kernel", kernel, _KERNEL)
    check_flag("align_corners", align_corners)
    for name, value in (("image", image), ("grid", grid)):
        if not isinstance(value, Tensor) or value.layout is not torch.strided:
            raise TypeError(f"{name} must be a dense tensor, not {shown(value)}")
    if tracing():
        return
    if image.ndim != 4 or 0 in image.shape[1:]:
        raise ValueError(f"image must have shape (N, C, H, W), not empty, is {tuple(image.shape)}")
    if grid.ndim != 4 or grid.shape[3] != 2 or 0 in grid.shape[1:3]:
        raise ValueError(f"grid must have shape (N, h, w, 2), not empty, is {tuple(grid.shape)}")
    if image.shape[0] != grid.shape[0]:
        raise ValueError(f"grid must have batch size {image.shape[0]}, not {grid.shape[0]}")
    if image.dtype != grid.dtype or image.dtype not in FLOATS:
        raise ValueError(
            f"image and grid must have one floating-point dtype, not {image.dtype} and {grid.dtype}"
        )
    if image.device != grid.device:
        raise ValueError(f"image and grid must be on one device, not {image.device}, {grid.device}")
    if finite and not is_symbolic(grid) and not torch.isfinite(grid).all():
        raise ValueError("grid must be finite, but has infinities or NaN")
