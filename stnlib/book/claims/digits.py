"""The claims about Cluttered MNIST at the paper's settings, and better ones."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stnlib.book import paper
from stnlib.book.claims.facts import dates, runs, table, test
from stnlib.book.claims.findings import Finding, Verdict, found, judged
from stnlib.book.stats import bootstrap, paired_difference, summarize
from stnlib.data import cluttered, digits, published
from stnlib.data.catalogue import load
from stnlib.diagnostics import decompose
from stnlib.models import SpatialTransformer
from stnlib.records.weights import transformer
from stnlib.training.evaluation import to_float

__all__ = [
    "better_recipe",
    "centring",
    "controls",
    "few_images",
    "generalisation",
    "images_worth",
    "lead_by_size",
    "nothing_black",
    "places",
    "recipe_at_its_best",
    "rotation",
    "scale",
    "table_iv",
]

SIZES = (500, 1000, 2000, 5000, 10_000)
ROTATIONS = range(-40, 41, 20)  # degrees


def _reproduces(model: str) -> bool:
    """Whether the paper's one run lies within two standard deviations of ours."""
    ours = summarize(test(runs("cm", model=model)))
    return abs(paper.TEST_ACCURACY["cm", model] - ours.mean) <= 2 * ours.std


def table_iv() -> Finding:
    """The paper's Table IV."""
    without, with_it = (test(runs("cm", model=model)) for model in ("baseline", "stn"))
    gain = paired_difference(with_it, without)
    numbers = {"no transformer": summarize(without), "transformer": summarize(with_it)}
    same = _reproduces("baseline") and _reproduces("stn")
    return found(gain.low > 0, {"difference": gain} | numbers, same)


def generalisation() -> Finding:
    """Accuracies in training and in validation at the end."""
    differences = {}
    for name in ("train_accuracy", "val_accuracy"):
        ends = {
            model: [record.last[name] for record in runs("cm", model=model)]
            for model in ("baseline", "stn")
        }
        differences[name] = paired_difference(ends["stn"], ends["baseline"])
    training, validation = differences.values()
    numbers = {"difference in training": training, "in validation": validation}
    return found(training.high < 0 < validation.low, numbers)


def nothing_black() -> Finding:
    """The share of black images and the least coverage, over all epochs."""
    rows = [row for record in runs("cm", model="stn") for row in record.history]
    black, least = max(row["black"] for row in rows), min(row["coverage"] for row in rows)
    numbers = {"black images, at most": f"{black:g}", "coverage, at least": f"{least:.2f}"}
    return found(black == 0, numbers)


def places() -> Finding:
    """Where the digits of the published file lie."""
    corners = published.recipes()["train"].corner
    at_bottom = float((corners[:, 1] == corners[:, 1].max()).mean())
    return found(at_bottom > 0.5, {"digits at the very bottom": f"{at_bottom:.0%}"})


@cache
def _transformers() -> dict[int, SpatialTransformer]:
    return {r.seed: transformer(r.config, 1, 40) for r in runs("cm", model="stn")}


@cache
def _thetas() -> tuple[Tensor, dict[int, Tensor]]:
    """True positions of 500 embedded digits, and each transformer's θ for them."""
    probe = load("digits").test
    images = to_float(probe.images)
    with torch.no_grad():
        return probe.positions, {s: stn.locate(images)[0] for s, stn in _transformers().items()}


def _slope(x: Tensor | pd.Series, y: Tensor | pd.Series) -> float:
    return float(np.polyfit(x, y, 1)[0])


def _spread(values: list[float]) -> str:
    mean = summarize(values)
    return f"{mean.mean:.2f} ± {mean.std:.2f} (n={mean.n})"


def centring() -> Finding:
    """The share of a digit's displacement that θ undoes."""
    positions, thetas = _thetas()
    x, y = positions.unbind(1)
    along = {
        "along x": [_slope(x, theta[:, 2]) for theta in thetas.values()],
        "along y": [_slope(y, theta[:, 5]) for theta in thetas.values()],
    }
    means = [np.mean(values) for values in along.values()]
    numbers = {name: _spread(values) for name, values in along.items()}
    return found(means[0] > 0.8 > means[1] > 0.3, numbers, "reproduced along x, in part along y")


def scale() -> Finding:
    """The size of the view, in sizes of the image."""
    parts = [decompose(theta) for theta in _thetas()[1].values()]
    wide, high = ([part[n].mean().item() for part in parts] for n in ("scale_x", "scale_y"))
    numbers = {"width": _spread(wide), "height": _spread(high)}
    return found(max(wide) < 0.9 and max(high) < 1, numbers, max(wide) < 1 and max(high) < 1)


