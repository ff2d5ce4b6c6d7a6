"""An epoch of the paper's networks against a plain PyTorch loop, and against the GEMM peak.

Cluttered MNIST's networks learn the embedded digits; C10's and C10D's learn Shapes-10, which
has the same format as CIFAR-10: how long an epoch takes does not depend on what images show.
"""

import time
from functools import lru_cache
from statistics import median

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from test_distortion import paste_rotate_shift
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms.functional import to_tensor

from stnlib.data import shapes
from stnlib.data.catalogue import load
from stnlib.data.distorted import distorted
from stnlib.training.config import RunConfig
from stnlib.training.device import resolved
from stnlib.training.evaluation import to_float
from stnlib.training.loop import Training, make_model, order
from stnlib.training.malloc import keep_freed_memory

DATA = {"CM": "digits", "C10": "shapes10", "C10D": "shapes10d"}
SIZES = {"CM": 2000, "C10": 1000, "C10D": 800}
NAMES = {"baseline": "baseline", "stn": "STN"}
NETWORKS = [("CM", "float32"), ("CM", "bfloat16"), ("C10", "auto"), ("C10D", "auto")]
EPOCHS = [(task, model, precision) for task, precision in NETWORKS for model in NAMES]
SMALL = "epoch, C10D STN, output 32×32"
# Plain loops first: ours keep freed memory from then on, for the whole process.
CASES = [(*epoch, of) for of in ("plain PyTorch", "stnlib") for epoch in EPOCHS]


def configuration(task, model, precision):
    size = 128 if task == "CM" else 100
    return RunConfig(data=DATA[task], model=model, precision=precision, batch_size=size)


@lru_cache(maxsize=1)
def images_of(task, tiny):
    if task == "CM":
        return load("digits", n_train=128 if tiny else SIZES[task])
    data = shapes.dataset((100 if tiny else SIZES[task], 100, 100))
    return distorted(data, "shapes10d") if task == "C10D" else data


def epoch_name(task, model, precision):
    name = f"epoch, {task} {NAMES[model]}"
    return name if precision == "auto" else f"{name}, {precision}"


class Pictures(Dataset):
    """What a tutorial has: Pillow's images, transformed one at a time when they are asked for."""

    def __init__(self, split, distort):
        self.images = [Image.fromarray(i) for i in split.images.permute(0, 2, 3, 1).numpy()]
        self.labels, self.distort = split.labels.tolist(), distort

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = self.images[i]
        if self.distort:
            degrees, x, y, flip = (torch.randint(n, ()).item() for n in (41, 21, 21, 2))
            image = paste_rotate_shift(image, degrees - 20, (x - 10, y - 10), flip)
        return to_tensor(image), self.labels[i]


def plain_epoch(model, optimizer, loader):
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize(("task", "model", "precision", "of"), CASES)
def test_epoch(measure, benchmark, tiny, task, model, precision, of):
    config, data = configuration(task, model, precision), images_of(task, tiny)
    name, n = epoch_name(task, model, precision), len(data.train)
    if of == "plain PyTorch":  # float32 and contiguous, whatever ours is
        network = make_model(config, data)
        optimizer = torch.optim.Adam(network.parameters(), config.lr)
        split = data.train
        if task == "CM":
            pairs = TensorDataset(to_float(split.images), split.labels)
        else:
            pairs = Pictures(split, distort=task == "C10D")
        # Without workers, which would take another core.
        loader = DataLoader(pairs, config.batch_size, shuffle=True)
        measure(name, of, lambda: plain_epoch(network, optimizer, loader), 2, n)
        return
    benchmark.extra_info |= our_epoch(measure, name, config, data, tiny)


@pytest.mark.parametrize("task", ["C10", "C10D"])
@pytest.mark.parametrize("model", NAMES)
def test_epoch_on_two_threads(measure, benchmark, tiny, task, model):
    torch.set_num_threads(2)
    config, data = configuration(task, model, "auto"), images_of(task, tiny)
    name = epoch_name(task, model, "auto") + ", two threads"
    benchmark.extra_info |= our_epoch(measure, name, config, data, tiny)


@pytest.mark.parametrize("of", ["64×64 without a transformer", "stnlib"])
def test_epoch_of_a_small_output(measure, benchmark, tiny, of):
    """A transformer that shows a quarter of the pixels, and all of them without one."""
    config = configuration("C10D", "stn", "auto").replace(output_size=32, scale_init=0.5)
    if of != "stnlib":
        config = configuration("C10D", "baseline", "auto")
    figures = our_epoch(measure, SMALL, config, images_of("C10D", tiny), tiny, of)
    benchmark.extra_info |= figures


def our_epoch(measure, name, config, data, tiny, of="stnlib"):
    """Measure an epoch as `study.fit` trains it, and say what is in it."""
    keep_freed_memory()
    precision = resolved(torch.device("cpu"), config.precision)
    network = make_model(config, data).to(memory_format=torch.channels_last)
    training, n = Training(config, data, network), len(data.train)
    work, most = flops(network, data, config), peak(precision, 256 if tiny else 2048)
    inputs = median(input_seconds(config, data) for _ in range(1 if tiny else 3))
    seconds = measure(name, of, training.epoch, 3, n)
    return {
        "precision": precision,
        "share of the GEMM peak": round(work / most / seconds, 3),
        "GEMM peak, GFLOP/s": round(most / 1e9, 1),
        "input's share": round(inputs / seconds, 4),
    }


def flops(network, data, config):
    """Floating-point operations of an epoch's networks, forward and backward."""
    batch = data.train.batch(torch.arange(config.batch_size), 0, 1)
    with FlopCounterMode(display=False) as counter:
        network(to_float(batch.images)).sum().backward()
    return counter.get_total_flops() * len(data.train) / config.batch_size


def peak(precision, size):
    """Operations a second of the best of several products of square matrices."""
    a = torch.randn(size, size).to(getattr(torch, precision))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def input_seconds(config, data):
    """Wall time that making the batches of an epoch takes."""
    start = time.perf_counter()
    for index in order(len(data.train), config, 1).split(config.batch_size):
        to_float(data.train.batch(index, config.seed, 1).images)
    return time.perf_counter() - start
