"""The judges of two files of predictions, on runs that are made up."""

import pytest
from made_up import record

from stnlib.book.claims import others, recipe

SCHEDULE = {"schedule": "cosine", "warmup": 0.05}
RATES = (1e-3, 3e-3, 6e-3, 1e-2, 2e-2)


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
    assert recipe.at_risk() == [(data, lr) for data in recipe.SETS for lr in (1e-2, 2e-2)]
    one = {"data": "cm", "lr": 3e-3}
    study([record("blind" if seed < 3 else "looks", 0.5, seed=seed, **one) for seed in range(10)])
    assert recipe.at_risk() == [("cm", 3e-3)]
    study([record("blind" if seed < 2 else "looks", 0.5, seed=seed, **one) for seed in range(10)])
    assert recipe.at_risk() == []


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


SHAPES = (recipe.shapes_at_risk, recipe.shapes_look, recipe.shapes_ahead)


def shapes(ends, lead=0.02):
    """Five seeds of two rates: constant ones black at 0.001, the candidate as it is said."""
    found = []
    for lr in (3e-4, 1e-3):
        for seed in range(5):
            base = {"data": "shapes10d", "lr": lr, "seed": seed}
            found.append(record("black" if lr == 1e-3 and seed < 2 else "looks", 0.8, **base))
            found.append(record("looks", 0.8, model="baseline", **base, **SCHEDULE))
            values = base | SCHEDULE | {"loc_lr_factor": 0.3}
            found.append(record(ends[seed] if lr == 1e-3 else "looks", 0.8 + lead, **values))
    return found


def test_on_shapes_two_of_five_make_a_rate_risky_and_four_of_five_must_look(study):
    study(shapes(["idle"] + 4 * ["looks"]))
    assert [judge().verdict for judge in SHAPES] == ["held"] * 3
    assert recipe.shapes_at_risk().found == "0 of 5 at risk are out of view"
    study(shapes(["black", "idle"] + 3 * ["looks"], lead=0.005))
    assert [judge().verdict for judge in SHAPES] == ["failed"] * 3
