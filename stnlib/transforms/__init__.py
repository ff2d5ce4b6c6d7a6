"""θ → grid: the families of transforms, their identities, matrices, composition and inverses.

`FAMILIES` in order of their degrees of freedom:

============ == =================================== ==========================================
name         P  θ                                   matrix, rows separated by ";"
============ == =================================== ==========================================
translation  2  tx, ty                              1 0 tx; 0 1 ty; 0 0 1
attention    3  s, tx, ty                           s 0 tx; 0 s ty; 0 0 1 (Jaderberg, eq. 2)
similarity   4  a = s·cos α, b = s·sin α, tx, ty    a -b tx; b a ty; 0 0 1
affine       6  a, b, tx, c, d, ty                  a b tx; c d ty; 0 0 1 (Jaderberg, eq. 1)
projective   8  a, b, tx, c, d, ty, g, h            a b tx; c d ty; g h 1
tps          32 dx, dy of 16 control points         none: a thin-plate spline
============ == =================================== ==========================================

Each contains those before it, except that a spline only comes near a projection. Two more, which
are not in `FAMILIES`, hold something fixed:

=================== == =================== ==========================================
`rotation()`        1  α, in radians       cos α -sin α 0; sin α cos α 0; 0 0 1
`window((sx, sy))`  2  tx, ty              sx 0 tx; 0 sy ty; 0 0 1
=================== == =================== ==========================================

A similarity is written with a and b, not with s and α: so the matrix is linear in θ, the scale
cannot turn negative, no angle wraps around, and the gradient does not vanish at s = 0.

Images and outputs may have any height and width. Normalised coordinates stretch what is not square:
s shows the same share of both sides, and a turned view is sheared, unless `rotation` is told the
aspect.

Convention
----------
θ maps points of the *output* to the points of the *input* that they are read from. A point is
(x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. With
``align_corners=True``, -1 and 1 are the centres of the outermost pixels; with False they are the
outer edges of the image.
"""

from __future__ import annotations

from torch import Tensor

from stnlib.checks.values import choice, require
from stnlib.transforms.convert import boxes, from_kornia, from_opencv, to_kornia, to_opencv
from stnlib.transforms.families import Family, NonFiniteError, PlanarFamily, bounded
from stnlib.transforms.fixed import rotation, window
from stnlib.transforms.matrices import apply, base_grid, compose, invert, matrix_grid
from stnlib.transforms.penalties import displacement, outside, resizing
from stnlib.transforms.splines import spline_family

__all__ = [
    "FAMILIES",
    "Family",
    "NonFiniteError",
    "apply",
    "base_grid",
    "bounded",
    "boxes",
    "compose",
    "displacement",
    "family",
    "from_kornia",
    "from_opencv",
    "invert",
    "matrix_grid",
    "outside",
    "resizing",
    "rotation",
    "spline_family",
    "to_kornia",
    "to_opencv",
    "window",
]


def _translation(tx: Tensor, ty: Tensor, *, one: Tensor, zero: Tensor) -> tuple[Tensor, ...]:
    return one, zero, tx, zero, one, ty, zero, zero, one


def _attention(
    s: Tensor, tx: Tensor, ty: Tensor, *, one: Tensor, zero: Tensor
) -> tuple[Tensor, ...]:
    return s, zero, tx, zero, s, ty, zero, zero, one


def _similarity(
    a: Tensor, b: Tensor, tx: Tensor, ty: Tensor, *, one: Tensor, zero: Tensor
) -> tuple[Tensor, ...]:
    return a, -b, tx, b, a, ty, zero, zero, one


def _affine(*rows: Tensor, one: Tensor, zero: Tensor) -> tuple[Tensor, ...]:
    return *rows, zero, zero, one


def _projective(*rows: Tensor, one: Tensor, zero: Tensor) -> tuple[Tensor, ...]:
    return *rows, one


FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        PlanarFamily("translation", (0.0, 0.0), _translation, (2, 5)),
        PlanarFamily("attention", (1.0, 0.0, 0.0), _attention, (0, 2, 5)),
        PlanarFamily("similarity", (1.0, 0.0, 0.0, 0.0), _similarity, (0, 3, 2, 5)),
        PlanarFamily("affine", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), _affine, (0, 1, 2, 3, 4, 5)),
        PlanarFamily(
            "projective",
            (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0),
            _projective,
            tuple(range(8)),
            affine=False,
        ),
        spline_family(),
    )
}


_NAMED = FAMILIES | {"rotation": rotation()}


def family(name: str | Family) -> Family:
    """The family of that name.

    Parameters
    ----------
    name : str | Family
        One of `FAMILIES`, or `rotation`; a family is returned as it is.

    Returns
    -------
    Family
        Shared: a family has no state.

    Raises
    ------
    ValueError
        One line that names the allowed, where there is no such family.
    """
    if isinstance(name, Family):
        return name
    require("family", name, choice(*_NAMED))
    return _NAMED[name]
