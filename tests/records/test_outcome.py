"""What became of a transformer: each outcome on records made up, at its published threshold."""

import math
from pathlib import Path

import pytest
import torch

from stnlib.data.sets import Split
from stnlib.diagnostics import corner_spread, view_corners, view_pixels
from stnlib.models import build
from stnlib.records import outcome as outcomes
from stnlib.records.outcome import Outcome, at_chance, diverged, in_a_word, lost, outcome
from stnlib.records.store import Record
from stnlib.training.config import RunConfig
from stnlib.training.evaluation import accuracy_without_own_theta, evaluate
from stnlib.transforms import FAMILIES, family

HEALTHY = {
    "coverage": 0.9,
    "black": 0.0,
    "val_accuracy": 0.9,
    "corner_spread": 3.0,
    "view_pixels": 30.0,
}


def record(last=None, result=None, **config):
    rows = [HEALTHY, HEALTHY | (last or {})]
    return Record(Path("x.json"), "s", RunConfig(**config), rows, result or {}, {})


# The published thresholds, as numbers


@pytest.mark.parametrize(
    ("last", "found"),
    [
        ({}, "looks"),
        ({"black": 0.99}, "black"),
        ({"black": 0.9899}, "looks"),
        ({"coverage": 0.4999}, "shrunken"),
        ({"coverage": 0.5}, "looks"),
        ({"coverage": 0.3, "object_coverage": 0.5}, "looks"),  # the object counts where it is known
        ({"coverage": 0.9, "object_coverage": 0.4999}, "shrunken"),
        ({"view_pixels": 0.9999}, "point"),
        ({"view_pixels": 1.0}, "looks"),
        ({"corner_spread": 0.00999}, "blind"),
        ({"corner_spread": 0.01}, "idle"),
        ({"corner_spread": 0.4999}, "idle"),
        ({"corner_spread": 0.5}, "looks"),
    ],
)
def test_each_outcome_begins_at_its_threshold(last, found):
    assert outcome(record(last)) == found


def test_the_first_outcome_that_holds_is_named():
    all_at_once = {"black": 1.0, "coverage": 0.0, "view_pixels": 0.0, "corner_spread": 0.0}
    expected = ["black", "shrunken", "point", "blind"]
    for cured, name in zip([None, "black", "coverage", "view_pixels"], expected, strict=True):
        if cured:
            all_at_once[cured] = HEALTHY[cured]
        assert outcome(record(all_at_once)) == name
    assert [str(o) for o in Outcome] == [*expected, "idle", "looks"]


@pytest.mark.parametrize(
    ("permuted", "found"), [(0.8949, "looks"), (0.8951, "idle"), (0.95, "idle")]
)
def test_a_transformer_whose_theta_is_of_no_use_is_idle(permuted, found):
    assert outcome(record(result={"val_permuted": permuted})) == found


def test_a_network_without_a_transformer_has_no_outcome():
    learnt = record(model="baseline")
    assert outcome(learnt) is None and not lost(learnt)
    assert in_a_word(learnt) == "learns"
    assert in_a_word(record({"val_accuracy": 0.1}, model="baseline")) == "at chance"


@pytest.mark.parametrize(
    ("last", "gone"),
    [
        ({"black": 1.0}, True),
        ({"coverage": 0.0}, True),
        ({"view_pixels": 0.0}, True),
        ({"corner_spread": 0.0}, True),
        ({"corner_spread": 0.1}, False),
        ({}, False),
    ],
)
def test_all_is_lost_but_what_looks_or_idles(last, gone):
    assert lost(record(last)) == gone


def test_a_classifier_at_chance_is_a_matter_of_its_own():
    poor = record({"val_accuracy": 0.1999})
    assert at_chance(poor) and outcome(poor) == "looks" and in_a_word(poor) == "at chance"
    assert not at_chance(record({"val_accuracy": 0.2}))
    assert at_chance(record({"val_accuracy": math.nan}))
    black = record({"val_accuracy": 0.1, "black": 1.0})
    assert in_a_word(black) == "black"  # the transformer is named first


def test_a_training_diverges_where_theta_or_the_loss_is_not_finite():
    without = record()
    for name in ("black", "coverage", "corner_spread", "view_pixels"):
        without.history[-1] = dict(without.last)
        without.last.pop(name)
    for found in (without, record(result={"stopped": "diverged"})):
        assert diverged(found) and outcome(found) is None
        assert in_a_word(found) == "diverged" and lost(found)
    assert not diverged(record()) and not diverged(record(result={"stopped": "black"}))


