"""What a sampler did in a forward pass, and how one that is not PyTorch's tells of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

from stnlib.checks.tensors import check_grid, check_images
from stnlib.diagnostics.footprints import black_share
from stnlib.diagnostics.tape import Path

__all__ = ["ForwardRecord", "flat", "record_of", "report_sampling", "size_of"]

MOST_POINTS, LEAST_IMAGES = 2**14, 8  # coordinates of a batch's grids that are looked at each step
COARSE = (16, 16)  # points of the grid by which families that are not affine are judged


@dataclass
class ForwardRecord:
    """What one sampler did in a forward pass, detached.

    Parameters
    ----------
    black : Tensor
        (), share of black output images.
    place : int
        Which of the pass's transformers, from 0.
    size : tuple[int, ...] | None
        Width, height (and depth) of the input images in pixels; None where a sampler of one's own
        does not tell.
    theta : Tensor | None
        (N, P), if it was seen.
    matrix : Tensor | None
        (N, 2, 3), where the transform is known to be affine.
    grid : Tensor | None
        (N, ..., 2) or (N, ..., 3), where it is not.
    path : Path | None
        From the layer that makes θ; None where it cannot be told.
    shape : Callable[[Tensor], Tensor] | None
        The matrix, or the grid, of what the path gives; None where that is one of them.
    every : int
        `before` and `moved` are of every so many-th image.
    before : Tensor | None
        The matrix, or the grid, before the optimiser's step; None where it is that of the pass.
    moved : Tensor | None
        The matrix, or the grid, after the optimiser's step.
    pictures : tuple[Tensor, ...]
        Small copies of a few output images and, where they are known, input images.
    lost : bool
        Whether it learns and there is no path.

    Convention
    ----------
    θ, the matrix and the grid map points of the *output* to points of the *input*. A point is
    (x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. Where
    -1 and 1 are, at centres or edges of the outermost pixels, is as the model has it.
    """

    black: Tensor
    place: int = 0
    size: tuple[int, ...] | None = None
    theta: Tensor | None = None
    matrix: Tensor | None = None
    grid: Tensor | None = None
    path: Path | None = None
    shape: Callable[[Tensor], Tensor] | None = None
    every: int = 1
    before: Tensor | None = None
    moved: Tensor | None = None
    pictures: tuple[Tensor, ...] = ()
    lost: bool = False

    @property
    def now(self) -> Tensor:
        """The matrix or the grid as the pass had it."""
        found = self.grid if self.matrix is None else self.matrix
        assert found is not None
        return found

    @property
    def stride(self) -> int:
        """So many images of the batch are stood for by one: 1 but for large grids."""
        if self.grid is None:
            return 1
        images = max(LEAST_IMAGES, MOST_POINTS // max(1, self.grid[0].numel()))
        return -(-len(self.grid) // images)

    @property
    def parameters(self) -> list[Tensor]:
        """Those that learn and make θ of the features."""
        return self.path.parameters if self.path else []

    def look_ahead(self) -> None:
        """Say where the transform is before the optimiser's step, if not where the pass had it."""
        if self.path is not None and self.path.changed():
            self.before = self._again(self.path)

    def look_again(self) -> None:
        """Say where the optimiser's step has moved the transform."""
        if self.path is not None:
            self.moved = self._again(self.path)

    def _again(self, path: Path) -> Tensor:
        found = path.again(self.every)
        return self.shape(found) if self.shape else found


def record_of(transformer: Any, theta: Tensor, images: Tensor, output: Tensor) -> ForwardRecord:
    """What a `stnlib.models.SpatialTransformer` did; its `size` is for the caller to say.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    transformer : Any
        The layer.
    theta : Tensor
        (N, P), what its localisation network gave.
    images, output : Tensor
        (N, C, H, W) and (N, C, h, w), what went in and what came out.

    Returns
    -------
    ForwardRecord
        Detached.
    """
    colour = getattr(transformer.sampler, "colour", None)  # it shows that where others show 0
    images, seen = images.detach(), output.detach()
    fill = colour(images) if colour else None
    shown = (seen, images) if fill is None else (seen - fill, images - fill)
    family = transformer.family
    plain = getattr(family, "name", None) == "affine"  # needs no check and no assembling
    affine = plain or getattr(getattr(family, "base", None) or family, "affine", False)

    def shape(found: Tensor) -> Tensor:
        found = found.float()
        if plain:
            return found.reshape(-1, 2, 3)
        if affine:
            return family.matrix(found)[:, :2]
        return family.grid(found, COARSE, align_corners=transformer.align_corners)

    record = ForwardRecord(black_share(*shown), theta=theta.detach().float(), shape=shape)
    found = shape(theta.detach())
    record.matrix, record.grid = (found, None) if affine else (None, found)
    return record


def report_sampling(grid: Tensor, output: Tensor, images: Tensor | None = None) -> Tensor:
    """Return `output`; and let a monitor see what a sampler that is not PyTorch's made of `grid`.

    To be called in a model's forward pass, where it costs nothing::

        out = report_sampling(grid, sampler(images, grid), images)

    Parameters
    ----------
    grid : Tensor
        (N, h, w, 2), floating point.
    output : Tensor
        (N, C, h, w), floating point.
    images : Tensor | None
        (N, C, H, W), which were sampled; without them a monitor cannot tell that a view has become
        a point.

    Returns
    -------
    Tensor
        `output` itself.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is of another type or shape.

    Convention
    ----------
    The grid holds, for each pixel of the *output*, the point (x, y) of the *input* that it is read
    from, x to the right and y down, normalised so that the input is [-1, 1] both ways. Where -1 and
    1 are, at centres or edges of the outermost pixels, is as the sampler has it.
    """
    tensors = (grid, output) if images is None else (grid, output, images)
    if has_torch_function(tensors):
        return handle_torch_function(report_sampling, tensors, grid, output, images)
    check_grid("grid", grid)
    check_images("output", output)
    if images is not None:
        check_images("images", images)
    return output


def flat(images: Tensor) -> Tensor:
    """Images or volumes as images, detached."""
    return images.detach().flatten(2, 3) if images.ndim == 5 else images.detach()


def size_of(images: Tensor | None) -> tuple[int, ...] | None:
    """Width, height (and depth) of images or volumes in pixels, where there are any."""
    return None if images is None else tuple(reversed(images.shape[2:]))
