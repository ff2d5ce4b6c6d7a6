"""Remedies by name, and what they do to the share of lost trainings, on runs made up."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import torch
from scipy.stats import fisher_exact

from stnlib.book import remedies
from stnlib.book.stats import holm, share_difference, stratified_p, wilson
from stnlib.models import LOCNETS
from stnlib.optim import schedule
from stnlib.records.store import Record
from stnlib.training.config import RunConfig, defaults

HEALTHY = {"coverage": 0.9, "black": 0.0, "val_accuracy": 0.9}
HEALTHY |= {"corner_spread": 3.0, "view_pixels": 30.0}
BLACK = HEALTHY | {"coverage": 0.0, "black": 1.0, "val_accuracy": 0.1}


def record(last, **config):
    config = RunConfig(**config)
    return Record(Path("x.json"), "s", config, [HEALTHY, last], {"n_test": 1}, {})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Names

CHANGES = {
    "loc_lr_factor": 0.1,
    "loc_beta2": 0.9,
    "hidden_scale": 0.1,
    "loc_clip": 0.1,
    "loc_grad_factor": 0.1,
    "optimizer": "adamw",
    "warmup": 0.1,
    "schedule": "step",
    "locnet": "deep",
    "theta_init": "glorot",
    "bound": 1.0,
    "transform": "attention",
    "padding": "border",
    "sampler": "clipped",
    "output_size": 20,
    "scale_init": 0.5,
    "warps": 4,
    "blur": 4.0,
    "outside_penalty": 1.0,
    "identity_penalty": 1.0,
    "area_penalty": 1.0,
    "phi_penalty": 0.1,
    "recovery": "reset",
    "alter": "standard",
    "shuffle": False,
    "batch_size": 32,
    "precision": "auto",
}
NO_REMEDY = {"data", "model", "n_train", "lr", "epochs", "seed", "distortion"}
NO_REMEDY |= {"augment", "dropout", "weight_decay", "warmup_of", "architecture", "width"}


def test_every_field_that_may_be_a_remedy_has_a_name():
    assert set(CHANGES) | NO_REMEDY == set(defaults())
    names = [remedies.named(RunConfig(**{name: value})) for name, value in CHANGES.items()]
    assert len({name.id for name in names}) == len({name.label for name in names}) == len(CHANGES)
    assert all(re.fullmatch(r"[a-z][a-z0-9_.]*", name.id) for name in names)
    assert {name.kind for name in names} == set(remedies.KINDS)


def test_what_is_no_remedy_has_no_name():
    assert remedies.named(RunConfig(lr=0.5, seed=3, data="c10")) == ("", "none", "nothing")


@pytest.mark.parametrize("kind", LOCNETS[1:])
def test_every_localisation_network_has_a_name_of_its_own(kind):
    others = {remedies.named(RunConfig(locnet=other)) for other in LOCNETS if other != kind}
    assert remedies.named(RunConfig(locnet=kind)) not in others


def test_several_parts_are_named_together():
    config = RunConfig(**remedies.RECIPE, batch_size=100)
    assert remedies.named(config) == (
        "rate",
        "loc_lr_x0.1 + warmup + cosine + batch_100",
        "locnet's rate × 0.1, warm-up, cosine, batches of 100",
    )


def test_a_part_is_found_by_its_whole_id_alone_or_beside_others():
    slow = [{"loc_lr_factor": 0.1}, {"loc_lr_factor": 0.01}, remedies.RECIPE, {}]
    table = remedies.table(record(HEALTHY, **changes) for changes in slow)
    assert remedies.has(table, "loc_lr_x0.1").tolist() == [True, False, True, False]
    assert remedies.has(table, "loc_lr_x0.0").tolist() == [False] * 4


def test_the_recipe_begins_low_ends_low_and_slows_the_localisation_network():
    config = RunConfig(**remedies.RECIPE)
    course = [schedule(config.schedule, p, config.warmup) for p in (0, config.warmup, 1)]
    assert course == pytest.approx([0, 1, 0]) and config.loc_lr_factor < 1


def test_the_recipe_is_the_published_one():
    assert dict(remedies.RECIPE) == {"loc_lr_factor": 0.1, "schedule": "cosine", "warmup": 0.05}


# The recipe to copy


@pytest.fixture(scope="module")
def copied():
    """What the chapter's cell to copy makes of a network whose modules have other names."""
    chapter = nbformat.read(Path(__file__).parents[2] / "book" / "lr_schedules.ipynb", 4)
    (source,) = (cell.source for cell in chapter.cells if "groups = [" in cell.source)
    model = torch.nn.ModuleDict({"fc_loc": torch.nn.Linear(2, 6), "net": torch.nn.Linear(2, 10)})
    made = {"model": model}
    exec(source.replace("model.transformer.localisation", "model['fc_loc']"), made)
    return made | {"source": source}