def _turned(degrees: float, n: int = 200) -> Tensor:
    from torchvision.transforms.functional import rotate  # late: it takes a second

    pixels, labels = digits.embedded()
    pixels = rotate(torch.tensor(pixels[-n:]), -degrees)
    return to_float(cluttered.generate(pixels, labels[-n:], n, seed=1).images)


def rotation() -> Finding:
    """The share of a rotation that θ undoes."""
    answers: dict[int, list[float]] = {seed: [] for seed in _transformers()}
    for degrees in ROTATIONS:
        images = _turned(degrees)
        for seed, stn in _transformers().items():
            with torch.no_grad():
                answers[seed].append(decompose(stn.locate(images)[0])["rotation"].mean().item())
    undone = [_slope(pd.Series(ROTATIONS), pd.Series(answer)) for answer in answers.values()]
    small = max(map(abs, undone)) < 0.1
    return found(small, {"rotation undone": _spread(undone)}, small)


def controls() -> Finding:
    """As many parameters, and a frozen transformer, against the network without one."""
    base = test(runs("cm", model="baseline"))
    numbers = {}
    for name, model in {"wider": "baseline_wide", "frozen": "stn_frozen"}.items():
        own = test(runs("cm-controls", model=model))
        numbers[name] = paired_difference(own, base[own.index])
    return found(all(one.low < 0 < one.high for one in numbers.values()), numbers)


@cache
def _by_size() -> dict[str, pd.DataFrame]:
    """Test accuracy, a row a seed and a column a number of images, of both networks."""
    sizes = table("cm-size")
    full = table("cm").assign(n_train=SIZES[-1])
    every = pd.concat([sizes, full[full["seed"].isin(sizes["seed"])]])
    by_model = every.groupby("model")
    return {
        model: part.pivot(index="seed", columns="n_train", values="test_accuracy")
        for model, part in by_model
    }


def lead_by_size() -> Finding:
    """The transformer's lead by the number of images."""
    tests = _by_size()
    leads = {n: paired_difference(tests["stn"][n], tests["baseline"][n]) for n in SIZES}
    numbers = {f"{n:,} images": lead for n, lead in leads.items()}
    best = max(leads, key=lambda n: leads[n].mean)
    return found(best == 2000 and leads[500].low < 0 < leads[2000].low, numbers)


def _needed(accuracies: np.ndarray, target: float = 0.90) -> float:
    """Images for an accuracy, interpolated on the number's logarithm; nan if not reached."""
    if not (accuracies >= target).any():
        return np.nan
    reached = int(np.argmax(accuracies >= target))
    around = slice(max(reached - 1, 0), reached + 1)
    return float(np.exp(np.interp(target, accuracies[around], np.log(SIZES)[around])))


def images_worth() -> Finding:
    """How many images either network needs for an accuracy of 0.90."""
    without, with_it = (_by_size()[model][list(SIZES)].to_numpy() for model in ("baseline", "stn"))

    def ratio(seeds: np.ndarray) -> float:
        return _needed(without[seeds].mean(0)) / _needed(with_it[seeds].mean(0))

    low, high = bootstrap(ratio, len(without))
    every = np.arange(len(without))
    numbers = {"factor": f"{ratio(every):.1f} [{low:.1f}, {high:.1f}] (n={len(every)})"}
    numbers["no transformer"] = f"{_needed(without.mean(0)):,.0f} images"
    numbers["transformer"] = f"{_needed(with_it.mean(0)):,.0f} images"
    return found(low > 1, numbers)


def better_recipe() -> Finding:
    """The better recipe, chosen by validation, judged on fresh seeds."""
    without, with_it = (test(runs("cm-better", model=model)) for model in ("baseline", "stn"))
    lead = paired_difference(with_it, without)
    numbers = {"no transformer": summarize(without), "transformer": summarize(with_it)}
    return found(with_it.mean() >= 0.975 and lead.low > 0, {"difference": lead} | numbers)


def recipe_at_its_best() -> Finding:
    """The recipe's own rates in place of the searched ones."""
    ours = test(runs("cm-recipe"))
    searched = test(runs("cm-better", model="stn"))[ours.index]
    lead = paired_difference(ours, searched)
    return found(lead.low < 0 < lead.high, {"difference": lead, "recipe": summarize(ours)})


def few_images() -> Verdict:
    """The transformer pays most where images are few."""
    tests = _by_size()
    leads = {n: float((tests["stn"][n] - tests["baseline"][n]).mean()) for n in SIZES}
    best = max(leads, key=leads.__getitem__)
    said = f"the lead is {leads[500]:+.3f} with 500 images and largest, {leads[best]:+.3f}, with "
    return judged(best == min(SIZES), f"{said}{best:,}", dates(runs("cm-size")))
