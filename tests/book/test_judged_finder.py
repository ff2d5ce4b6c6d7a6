"""How the finder of rates is judged."""

import pytest

from stnlib.book import finder
from stnlib.book.claims import finder as claims

LOOKS = {"coverage": 1.0, "black": 0.0, "corner_spread": 3.0, "swept": 100, "steps": 300}


def row(by, accuracy=0.9, seed=0, lr=0.01, factor=0.3, **changed):
    what = {"data": "mnist", "network": "keras", "by": by, "seed": seed}
    seen = {"lr": lr, "factor": factor, "accuracy": accuracy} | LOOKS | changed
    return {"what": what, "rows": [seen]}


def test_the_plan_has_each_training_once_and_nothing_that_was_fitted():
    plan = finder.plan()
    assert len({tuple(sorted(what.items())) for what in plan}) == len(plan) == 8 * (3 + 3 + 10 + 2)
    assert {(what["data"], what["network"]) for what in plan} == {*finder.CELLS_HELD}
    assert not {*finder.CELLS_HELD} & {*finder.CELLS_FITTED}


@pytest.mark.parametrize(
    ("end", "changed"),
    [
        ("looks", {}),
        ("idle", {"corner_spread": 0.4}),
        ("lost", {"coverage": 0.4}),
        ("lost", {"black": 0.6}),
        ("no window", {"lr": None}),
    ],
)
def test_a_training_ends_as_its_last_steps_say(end, changed):
    assert list(finder.runs([row("finder", **changed)])["end"]) == [end]


@pytest.mark.parametrize(("accuracy", "within"), [(0.905, "1 of 1"), (0.88, "0 of 1")])
def test_the_suggestion_is_compared_with_the_best_of_the_search_over_the_same_seeds(
    accuracy, within
):
    found = [row("finder", accuracy, seed) for seed in range(3)]
    found += [row("search", 0.5 + 0.04 * n, lr=n) for n in range(1, 10)]
    assert finder.verdicts(finder.runs([*found, row("best", 0.91, 1)]))["within a point"] is None
    found += [row("search", 0.91, lr=20), row("best", 0.91, 1), row("best", 0.91, 2)]
    share = finder.verdicts(finder.runs(found))["within a point"]
    assert f"{share.k} of {share.n}" == within


def test_no_window_is_not_within_a_point():
    found = [row("finder", accuracy=None, seed=seed, lr=None) for seed in range(2)]
    found += [row("finder", 0.91, 2), *(row("best", 0.91, seed) for seed in (1, 2))]
    found += [row("search", 0.91, lr=n) for n in range(10)]
    assert finder.verdicts(finder.runs(found))["within a point"].k == 0


def test_what_is_not_recorded_is_not_judged():
    told = finder.verdicts(finder.runs([row("finder")]))
    assert told["plain looks"] is told["within a point"] is None
    assert (told["looks"].k, told["lost"].k, told["below a twentieth"]) == (1, 0, True)
    assert finder.verdicts(finder.runs([row("finder", swept=151)]))["below a twentieth"] is False


def test_a_network_is_trained_and_judged_by_what_it_does(monkeypatch):
    """θ of a network that is not trained is the identity, whatever the image."""
    to = finder.setting("digits", "paper", 0)
    few = to._replace(train=to.train.take(slice(0, 256)), val=to.val.take(slice(0, 64)), batch=16)
    seen = finder.train(few._replace(epochs=1), 1e-12, 1.0, 0)
    assert seen["coverage"] == 1
    assert seen["corner_spread"] < 1e-3
    assert 0 <= seen["accuracy"] <= 1
    assert few.steps == 48


def made_up(monkeypatch, *cells):
    """Observations: by whom, data, network, seed, end and accuracy."""
    rows = {"looks": 3.0, "idle": 0.1}
    found = []
    for by, data, network, seed, end, accuracy in cells:
        row = {"lr": 0.01, "coverage": 0.9 if end != "lost" else 0.1, "black": 0.0}
        row |= {"corner_spread": rows.get(end, 3.0), "accuracy": accuracy}
        row |= {"swept": 10, "steps": 100}
        what = {"data": data, "network": network, "by": by, "seed": seed}
        found.append({"what": what, "rows": [row], "provenance": {"date": "2026-11-28"}})
    monkeypatch.setattr(claims, "observed", lambda study: tuple(found))


def every(by, end, accuracy):
    return [(by, *cell, seed, end, accuracy) for cell in finder.CELLS_HELD for seed in range(3)]


def test_its_predictions_are_judged_when_all_is_recorded_or_nothing_can_change(monkeypatch):
    made_up(monkeypatch, *every("finder", "looks", 0.9), *every("plain", "idle", 0.8))
    assert claims.looks().verdict == claims.none_out().verdict == "held"
    assert claims.surpasses_the_rule().verdict == claims.cheap().verdict == "held"
    assert claims.within_a_point().verdict == "open: 0 of 8 cells recorded"
    made_up(monkeypatch, *every("finder", "lost", 0.1)[:3], *every("plain", "looks", 0.8))
    assert claims.looks().verdict == claims.none_out().verdict == "failed"
    assert claims.surpasses_the_rule().verdict == "open: 3 of 24 recorded"


def test_the_claim_compares_by_optimiser_and_cell(monkeypatch):
    ours = [
        ("finder", *cell, seed, "idle" if cell[1] in claims.BY_SGD else "looks", 0.8)
        for cell in finder.CELLS_HELD
        for seed in range(3)
    ]
    made_up(monkeypatch, *ours, *every("plain", "looks", 0.8))
    finding = claims.suggestions()
    assert finding.holds and finding.numbers["look, SGD"].startswith("0 of 9")
    assert finding.numbers["a plain rule is as accurate or better"].startswith("5 of 5")
    made_up(monkeypatch, *ours, *every("plain", "looks", 0.7))
    assert not claims.suggestions().holds
