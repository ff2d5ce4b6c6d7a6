"""What a CollapseMonitor adds to a training step of the paper's STNs."""

import statistics
import time

import pytest
import torch
import torch.nn.functional as F

from stnlib.diagnostics import CollapseMonitor
from stnlib.models import build
from stnlib.training.malloc import keep_freed_memory

ADDED = "added by the monitor, share"
SIDES = {"without a monitor": False, "stnlib": True}


def stepper(name, watched, batch):
    """A function that takes one training step, on random images."""
    torch.manual_seed(0)
    channels, size = {"cm": (1, 40), "c10": (3, 32)}[name]
    model = build("stn", channels, size, 10, classifier=name)
    model = model.to(memory_format=torch.channels_last)
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
@pytest.mark.parametrize("name", ["cm", "c10"])
def test_step(measure, benchmark, tiny, name, of):
    keep_freed_memory()  # as in a training of ours; page faults differ from step to step
    batch = 8 if tiny else 128
    measure(f"step, {name} STN, batch {batch}", of, stepper(name, SIDES[of], batch), 10)
    if SIDES[of] and not tiny:
        share = added(name, batch, pairs=101 if name == "cm" else 11)
        benchmark.extra_info[ADDED] = float(f"{share:.3g}")
