"""θ in the terms of OpenCV and kornia and back, and in the input's pixels.

OpenCV's matrices take pixels of the *input* to pixels of the *output*. They fit ``cv2.warpAffine``
and ``cv2.warpPerspective``, and kornia's ``warp_affine`` and ``warp_perspective`` with either
``align_corners``. kornia's ``homography_warp`` takes normalised matrices from output to input.
The matrix of one image is ``to_opencv(theta, size)[0].numpy()``; OpenCV's own becomes
``torch.from_numpy(matrix)[None]``.

Convention
----------
θ maps points of the *output* to the points of the *input* that they are read from. A point is
(x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. With
``align_corners=True``, -1 and 1 are the centres of the outermost pixels; with False they are the
outer edges of the image. In pixels the centres are 0, 1, … W - 1. Sizes are (H, W) as everywhere
in PyTorch; OpenCV's ``dsize`` is (W, H).

An input that is one pixel high or wide is refused with ``align_corners=True``: every coordinate
would mean that pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stnlib.checks.tensors import at_least_float32, check_flag, check_tensor
from stnlib.sampler import to_pixels
from stnlib.transforms.matrices import apply, check_size, compose, invert

__all__ = ["boxes", "from_kornia", "from_opencv", "to_kornia", "to_opencv"]

Size = tuple[int, int]


def to_opencv(
    theta: Tensor,
    size: tuple[int, int],
    output_size: tuple[int, int] | None = None,
    *,
    align_corners: bool = True,
    inverse_map: bool = False,
) -> Tensor:
    """θ as OpenCV's matrices, in pixels.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point.
    size : tuple[int, int]
        Height and width of the input in pixels.
    output_size : tuple[int, int] | None
        Of the output; None for the input's.
    align_corners : bool
        Whether θ's ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    inverse_map : bool
        Whether the matrices are for OpenCV's flag ``WARP_INVERSE_MAP``: from output to input.

    Returns
    -------
    Tensor
        (N, 2, 3), or (N, 3, 3) if θ is; at least float32.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or a matrix has no inverse.
    """
    matrix = _square("theta", theta)
    check_flag("inverse_map", inverse_map)
    source, target = _frames(size, output_size, align_corners, matrix)
    # Inverted while it is normalised: in pixels its entries differ too much in size.
    if inverse_map:
        return _like(theta, _chain(source, matrix, invert(target)))
    return _like(theta, _chain(target, invert(matrix), invert(source)))


def from_opencv(
    matrix: Tensor,
    size: tuple[int, int],
    output_size: tuple[int, int] | None = None,
    *,
    align_corners: bool = True,
    inverse_map: bool = False,
) -> Tensor:
    """θ of OpenCV's matrices, which are in pixels.

    Convention: see the module.

    Parameters
    ----------
    matrix : Tensor
        (N, 2, 3), or (N, 3, 3) as for ``warpPerspective``; floating point.
    size : tuple[int, int]
        Height and width of the input in pixels.
    output_size : tuple[int, int] | None
        Of the output; None for the input's.
    align_corners : bool
        Whether θ's ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    inverse_map : bool
        Whether the matrices are for OpenCV's flag ``WARP_INVERSE_MAP``: from output to input.

    Returns
    -------
    Tensor
        (N, 2, 3) as `torch.nn.functional.affine_grid` takes it, or (N, 3, 3) if `matrix` is; at
        least float32.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, or a matrix has no inverse.
    """
    square = _square("matrix", matrix)
    check_flag("inverse_map", inverse_map)
    source, target = _frames(size, output_size, align_corners, square)
    if inverse_map:
        return _like(matrix, _chain(invert(source), square, target))
    return _like(matrix, invert(_chain(invert(target), square, source)))


def to_kornia(
    theta: Tensor,
    size: tuple[int, int],
    output_size: tuple[int, int] | None = None,
    *,
    align_corners: bool = True,
    warp_align_corners: bool = False,
) -> Tensor:
    """θ as the matrices of kornia's ``homography_warp``, normalised.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point.
    size : tuple[int, int]
        Height and width of the input in pixels.
    output_size : tuple[int, int] | None
        Of the output; None for the input's.
    align_corners : bool
        Whether θ's ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    warp_align_corners : bool
        ``align_corners`` of ``homography_warp``, by default as there. Before its version 0.9 kornia
        mixed the two up with False: use True.

    Returns
    -------
    Tensor
        (N, 3, 3), from output to input; at least float32.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    return _realigned("theta", theta, size, output_size, align_corners, warp_align_corners)