def test_the_recipe_to_copy_is_short_and_needs_nothing_but_pytorch(copied):
    lines = copied["source"].splitlines()
    assert len(lines) <= 15 and max(map(len, lines)) <= 80
    assert "stnlib" not in copied["source"]


def test_the_recipe_to_copy_learns_all_weights_and_those_of_the_transformer_at_three_tenths(copied):
    rates = {}
    for group in copied["optimizer"].param_groups:
        rates |= {id(weights): group["initial_lr"] for weights in group["params"]}
    found = {name: rates[id(weights)] for name, weights in copied["model"].named_parameters()}
    transformer = {"fc_loc.weight": 0.003, "fc_loc.bias": 0.003}
    assert found == pytest.approx(transformer | {"net.weight": 0.01, "net.bias": 0.01})


def test_the_recipe_to_copy_has_the_recipes_schedule(copied):
    config, total = RunConfig(**remedies.RECIPE), copied["total"]
    (factor, *_) = copied["scheduler"].lr_lambdas
    course = [factor(step) for step in range(total + 3)]
    expected = [schedule(config.schedule, s / total, config.warmup) for s in range(total + 3)]
    assert course == pytest.approx(expected, abs=1e-12)


# Verdicts


def runs(**lost):
    """Runs by remedy, from strings of 0 (not lost) and 1."""
    changes = {"nothing": {}, "warm-up": {"warmup": 0.1}, "reset": {"recovery": "reset"}}
    return remedies.table(
        record(BLACK if sign == "1" else HEALTHY, seed=seed, **changes[name])
        for name, signs in lost.items()
        for seed, sign in enumerate(signs)
    )


def test_a_remedy_helps_where_the_interval_lies_below_zero():
    found = remedies.verdicts(runs(nothing="1" * 10, **{"warm-up": "00000", "reset": "11110"}))
    assert list(found.index) == ["warmup", "reset", "none"]
    assert list(found["remedy"]) == ["warm-up", "reset when black", "nothing"]
    assert list(found["helps"]) == [True, False, False]
    assert found["p"].tolist() == pytest.approx([1 / 3003, 1 / 3, 1], rel=1e-3)  # 1 / C(15, 5)
    expected = share_difference(wilson(0, 5), wilson(10, 10))
    assert tuple(found.loc["warmup", ["difference", "low", "high"]]) == pytest.approx(expected)
    assert found.loc["warmup", "accuracy"] == 0.9 and pd.isna(found.loc["none", "accuracy"])
    assert found.loc["warmup", "looks"] == wilson(5, 5)
    assert found.loc["none", "looks"] == wilson(0, 10)


def test_of_remedies_that_lose_as_many_the_one_with_which_more_look_comes_first():
    idle = record(HEALTHY | {"corner_spread": 0.1}, batch_size=32)
    looks = record(HEALTHY | {"val_accuracy": 0.5}, batch_size=512)
    lost = [record(BLACK, seed=seed) for seed in (1, 2)]
    found = remedies.verdicts(remedies.table([idle, looks, *lost]))
    assert list(found.index) == ["batch_512", "batch_32", "none"]


@pytest.mark.parametrize(("lost", "helps"), [(3, False), (2, True)])
def test_a_remedy_that_may_well_be_luck_does_not_help(lost, helps):
    signs = "1" * lost + "0" * (10 - lost)
    found = remedies.verdicts(runs(nothing="1" * 8 + "00", **{"warm-up": signs})).loc["warmup"]
    assert found["difference"] < 0
    assert found["p"] == pytest.approx(fisher_exact([[lost, 10 - lost], [8, 2]]).pvalue)
    assert found["helps"] == helps