# Records made before corner spread was measured

OLD = {"coverage": 0.9, "black": 0.0, "val_accuracy": 0.9, "scale_mean": 0.8, "scale_std": 0.0}
OLD |= {"tx_std": 0.0, "ty_std": 0.0, "rotation_std": 0.0}


def old(last, **config):
    return Record(Path("x.json"), "s", RunConfig(**config), [OLD | last], {}, {})


@pytest.mark.parametrize(
    ("last", "found"),
    [
        ({}, "blind"),
        ({"tx_std": 0.01 * 2 / 39 - 1e-6}, "blind"),  # a hundredth of a pixel of 40
        ({"ty_std": 0.01 * 2 / 39 + 1e-6}, "idle"),
        ({"tx_std": 0.5 * 2 / 39 + 1e-6}, "looks"),
        ({"scale_std": 0.5 * 2 / 39 + 1e-6}, "looks"),
        ({"rotation_std": math.degrees(0.5 * 2 / 39 / 0.8 + 1e-6)}, "looks"),
        ({"tx_std": 1.0, "scale_mean": 0.9 / 39}, "point"),
    ],
)
def test_an_old_record_is_judged_by_the_spreads_that_it_has(last, found):
    assert outcome(old(last)) == found


def test_an_estimated_spread_is_near_the_measured_one():
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(4000, 6, generator=generator) * torch.tensor([0, 0, 0.1, 0, 0, 0.03])
    theta += torch.tensor([0.8, 0, 0, 0, 0.8, 0])
    grid = family("affine").grid(theta, (40, 40))
    measured = corner_spread(view_corners(grid), (40, 40))
    last = {"tx_std": theta[:, 2].std().item(), "ty_std": theta[:, 5].std().item()}
    assert outcomes.corner_spread(old(last)) == pytest.approx(measured, rel=0.01)


def test_a_family_without_summary_is_judged_by_the_eight_thetas_that_are_kept():
    thetas = [[0.8, 0.01 * i, 0.0] for i in range(8)]
    last = {"coverage": 0.9, "black": 0.0, "val_accuracy": 0.9, "thetas": thetas}
    config = RunConfig(transform="attention")
    kept = Record(Path("x.json"), "s", config, [last], {}, {})
    deviation = torch.tensor([0.01 * i for i in range(8)]).std(correction=0).item()
    assert outcomes.corner_spread(kept) == pytest.approx(deviation * 39 / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "side"),
    [
        ({}, 40),
        ({"data": "digits"}, 40),
        ({"data": "c10"}, 32),
        ({"data": "c10d"}, 64),
        ({"data": "shapes10", "distortion": 0.5}, 64),
        ({"data": "mnist", "distortion": 1.0}, 56),
    ],
)
def test_a_configuration_knows_the_side_of_its_images(config, side):
    assert RunConfig(**config).side == side


# The view, measured


def test_corner_spread_is_the_largest_deviation_of_a_corner_in_input_pixels():
    theta = torch.tensor([[1.0, 0, 0, 0, 1, 0], [1.0, 0, 0, 0, 1, 0.1]])  # y moves by 0.1
    corners = view_corners(family("affine").grid(theta, (16, 16)))
    assert corner_spread(corners, (41, 21)) == pytest.approx(0.05 * 20)
    assert corner_spread(corners.flip(-1), (41, 21)) == pytest.approx(0.05 * 10)
    turned = torch.tensor([[1.0, 0, 0, 0, 1, 0], [0, -1.0, 0, 1, 0, 0]])  # a quarter turn
    assert corner_spread(
        view_corners(family("affine").grid(turned, (16, 16))), (41, 41)
    ) == pytest.approx(20)


def test_one_theta_has_no_spread_in_any_family():
    for name in FAMILIES:
        theta = family(name).identity().expand(5, -1) * 0.9
        assert corner_spread(view_corners(family(name).grid(theta, (8, 8))), (28, 28)) == 0


def test_the_corners_are_the_images_corners_under_the_identity():
    grid = family("affine").grid(family("affine").identity()[None], (12, 20))
    assert view_corners(grid)[0].tolist() == [[-1, -1], [1, -1], [-1, 1], [1, 1]]


def test_view_pixels_is_the_larger_side_of_the_view():
    theta = torch.tensor([[0.5, 0, 0.3, 0, 0.25, 0], [0, 0.5, 0, 1.0, 0, 0]])
    grid = family("affine").grid(theta, (16, 16))
    assert view_pixels(grid, (41, 41)).tolist() == pytest.approx([20, 40])
    assert view_pixels(grid, (41, 21)).tolist() == pytest.approx([10, 40])


