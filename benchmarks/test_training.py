"""An epoch of the CM networks against a plain PyTorch loop, and against the GEMM peak."""

import time

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from stnlib import study
from stnlib.config import RunConfig
from stnlib.data import load
from stnlib.evaluation import to_float
from stnlib.train import make_optimizer, train_epoch


def plain_epoch(model, optimizer, loader):
    """What a tutorial has."""
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def flops(model, data, config):
    """Floating-point operations of an epoch's networks, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        model(to_float(data.train.images[: config.batch_size])).sum().backward()
    return counter.get_total_flops() * len(data.train) / config.batch_size


def peak(precision, size):
    """Operations a second of the best of several products of square matrices."""
    a = torch.randn(size, size, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


@pytest.mark.parametrize("of", ["stnlib", "plain PyTorch"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["baseline", "stn"])
def test_epoch(measure, benchmark, tiny, name, precision, of):
    config = RunConfig(data="digits", model=name, precision=precision)
    data = load("digits", n_train=256 if tiny else 4000)
    model, group = study.make_model(config, data), f"epoch, {name}, {precision}"
    if of == "plain PyTorch":  # float32 and contiguous, whatever ours is
        optimizer = torch.optim.Adam(model.parameters(), config.lr)
        pairs = TensorDataset(to_float(data.train.images), data.train.labels)
        loader = DataLoader(pairs, config.batch_size, shuffle=True)
        measure(group, of, lambda: plain_epoch(model, optimizer, loader), 3)
        return
    work, most = flops(model, data, config), peak(precision, 256 if tiny else 2048)
    model = model.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(model, config)
    measure(group, of, lambda: train_epoch(model, optimizer, data.train, config, 1), 3)
    if benchmark.stats:
        seconds = benchmark.stats.stats.median
        benchmark.extra_info["share of the GEMM peak"] = round(work / most / seconds, 3)