def test_a_remedy_that_saves_two_of_five_where_ten_of_ten_are_lost_is_not_shown_to_help():
    found = remedies.verdicts(runs(nothing="1" * 10, **{"warm-up": "11100"}))
    assert found.loc["warmup", "p"] == pytest.approx(2 / 21)  # C(5, 2) / C(15, 2)
    assert found.loc["warmup", "high"] < 0 and not found.loc["warmup", "helps"]


def test_a_remedy_that_loses_more_does_not_help_however_surely():
    found = remedies.verdicts(runs(nothing="0" * 10, **{"warm-up": "11111"}))
    assert found.loc["warmup", "p"] < 0.05 and not found.loc["warmup", "helps"]


def test_several_remedies_are_corrected_for_their_number():
    found = remedies.verdicts(runs(nothing="1" * 10, **{"warm-up": "00000", "reset": "11110"}))
    expected = [2 * found["p"].iloc[0], found["p"].iloc[1]]
    assert found["holm"].iloc[:2].tolist() == pytest.approx(expected)
    assert pd.isna(found.loc["none", "holm"])


def test_a_correction_for_several_comparisons_is_holms():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # by hand
    assert holm([0.5, 0.6]) == [1, 1] and holm([]) == []


def test_one_stratum_is_fishers_test():
    table = [[1, 6], [5, 2]]
    expected = fisher_exact(table).pvalue
    assert stratified_p([(1, 7, 5, 7)]) == pytest.approx(expected)


def test_strata_are_compared_within_themselves():
    # All die in one stratum and none in the other, whatever is done.
    assert stratified_p([(8, 8, 2, 2), (0, 2, 0, 8)]) == pytest.approx(1)
    assert stratified_p([(0, 4, 4, 4), (0, 4, 4, 4)]) == pytest.approx(2 / 70**2)


def test_a_training_is_at_risk_where_the_same_without_a_remedy_is_lost():
    recipe = record(HEALTHY, **remedies.RECIPE, lr=0.01)
    others = [record(BLACK, lr=0.01, seed=1), record(HEALTHY, lr=0.01, seed=2)]
    no_match = [
        record(BLACK, lr=0.02),
        record(BLACK, lr=0.01, n_train=100),
        record(BLACK, lr=0.01, output_size=20),
        record(BLACK, lr=0.01, data="digits"),
        record(BLACK, lr=0.01, loc_lr_factor=0.1),
        record(BLACK, lr=0.01, locnet="deep"),
        record({"val_accuracy": 0.1}, lr=0.01, model="baseline"),
    ]
    assert remedies.lost_without(recipe, others + no_match) == wilson(1, 2)
    assert remedies.lost_without(recipe, no_match) is None


def test_whether_a_training_is_at_risk_is_asked_of_its_own_sampler_first():
    recipe = record(HEALTHY, **remedies.RECIPE, lr=0.01)
    clipped = record(BLACK, lr=0.01, sampler="clipped")
    assert remedies.lost_without(recipe, [clipped]) == wilson(1, 1)
    assert remedies.lost_without(recipe, [clipped, record(HEALTHY, lr=0.01)]) == wilson(0, 1)


def factorial(lost, n=10):
    """So many runs of each combination of two factors, of which `lost` says whether it is."""
    rows = [(a, b, lost(a, b)) for a in (True, False) for b in (True, False) for _ in range(n)]
    return pd.DataFrame(rows, columns=["a", "b", "lost"])


def test_an_effect_is_over_both_values_of_the_other_factors():
    found = remedies.effects(factorial(lambda a, b: not (a and b)), ["a", "b"])
    assert found["a"] == found["b"] == share_difference(wilson(10, 20), wilson(20, 20))
    assert found["a"].value == -0.5 and -1 < found["a"].low < found["a"].high < 0


@pytest.mark.parametrize(
    ("lost", "interaction"),
    [
        (lambda a, b: a, 0),  # b does nothing
        (lambda a, b: not (a and b), -1),  # either saves only beside the other
        (lambda a, b: not (a or b), 1),  # the second saves nothing more
        (lambda a, b: a == b, 2),  # each undoes the other
    ],
)
def test_two_factors_interact_where_the_effect_of_one_depends_on_the_other(lost, interaction):
    found = remedies.effects(factorial(lost), ["a", "b"])["a & b"]
    assert found.value == interaction
    assert found.low <= interaction <= found.high
    assert (found.low <= 0 <= found.high) == (interaction == 0)