# Whether θ is of any use


def seen(theta, images, labels):
    """An STN whose θ are given, before a classifier that says how bright the middle is."""

    class Given(torch.nn.Module):
        def forward(self, batch):
            starts = [int((images == image).all((1, 2, 3)).nonzero()[0]) for image in batch]
            return theta[starts]

    class Middle(torch.nn.Module):
        def forward(self, batch):
            bright = batch[:, 0, 4, 4]
            return torch.stack([0.5 - bright, bright - 0.5], dim=1)

    model = build("stn", 1, 40, 2)
    model.transformer.localisation = Given()
    model.classifier = Middle()
    model.register_parameter("any", torch.nn.Parameter(torch.zeros(())))
    return model, Split(images, labels)


def dots(n):
    """Images with a bright dot, or none, at a place that θ knows: moved to the middle."""
    generator = torch.Generator().manual_seed(0)
    images = 0.01 * torch.rand(n, 1, 9, 9, generator=generator)
    labels = torch.arange(n) % 2
    places = torch.randint(0, 9, (n, 2), generator=generator)
    images[torch.arange(n), 0, places[:, 1], places[:, 0]] = labels.float()
    theta = torch.zeros(n, 6)
    theta[:, 0] = theta[:, 4] = 1
    theta[:, [2, 5]] = (places - 4) / 4
    return theta, images, labels


def test_permuted_thetas_lose_what_a_transformer_that_looks_wins():
    model, split = seen(*dots(250))  # three batches
    assert evaluate(model, split)["accuracy"] == 1
    found = accuracy_without_own_theta(model, split)
    assert found["permuted"] == pytest.approx(0.5 + 0.5 / 81, abs=0.03)
    middle = (split.images[:, 0, 4, 4] > 0.5).long()
    assert found["identity"] == pytest.approx((middle == split.labels).float().mean().item())


def test_permuting_changes_nothing_where_all_have_one_theta():
    theta, images, labels = dots(120)
    theta[:] = theta[7]
    model, split = seen(theta, images, labels)
    own = evaluate(model, split)["accuracy"]
    found = accuracy_without_own_theta(model, split)
    assert found["permuted"] == found["mean_theta"] == pytest.approx(own)


def test_the_mean_theta_is_that_of_all_images():
    theta, images, labels = dots(210)
    model, split = seen(theta, images, labels)
    constant, _ = seen(theta.mean(0).expand(210, -1), images, labels)
    expected = evaluate(constant, split)["accuracy"]
    assert accuracy_without_own_theta(model, split)["mean_theta"] == pytest.approx(expected)


def test_the_permutations_are_five_fixed_ones_of_the_whole_set():
    theta, images, labels = dots(130)
    model, split = seen(theta, images, labels)
    expected = []
    for number in range(5):
        order = torch.randperm(130, generator=torch.Generator().manual_seed(number))
        other, _ = seen(theta[order], images, labels)
        expected.append(evaluate(other, split)["accuracy"])
    assert accuracy_without_own_theta(model, split)["permuted"] == pytest.approx(sum(expected) / 5)


def test_theta_that_is_not_finite_has_no_use_to_measure():
    theta, images, labels = dots(20)
    theta[3, 2] = math.nan
    model, split = seen(theta, images, labels)
    assert accuracy_without_own_theta(model, split) == {}


def test_an_evaluation_measures_the_view_over_all_batches():
    theta, images, labels = dots(250)
    model, split = seen(theta, images, labels)
    row = evaluate(model, split)
    grid = family("affine").grid(theta, (9, 9))
    assert row["corner_spread"] == pytest.approx(corner_spread(view_corners(grid), (9, 9)))
    assert row["view_pixels"] == pytest.approx(8)
    theta[:130] *= 0.5  # more than half of the views
    assert evaluate(*seen(theta, images, labels))["view_pixels"] == pytest.approx(4)


@pytest.mark.parametrize("name", ["attention", "translation", "tps"])
def test_a_view_of_any_family_is_measured(name):
    images = torch.rand(6, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    row = evaluate(build("stn", 1, 40, 10, transform=name), Split(images, torch.zeros(6).long()))
    assert row["corner_spread"] == pytest.approx(0, abs=1e-5)
    assert row["coverage"] == 1 and row["black"] == 0
    assert row["view_pixels"] == pytest.approx(39, abs=1e-3)
