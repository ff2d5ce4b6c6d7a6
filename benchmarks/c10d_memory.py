"""Peak resident memory of decoding CIFAR-10 and training the C10D STN on it, in this process.

python benchmarks/c10d_memory.py FOLDER [IMAGES]   prints one line of JSON, in GiB

Images of noise are put into FOLDER, as many as CIFAR-10 has, so that anyone can run it.
"""

import contextlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stnlib.data import cifar
from stnlib.data.catalogue import load
from stnlib.training.config import RunConfig
from stnlib.training.device import resolved
from stnlib.training.evaluation import evaluate
from stnlib.training.loop import Training, make_model
from stnlib.training.malloc import keep_freed_memory

STEPS = 5


class EnoughError(Exception):
    """The steps that are wanted have been made."""


def write_images(folder, count):
    """An image folder of noise, a sixth of it to test, each class in its own folder."""
    generator, side = np.random.default_rng(0), cifar.SIDE
    for part, total in (("train", count * 5 // 6), ("test", count // 6)):
        for name in cifar.CLASSES:
            place = folder / part / name
            place.mkdir(parents=True)
            for i in range(total // len(cifar.CLASSES)):
                pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / f"{i}.png", compress_level=0)


def peak():
    """The most memory that this process has had resident so far, in GiB."""
    try:  # not getrusage, whose peak may be that of the process which started this one
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        (kilobytes,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
        return round(int(kilobytes) / 2**20, 2)
    except (OSError, ValueError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(most / (2**30 if sys.platform == "darwin" else 2**20), 2)


def train(data):
    """Make a few steps and a part of the validation, as `study.fit` does; return the peaks."""
    keep_freed_memory()
    config = RunConfig(data="c10d", model="stn", batch_size=100, precision="auto")
    model = make_model(config, data).to(memory_format=torch.channels_last)
    steps = iter(range(STEPS))

    def count(*_):
        if next(steps) == STEPS - 1:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        Training(config, data, model).epoch(count)
    after_steps = peak()
    evaluate(model, data.val.first(1000), config.precision)
    return {
        "precision": resolved(torch.device("cpu"), config.precision),
        "GiB, trained": after_steps,
        "GiB": peak(),  # with a part of the validation
    }


def main():
    """Write, decode, train, and print the peaks."""
    torch.set_num_threads(1)
    folder, count = Path(sys.argv[1]), int((sys.argv[2:] or [60000])[0])
    write_images(folder / "cifar10", count)
    os.environ["STNLIB_DATA"] = str(folder)
    result = {"images": count, "GiB, imported": peak()}
    data = load("c10d")
    result["GiB, decoded"] = peak()
    print(json.dumps(result | train(data)))


if __name__ == "__main__":
    main()
