"""What a CollapseMonitor adds to a training step of four networks."""

import statistics
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import CollapseMonitor
from stnlib.models import build
from stnlib.training.malloc import keep_freed_memory

ADDED = "added by the monitor, share"
SIDES = {"without a monitor": False, "stnlib": True}


class Tutorial(nn.Module):
    """The layers of PyTorch's tutorial on spatial transformers, for 28 × 28 digits."""

    def __init__(self):
        super().__init__()
        self.localization = nn.Sequential(
            *(nn.Conv2d(1, 8, 7), nn.MaxPool2d(2), nn.ReLU(True)),
            *(nn.Conv2d(8, 10, 5), nn.MaxPool2d(2), nn.ReLU(True), nn.Flatten()),
        )
        self.fc_loc = nn.Sequential(nn.Linear(90, 32), nn.ReLU(True), nn.Linear(32, 6))
        nn.init.zeros_(self.fc_loc[2].weight)
        self.fc_loc[2].bias.data.copy_(torch.eye(2, 3).flatten())
        self.classes = nn.Sequential(
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(10, 20, 5), nn.Dropout2d(), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(320, 50), nn.ReLU(), nn.Dropout(), nn.Linear(50, 10)),
        )

    def forward(self, images):
        theta = self.fc_loc(self.localization(images)).view(-1, 2, 3)
        grid = F.affine_grid(theta, images.size(), align_corners=False)
        return self.classes(F.grid_sample(images, grid, align_corners=False))


class Dense(nn.Module):
    """A linear layer that makes a dense flow."""

    def __init__(self):
        super().__init__()
        self.flow = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 1568))
        nn.init.zeros_(self.flow[3].weight)
        nn.init.zeros_(self.flow[3].bias)
        self.classes = nn.Linear(784, 10)
        still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 28, 28], align_corners=True)
        self.register_buffer("still", still)

    def forward(self, images):
        grid = self.still + self.flow(images).view(-1, 28, 28, 2)
        return self.classes(F.grid_sample(images, grid, align_corners=True).flatten(1))


# Makes the network; channels and side of its images, images a batch, steps to be timed.
NETWORKS = {
    "cm STN": (lambda: build("stn", 1, 40, 10, classifier="cm"), 1, 40, 128, 101),
    "c10 STN": (lambda: build("stn", 3, 32, 10, classifier="c10"), 3, 32, 128, 11),
    "tutorial STN": (Tutorial, 1, 28, 64, 301),
    "dense flow": (Dense, 1, 28, 64, 601),
}


def stepper(name, watched, batch):
    """A function that takes one training step, on random images."""
    torch.manual_seed(0)
    make, channels, size, *_ = NETWORKS[name]
    model = make().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    monitor = CollapseMonitor(model, optimizer) if watched else None
    images = torch.rand(batch, channels, size, size)
    labels = torch.arange(batch) % 10

    def step():
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if monitor:
            monitor.step(loss)

    return step


def added(name, batch, pairs):
    """Share that the monitor adds: processor time of steps with and without it, in turns."""
    steps = [stepper(name, watched, batch) for watched in (False, True)]
    seconds = [[], []]
    for _ in range(pairs):
        for step, taken in zip(steps, seconds, strict=True):
            start = time.process_time()
            step()
            taken.append(time.process_time() - start)
    plain, watched = (statistics.median(taken[1:]) for taken in seconds)
    return watched / plain - 1


@pytest.mark.parametrize("of", SIDES)
@pytest.mark.parametrize("name", NETWORKS)
def test_step(measure, benchmark, tiny, name, of):
    keep_freed_memory()  # as in a training of ours; page faults differ from step to step
    *_, batch, pairs = NETWORKS[name]
    batch = 8 if tiny else batch
    measure(f"step, {name}, batch {batch}", of, stepper(name, SIDES[of], batch), 10)
    if SIDES[of] and not tiny:
        benchmark.extra_info[ADDED] = float(f"{added(name, batch, pairs):.3g}")
