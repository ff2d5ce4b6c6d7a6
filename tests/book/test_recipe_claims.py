"""The judges of two files of predictions, on runs that are made up."""

from pathlib import Path

import pytest

from stnlib.book.claims import facts, others, recipe
from stnlib.records.store import Record
from stnlib.training.config import RunConfig

LOOKS = {"coverage": 0.9, "black": 0.0, "corner_spread": 3.0, "view_pixels": 30.0}
ENDS = {
    "looks": LOOKS,
    "idle": LOOKS | {"corner_spread": 0.1},
    "blind": LOOKS | {"corner_spread": 0.0},
    "black": LOOKS | {"coverage": 0.0, "black": 1.0},
}
SCHEDULE = {"schedule": "cosine", "warmup": 0.05}
RATES = (1e-3, 3e-3, 6e-3, 1e-2, 2e-2)


def record(end, accuracy, **config):
    config = RunConfig(**config)
    row = ENDS[end] | {"val_accuracy": accuracy}
    provenance = {"date": "2026-11-28T00:00:00Z"}
    return Record(Path(f"{config.key}.json"), "s", config, [row], {}, provenance)


@pytest.fixture
def study(monkeypatch):
    """Puts made-up runs in the place of a study, all that it plans."""

    def put(records, missing=0):
        configs = [one.config for one in records]
        monkeypatch.setattr(facts, "_study", lambda name: tuple(records))
        monkeypatch.setattr(facts, "_planned", lambda name: (*configs, *configs[:missing]))

    return put


def judged(**changed):
    """Ten seeds of every cell: the candidate as it was foretold, but for what is changed."""
    ends = {0.3: "looks", 0.1: "looks", 1.0: "looks"} | changed.get("ends", {})
    lead, found = changed.get("lead", 0.02), []
    for data in recipe.SETS:
        for lr in RATES:
            for seed in range(10):
                base = {"data": data, "lr": lr, "seed": seed}
                found.append(record("looks", 0.7, model="baseline", **base, **SCHEDULE))
                lost = lr >= 1e-2
                end = "black" if lost else ends[1.0]
                found.append(record(end, 0.1 if lost else 0.7 + lr, **base))
                for factor in (0.3, 0.1):
                    idle = factor == 0.1 and data == "digits" and lr <= 3e-3
                    end = "idle" if idle else ends[factor]
                    values = base | SCHEDULE | {"loc_lr_factor": factor}
                    found.append(record(end, 0.7 + lead * (1 + lr), **values))
    return found


JUDGES = {
    recipe.none_out_of_view_at_risk: {"ends": {0.3: "black"}},
    recipe.looks_from_three_thousandths: {"ends": {0.3: "idle"}},
    recipe.fewer_look_at_a_tenth: {"ends": {0.3: "idle"}},
    recipe.ahead_of_none: {"lead": 0.005},
    recipe.better_than_constant: {"lead": -0.01},
}


@pytest.mark.parametrize(
    ("judge", "change"), JUDGES.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_a_prediction_holds_fails_and_is_open(judge, change, study):
    study(judged())
    assert judge().verdict == "held"
    study(judged(), missing=3)
    assert judge().verdict == "open: 400 of 403 recorded"
    study(judged(**change))
    assert judge().verdict == "failed"


def test_rates_are_at_risk_from_three_lost_of_ten_on(study):
    study(judged())
    assert recipe._at_risk() == [(data, lr) for data in recipe.SETS for lr in (1e-2, 2e-2)]
    one = {"data": "cm", "lr": 3e-3}
    study([record("blind" if seed < 3 else "looks", 0.5, seed=seed, **one) for seed in range(10)])
    assert recipe._at_risk() == [("cm", 3e-3)]
    study([record("blind" if seed < 2 else "looks", 0.5, seed=seed, **one) for seed in range(10)])
    assert recipe._at_risk() == []


def test_the_claim_has_each_network_at_its_own_best_rate(study):
    study(judged())
    finding = recipe.looks_on_fresh_seeds()
    assert finding.holds and finding.numbers["looks"].startswith("100 of 100")
    assert finding.numbers["out of view at risk"].startswith("0 of 40")
    assert finding.numbers["cm, best rates, minus no transformer"].startswith("+0.020")
    assert finding.numbers["cm, best rates, minus constant"].startswith("+0.014")
    study(judged(ends={0.3: "black"}))
    assert not recipe.looks_on_fresh_seeds().holds


def cures(lost, seeds=5, **worse):
    """Seeds of every cell at both rates: the share lost at 0.006 and at 0.01, by the cure."""
    found = []
    for cure in ({}, *others.CURES):
        low, high = worse.get(next(iter(cure), "unchanged"), lost)
        for lr, n in ((others.LOW, low), (others.HIGH, high)):
            for seed in range(seeds):
                end = "black" if seed < round(n * seeds) else "looks"
                base = {"data": "cm", "epochs": 3, "lr": lr, "seed": seed}
                found.append(record(end, 0.1 if end == "black" else 0.9, **base, **cure))
    return found


FORETOLD = {
    "warps": (0.8, 1.0),
    "identity_penalty": (0.0, 0.0),
    "outside_penalty": (0.2, 0.0),
}
WRONG = {
    others.gradient_scale_changes_nothing: {"loc_grad_factor": (0.2, 0.8)},
    others.four_warps_lose_more: {"warps": (0.4, 1.0)},
    others.linearised_changes_little: {"sampler": (0.6, 1.0)},
    others.blur_changes_little: {"blur": (0.2, 0.6)},
    others.shared_layers_do_not_save: {"locnet": (0.0, 1.0)},
    others.identity_holds_the_view: {"identity_penalty": (0.0, 0.2)},
    others.area_does_not_feel_a_shift: {"area_penalty": (0.2, 0.4)},
}


@pytest.mark.parametrize(
    ("judge", "change"), WRONG.items(), ids=lambda x: getattr(x, "__name__", "")
)
def test_a_cures_prediction_holds_fails_and_waits_for_five_seeds(judge, change, study):
    study(cures((0.2, 1.0), **FORETOLD))
    assert judge().verdict == "held"
    study(cures((0.2, 1.0), **FORETOLD | change))
    assert judge().verdict == "failed"
    study(cures((0.2, 1.0), seeds=4))
    assert judge().verdict.startswith("open: 0 of ")


def test_no_cure_saves_half_or_is_more_accurate(study):
    study(cures((0.2, 1.0)))
    assert others.none_saves_half().verdict == others.none_is_more_accurate().verdict == "held"
    made = cures((0.2, 1.0), blur=(0.2, 0.4))
    study(made)
    assert others.none_saves_half().verdict == "failed"
    better = [r for r in made if r.config.warps == 4 and r.last["val_accuracy"] > 0.5]
    for one in better:
        one.history[-1]["val_accuracy"] = 0.92
    assert others.none_is_more_accurate().verdict == "failed"
