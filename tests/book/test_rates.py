"""Rates of the localisation network in words and tables, and the figures of learning rates."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from stnlib.book import rates
from stnlib.book.figures import rates as figures
from stnlib.book.figures.style import STATES
from stnlib.records.store import Record
from stnlib.training.config import RunConfig

LOOKS = {"coverage": 0.9, "black": 0.0, "val_accuracy": 0.9}
LOOKS |= {"corner_spread": 3.0, "view_pixels": 30.0}
BLIND = LOOKS | {"corner_spread": 0.0}
BLACK = LOOKS | {"coverage": 0.0, "black": 1.0, "val_accuracy": 0.1}


def record(*rows, **config):
    config = RunConfig(**config)
    result = {"test_accuracy": 0.5}
    return Record(Path(f"{config.key}.json"), "s", config, list(rows or [LOOKS]), result, {})


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "0.001, constant"),
        ({"lr": 3e-4, "schedule": "cosine"}, "0.0003, cosine"),
        ({"loc_lr_factor": 0.1, "warmup": 0.05, "epochs": 20}, "0.001 × 0.1, warm-up 1.0 epochs"),
        (
            {"schedule": "cosine", "warmup": 0.5, "epochs": 6, "warmup_of": "localisation"},
            "0.001, warm-up 3.0 epochs (localisation only), cosine",
        ),
    ],
)
def test_a_setting_says_rate_ratio_and_course(config, words):
    assert rates.setting(RunConfig(**config)) == words


def test_a_table_has_both_rates_the_slowest_localisation_network_first():
    table = rates.table([record(lr=1e-3), record(BLACK, lr=0.01, loc_lr_factor=0.01)])
    assert table["classifier"].tolist() == [0.01, 1e-3]
    assert table["localisation"].tolist() == pytest.approx([1e-4, 1e-3])
    assert table["outcome"].tolist() == ["black", "looks"]
    assert table["moves"].tolist() == [3, 3] and table["test"].tolist() == [0.5, 0.5]


def test_a_table_says_how_long_a_warm_up_is_and_whose():
    warm = {"warmup": 0.5, "epochs": 6, "warmup_of": "localisation"}
    table = rates.table([record(**warm), record(seed=1)])
    assert table[["warmup", "whose"]].to_numpy().tolist() == [[3, "localisation"], [0, "none"]]


def test_what_became_of_a_view_does_not_ask_what_the_classifier_learned():
    table = rates.table([record(LOOKS | {"val_accuracy": 0.1})])
    assert table.loc[0, "outcome"] == "at chance" and table.loc[0, "view"] == "looks"


def test_factors_are_panels_and_each_has_the_networks_without_a_transformer():
    cosine = {"schedule": "cosine", "warmup": 0.05}
    made = [record(loc_lr_factor=f, lr=lr, **cosine) for f in (0.3, 0.1) for lr in (0.01, 1e-3)]
    alone = record(LOOKS | {"val_accuracy": 0.7}, model="baseline", **cosine)
    runs, without = rates.by_factor([*made, record(BLACK), alone])
    panels = ["constant", *(f"warm-up, cosine, localisation network × {f}" for f in (0.1, 0.3))]
    assert runs["panel"].tolist() == [panels[0], *(panels[1],) * 2, *(panels[2],) * 2]
    assert runs["lr"].tolist() == [1e-3, 1e-3, 0.01, 1e-3, 0.01]
    assert runs["outcome"].tolist() == ["black", *("looks",) * 4]
    assert sorted(without["panel"]) == panels and set(without["val_accuracy"]) == {0.7}


def test_a_course_has_the_movement_of_each_epoch_and_the_outcome_of_the_last():
    course = rates.course([record(LOOKS, BLIND)])
    assert course["epoch"].tolist() == [1, 2] and course["moves"].tolist() == [3, 0]
    assert course["outcome"].tolist() == ["blind", "blind"]


def test_a_lead_is_over_the_network_without_a_transformer_of_the_same_seed_and_length():
    rows = [LOOKS | {"val_accuracy": value} for value in (0.3, 0.6)]
    without = [[{"val_accuracy": v} for v in values] for values in ((0.1, 0.7), (0.2, 0.2))]
    alone = [
        record(*some, model="baseline", epochs=2, seed=seed) for seed, some in enumerate(without)
    ]
    leads = rates.leads([record(*rows, epochs=2, seed=0)], alone)
    assert leads["lead"].tolist() == pytest.approx([0.2, -0.1])
    assert leads["epoch"].tolist() == [1, 2] and set(leads["outcome"]) == {"looks"}
    with pytest.raises(KeyError):
        rates.leads([record(*rows, epochs=3, seed=0)], alone)


def test_leads_have_a_panel_a_length_and_a_line_a_pair_in_the_colour_of_its_end():
    rows = [("a", "looks", 6, 1, 0.1), ("a", "looks", 6, 2, 0.2), ("b", "blind", 20, 1, -0.1)]
    names = ["key", "outcome", "epochs", "epoch", "lead"]
    short, long = figures.ahead(pd.DataFrame(rows, columns=names)).axes
    assert short.get_title(loc="left").startswith("6 epochs")
    assert short.lines[1].get_ydata().tolist() == [0.1, 0.2]
    assert long.lines[1].get_color() == STATES["blind"]


def test_changes_are_named_by_what_differs_and_those_that_look_come_first():
    usual = [record(BLACK, seed=seed) for seed in (0, 1)]
    changed = [record(BLACK, warmup=0.05), record(loc_lr_factor=0.1, seed=1)]
    found = rates.single_changes(usual, changed)
    first, *others = found["row"]
    assert first == "localisation network × 0.1"
    assert sorted(others) == ["nothing", "nothing", "warm-up 0.05"]
    assert found["outcome"].iloc[0] == "looks"


def test_a_transformer_is_compared_with_none_on_the_same_schedule_only():
    made = [record(loc_lr_factor=0.1, warmup=0.1, epochs=6, schedule="cosine")]
    made += [record(model="baseline", warmup=0.1, epochs=6, schedule="cosine")]
    made += [record(epochs=20), record(model="baseline", lr=3e-4, epochs=20)]
    made += [record(BLACK, seed=1, epochs=6, warmup=0.1, schedule="cosine")]
    found = rates.worth(rates.table(made))
    assert found["row"].tolist() == [
        "6 epochs, 0.001, cosine: none",
        "6 epochs, 0.001, cosine: transformer",
    ]


# Figures


def test_schedules_are_drawn_from_what_the_training_uses_and_every_loss_is_a_stroke():
    (axis,) = figures.courses([10, 30], 200).axes
    step, cosine, warm, lost = axis.lines
    assert step.get_ydata()[0] == cosine.get_ydata()[0] == 1
    assert set(step.get_ydata().round(3)) == {1, 0.1, 0.01}
    assert warm.get_ydata()[0] == 0 and warm.get_ydata().max() == pytest.approx(1, abs=0.01)
    assert list(lost.get_xdata()) == [10, 30] and lost.get_marker() == "|"
    assert "steps at which 2 transformers were lost" in [text.get_text() for text in axis.texts]


def test_accuracies_by_rate_have_a_panel_a_setting_and_the_mean_without_as_a_line():
    runs = pd.DataFrame({"panel": ["a", "a", "b"], "lr": [0.001, 0.01, 0.01]})
    runs = runs.assign(val_accuracy=[0.9, 0.1, 0.8], outcome=["looks", "black", "looks"])
    alone = runs.assign(val_accuracy=[0.7, 0.5, 0.6], outcome="learns")
    one, two = figures.accuracy(runs, alone).axes
    assert one.get_title("left") == "a (n = 1 a rate)"
    assert one.lines[0].get_ydata().tolist() == [0.7, 0.5]
    assert [line.get_ydata()[0] for line in one.lines[1:3]] == [0.9, 0.1]
    assert two.lines[0].get_ydata().tolist() == [0.6]


def test_the_window_has_a_mark_a_run_near_its_pair_of_rates():
    runs = pd.DataFrame({"classifier": 1e-3, "localisation": 1e-4, "view": ["looks", "black"]})
    (axis,) = figures.window(runs).axes
    marks = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert [line.get_color() for line in marks] == [STATES["looks"], STATES["black"]]
    for mark in marks:
        assert mark.get_xdata()[0] == pytest.approx(1e-4, rel=0.5)
        assert mark.get_ydata()[0] == pytest.approx(1e-3, rel=0.5)


def test_movements_have_a_panel_a_group_and_a_line_a_run_in_the_colour_of_its_end():
    course = rates.course([record(LOOKS, LOOKS), record(LOOKS, BLIND, seed=1)])
    course["group"] = course["outcome"].map({"looks": "a", "blind": "b"})
    first, second = figures.moving(course).axes
    assert first.get_title("left") == "a\nn = 1"
    assert [axis.lines[0].get_color() for axis in (first, second)] == [
        STATES["looks"],
        STATES["blind"],
    ]
    assert first.lines[0].get_ydata().tolist() == [3, 3]
