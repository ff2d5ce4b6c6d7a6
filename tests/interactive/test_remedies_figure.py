"""*Remedies*: the entries, their order and their judgement are those of the chapter."""

import itertools

import pytest
from pages import state

from stnlib.book import remedies
from stnlib.book.comparisons import comparisons
from stnlib.book.screening import screened

DIGITS = "Cluttered MNIST"


@pytest.fixture
def page(show):
    return show("remedies")


@pytest.fixture(scope="module")
def chapters():
    """The chapter's table on Cluttered MNIST at 0.01, by remedy."""
    runs = screened(0.01)
    table = remedies.verdicts(runs[runs["transformer"]])
    return table.drop(index="none").set_index("remedy")


def sort_by(page, name):
    page.get_by_label(name, exact=True).check(force=True)


def entry(page, *words):
    """The entry that has these words, one of the list."""
    found = page.locator(".stn-entry")
    for word in words:
        found = found.filter(has_text=word)
    return found.first


def share(text):
    k, _, n = text.split()
    return int(k), int(n)


def test_the_chapters_remedies_are_listed_with_its_shares_and_judgement(page, chapters):
    shown = [e for e in state(page)["listed"] if (e["data"], e["rate"]) == (DIGITS, 0.01)]
    single = {e["remedy"]: e for e in shown if e["remedy"] in chapters.index}
    assert set(single) == set(chapters.index)
    for name, verdict in chapters.iterrows():
        told = single[name]
        assert told["lost"][:2] == [verdict["lost"].k, verdict["lost"].n]
        assert (told["judged"] == "helps") == (verdict["helps"] and verdict["holm"] < 0.05)
        assert (told["judged"] == "passes alone") == (verdict["helps"] and verdict["holm"] >= 0.05)


def test_every_entry_shows_how_many_it_is_of_with_and_without_it(page):
    for text in page.locator(".stn-entry > span:nth-of-type(3)").all_inner_texts():
        with_it, without = text.split(",")
        assert share(with_it)[1] >= 3 and share(without.split("it ")[1])[1] >= 3


def test_the_most_effective_remedy_comes_first_and_then_those_that_lose_more(page):
    base = {}
    for one in comparisons():
        none = one.runs[one.runs["id"] == "none"]["lost"]
        for name, some in one.runs.groupby("remedy"):
            base[one.data, one.lr, name, len(some), some["lost"].sum()] = none.mean()
    shown = state(page)["listed"]
    gains = [
        e["lost"][0] / e["lost"][1]
        - base[e["data"], e["rate"], e["remedy"], e["lost"][1], e["lost"][0]]
        for e in shown
    ]
    assert len(shown) == sum(one.runs["id"].nunique() - 1 for one in comparisons())
    assert gains == pytest.approx(sorted(gains)) and gains[0] == -1 and gains[-1] == 1


def test_entries_are_sorted_by_data_and_by_rate(page):
    everything = {(e["data"], e["rate"], e["remedy"]) for e in state(page)["listed"]}
    sort_by(page, "learning rate")
    rates = [e["rate"] for e in state(page)["listed"]]
    assert rates == sorted(rates) and rates[0] < rates[-1]
    sort_by(page, "data")
    shown = state(page)["listed"]
    data = [e["data"] for e in shown]
    assert sum(a != b for a, b in itertools.pairwise(data)) == len(set(data)) - 1 > 3
    assert {(e["data"], e["rate"], e["remedy"]) for e in shown} == everything


def test_one_data_set_alone_is_listed(page):
    page.get_by_role("combobox", name="Data").select_option("C10D probe")
    shown = state(page)["listed"]
    assert shown and {e["data"] for e in shown} == {"C10D probe"}
    assert state(page)["chosen"] in shown
    assert page.locator(".stn-entry").count() == len(shown)


def test_a_slower_localisation_network_helps_at_one_rate_and_not_at_another(page):
    page.get_by_role("combobox", name="Data").select_option(DIGITS)
    judged = {
        e["rate"]: e["judged"]
        for e in state(page)["listed"]
        if e["remedy"] == "locnet's rate × 0.1"
    }
    assert judged[0.01] == "helps" and judged[0.03] == "not shown to help"


def test_an_entry_that_is_clicked_shows_its_runs_and_says_its_numbers(page, chapters):
    runs = screened(0.01).query("transformer and remedy == 'one cycle'")
    entry(page, "one cycle").click()
    chosen = state(page)["chosen"]
    assert chosen["trainings"] == [
        [pytest.approx(accuracy, abs=1e-4), str(end)]
        for accuracy, end in zip(runs["val_accuracy"], runs["outcome"], strict=True)
    ]
    told = page.locator(".stn-live-text").inner_text()
    assert f"{chapters.loc['one cycle', 'holm']:.2g}" in told and "2 of 5 are lost" in told
    assert told in page.locator("canvas").get_attribute("aria-label")


def test_the_arrow_keys_go_from_entry_to_entry(page):
    shown = state(page)["listed"]
    assert state(page)["chosen"] == shown[0]
    entry(page, shown[0]["remedy"]).locator("input").focus()
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    assert state(page)["chosen"] == shown[20]
    seen = page.locator(".stn-chosen").bounding_box()
    box = page.locator(".stn-rows").bounding_box()
    assert box["y"] <= seen["y"] + 2 and seen["y"] + seen["height"] <= box["y"] + box["height"] + 2
    page.keyboard.press("ArrowUp")
    assert state(page)["chosen"] == shown[19]


def test_order_and_data_are_chosen_by_keyboard(page):
    page.get_by_label("effect", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["order"] == "data"
    page.get_by_role("combobox", name="Data").focus()
    page.keyboard.press("ArrowDown")
    assert state(page)["place"] == DIGITS
