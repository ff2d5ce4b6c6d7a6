"""The judges of the transformers before today's classifiers, on runs that are made up."""

import pytest
from made_up import record

from stnlib.book.claims import today

ACCURACY = {  # after the last of two epochs, the paper's first
    "paper": {"baseline": 0.68, "oracle": 0.76},
    "resnet": {"alone": 0.75, "undone": 0.78, "slower": 0.76, "one rate": 0.7, "canonical": 0.75},
    "vit": {"alone": 0.5, "undone": 0.62, "slower": 0.56, "one rate": 0.5, "canonical": 0.53},
}
SCHEDULE = {"data": "c10d", "lr": 1e-3, "schedule": "cosine", "warmup": 0.05, "epochs": 6}


def made(seeds=3, ends=None, first=None, rotation=0.05, **changed):
    """Seeds of every cell, as foretold but for the accuracies and ends that are changed."""
    ends = {("resnet", "one rate"): "black"} | (ends or {})
    first = {("vit", "slower"): 0.51} | (first or {})
    found = []
    for seed in range(seeds):
        for model, accuracy in ACCURACY["paper"].items():
            found.append(record("looks", accuracy, model=model, seed=seed, **SCHEDULE))
        for net in today.NETS:
            for kind, fields in today.KINDS.items():
                accuracy = changed.get(net, {}).get(kind, ACCURACY[net][kind])
                end = ends.get((net, kind), "looks")
                early = first.get((net, kind), 0.2)
                one = record(
                    end, early, accuracy, architecture=net, seed=seed, **SCHEDULE, **fields
                )
                one.history[-1]["undone_rotation"] = rotation
                found.append(one)
    return found


WRONG = [
    (today.alone, {"resnet": {"alone": 0.72}}),
    (today.alone, {"vit": {"alone": 0.64}}),
    (today.looks_with_the_slower_rate, {"ends": {("vit", "slower"): "idle"}}),
    (today.looks_with_the_slower_rate, {"ends": {("resnet", "one rate"): "looks"}}),
    (today.looks_with_the_slower_rate, {"ends": {("vit", "one rate"): "black"}}),
    (today.looks_with_the_slower_rate, {"ends": {("vit", "canonical"): "black"}}),
    (today.pays_before_the_vision_transformer, {"vit": {"slower": 0.51}}),
    (today.pays_before_the_vision_transformer, {"resnet": {"slower": 0.78}}),
    (today.sooner_before_the_vision_transformer, {"first": {("vit", "slower"): 0.49}}),
    (today.sooner_before_the_vision_transformer, {"first": {("resnet", "slower"): 0.755}}),
    (today.what_undoing_gains, {"resnet": {"undone": 0.8}}),
    (today.what_undoing_gains, {"vit": {"undone": 0.57}}),
    (today.canonical_gains_less, {"ends": {("vit", "canonical"): "idle"}}),
    (today.canonical_gains_less, {"rotation": 0.2}),
    (today.canonical_gains_less, {"vit": {"canonical": 0.57}}),
]


@pytest.mark.parametrize(("judge", "change"), WRONG)
def test_a_prediction_holds_fails_and_waits_for_three_seeds(judge, change, study):
    study(made())
    assert judge().verdict == "held"
    study(made(**change))
    assert judge().verdict == "failed"
    study(made(seeds=2))
    assert judge().verdict.startswith("open: 0 of ")
