"""What all classifiers share: images of one shape in, class scores out."""

from __future__ import annotations

from torch import Tensor, nn

from stnlib.checks.tensors import check_fits, check_images
from stnlib.checks.values import number, require, whole

__all__ = ["ImageScorer"]


class ImageScorer(nn.Module):
    """Images to class scores, checked; a classifier says how, by `scores`.

    Parameters
    ----------
    channels, size, classes : int
        Of the images (height and width in pixels) and their labels.
    dropout : float
        Probability before the last layer, in [0, 1].
    **widths : int
        Other whole numbers from 1 on, by name.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """

    def __init__(
        self, channels: int, size: int, classes: int, dropout: float, **widths: int
    ) -> None:
        super().__init__()
        sizes = {"channels": channels, "size": size, "classes": classes} | widths
        for name, value in sizes.items():
            require(name, value, whole(1))
        require("dropout", dropout, number(least=0, most=1))
        self._seen = (channels, size)

    def scores(self, images: Tensor) -> Tensor:
        """Class scores of checked images.

        Parameters
        ----------
        images : Tensor
            As of `forward`.

        Returns
        -------
        Tensor
            (N, classes).
        """
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (logits).

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, classes).
        """
        check_images("images", images, *self._seen)
        check_fits(images, next(self.parameters()))
        return self.scores(images)
