"""Alarms: what the monitor says today of what was traced before, and how early that is."""

import inspect
import math
import warnings
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn

from stnlib.book import alarms
from stnlib.book.deaths import outcomes, traces
from stnlib.diagnostics import (
    CollapseMonitor,
    CollapseWarning,
    Trace,
    corner_spread,
    view_corners,
)
from stnlib.paths import BOOK

SIDE = 12


class Small(nn.Module):
    """One affine transformer of square images, with a localisation network of one hidden layer."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(SIDE * SIDE, 8)
        self.theta = nn.Linear(8, 6)
        nn.init.normal_(self.theta.weight, std=0.01)
        self.theta.bias.data = torch.tensor([1.0, 0, 0, 0, 1.0, 0])

    def forward(self, images):
        theta = self.theta(self.hidden(images.flatten(1)).relu()).view(-1, 2, 3)
        grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=True)
        return nn.functional.grid_sample(images, grid, align_corners=True)


def course(lr, until=20, then=lambda model: None, every=1):
    """The trace of a training that draws the view away, with a change after half of its steps."""
    torch.manual_seed(0)
    model, images = Small(), torch.rand(16, 1, SIDE, SIDE)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    with CollapseMonitor(model, optimizer, every=every) as monitor:
        for step in range(until):
            if step == until // 2:
                then(model)
            optimizer.zero_grad()
            loss = model(images).mean()
            loss.backward()
            optimizer.step()
            with warnings.catch_warnings(action="ignore", category=CollapseWarning):
                monitor.step(loss)
    return monitor.trace


def same_for_all(model):
    model.theta.weight.data.zero_()
    model.theta.weight.requires_grad_(False)


def old(trace):
    """The trace without the columns that older ones lack, and without what was said of it."""
    found = Trace()
    newer = ("corner_spread", "extent_pixels")
    found.columns = {name: c for name, c in trace.columns.items() if name not in newer}
    return found


@pytest.mark.parametrize(
    ("lr", "then", "kind"),
    [
        (1e-5, None, None),
        (0.05, None, "runaway"),
        (0.02, None, None),
        (1e-5, same_for_all, "blind"),
    ],
)
def test_an_old_trace_is_judged_as_the_monitor_of_today_judges_its_training(lr, then, kind):
    trace = course(lr, then=then or (lambda model: None))
    if kind:
        assert trace.events[0][1] == kind
    expected = trace.events[0] if trace.events else (math.nan, None)
    for most in (True, False):
        assert alarms.first_alarm(old(trace), SIDE, most) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("lr", [1e-5, 4e-4, 2e-3, 0.02, 0.05])
def test_a_trace_of_each_step_tells_what_the_monitor_would_have_found_at_its_own_pace(lr):
    told = course(lr, until=60, every=None)
    assert alarms.first_alarm(course(lr, until=60), SIDE, paced=True) == pytest.approx(
        told.events[0] if told.events else (math.nan, None), nan_ok=True
    )


def test_alarms_that_were_told_otherwise_are_found_and_no_others():
    record = SimpleNamespace(config=SimpleNamespace(side=SIDE))
    calm, wild, blind = course(1e-5), course(0.05), course(1e-5, then=same_for_all)
    pairs = [(record, trace) for trace in (calm, wild, blind)]
    assert alarms.retold(pairs) == []
    blind.events, wild.events = [], [(wild.events[0][0] + 1, "runaway")]
    assert alarms.retold(pairs) == ["runaway", "blind"]
    calm.events = [(1, "runaway")]
    assert alarms.retold(pairs[:1]) == [None]


def spreads_of(theta):
    """The bounds of θ's (N, 6) corner spread, and what it is."""
    named = {f"theta_std_{i}": [s] for i, s in enumerate(theta.std(0, correction=0).tolist())}
    least, most = alarms.corner_spreads(pd.DataFrame(named), SIDE)
    size = [len(theta), 1, SIDE, SIDE]
    grid = nn.functional.affine_grid(theta.view(-1, 2, 3), size, align_corners=True)
    return least.item(), corner_spread(view_corners(grid), (SIDE, SIDE)), most.item()


def test_the_spread_of_corners_lies_between_its_bounds():
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        mixing = torch.randn(6, 6, generator=generator) * torch.rand(6, generator=generator) ** 4
        least, true, most = spreads_of(torch.randn(64, 6, generator=generator) @ mixing.T)
        assert least * (1 - 1e-5) <= true <= most * (1 + 1e-5)
        assert most <= least * 3**0.5 + 1e-9


@pytest.mark.parametrize(("entries", "met"), [((0, 0, 1), 0), ((1, 1, 1), 2), ((1, -1, 1), 2)])
def test_a_bound_is_met_where_views_only_shift_and_where_entries_go_together(entries, met):
    drawn = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    bounds = spreads_of(drawn * torch.tensor([*entries, 0.0, 0.0, 0.0]))
    assert bounds[1] == pytest.approx(bounds[met], rel=1e-5)


def runs(*rows):
    names = ["lr", "onset", "warning", "lost", "kept"]
    return pd.DataFrame(rows, columns=names).assign(data="cm", loc_lr_factor=1.0)


NAN = math.nan


def test_a_lead_is_counted_to_the_onset_and_a_warning_at_it_is_none():
    told = alarms.measured(
        runs(
            (1, 20, 10, True, False),
            (1, 20, 17, True, False),
            (1, 20, 20, True, False),  # as it begins
            (1, 20, 25, True, False),  # when it has begun
            (1, 20, NAN, True, False),
            (1, NAN, NAN, False, True),
            (2, NAN, 5, False, True),
        )
    )
    assert told.ahead[:2] == (2, 5) and told.lead == 0 and told.soon[:2] == (4, 5)


def test_a_false_alarm_is_counted_where_others_are_lost_or_where_none_is():
    told = alarms.measured(
        runs(
            (1, 20, 10, True, False),
            (1, NAN, 3, False, True),
            (1, NAN, NAN, False, True),
            (1, NAN, 9, False, False),  # its classifier has not learnt: neither lost nor kept
            (2, NAN, NAN, False, True),
            (2, NAN, NAN, False, True),
            (2, NAN, 4, False, True),
            (3, NAN, 40, True, False),  # blind: lost without a death
            (3, NAN, 50, False, True),
        )
    )
    assert told.where_lost[:2] == (2, 3) and told.where_none[:2] == (1, 3)
    assert told.ahead[:2] == (1, 1) and told.lead == 10


def test_where_there_is_nothing_to_count_nothing_is_said():
    told = alarms.measured(runs((1, NAN, NAN, False, True)))
    assert told.ahead is told.soon is told.where_lost is None and math.isnan(told.lead)
    assert told.where_none[:2] == (0, 1)


def percent(share):
    return f"{100 * share:.0f} %"


def test_the_monitors_docstring_says_what_the_records_say():
    pairs = traces(*alarms.TRACED, where=[BOOK / "records"])
    firsts = [alarms.first_alarm(trace, run.config.side, paced=True) for run, trace in pairs]
    told = alarms.measured(outcomes(pairs).assign(warning=[step for step, _ in firsts]))
    said = " ".join(inspect.getdoc(CollapseMonitor).split())
    for part in (
        f"{told.ahead.k} of {told.ahead.n} were warned of before the onset",
        f"The lead is {told.lead:.0f} steps in the median",
        f"at most {alarms.SOON} for {percent(told.soon.k / told.soon.n)} of them",
        f"{told.where_lost.k} of {told.where_lost.n} where others were lost at the same rates",
        f"of {told.where_none.k} of {told.where_none.n} where none was",
    ):
        assert part in said
