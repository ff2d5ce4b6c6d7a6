"""A colour outside of the image: for images of which 0 is not the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from stnlib.checks.tensors import check_images, check_tensor, tracing
from stnlib.checks.values import number, require, shown
from stnlib.sampler import sample_native

__all__ = ["Filled"]


@dataclass(frozen=True, eq=False)
class Filled:
    """A sampler that shows a colour outside of the image, where others show 0.

    It samples ``image - fill`` with zeros outside and adds `fill`: within the image that changes
    the rounding alone, since a sampler is linear in the image. In images that were normalised 0 is
    grey, and a transformer that zooms out sees a grey frame; there ``-mean / std`` is black. ::

        SpatialTransformer(localisation, sampler=Filled("mean"))
        shown = Filled(0.5)(images, grid, align_corners=False)

    Parameters
    ----------
    fill : float | Tensor | str
        A number; a colour (C,), floating point; or `mean`, of each image its own mean colour.
    method : Callable[..., Tensor]
        What samples: a function of `stnlib.sampler`'s kind.

    Raises
    ------
    TypeError, ValueError
        One line: an argument that is not one of the allowed; in a call another padding than `zeros`
        or a colour of another number of channels, and what `method` raises.
    """

    fill: float | Tensor | str
    method: Callable[..., Tensor] = sample_native

    def __post_init__(self) -> None:
        if isinstance(self.fill, Tensor):
            check_tensor("fill", self.fill)
            if self.fill.ndim != 1:
                raise ValueError(f"fill must have shape (C,), not {tuple(self.fill.shape)}")
        else:
            require("fill", self.fill, _fill)
        if not callable(self.method):
            raise TypeError(f"method must be a sampler, not {shown(self.method)}")

    def __call__(
        self, image: Tensor, grid: Tensor, *, padding: str = "zeros", **options: Any
    ) -> Tensor:
        """Sample `image` (N, C, H, W) at `grid` (N, h, w, 2); `options` are the method's."""
        check_images("image", image)
        if not isinstance(padding, str) or padding != "zeros":
            raise ValueError(f"padding must be zeros with a fill, not {shown(padding)}")
        fill = self.colour(image)
        return self.method(image - fill, grid, padding=padding, **options) + fill

    def colour(self, images: Tensor) -> Tensor | float:
        """What is shown outside of images.

        Parameters
        ----------
        images : Tensor
            (N, C, H, W), floating point.

        Returns
        -------
        Tensor | float
            A number, or (C, 1, 1) or (N, C, 1, 1), of the images' dtype.
        """
        if isinstance(self.fill, str):
            return images.mean(dim=(2, 3), keepdim=True)
        if not isinstance(self.fill, Tensor):
            return float(self.fill)
        if not tracing() and len(self.fill) != images.shape[1]:
            raise ValueError(
                f"fill must have a value for each of {images.shape[1]} channels, "
                f"not {len(self.fill)}"
            )
        return self.fill.to(images).view(-1, 1, 1)


def _fill(value: Any) -> str | None:
    allowed = (isinstance(value, str) and value == "mean") or number()(value) is None
    return None if allowed else "a finite number, a colour (C,) or mean"
