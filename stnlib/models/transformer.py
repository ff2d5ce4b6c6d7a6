"""The spatial transformer (Jaderberg et al., 2015, Section 3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from stnlib.sampler import PADDINGS, SAMPLERS
from stnlib.transforms import family

__all__ = ["SpatialTransformer"]


class SpatialTransformer(nn.Module):
    """Localisation network, grid generator and sampler (Jaderberg et al., Section 3).

    Parameters
    ----------
    localisation : any module that maps (N, C, H, W) images to (N, P) parameters.
    transform : name of the family that they parametrise; P is its `n_parameters`.
    output_size : (height, width) of the output in pixels, None for the input's.
    padding : `zeros`, `border` or `reflection`: what lies outside of the image.
    sampler : `bilinear` (PyTorch's), `clipped` (the historical one), or a function of
        `stnlib.sampler`'s kind.
    align_corners : True places ±1 on the centres of the outermost pixels, as the
        paper's grid does; False on the image's edges, as is PyTorch's default.

    Shape: (N, C, H, W) float → (N, C, *output_size) of the same dtype. θ, the grid and
    the sampling are float32 even under autocast: bfloat16 has 128 steps in [0.5, 1).
    """

    def __init__(
        self,
        localisation: nn.Module,
        transform: str = "affine",
        output_size: tuple[int, int] | None = None,
        padding: str = "zeros",
        sampler: str | Callable[..., Tensor] = "bilinear",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, not {padding!r}")
        if not callable(sampler) and sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {sampler!r}")
        if output_size is not None and min(output_size) < 1:
            raise ValueError(f"output_size must be at least (1, 1), not {output_size}")
        self.localisation = localisation
        self.family = family(transform)
        self.output_size = output_size
        self.padding = padding
        self.sampler = sampler
        self.align_corners = align_corners

    def locate(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """θ and the sampling grid that it gives.

        Returns
        -------
        theta : (N, P) float32, and grid : (N, H, W, 2) float32, normalised (x, y).
        """
        theta = self.localisation(images)
        with torch.autocast(images.device.type, enabled=False):
            theta = theta.float()
            size = self.output_size or tuple(images.shape[-2:])
            return theta, self.family.grid(theta, size, align_corners=self.align_corners)

    def sample(self, images: Tensor, grid: Tensor) -> Tensor:
        """Sample `images` at `grid`, in float32."""
        sampler = self.sampler if callable(self.sampler) else SAMPLERS[self.sampler]
        with torch.autocast(images.device.type, enabled=False):
            output = sampler(
                images.float(), grid, padding=self.padding, align_corners=self.align_corners
            )
        return output.to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        return self.sample(images, self.locate(images)[1])
