"""Who learns first: its claims and predictions, on runs that are made up."""

import pytest
from made_up import record

from stnlib.book.claims import head_start

SMALL = {"schedule": "cosine", "warmup": 0.05}
FULL = SMALL | {"data": "c10d", "epochs": 6, "lr": 1e-3}


def window(ends):
    """Three seeds for each owner of the warm-up, with the end that is said."""
    cell = FULL | {"loc_lr_factor": 0.1}
    found = [
        record(end, 0.5, 0.6, warmup_of=whose, seed=seed, first=first, **cell)
        for whose, (end, first) in ends.items()
        for seed in range(9)
    ]
    bare = cell | {"warmup": 0.0}
    return found + [record("looks", 0.5, 0.6, seed=seed, **bare) for seed in range(3)]


MOVES, STILL = {"corner_spread": 0.5}, {"corner_spread": 0.49}


def test_the_warm_up_matters_whose_shares_do_not_overlap(study):
    ends = {"classifier": ("looks", MOVES), "both": ("looks", MOVES)}
    study(window(ends | {"localisation": ("idle", STILL)}))
    finding = head_start.whose_warm_up()
    assert finding.holds and finding.numbers["warm-up of localisation"].startswith("0 of 9")
    assert finding.numbers["no warm-up"].startswith("3 of 3")
    study(window(ends | {"localisation": ("looks", MOVES)}))
    assert not head_start.whose_warm_up().holds


def test_the_first_epoch_tells_all_or_the_claim_fails(study):
    ends = {"classifier": ("looks", MOVES), "localisation": ("blind", STILL)}
    study(window(ends))
    finding = head_start.first_epoch()
    assert finding.holds and finding.numbers["look, of those that moved"].startswith("12 of 12")
    assert finding.numbers["of those that had not"].startswith("0 of 9")
    for wrong in (("looks", STILL), ("blind", MOVES)):
        study(window(ends | {"both": wrong}))
        assert not head_start.first_epoch().holds


def twenty(end, late, early=0.0, one="looks"):
    """Three seeds over twenty epochs: the candidate, one rate for both, and no transformer."""
    found = []
    for seed in range(3):
        cell = FULL | {"epochs": 20, "seed": seed}
        jitter = 0.001 * (seed - 1)
        course = [0.5] * 5 + [0.6 + early] + [0.7] * 13 + [0.8 + late + jitter]
        found.append(record(end, *course, loc_lr_factor=0.3, **cell))
        found.append(record(one, *[0.5] * 19, 0.79, **cell))
        found.append(record("looks", *[0.5] * 5, 0.6, *[0.7] * 13, 0.8, model="baseline", **cell))
    return found


def test_over_twenty_epochs_neither_looks_nor_lead_is_the_claim(study):
    study(twenty("blind", 0.0))
    finding = head_start.twenty_epochs()
    assert finding.holds and finding.numbers["look, factor 0.3"].startswith("0 of 3")
    assert finding.numbers["lead at the end, factor 0.3"].startswith("+0.000 [-0.002, +0.002]")
    study(twenty("blind", 0.01))
    assert not head_start.twenty_epochs().holds
    study(twenty("looks", 0.0))
    assert not head_start.twenty_epochs().holds


def test_what_was_foretold_of_twenty_epochs(study):
    judges = (
        head_start.looks_to_the_end,
        head_start.lead_over_twenty_epochs,
        head_start.ahead_of_one_rate,
    )
    study(twenty("looks", 0.0, early=0.02))
    assert [judge().verdict for judge in judges] == ["held"] * 3
    study(twenty("blind", -0.02, early=0.02))
    assert [judge().verdict for judge in judges] == ["failed"] * 3
    study(twenty("looks", 0.0, early=0.01))
    assert head_start.lead_over_twenty_epochs().verdict == "failed"
    study(twenty("looks", 0.0, early=0.02), missing=2)
    assert [judge().verdict for judge in judges[1:]] == ["open: 9 of 11 recorded"] * 2


def small(end, factor, accuracy=0.9, lr=1e-2, **fields):
    return [
        record(end, accuracy, data=data, lr=lr, seed=seed, loc_lr_factor=factor, **SMALL, **fields)
        for data in head_start.SETS
        for seed in range(10)
    ]


def constant():
    """What makes 0.01 a rate at risk."""
    cells = [(data, seed) for data in head_start.SETS for seed in range(10)]
    return [record("black", 0.1, data=data, lr=1e-2, seed=seed) for data, seed in cells]


@pytest.mark.parametrize(
    ("tenth", "third", "accuracy", "words"),
    [
        ("looks", "black", 0.91, ["held", "held", "held"]),
        ("idle", "looks", 0.89, ["failed", "failed", "failed"]),
    ],
)
def test_what_was_foretold_of_small_networks(study, tenth, third, accuracy, words):
    alone = {"warmup_of": "classifier"}
    both = small("idle", 0.1) + small("looks", 0.3) + constant()
    mine = small(tenth, 0.1, **alone) + small(third, 0.3, accuracy, **alone)
    study(mine, head_start=mine, recipe_judged=both)
    judges = (
        head_start.fewer_stop,
        head_start.some_lost_without_protection,
        head_start.classifier_alone_ahead,
    )
    assert [judge().verdict for judge in judges] == words
    assert head_start.small_networks().numbers["idle, × 0.1, both"].startswith("20 of 20")


def test_a_head_start_at_full_size_is_open_until_it_is_recorded(study):
    judges = (head_start.ahead_at_the_end, head_start.nothing_lost_at_the_start)
    made = twenty("looks", 0.01)
    study(made, missing=2)
    assert head_start.ahead_at_the_end().verdict == "open: 9 of 11 recorded"
    tenth = [
        record("looks", *[0.5] * 19, 0.79, loc_lr_factor=0.1, seed=seed, **FULL | {"epochs": 20})
        for seed in range(3)
    ]
    study(made + tenth)
    assert [judge().verdict for judge in judges] == ["held", "held"]
    assert head_start.classifier_alone_looks().verdict == "held"
    study(twenty("black", 0.005) + tenth)
    assert [judge().verdict for judge in judges] == ["failed", "failed"]
    assert head_start.classifier_alone_looks().verdict == "failed"
