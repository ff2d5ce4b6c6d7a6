"""*Three switches*: the dots under a setting are the records of that setting."""

import itertools

import pytest
from pages import state

from stnlib.records import outcome, store

PARTS = ("warm-up", "cosine", "slow localisation network")


@pytest.fixture
def page(show):
    return show("switches")


@pytest.fixture(scope="module")
def records():
    return [record for record in store.of_study("cm-factorial") if record.config.has_transformer]


def matching(records, rate, warmup, cosine, slow):
    """Keys, accuracies and outcomes of the records of a setting."""
    found = [
        record
        for record in records
        if record.config.lr == rate
        and (record.config.warmup > 0) == warmup
        and (record.config.schedule == "cosine") == cosine
        and (record.config.loc_lr_factor == 0.1) == slow
    ]
    return {
        r.key: (pytest.approx(r.last["val_accuracy"], abs=1e-4), str(outcome.in_a_word(r)))
        for r in found
    }


def shown(page):
    return {t["key"]: (t["accuracy"], t["outcome"]) for t in state(page)["trainings"]}


@pytest.mark.parametrize("rate", [0.01, 0.02])
def test_each_setting_shows_its_records(page, records, rate):
    page.get_by_label(str(rate), exact=True).check(force=True)
    total = 0
    for setting in itertools.product([False, True], repeat=3):
        for label, on in zip(PARTS, setting, strict=True):
            page.get_by_label(label, exact=True).set_checked(on)
        wanted = matching(records, rate, *setting)
        assert wanted and shown(page) == wanted
        total += len(wanted)
    assert total == sum(record.config.lr == rate for record in records)


def test_the_keyboard_throws_a_switch_and_goes_from_column_to_column(page):
    page.get_by_label("cosine", exact=True).focus()
    page.keyboard.press("Space")
    assert state(page)["switches"] == [0, 1, 0]
    page.locator("canvas").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert state(page)["switches"] == [0, 0, 0]
    page.keyboard.press("ArrowLeft")
    assert state(page)["switches"] == [1, 1, 1]


def test_a_column_is_chosen_by_the_mouse(page):
    box = page.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + 0.97 * box["width"], box["y"] + 50)
    assert state(page)["switches"] == [1, 1, 1]
    assert page.get_by_label("warm-up", exact=True).is_checked()