def from_kornia(
    matrix: Tensor,
    size: tuple[int, int],
    output_size: tuple[int, int] | None = None,
    *,
    align_corners: bool = True,
    warp_align_corners: bool = False,
) -> Tensor:
    """θ of the matrices of kornia's ``homography_warp``, which are normalised.

    Convention: see the module.

    Parameters
    ----------
    matrix : Tensor
        (N, 3, 3), floating point, from output to input.
    size : tuple[int, int]
        Height and width of the input in pixels.
    output_size : tuple[int, int] | None
        Of the output; None for the input's.
    align_corners : bool
        Whether θ's ±1 are the centres (True) or the outer edges (False) of the outermost pixels.
    warp_align_corners : bool
        ``align_corners`` of ``homography_warp``, by default as there.

    Returns
    -------
    Tensor
        (N, 3, 3), which `Family.from_matrix` makes into (N, P); at least float32.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    return _realigned("matrix", matrix, size, output_size, warp_align_corners, align_corners)


def boxes(theta: Tensor, size: tuple[int, int], align_corners: bool = True) -> Tensor:
    """The part of the input that each output shows, as a quadrangle in pixels, to be drawn.

    With matplotlib: ``axes.imshow(image)`` and ``axes.add_patch(Polygon(box, fill=False))``. Of a
    family without a matrix `stnlib.diagnostics.footprint` gives the outline.

    Convention: see the module.

    Parameters
    ----------
    theta : Tensor
        (N, 6), (N, 2, 3) or (N, 3, 3), floating point.
    size : tuple[int, int]
        Height and width of the input in pixels.
    align_corners : bool
        Whether ±1 are the centres (True) or the outer edges (False) of the outermost pixels; so
        are the corners those of the centres or of the edges of the output's outermost pixels.

    Returns
    -------
    Tensor
        (N, 4, 2), (x, y) in pixels, clockwise in the output from its top left corner; at least
        float32, differentiable.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed.
    """
    matrix = _square("theta", theta)
    check_size(size)
    ends = matrix.new_tensor([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    x, y = apply(matrix, ends).unbind(-1)
    height, width = map(int, size)
    pixels = to_pixels(x, width, align_corners), to_pixels(y, height, align_corners)
    return torch.stack(pixels, dim=-1)


def _realigned(
    name: str, given: Tensor, size: Size, output_size: Size | None, before: bool, after: bool
) -> Tensor:
    """A normalised matrix for another `align_corners`: (N, 3, 3)."""
    matrix = _square(name, given)
    old, new = (_frames(size, output_size, flag, matrix) for flag in (before, after))
    in_pixels = _chain(old[0], matrix, invert(old[1]))
    return _chain(invert(new[0]), in_pixels, new[1])


def _square(name: str, value: Tensor) -> Tensor:
    """θ or matrices as (N, 3, 3), at least float32."""
    check_tensor(name, value)
    shape = tuple(value.shape)
    if shape[1:] not in ((6,), (2, 3), (3, 3)):
        raise ValueError(f"{name} must have shape (N, 6), (N, 2, 3) or (N, 3, 3), not {shape}")
    wide = at_least_float32(value)
    if shape[1:] == (3, 3):
        return wide
    last = wide.new_tensor([0, 0, 1]).expand(len(wide), 1, 3)
    return torch.cat([wide.reshape(-1, 2, 3), last], dim=1)


def _like(given: Tensor, matrix: Tensor) -> Tensor:
    return matrix if given.shape[1:] == (3, 3) else matrix[:, :2]


def _frames(
    size: Size, output_size: Size | None, align_corners: bool, like: Tensor
) -> tuple[Tensor, Tensor]:
    """From normalised to pixel coordinates, of the input and of the output: (1, 3, 3) each."""
    check_size(size)
    check_flag("align_corners", align_corners)
    if output_size is not None:
        check_size(output_size, "output_size")
    if align_corners and 1 in size:
        raise ValueError("size must be 2 pixels or more both ways with align_corners True")
    return _frame(size, align_corners, like), _frame(output_size or size, align_corners, like)


def _frame(size: Size, align_corners: bool, like: Tensor) -> Tensor:
    height, width = map(int, size)
    # A lone pixel of the output is at 0 either way, and any scale will do.
    x, y = ((n - align_corners) / 2 or 1.0 for n in (width, height))
    rows = [[x, 0.0, (width - 1) / 2], [0.0, y, (height - 1) / 2], [0.0, 0.0, 1.0]]
    return like.new_tensor([rows])


def _chain(*matrices: Tensor) -> Tensor:
    with torch.autocast(matrices[0].device.type, enabled=False):  # bfloat16 would move pixels
        return compose(compose(matrices[0], matrices[1]), matrices[2])
