"""Schedules against their definitions and against PyTorch's own."""

import math
import random

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from stnlib.optim import PATIENCE, SCHEDULES, param_groups, plateau, schedule


@pytest.mark.parametrize(
    ("name", "warmup", "values"),
    [
        ("constant", 0.0, {0: 1, 0.5: 1, 1: 1}),
        ("step", 0.0, {0: 1, 0.33: 1, 1 / 3: 0.1, 0.6: 0.1, 2 / 3: 0.01, 1: 0.01}),
        ("cosine", 0.0, {0: 1, 0.25: (1 + 0.5**0.5) / 2, 0.5: 0.5, 1: 0}),
        ("constant", 0.2, {0: 0, 0.05: 0.25, 0.1: 0.5, 0.2: 1, 0.9: 1}),
        ("cosine", 0.2, {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        ("step", 0.4, {0.2: 0.5, 0.4: 1, 0.6: 0.1, 0.8: 0.01, 1: 0.01}),
    ],
)
def test_a_schedule_takes_the_values_of_its_definition(name, warmup, values):
    for progress, factor in values.items():
        assert schedule(name, progress, warmup) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_past_its_end_a_schedule_stays_what_it_is_there(name):
    assert schedule(name, 1.5, 0.1) == schedule(name, 1, 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cosin", 0.5), "schedule must be one of constant, step, cosine, onecycle, plateau"),
        (("cosine", 0.5, 5), "warmup must be a share of all steps"),
        (("cosine", 0.5, 1), "warmup must be a share of all steps"),
        (("cosine", -1), "progress must be a share of all steps"),
        (("cosine", math.nan), "progress must be a share of all steps"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        schedule(*arguments)
    assert "\n" not in str(caught.value)


def test_a_run_divided_in_three_takes_each_step_of_the_schedule_for_a_third():
    factors = [schedule("step", step / 30) for step in range(30)]
    assert factors == pytest.approx([1] * 10 + [0.1] * 10 + [0.01] * 10)


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("n", [10, 97])
def test_one_cycle_is_pytorchs(n):
    optimizer = sgd()
    # PyTorch counts to n, from 0, where a share of n is meant here: the same bends, then.
    theirs = OneCycleLR(optimizer, max_lr=1.0, total_steps=n + 1, pct_start=(0.3 * n + 1) / (n + 1))
    for step in range(n + 1):
        assert schedule("onecycle", step / n) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < n:
            theirs.step()


def test_one_cycle_begins_low_peaks_at_three_tenths_and_ends_near_nothing():
    values = [schedule("onecycle", p) for p in (0, 0.3, 1)]
    assert values == pytest.approx([0.04, 1, 4e-6], rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_plateau_is_where_pytorch_sees_one(seed):
    draw = random.Random(seed)
    losses = [draw.choice([1.0, 0.9, 0.89995, 0.7]) / (1 + i / 5) ** seed for i in range(40)]
    optimizer = sgd()
    theirs = ReduceLROnPlateau(optimizer, factor=0.1, patience=PATIENCE, eps=0)
    for i, loss in enumerate(losses):
        theirs.step(loss)
        rate = optimizer.param_groups[0]["lr"]
        assert plateau(losses[: i + 1]) == pytest.approx(rate, rel=1e-9)


def test_a_plateau_is_two_epochs_in_a_row_without_a_better_loss():
    losses = [1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9]
    factors = [plateau(losses[: i + 1]) for i in range(len(losses))]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01])


def test_before_the_first_validation_there_is_no_plateau():
    assert plateau([]) == 1 and plateau([math.inf]) == 1


def grouped():
    """An optimiser of two groups, whose rates are 0.1 and 0.01."""
    model = torch.nn.ModuleDict({n: torch.nn.Linear(1, 1) for n in ("localisation", "head")})
    return torch.optim.SGD(param_groups(model, 0.1, 0.1))


def test_a_scheduler_of_pytorchs_scales_the_rate_of_each_group():
    optimizer = grouped()
    scheduler = CosineAnnealingLR(optimizer, T_max=4)
    for step in range(1, 5):
        optimizer.step()
        scheduler.step()
        half_cosine = (1 + math.cos(math.pi * step / 4)) / 2
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.1 * half_cosine, 0.01 * half_cosine], abs=1e-12)


def test_a_scheduler_of_pytorchs_that_resumes_finds_each_groups_first_rate():
    optimizer = grouped()
    for group in optimizer.param_groups:
        group["lr"] *= schedule("cosine", 0.5)
    scheduler = CosineAnnealingLR(optimizer, T_max=4, last_epoch=2)  # KeyError without `initial_lr`
    assert scheduler.base_lrs == pytest.approx([0.1, 0.01])
