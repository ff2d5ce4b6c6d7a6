"""Three spatial transformers as other people write them; none of them uses `stnlib.models`.

Each has `distorted`, whether the images of the thread are turned and moved, `bounded`, whether
something bounds θ behind the layer that makes it, and `optimizer`, the thread's: called with
parameters and a rate. Shape: (N, 1, 28, 28), or (N, 1, 40, 40) where they are distorted, float32 in
[0, 1] → (N, 10), logits.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.diagnostics import report_sampling
from stnlib.sampler import sample_clipped

__all__ = ["CANVAS", "NETWORKS", "RATES"]

CANVAS = 40  # height and width of distorted images, in pixels
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


class Tutorial(nn.Module):
    """PyTorch's tutorial: a deep localisation network, normalised input, plain 28×28 images.

    Layers of "Spatial Transformer Networks Tutorial" (G. Hamrouni, pytorch/tutorials,
    intermediate_source/spatial_transformer_tutorial.py), which trains by SGD at 0.01. Reported in
    pytorch/tutorials#1117: it zooms out early and never learns the right transformation.
    """

    distorted, bounded = False, False
    optimizer = torch.optim.SGD

    def __init__(self) -> None:
        super().__init__()
        self.localization = nn.Sequential(
            *(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(8, 10, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
        )
        self.fc_loc = nn.Sequential(nn.Linear(10 * 3 * 3, 32), nn.ReLU(), _theta(32))
        self.classifier = nn.Sequential(
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(10, 20, 5), nn.Dropout2d(), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(320, 50), nn.ReLU(), nn.Dropout(), nn.Linear(50, 10)),
        )

    def forward(self, images: Tensor) -> Tensor:
        x = (images - 0.1307) / 0.3081
        theta = self.fc_loc(self.localization(x)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.size()), align_corners=False)
        return self.classifier(F.grid_sample(x, grid, align_corners=False))


class Keras(nn.Module):
    """A Keras layer's manner: linear convolutions, Glorot's weights, Adam, the clipped sampler.

    The localisation network is that of oarriaga/STN.keras#18, without its third convolution, for
    which 40×40 pixels are too few; "plain black" is what is reported there, in
    hello2all/GTSRB_Keras_STN#6 and, of the same sampler, in kevinzakka#10.
    """

    distorted, bounded = True, False
    optimizer = staticmethod(partial(torch.optim.Adam, eps=1e-7))

    def __init__(self) -> None:
        super().__init__()
        self.locnet = nn.Sequential(
            *(nn.Conv2d(1, 16, 7), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(32 * 6 * 6, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()),
        )
        self.classifier = _classifier()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.theta = _theta(64)
        axis = torch.linspace(-1, 1, CANVAS)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("base", torch.stack([x, y, torch.ones_like(x)]).flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        theta = self.theta(self.locnet(images)).view(-1, 2, 3)
        grid = (theta @ self.base).mT.unflatten(1, (CANVAS, CANVAS))
        return self.classifier(report_sampling(grid, sample_clipped(images, grid), images))


class Tanh(nn.Module):
    """θ bounded by a tanh, which is offered as a cure: no entry of it leaves ±1.

    The localisation network is that of daviddao/spatial-transformer-tensorflow,
    ``cluttered_mnist.py``: one hidden layer, both with tanh, and dropout; black images are
    reported there in #3. Its first θ is tanh(1) = 0.76 of the identity. Trained by SGD with
    momentum, because where Adam makes it fail the classifier alone fails, too: see `TanhAdam`.
    """

    distorted, bounded = True, True
    optimizer = staticmethod(partial(torch.optim.SGD, momentum=0.9))

    def __init__(self) -> None:
        super().__init__()
        self.locnet = nn.Sequential(
            *(nn.Flatten(), nn.Linear(CANVAS * CANVAS, 20), nn.Tanh(), nn.Dropout(0.2)),
            *(_theta(20), nn.Tanh()),
        )
        self.classifier = _classifier()

    def forward(self, images: Tensor) -> Tensor:
        theta = self.locnet(images).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.size()), align_corners=True)
        return self.classifier(F.grid_sample(images, grid, align_corners=True))


class TanhAdam(Tanh):
    """The same with the optimiser of its repository."""

    optimizer = torch.optim.Adam


def _theta(features: int) -> nn.Linear:
    layer = nn.Linear(features, 6)
    nn.init.zeros_(layer.weight)
    layer.bias.data.copy_(torch.tensor(IDENTITY))
    return layer


def _classifier() -> nn.Sequential:
    """Of STN.keras, half as wide, for 40×40 pixels."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(16 * 8 * 8, 128), nn.ReLU(), nn.Linear(128, 10)),
    )


NETWORKS = {"tutorial": Tutorial, "keras": Keras, "tanh": Tanh, "tanh-adam": TanhAdam}
RATES = {  # the thread's own or the library's default; one between; one at which it fails
    "tutorial": (0.01, 0.1, 0.3),
    "keras": (1e-3, 5e-3, 7e-3),
    "tanh": (0.01, 0.1, 0.2),
    "tanh-adam": (1e-3, 1e-2, 3e-2),
}
