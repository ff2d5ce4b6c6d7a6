"""Deaths, falls and forecasts, on courses whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stnlib.book import deaths, forecasts
from stnlib.records import outcome
from stnlib.study.runs import run
from stnlib.training.config import RunConfig


def course(coverage, black=None):
    steps = range(1, len(coverage) + 1)
    black = [0.0] * len(coverage) if black is None else black
    return pd.DataFrame({"coverage": coverage, "black": black}, index=steps)


def test_the_limits_are_the_published_ones():
    limits = deaths.WINDOW, outcome.HALF_BLACK, deaths.LEAST_SEEN, outcome.AT_CHANCE
    assert limits == (10, 0.5, 0.05, 0.2)


@pytest.mark.parametrize(("black", "step"), [(5, None), (6, 26)])
def test_a_transformer_is_dead_when_six_of_ten_steps_show_nothing_but_black(black, step):
    flicker = [0.0] * 20 + ([1.0] * black + [0.0] * (10 - black)) * 4
    assert deaths.death(course([0.9] * 60, flicker)) == step


@pytest.mark.parametrize(("coverage", "step"), [(0.051, None), (0.049, 30)])
def test_a_transformer_is_dead_when_it_sees_less_than_a_twentieth(coverage, step):
    assert deaths.death(course([0.9] * 20 + [coverage] * 20)) == step


@given(before=st.integers(15, 60), after=st.integers(10, 60))
def test_a_death_is_found_within_a_window_of_where_it_happened(before, after):
    frame = course([0.9] * before + [0.0] * after)
    assert before < deaths.death(frame) <= before + deaths.WINDOW
    blackened = course([0.9] * (before + after), [0.0] * before + [1.0] * after)
    assert before < deaths.death(blackened) <= before + deaths.WINDOW


@given(before=st.integers(15, 60), after=st.integers(10, 60))
def test_the_onset_of_a_death_is_its_first_step(before, after):
    assert deaths.onset(course([0.9] * before + [0.0] * after)) == before + 1
    flicker = [0.9] * before + [0.0] * 3 + [0.9] + [0.0] * after
    assert deaths.onset(course(flicker)) == before + 5
    assert deaths.onset(course([0.9] * (before + after))) is None


def test_a_death_whose_last_step_shows_a_glimpse_begins_at_that_step():
    frame = course([0.9] * 20 + [0.01] * 9 + [0.06])
    assert deaths.death(frame) == deaths.onset(frame) == 30


def test_what_comes_back_has_not_died():
    assert deaths.death(course([0.9] * 20 + [0.0] * 20 + [0.9] * 20)) is None
    assert deaths.death(course([0.9] * 40)) is None
    assert deaths.death(course([0.9] * 5)) is None


def accuracy(*parts):
    values = [value for value, n in parts for _ in range(n)]
    return pd.Series(values, index=range(1, len(values) + 1))


def test_accuracy_falls_where_it_halves_for_good():
    assert 60 < deaths.fall(accuracy((0.1, 20), (0.6, 40), (0.1, 40))) <= 80
    assert deaths.fall(accuracy((0.1, 20), (0.6, 40), (0.1, 40), (0.6, 40))) is None
    assert deaths.fall(accuracy((0.1, 100))) is None  # it never rose
    assert deaths.fall(accuracy((0.6, 5))) is None


@pytest.mark.parametrize(("best", "step"), [(25 / 128, None), (26 / 128, 61)])
def test_accuracy_must_have_been_twice_a_guess_to_fall(best, step):
    course = accuracy((best, 50), (0.0, 30))
    assert deaths.fall(course) == step  # where eleven of twenty batches are below


@given(st.lists(st.tuples(st.floats(1e-6, 1e3), st.booleans()), min_size=3, max_size=30))
def test_no_threshold_tells_the_fitted_runs_better(pairs):
    values, died = map(np.array, zip(*pairs, strict=True))
    if died.all() or not died.any() or len(np.unique(np.log(values))) < 2:
        return
    alike = np.where(died, 1 / died.sum(), 1 / (~died).sum())  # both outcomes weigh as much

    def balanced(threshold):
        return np.average((values > threshold) == died, weights=alike)

    best = forecasts.fit_threshold(values, died)
    assert best.accuracy == pytest.approx(balanced(best.value))
    for other in values:
        if (values > other).any():
            assert best.accuracy >= balanced(other) - 1e-9


def test_balanced_accuracy_needs_both_outcomes():
    with pytest.raises(ValueError, match="runs that died and runs that lived"):
        forecasts.balanced_accuracy([True, True], [True, True])


def test_a_table_of_outcomes_has_a_row_a_traced_run(few, tmp_path):
    config = RunConfig(data="digits", n_train=96, batch_size=8, epochs=3, lr=1e-4)
    places = {"folder": tmp_path, "checkpoints": tmp_path / "c", "data": few}
    for change in ({}, {"lr": 0.1}, {"model": "baseline"}):
        run(config.replace(**change), "s", trace=True, progress=False, **places)
    table = deaths.outcomes(deaths.traces("s", where=[tmp_path])).set_index("lr")
    assert sorted(table.index) == [1e-4, 0.1]
    lives, dies = table.loc[1e-4], table.loc[0.1]
    assert np.isnan(lives["death"]) and not lives["lost"] and lives["steps"] == 36
    assert lives["outcome"] in ("idle", "looks", "at chance") and dies["lost"]
    assert dies["warning"] <= dies["death"] <= 36 and dies["outcome"] in ("black", "shrunken")
    assert dies["reach"] == pytest.approx(1000 * lives["reach"])
    assert dies["onset"] <= dies["death"] < dies["onset"] + deaths.WINDOW
    pairs = deaths.traces("s", where=[tmp_path])
    runs = deaths.courses(pairs)
    last, early = deaths.ahead(runs, 1), deaths.ahead(runs, int(dies["onset"]))
    assert last[dies["key"]] > 0 and np.isnan(early[dies["key"]])
    whole = next(trace.to_frame()["step"] for r, trace in pairs if r.key == lives["key"])
    assert last[lives["key"]] == early[lives["key"]] == whole.max()


def test_a_training_of_two_studies_is_counted_once_with_its_own_trace(few, tmp_path):
    config = RunConfig(data="digits", n_train=96, batch_size=8, epochs=1, lr=1e-4)
    places = {"folder": tmp_path / "records", "checkpoints": tmp_path / "c", "data": few}
    where = [tmp_path / "records"]
    run(config.replace(seed=2), "a", progress=False, **places)  # recorded, but not traced
    for seed, name in ((0, "b"), (1, "c")):
        run(config.replace(seed=seed), name, trace=True, progress=False, **places)
    assert not deaths.traces("a", where=where)
    (tmp_path / "studies").mkdir()
    text = "seeds = [0, 1, 2]\n[base]\n"
    text += 'data = "digits"\nn_train = 96\nbatch_size = 8\nepochs = 1\nlr = 1e-4\n'
    (tmp_path / "studies" / "all.toml").write_text(text, encoding="utf-8")
    for names in (["all"], ["b", "all", "c"]):
        found = deaths.traces(*names, where=where)
        assert [(r.study, r.seed) for r, _ in found] == [("b", 0), ("c", 1)]


def some_runs():
    """Twelve runs in three cells; steps above 0.1 kill, and a rate of 3 kills one in two."""
    rows = []
    for lr, steps in ((1.0, (0.01, 0.02, 0.03, 0.04)), (3.0, (0.05, 0.2, 0.3, 0.06))):
        for seed, step in enumerate(steps):
            dead = 50.0 if step > 0.1 else np.nan
            rows.append(dict(lr=lr, loc_lr_factor=1.0, seed=seed, death=dead, step=step))
    return pd.DataFrame(rows)


def halves(runs):
    even = runs["seed"] % 2 == 0
    return runs[even], runs[~even]


def test_a_forecast_is_fitted_on_past_runs_and_judged_on_fresh_ones():
    table = forecasts.forecast(*halves(some_runs()), ["step", "lr"])
    assert table.loc["step", "judged"] == 1 and 0.06 < table.loc["step", "threshold"] < 0.3
    assert table.loc["lr", "judged"] == pytest.approx(5 / 6)
    assert table.loc["step", "dying"][:2] == (1, 1) and table.loc["lr", "living"][:2] == (2, 3)


def test_a_forecast_that_fits_the_past_is_judged_on_the_fresh_runs_alone():
    past, fresh = halves(some_runs())
    fresh = fresh.assign(step=np.where(fresh["death"].notna(), 0.01, 1.0))  # the other way round
    (row,) = forecasts.forecast(past, fresh, ["step"]).itertuples(index=False)
    assert row.fitted == 1 and row.judged == 0
    told = forecasts.told(fresh["step"] > row.threshold, fresh["death"].notna())
    assert (row.judged, row.low, row.high) == (told["judged"], told["low"], told["high"])
    assert (row.dying, row.living) == (told["dying"], told["living"])


def test_what_was_told_is_a_balanced_accuracy_and_the_shares_behind_it():
    told = forecasts.told([True, True, False, True, False, False], [True] * 3 + [False] * 3)
    assert told["dying"][:2] == (2, 3) and told["living"][:2] == (2, 3)
    assert told["judged"] == pytest.approx(2 / 3) and told["low"] < 2 / 3 < told["high"]


def test_among_cells_with_both_outcomes_a_rate_tells_nothing():
    runs = forecasts.mixed(some_runs())
    assert set(runs["lr"]) == {3.0}
    table = forecasts.forecast(*halves(runs), ["step", "lr"])
    assert table.loc["step", "judged"] == 1 and table.loc["lr", "judged"] == 0.5


def test_a_forecast_without_both_outcomes_is_no_number():
    runs = some_runs()
    table = forecasts.forecast(*halves(runs[runs["lr"] == 1]), ["step"])
    assert table["judged"].isna().all()


def test_the_spread_is_the_mean_over_entries_of_their_deviation_over_images():
    thetas = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    expected = thetas.std(dim=0).mean().item()
    assert deaths.spread({"thetas": thetas.tolist()}) == pytest.approx(expected)
    assert deaths.spread({"thetas": [[1.0] * 6] * 8}) == 0


def test_a_view_wanders_by_half_a_side_for_each_unit_of_its_shift():
    row = {"tx_std": 0.1, "ty_std": 0.3}
    assert deaths.wander(row, 41) == pytest.approx(0.3 * 20)
    assert deaths.wander({"tx_std": 0.3, "ty_std": 0.1}, 41) == pytest.approx(0.3 * 20)


def courses(**phi):
    return {name: pd.DataFrame({"phi": values}) for name, values in phi.items()}


def test_a_dying_run_is_compared_with_those_still_alive_at_its_step():
    frames = courses(soon=[1.0, 5, 9, 9], late=[2.0, 2, 8, 9], never=[1.0, 3, 3, 10])
    onsets = pd.Series({"soon": 2.0, "late": 3.0, "never": np.nan})
    more = forecasts.pairs(frames, onsets, "phi", 1)
    # One step before: soon has 5, the others 2 and 3; late has 8, never 3; soon is dead by then.
    assert np.nan_to_num(more, nan=-1).tolist() == [[-1, 1, 1], [-1, -1, 1], [-1, -1, -1]]
    more = forecasts.pairs(frames, onsets, "phi", 2)
    assert np.nan_to_num(more, nan=-1).tolist() == [[-1, 0, 0], [-1, -1, 0], [-1, -1, -1]]


def test_a_death_in_the_first_steps_has_nothing_to_be_foretold_by():
    frames = courses(soon=[1.0, 5], never=[1.0, 3])
    more = forecasts.pairs(frames, pd.Series({"soon": 1.0, "never": np.nan}), "phi", 2)
    assert np.isnan(more).all()
    assert np.isnan(forecasts.resampled(more)(np.arange(2)))


def test_the_concordance_of_drawn_runs_counts_a_run_as_often_as_it_is_drawn():
    more = np.array([[np.nan, 1, 0], [np.nan] * 3, [np.nan] * 3])
    concordance = forecasts.resampled(more)
    assert concordance(np.array([0, 1, 2])) == 0.5
    assert concordance(np.array([0, 1, 1])) == 1
