"""A canonicaliser: it chooses the pose of an image among the elements of a group."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.checks.tensors import at_least_float32, check_fits, check_images
from stnlib.checks.values import require, whole
from stnlib.sampler import sample_native
from stnlib.transforms import family

__all__ = ["N_ROTATIONS", "Canonicaliser"]

N_ROTATIONS = 36  # one each 10 degrees
_WIDTH = 16
_CONCENTRATION = 8.0  # of the prior on angles


class Canonicaliser(nn.Module):
    """Images to θ of a rotation and a shift, by a score of every rotated copy at every place.

    One small network is shown `N_ROTATIONS` copies of the image, each turned farther, and scores
    every place of every copy. A copy's score is the log of the sum of its places' exponentials and
    of a prior for small angles. The copy with the highest has the rotation, the mean place under
    its softmax the shift. Backwards the choice is a softmax over copies (straight through). Where
    scores outweigh the prior, an image that is turned by a quarter is shown as if it were not: then
    another copy wins. It takes the place of a `LocNet`, and begins as the identity, but for
    rounding.

    It is in the manner of Kaba et al. (2023), who find a canonical pose by minimising an energy,
    and of Mondal et al. (2023), whose prior is a part of the loss instead: without one the first
    steps choose among equals, and turn images anyhow. The prior is von Mises's with a
    concentration of 8, a standard deviation of 21 degrees. Their groups are rotations and
    reflections; the shift is ours.

    Convention: see `stnlib.transforms`.

    Parameters
    ----------
    channels : int
        Of the input.
    size : int
        Height and width of the input in pixels, a multiple of 4.

    Raises
    ------
    ValueError
        One line, where an argument is not one of the allowed.
    """

    rotations: Tensor
    prior: Tensor
    grids: Tensor
    places: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        require("channels", channels, whole(1))
        require("size", size, whole(1))
        if size % 4:
            raise ValueError(f"size must be a multiple of 4 for a canonicaliser, not {size}")
        self.family = family("affine")
        self._seen = (channels, size)
        self.scorer = nn.Sequential(
            nn.Conv2d(channels, _WIDTH, 6, stride=2, padding=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, _WIDTH, 5, padding=2),
            nn.GELU(),
            nn.Conv2d(_WIDTH, _WIDTH, 5, padding=2),
            nn.GELU(),
        )
        self.score = nn.Conv2d(_WIDTH, 1, 1)
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)
        for name, value in _constants(size).items():
            self.register_buffer(name, value, persistent=False)

    def scores(self, images: Tensor) -> Tensor:
        """The score of each place of each copy, at half of the copy's resolution.

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, N_ROTATIONS, size / 4, size / 4), at least float32 even under autocast.
        """
        check_images("images", images, *self._seen)
        check_fits(images, self.score.weight)
        small = F.avg_pool2d(images, 2)
        n, channels, *side = small.shape
        stack = small.reshape(1, n * channels, *side).expand(N_ROTATIONS, -1, -1, -1)
        copies = sample_native(stack, self.grids.to(stack.dtype))
        scores = self.score(self.scorer(copies.reshape(N_ROTATIONS * n, channels, *side)))
        return at_least_float32(scores).unflatten(0, (N_ROTATIONS, n)).squeeze(2).transpose(0, 1)

    def forward(self, images: Tensor) -> Tensor:
        """θ of each image.

        Parameters
        ----------
        images : Tensor
            (N, channels, size, size), floating point, in [0, 1].

        Returns
        -------
        Tensor
            (N, 6), at least float32 even under autocast.
        """
        scores = self.scores(images).flatten(2)
        with torch.autocast(images.device.type, enabled=False):
            rotations = self.rotations.to(scores.dtype)
            shifts = scores.softmax(2) @ self.places.to(scores.dtype)
            shifts = (rotations @ shifts.unsqueeze(-1)).squeeze(-1)
            poses = torch.cat([rotations.expand(len(images), -1, -1, -1), shifts[..., None]], -1)
            soft = (scores.logsumexp(2) + self.prior).softmax(1)
            hard = torch.zeros_like(soft).scatter(1, soft.argmax(1, keepdim=True), 1.0)
            chosen = hard + (soft - soft.detach())
            return (chosen[..., None] * poses.flatten(2)).sum(1)


def _constants(size: int) -> dict[str, Tensor]:
    """Rotations (K, 2, 2), log prior (K,), turned copies' grids (K, h, w, 2), places (P, 2)."""
    angles = torch.arange(N_ROTATIONS) * (2 * math.pi / N_ROTATIONS)
    cos, sin = angles.cos(), angles.sin()
    rotations = torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)
    theta = F.pad(rotations, (0, 1)).flatten(1)
    grids = family("affine").grid(theta, (size // 2, size // 2))
    cells = size // 4
    centres = (torch.arange(cells) * 2 + 1 - cells) / cells * size / (size - 1)
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    prior = _CONCENTRATION * (cos - 1)
    return {"rotations": rotations, "prior": prior, "grids": grids, "places": places}
