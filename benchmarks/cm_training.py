"""How long one training of the Cluttered MNIST STN takes, and how much of it is input.

python benchmarks/cm_training.py     writes benchmarks/cm_training.json for the status page

Needs the published file, and a machine that does nothing else.
"""

import json
import time
from pathlib import Path

import torch

from stnlib.data import augment
from stnlib.data.catalogue import load
from stnlib.records.provenance import provenance
from stnlib.training import fit
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import to_float
from stnlib.training.loop import make_model, order


def training_seconds(config, data):
    """Wall time of a whole training, validation after each epoch included."""
    model = make_model(config, data).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    fit.fit(model, data, config)
    return time.perf_counter() - start


def input_seconds(config, data):
    """Wall time that making the batches of all epochs takes."""
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for epoch in range(1, config.epochs + 1):
        for index in order(len(data.train), config, epoch).split(config.batch_size):
            augment.apply(config.augment, to_float(data.train.images[index]), generator)
            _ = data.train.labels[index]
    return time.perf_counter() - start


def main():
    """Measure, print and write the results."""
    data = load("cm")
    config = RunConfig()
    rows = {}
    for threads in (2, 1):
        torch.set_num_threads(threads)
        whole, inputs = training_seconds(config, data), input_seconds(config, data)
        rows[threads] = {"seconds": round(whole, 1), "input_share": round(inputs / whole, 5)}
        print(threads, "threads:", rows[threads])
    origin = provenance(torch.device("cpu"), data.fingerprint)
    del origin["threads"]  # the rows say
    result = {"config": config.to_dict(), "threads": rows, "provenance": origin}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
