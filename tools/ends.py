"""Draw the pictures of how transformers end, from recorded θ and the images that they belong to.

python tools/ends.py    writes book/images/*.png

It needs the data set of the records, the JPEG copy of CIFAR-10. The pictures are committed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from stnlib.book.figures.ends import end
from stnlib.book.figures.style import STATES, use_style
from stnlib.data import catalogue
from stnlib.records import store
from stnlib.sampler import sample_clipped, sample_native
from stnlib.training.evaluation import to_float
from stnlib.transforms import family

BOOK = Path(__file__).resolve().parents[1] / "book"
IMAGES = [0, 1, 3]  # of the eight validation images whose θ a record keeps
SHOWN = {  # the study and the record of each picture, and the colour of its outlines
    "looks": ("c10d-rates", "6b39cc7b0b65", "looks"),
    "shrunken": ("c10", "7ec8bc2bd384", "shrunken"),
    "black": ("c10d-probe", "71ed0993c43c", "black"),
    "blind": ("c10d", "c89e65242d15", "blind"),
    "idle": ("recipe", "727a5fef03b5", "idle"),
    "border": ("c10-probe", "9a607ba86514", "shrunken"),
}


def draw(name: str, study: str, key: str, state: str) -> None:
    """Draw one picture and write it."""
    (record,) = (found for found in store.of_study(study) if found.key == key)
    config = record.config
    data = catalogue.load(config.data)
    if data.fingerprint != record.provenance["data"]:
        raise SystemExit(f"{study} was recorded on other pixels than those here: {data.source}")
    images = to_float(data.val.images[IMAGES])
    theta = torch.tensor(record.last["thetas"])[IMAGES]
    size = (config.output_size,) * 2 if config.output_size else images.shape[-2:]
    grid = family(config.transform).grid(theta, size)
    # The historical sampler is the one of these that has no other padding than zeros.
    clipped = config.sampler == "clipped"
    sampler = sample_clipped if clipped else partial(sample_native, padding=config.padding)
    figure = end(images, theta, sampler(images, grid).clamp(0, 1), STATES[state])
    figure.savefig(BOOK / "images" / f"{name}.png", dpi=160)
    plt.close(figure)


def main() -> None:
    """Draw them all."""
    use_style()
    for name, (study, key, state) in SHOWN.items():
        draw(name, study, key, state)


if __name__ == "__main__":
    main()
