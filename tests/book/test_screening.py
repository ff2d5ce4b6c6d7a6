"""What the pages on remedies and on pay-off compare, on the book's own records."""

import itertools
import math

import pandas as pd
import pytest
import torch

from stnlib.book import payoff, remedies, screening
from stnlib.book.stats import wilson
from stnlib.data.catalogue import load
from stnlib.records.store import of_study
from stnlib.training.config import RunConfig


def test_every_screened_training_has_the_rate_that_is_asked_for():
    runs = screening.screened(0.01)
    assert set(runs["lr"]) == {0.01} and (runs["row"] == runs["remedy"]).all()
    assert (runs["id"] == "none").any() and (~runs["transformer"]).any()


def test_a_note_says_how_many_look_and_how_accurate_the_unlost_are():
    verdicts = pd.DataFrame(
        {"remedy": ["a", "b"], "looks": [wilson(3, 5), wilson(0, 5)], "accuracy": [0.9, None]}
    )
    assert screening.notes(verdicts) == {"a": "3 of 5, 0.900", "b": "0 of 5"}


def test_the_factorial_has_every_combination_as_often():
    crossed = screening.factorial()
    stn = crossed[crossed["transformer"]]
    sizes = stn.groupby([*screening.FACTORS, "rate"]).size()
    assert len(sizes) == 16 and sizes.nunique() == 1


def test_the_three_changes_by_rate_are_all_of_the_recipe():
    runs, alone = screening.by_rate()
    three = runs[runs["panel"] == runs["panel"].iloc[-1]]
    for part in screening.FACTORS.values():
        assert remedies.has(three, part).all()
    assert not alone["transformer"].any() and set(alone["panel"]) == set(runs["panel"])


def test_a_setting_elsewhere_has_each_seed_once():
    apart = screening.elsewhere()
    assert not apart.duplicated(["row", "seed"]).any()


def test_only_trainings_with_the_whole_recipe_are_counted_for_it():
    whole = screening.with_recipe(["cm-map"], ["cm-factorial"])
    parts = [r.config.changed() for r in of_study("cm-factorial") if r.config.has_transformer]
    with_all = [c for c in parts if {"loc_lr_factor", "schedule", "warmup"} <= set(c)]
    known = [c for c in with_all if c["lr"] == 0.01]  # the map has no 0.02
    assert len(whole) == len(known) > 0 and whole["at_risk"].all()


def test_a_training_is_watched_step_by_step():
    config = RunConfig(data="digits", n_train=200, epochs=1, batch_size=50)
    trace = screening.watch(config, load("digits", n_train=200))
    assert len(trace) == 4 and {"coverage", "step", "accuracy"} <= set(trace)


def test_what_there_is_to_win_is_the_mean_over_pairs_of_a_seed():
    accuracies = {"baseline": (0.5, 0.6), "stn": (0.6, 0.7), "oracle": (0.9, 0.8)}
    runs = pd.DataFrame(
        {"distortion": 1.0, "model": model, "seed": seed, "test_accuracy": value}
        for model, values in accuracies.items()
        for seed, value in enumerate(values)
    )
    there, won = payoff.won(runs, 1.0)
    assert there.mean == pytest.approx(0.3) and won.mean == pytest.approx(0.1)


def test_rows_are_compared_over_the_seeds_that_both_have():
    rows = [("a", 0, 0.5), ("a", 1, 0.7), ("a", 2, 0.0), ("b", 0, 0.4), ("b", 1, 0.5)]
    runs = pd.DataFrame(rows, columns=["row", "seed", "accuracy"])
    lead = payoff.compared(runs, "a", "b")
    assert lead.n == 2 and lead.mean == pytest.approx(0.15)


def test_digits_are_turned_in_one_direction_and_ever_further():
    shown = payoff.when_it_pays()["strengths"]
    turned = [[math.atan2(a, b) for b, *_, a, _, _ in each["truth"]] for each in shown]
    assert turned[0] == [0] * 10 and len(turned) == 6
    for before, after in itertools.pairwise(turned):
        assert all(abs(b) > abs(a) and b * a >= 0 for a, b in zip(before, after, strict=True))


def test_photographs_are_handed_on_with_a_quarter_of_the_pixels():
    views = payoff.views(torch.rand(2, 3, 64, 64))
    assert views.shape == (2, 3, 32, 32) and 0 <= views.min() <= views.max() <= 1


def test_outputs_come_with_the_fewest_pixels_first():
    runs = payoff.outputs()
    assert runs["pixels"].is_monotonic_increasing and set(runs["pixels"]) == {32, 39, 64}
    assert not runs.duplicated(["row", "seed"]).any()


def test_time_is_compared_on_one_kind_of_machine():
    kinds = {machine for machine, _ in payoff.seconds()}
    assert kinds == {"processor", "GPU"} and len(payoff.seconds()) == 4
