"""The judges of the cures for blindness and of the scattered images, on runs that are made up."""

import pytest
from made_up import record

from stnlib.book.claims import scattered, sight

SCHEDULE = {"schedule": "cosine", "warmup": 0.05}


def cures(seeds=5, accuracy=0.9, **ends):
    """Seeds of every cell, the first few of which end so, the others looking; and the recipe."""
    foretold = {
        "normalised before the ReLU": ("idle", 1),
        "penalty 0.1": ("blind", 1),
        "penalty 0.01": ("black", 3),
        "β₂ 0.9": ("blind", 4),
        "β₂ 0.99": ("black", 5),
    }
    found = []
    for name, fields in sight.CELLS.items():
        end, n = (foretold | ends)[name]
        for seed in range(seeds):
            base = {"data": "cm", "epochs": 3, "lr": 0.01, "warmup": 0.1, "seed": seed}
            found.append(record(end if seed < n else "looks", accuracy, **base, **fields))
    for seed in range(5):
        fields = {"data": "cm", "lr": 0.01, "loc_lr_factor": 0.3, "seed": 200 + seed}
        found.append(record("looks", 0.92, **fields, **SCHEDULE))
    return found


WRONG = [
    (sight.normalised_before_the_relu, {"normalised before the ReLU": ("idle", 2)}),
    (sight.normalised_before_the_relu, {"normalised before the ReLU": ("blind", 1)}),
    (sight.a_penalty_keeps_features_on, {"penalty 0.1": ("blind", 2)}),
    (sight.a_penalty_keeps_features_on, {"penalty 0.01": ("blind", 2)}),
    (sight.memory_does_not_cure, {"β₂ 0.9": ("blind", 3)}),
    (sight.memory_does_not_cure, {"β₂ 0.99": ("blind", 3)}),
    (sight.none_is_ahead_of_the_recipe, {"accuracy": 0.93}),
]


@pytest.mark.parametrize(("judge", "change"), WRONG)
def test_a_cure_for_blindness_is_judged_from_five_seeds_on(judge, change, study):
    study(cures())
    assert judge().verdict == "held"
    study(cures(**change))
    assert judge().verdict == "failed"
    study(cures(seeds=4))
    assert judge().verdict.startswith("open: 0 of ")


def scatter(seeds=5, look=1.0, risky="looks", lead=0.04, constant=0.85, fastest=1e-3):
    """Seeds of every cell: constant ones black at 0.01, the candidate best at `fastest`."""
    found = []
    for data in scattered.LEADS:
        for lr in scattered.RATES:
            for seed in range(seeds):
                base = {"data": data, "lr": lr, "seed": seed, "distortion": 1.0}
                found.append(record("looks", 0.9, model="baseline", **base, **SCHEDULE))
                lost = lr == 1e-2
                end = "looks" if lost or seed < look * seeds else "idle"
                end = risky if lost and seed == 0 else end
                accuracy = 0.9 + lead - 0.001 * (lr != fastest)
                fields = base | SCHEDULE | {"loc_lr_factor": 0.3}
                found.append(record(end, accuracy, **fields))
                shown = constant - 0.001 * (lr != 1e-3)
                found.append(record("black" if lost else "looks", shown, **base))
    return found


MISSES = [
    (scattered.none_out_of_view_at_risk, {"risky": "black"}),
    (scattered.looks, {"look": 0.8}),
    (scattered.ahead_of_none, {"lead": 0.025}),
    (scattered.better_than_constant, {"constant": 0.95}),
]


@pytest.mark.parametrize(("judge", "change"), MISSES)
def test_scattered_images_are_judged_from_five_seeds_on(judge, change, study):
    study(scatter())
    assert judge().verdict == "held"
    study(scatter(**change))
    assert judge().verdict == "failed"
    study(scatter(seeds=4))
    assert judge().verdict.startswith("open: 0 of ")


def test_a_best_rate_below_the_best_constant_one_fails(study):
    moved = scatter(fastest=1e-3)
    for one in moved:  # now the constant ones are best at 0.003
        if not one.config.warmup and one.config.lr == 3e-3:
            one.history[-1]["val_accuracy"] += 0.01
    study(moved)
    assert scattered.better_than_constant().verdict == "failed"
    assert "(at 0.001 and 0.003)" in scattered.better_than_constant().found
