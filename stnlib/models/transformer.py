"""The spatial transformer (Jaderberg et al., 2015, Section 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stnlib.checks.tensors import (
    at_least_float32,
    check_flag,
    check_images,
    check_module,
    check_tensor,
)
from stnlib.checks.values import choice, require
from stnlib.models.blurred import blurred
from stnlib.models.linearised import sample_linearised
from stnlib.sampler import PADDINGS, SAMPLERS, check_clipped
from stnlib.transforms import Family, family
from stnlib.transforms.matrices import check_size

__all__ = ["METHODS", "SpatialTransformer"]

METHODS = SAMPLERS | {"linearised": sample_linearised}


class SpatialTransformer(nn.Module):
    """Localisation network, grid generator and sampler (Jaderberg et al., Section 3).

    Parameters
    ----------
    localisation : nn.Module
        Maps (N, C, H, W) images to θ, (N, P), floating point.
    transform : str | Family
        The family that θ parametrises, or its name; P is its `n_parameters`.
    output_size : tuple[int, int] | None
        Height and width of the output in pixels, in any ratio; None for the input's.
    padding : str
        `zeros`, `border` or `reflection`: what lies outside of the image. For a colour there see
        `stnlib.models.Filled`.
    sampler : str | Callable[..., Tensor]
        `bilinear` (PyTorch's), `clipped` (the historical one), `linearised` (see
        `stnlib.models.linearised`), or a function of `stnlib.sampler`'s kind. On CUDA the backward
        pass of PyTorch's is not deterministic, and ``torch.use_deterministic_algorithms(True)``
        refuses it. That of `stnlib.sampler.sample` needs only `torch.gather`, which that switch
        makes deterministic. On one H200 a pass forward and back then took 4 to 5 times as long as
        PyTorch's on images of one or three channels, and 11 to 35 times on feature maps of 64 and
        16 (``benchmarks/deterministic.json``).
    align_corners : bool
        True as in the paper; False as is PyTorch's default.

    Attributes
    ----------
    blur : float
        Standard deviation in pixels of a Gaussian that blurs what the sampler reads, in training
        mode alone; 0 at first, for none.

    Raises
    ------
    TypeError, ValueError
        One line: an argument that is not one of the allowed; in a forward pass images of another
        shape or type, or θ that is of another shape or not finite.

    Notes
    -----
    With every family the layer can be compiled whole, exported, also to ONNX, traced, and mapped by
    `torch.func.vmap`; number and size of the images may be unknown. In such a program nothing can
    be asked of θ's numbers, and θ that is not finite is no error. Then with padding `zeros` the
    output is NaN; for other paddings see `stnlib.sampler.sample_native`. `torch.jit.trace` checks
    no shapes either.

    Images need not be square, nor outputs of their shape; `stnlib.transforms` says what θ means
    then.

    Convention
    ----------
    θ maps points of the *output* to the points of the *input* that they are read from. A point is
    (x, y), x to the right and y down, normalised so that either image is [-1, 1] both ways. With
    ``align_corners=True``, -1 and 1 are the centres of the outermost pixels; with False they are
    the outer edges of the image.
    """

    def __init__(
        self,
        localisation: nn.Module,
        transform: str | Family = "affine",
        output_size: tuple[int, int] | None = None,
        padding: str = "zeros",
        sampler: str | Callable[..., Tensor] = "bilinear",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        check_module("localisation", localisation)
        require("padding", padding, choice(*PADDINGS))
        check_flag("align_corners", align_corners)
        if not callable(sampler):
            require("sampler", sampler, choice(*METHODS))
        if sampler == "clipped":
            check_clipped(padding, align_corners)
        self.output_size: tuple[int, int] | None = None
        if output_size is not None:
            check_size(output_size, "output_size")
            self.output_size = (output_size[0], output_size[1])
        self.localisation = localisation
        self.family = family(transform)
        self.padding = padding
        self.sampler = sampler
        self.align_corners = align_corners
        self.blur = 0.0

    def locate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """θ and the sampling grid that it gives.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), floating point.

        Returns
        -------
        tuple[Tensor, Tensor]
            θ (N, P) and the grid (N, h, w, 2) of the output's pixels, at least float32 even under
            autocast: bfloat16 has 128 steps in [0.5, 1).
        """
        check_images("images", images)
        theta = self.localisation(images)
        check_tensor("theta", theta)
        with torch.autocast(images.device.type, enabled=False):
            theta = at_least_float32(theta)
            height, width = self.output_size or images.shape[-2:]
            return theta, self.family.grid(theta, (height, width), align_corners=self.align_corners)

    def sample(self, images: Tensor, grid: Tensor) -> Tensor:
        """Sample `images` at `grid`, in the wider of their dtypes.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), floating point.
        grid : Tensor
            (N, h, w, 2), as `locate` returns it.

        Returns
        -------
        Tensor
            (N, C, h, w), of the images' dtype.
        """
        sampler = self.sampler if callable(self.sampler) else METHODS[self.sampler]
        dtype = torch.promote_types(images.dtype, grid.dtype)
        with torch.autocast(images.device.type, enabled=False):
            output = sampler(
                blurred(images.to(dtype), self.blur if self.training else 0.0),
                grid.to(dtype),
                padding=self.padding,
                align_corners=self.align_corners,
            )
        return output.to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        """What the transformer shows of each image.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), floating point.

        Returns
        -------
        Tensor
            (N, C, h, w), of the images' dtype; h and w are `output_size`, by default H and W.
        """
        return self.sample(images, self.locate(images)[1])
