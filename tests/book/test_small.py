"""The small transformer in PyTorch: it is what it says, and its map is that of the page."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from stnlib.book import small
from stnlib.data import digits
from stnlib.paths import BOOK
from stnlib.records import observations

D = torch.float64


@pytest.fixture(scope="module")
def runs():
    """The trainings of both recorded maps."""
    return small.table(observations.read_all(small.STUDY, [BOOK / "observations"]))


def test_a_network_looks_samples_and_classifies_as_pytorch_does():
    torch.manual_seed(0)
    network = small.Small([4, 7])
    for parameter in network.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    images = torch.rand(2, 5, 16, 16, dtype=D)
    scores, theta, views = network(images)
    for k, mine in enumerate(images):

        def dense(name, values, k=k):
            return values @ network.weights[name][k] + network.biases[name][k]

        wanted = dense("theta", dense("look", mine.flatten(1)).relu())
        grid = F.affine_grid(wanted.reshape(5, 2, 3), (5, 1, 16, 16), align_corners=True)
        view = F.grid_sample(mine[:, None], grid, align_corners=True)
        torch.testing.assert_close(theta[5 * k : 5 * k + 5], wanted)
        torch.testing.assert_close(views[5 * k : 5 * k + 5], view)
        torch.testing.assert_close(scores[k], dense("name", dense("read", view.flatten(1)).relu()))


def test_a_network_begins_as_the_identity_with_weights_of_its_own():
    network = small.Small([1, 2])
    images = torch.rand(2, 3, 16, 16, dtype=D)
    _, theta, views = network(images)
    assert torch.equal(theta, torch.tensor([1, 0, 0, 0, 1, 0], dtype=D).expand(6, 6))
    torch.testing.assert_close(views, images.reshape(6, 1, 16, 16))
    first, second = network.weights["look"]
    assert first.abs().max() <= (6 / (256 + 32)) ** 0.5 and not torch.equal(first, second)


def test_an_image_is_a_digit_at_some_place_with_its_label():
    images, labels = small._images(torch.Generator().manual_seed(3), 0, 1497, 50)
    every, names = digits.optical()
    places = set()
    for image, label in zip(images, labels, strict=True):
        known = torch.tensor(every[names == int(label)]).flatten(1).double() / 16
        patches = F.unfold(image[None, None], 8)[0].T  # 81 of 64 pixels
        there = (torch.cdist(patches, known) < 1e-6) & (known.sum(1) - image.sum()).abs().lt(1e-6)
        assert there.any()
        places.add(int(there.any(1).nonzero()[0]))
    assert len(places) > 20


def test_what_becomes_of_a_network_does_not_depend_on_those_beside_it():
    alone, beside = (small.train(1e-2, 0.1, 0.1, seeds=n, steps=20) for n in (2, 3))
    for one, other in zip(alone, beside, strict=False):
        assert one["outcome"] == other["outcome"]
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.01)
        assert one["corner_spread"] == pytest.approx(other["corner_spread"], abs=1e-3)
    assert alone[0] != alone[1]


def test_a_warm_up_begins_with_no_step_and_a_factor_slows_the_transformer():
    (still,) = small.train(1e-2, 1.0, 0.5, seeds=1, steps=1)
    assert still["corner_spread"] == 0
    (slow,), (fast,) = (small.train(1e-2, factor, 0.0, seeds=1, steps=8) for factor in (0.01, 1.0))
    assert slow["corner_spread"] < fast["corner_spread"] / 10


JUDGED = [
    (dict(black=0.99, object=0.9, side=9, corner_spread=2, accuracy=0.9), "black"),
    (dict(black=0.5, object=0.49, side=9, corner_spread=2, accuracy=0.9), "shrunken"),
    (dict(black=0, object=0.5, side=0.9, corner_spread=2, accuracy=0.9), "point"),
    (dict(black=0, object=1, side=9, corner_spread=0.009, accuracy=0.9), "blind"),
    (dict(black=0, object=1, side=9, corner_spread=0.4, accuracy=0.19), "at chance"),
    (dict(black=0, object=1, side=9, corner_spread=0.4, accuracy=0.9), "idle"),
    (dict(black=0, object=1, side=9, corner_spread=0.5, accuracy=0.9), "looks"),
    (dict(black=0, object=float("nan"), side=9, corner_spread=2, accuracy=0.9), "shrunken"),
]


@pytest.mark.parametrize(("found", "word"), JUDGED)
def test_it_is_judged_by_the_thresholds_of_the_records(found, word):
    assert small._word(**found) == word


def test_both_maps_have_every_training(runs):
    wanted = [
        (by, *cell, seed)
        for by, cell, seed in itertools.product(
            ("page", "stnlib"), sorted(small.CELLS), range(small.SEEDS)
        )
    ]
    columns = ["by", "rate", "factor", "warmup", "seed"]
    assert sorted(runs[columns].itertuples(index=False, name=None)) == wanted


def test_the_recorded_trainings_are_what_the_code_gives(runs):
    """At a setting where all look: two of them, again."""
    chosen = (runs["by"] == "stnlib") & (runs["rate"] == 3e-2) & (runs["factor"] == 0.1)
    stored = runs[chosen & (runs["warmup"] == 0)].sort_values("seed")
    for row, again in zip(
        stored.to_dict("records"), small.train(3e-2, 0.1, 0.0, seeds=2), strict=False
    ):
        assert again["outcome"] == row["outcome"]
        assert again["accuracy"] == pytest.approx(row["accuracy"], abs=0.03)


@pytest.mark.parametrize("word", ["looks", "idle", "shrunken", "black", "at chance"])
def test_the_maps_agree_within_their_intervals(runs, word):
    apart = [
        (cell, shares)
        for cell, shares in small.cells(runs, word).items()
        if shares["page"].low > shares["stnlib"].high or shares["stnlib"].low > shares["page"].high
    ]
    assert apart == []
