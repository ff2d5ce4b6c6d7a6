"""Draw the photographs of the CIFAR-10 chapter, from recorded θ and the images they belong to.

python tools/c10d_pictures.py    writes book/images/c10*.png

It needs the data set of the records, the JPEG copy of CIFAR-10. The pictures are committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from stnlib.book.deaths import onset, traces
from stnlib.book.figures.films import Moment, film
from stnlib.book.figures.style import STATES, image_grid, use_style
from stnlib.data import catalogue
from stnlib.data.sets import DataSet
from stnlib.records import store
from stnlib.records.store import Record
from stnlib.sampler import sample_clipped, sample_native
from stnlib.training.evaluation import to_float
from stnlib.transforms import family

IMAGES = Path(__file__).resolve().parents[1] / "book" / "images"
N_THETAS = 8  # validation images whose θ a record keeps
SHOWN = [1, 3]  # of these
TESTED = [1, 2, 4, 5, 7, 9]  # test images of the picture of the data
# Study, key and end of each training that is shown.
ZOOM = ("c10-zoom", "141649490f63", "shrunken")
BACKED_AWAY = ("c10", "ef60c7ddb339", "black")
BLIND = ("c10d", "c5532ba2d62b", "blind")
BLACK = ("c10d", "0513a54fe767", "black")
THROWN_OUT = ("c10d-probe", "99281dd9f7b5", "black")
SLOWEST = ("c10d-rates", "15edd0defc4d", "looks")
SLOW = ("c10d-rates", "6b39cc7b0b65", "looks")
PAPERS_RATE = ("c10d", "c89e65242d15", "blind")


def found(study: str, key: str, state: str) -> Record:
    """The record, if it ended so."""
    (record,) = (one for one in store.of_study(study) if one.key == key)
    if record.outcome != state:
        raise SystemExit(f"{study} {key} ended {record.outcome}, not {state}")
    return record


def data_of(record: Record) -> DataSet:
    """The data set on whose pixels it was recorded."""
    data = catalogue.load(record.config.data)
    if data.fingerprint != record.provenance["data"]:
        raise SystemExit(f"{record.key} was recorded on other pixels than: {data.source}")
    return data


def look(record: Record, images: Tensor, theta: Tensor) -> Tensor:
    """What the record's transformer hands on of images at θ."""
    config = record.config
    size = (config.output_size,) * 2 if config.output_size else images.shape[-2:]
    # The historical sampler is the one of these that has no other padding than zeros.
    padded = partial(sample_native, padding=config.padding)
    sampler = sample_clipped if config.sampler == "clipped" else padded
    return sampler(images, family(config.transform).grid(theta, size)).clamp(0, 1)


def seen(record: Record, images: Tensor, epoch: int, title: str, state: str = "") -> Moment:
    """The moment after an epoch."""
    theta = torch.tensor(record.history[epoch - 1]["thetas"])
    outputs = look(record, images[SHOWN], theta[SHOWN])
    return Moment(title, theta, outputs, STATES[state or str(record.outcome)])


def distorted() -> Figure:
    """Photographs, their distortion, and the same undone by the true θ."""
    record = found(*BLIND)
    data, plain = data_of(record), catalogue.load("c10")
    images = to_float(data.test.images[TESTED])
    grid = family("affine").grid(data.test.theta[TESTED], images.shape[-2:])
    rows = [to_float(plain.test.images[TESTED]), images, sample_native(images, grid).clamp(0, 1)]
    return image_grid(rows, ["C10", "C10D", "true θ"], size=0.8)


def backs_away() -> Figure:
    """The first 450 steps on C10."""
    zoom, full = found(*ZOOM), found(*BACKED_AWAY)
    images = to_float(data_of(full).val.images[:N_THETAS])
    moments = [seen(zoom, images, step // 45, f"step {step}") for step in (45, 90, 180, 450)]
    moments.append(seen(full, images, 1, "epoch 1"))
    return film(images[SHOWN], moments)


def two_ends() -> Figure:
    """One that goes blind on C10D, and one that goes black."""
    blind, black = found(*BLIND), found(*BLACK)
    images = to_float(data_of(blind).val.images[:N_THETAS])
    moments = [seen(blind, images, epoch, f"A, epoch {epoch}") for epoch in (1, 3, 20)]
    moments += [seen(black, images, epoch, f"B, epoch {epoch}") for epoch in (1, 3, 4)]
    return film(images[SHOWN], moments)


def thrown_out() -> Figure:
    """The steps around an onset, at the mean θ of the batch."""
    record = found(*THROWN_OUT)
    images = to_float(data_of(record).val.images[[0, *SHOWN]])
    (trace,) = (t.to_frame() for r, t in traces(THROWN_OUT[0]) if r.key == record.key)
    begins = onset(trace)
    moments = []
    for step in (-60, -20, -8, -4, -2, 0):
        means = trace.loc[begins + step, [f"theta_mean_{i}" for i in range(6)]]
        theta = torch.tensor([means.tolist()], dtype=torch.float32)
        outputs = look(record, images, theta.expand(len(images), 6))
        title = f"{step} steps".replace("-", "−") if step else "onset"
        moments.append(Moment(title, theta, outputs, STATES["black"]))
    return film(images, moments)


def undone() -> Figure:
    """After 20 epochs on C10D at three rates, and what the true θ gives."""
    records = [found(*SLOWEST), found(*SLOW), found(*PAPERS_RATE)]
    data = data_of(records[0])
    images = to_float(data.val.images[:N_THETAS])
    moments = [seen(r, images, 20, f"{r.config.lr:g}") for r in records]
    theta = data.val.theta[:N_THETAS]
    outputs = look(records[0], images[SHOWN], theta[SHOWN])
    return film(images[SHOWN], [*moments, Moment("true θ", theta, outputs, "0.45")])


PICTURES = {
    "c10d-distorted": distorted,
    "c10-backs-away": backs_away,
    "c10d-two-ends": two_ends,
    "c10d-thrown-out": thrown_out,
    "c10d-undone": undone,
}


def main(names: Sequence[str] = tuple(PICTURES)) -> None:
    """Draw them."""
    use_style()
    for name in names:
        figure = PICTURES[name]()
        figure.savefig(IMAGES / f"{name}.png", dpi=160, metadata={"Software": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
