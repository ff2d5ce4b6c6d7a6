"""The localisation network and the spatial transformer.

Sources: Jaderberg et al. (2015), Section 3; Table I of Possatti and de Freitas (2018), with
what their code adds (unpadded convolutions).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stnlib.sampler import PADDINGS, SAMPLERS
from stnlib.transforms import family

__all__ = ["LocNet", "SpatialTransformer", "glorot"]


def glorot(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases, Keras's default, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class LocNet(nn.Module):
    """The localisation network of Table I: images to the parameters of a transform.

    Its last layer begins with zero weights and the identity as bias, so that the
    transformer begins as the identity whatever the image.

    Parameters
    ----------
    channels : of the input.
    size : height and width of the input in pixels, at least 28.
    transform : name of the family in `stnlib.transforms`.

    Shape: (N, channels, size, size) float in [0, 1] → (N, P) float, P = 6 for affine.

    Raises
    ------
    ValueError
        When the input is too small for two 5×5 convolutions after pooling.
    """

    def __init__(self, channels: int, size: int, transform: str = "affine") -> None:
        super().__init__()
        side = ((size // 2 - 4) // 2) - 4
        if side < 1:
            raise ValueError(f"size must be at least 28 pixels for Table I's LocNet, not {size}")
        self.features = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 20, 5),
            nn.Flatten(),
            nn.Linear(20 * side * side, 50),
            nn.ReLU(),
        )
        transform_family = family(transform)
        self.theta = nn.Linear(50, transform_family.n_parameters)
        glorot(self)
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(transform_family.identity())

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 is too coarse for θ
            return self.theta(features.float())


class SpatialTransformer(nn.Module):
    """Localisation network, grid generator and sampler (Jaderberg et al., Section 3).

    Parameters
    ----------
    localisation : any module that maps (N, C, H, W) images to (N, P) parameters.
    transform : name of the family that they parametrise; P is its `n_parameters`.
    output_size : (height, width) of the output in pixels, None for the input's.
    padding : `zeros`, `border` or `reflection`: what lies outside of the image.
    sampler : `bilinear` (PyTorch's) or `clipped` (the historical one).
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
        sampler: str = "bilinear",
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, not {padding!r}")
        if sampler not in SAMPLERS:
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
        with torch.autocast(images.device.type, enabled=False):
            output = SAMPLERS[self.sampler](
                images.float(), grid, padding=self.padding, align_corners=self.align_corners
            )
        return output.to(images.dtype)

    def forward(self, images: Tensor) -> Tensor:
        return self.sample(images, self.locate(images)[1])
