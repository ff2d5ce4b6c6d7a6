"""*Branches*: what a bet uncovers is what the autopsies have and what the chapter's test says."""

import pytest
from pages import state

from stnlib.book.autopsy.contrasts import contrasts
from stnlib.book.autopsy.interventions import IDS
from stnlib.book.claims.causes import branches_of
from stnlib.book.claims.facts import observed

STUDIES = ("forks-cm", "forks-c10", "late-c10", "forks-c10d", "late-c10d")


@pytest.fixture
def page(show):
    return show("branches")


def losses(study):
    return [one for one in observed(study) if one["rows"][0]["died"]]


def follow(page, key):
    page.get_by_role("combobox", name="Loss").select_option(key)


def change(page, name):
    page.get_by_role("combobox", name="Change").select_option(name)


def bet(page, name):
    page.get_by_role("button", name=name).click()


def said(page):
    return page.locator(".stn-live-text").inner_text()


@pytest.mark.slow
def test_every_loss_of_the_autopsies_can_be_chosen(page):
    options = page.locator("select").first.locator("option")
    keys = {option.get_attribute("value") for option in options.all()}
    assert keys == {one["key"] for study in STUDIES for one in losses(study)}


@pytest.mark.parametrize("study", STUDIES)
def test_shares_and_judgement_of_each_change_are_the_chapters(page, study):
    follow(page, losses(study)[0]["key"])
    bet(page, "Show all")
    effects = contrasts(branches_of(study))
    assert set(state(page)["open"]) == set(effects.index)
    for name, effect in effects.iterrows():
        change(page, name)
        shown = state(page)
        assert shown["lost"] == [effect["died"].k, effect["died"].n]
        fewer, more = effect["holm"] < 0.05, effect["holm"] < 0.05
        fewer, more = fewer and effect["difference"] < 0, more and effect["difference"] > 0
        assert shown["judged"] == ("fewer" if fewer else "more" if more else "no difference")


@pytest.mark.parametrize("study", STUDIES)
def test_a_loss_shows_its_own_branches(page, study):
    one = losses(study)[-1]
    follow(page, one["key"])
    bet(page, "Show all")
    found = {}
    for name in state(page)["open"]:
        change(page, name)
        found[name] = [(b["lost"], b["course"]) for b in state(page)["branches"]]
    wanted = {}
    for row in one["rows"][1:]:
        branch = (row["died"], pytest.approx(row["course"], abs=0.0051))
        wanted.setdefault(IDS[row["change"]], []).append(branch)
    wanted.pop("none")
    assert {name: b for name, b in found.items() if b} == wanted


def test_nothing_is_told_before_a_bet(page):
    shown = state(page)
    assert not shown["shown"] and shown["branches"] is shown["judged"] is shown["lost"] is None
    assert shown["open"] == [] and "Your bet" in said(page)
    bet(page, "no difference")
    assert state(page)["shown"] and state(page)["branches"]


def test_bets_are_counted_once_and_judged(page):
    follow(page, losses("forks-cm")[0]["key"])
    change(page, "loc_lr_x0.1")
    bet(page, "fewer are lost")
    assert state(page)["score"] == [1, 1] and "right" in said(page)
    change(page, "loc_clipped")
    bet(page, "fewer are lost")
    page.get_by_role("button", name="no difference").click(force=True)  # too late
    assert state(page)["score"] == [1, 2] and "wrong" in said(page)
    bet(page, "Show all")
    assert state(page)["score"] == [1, 2]
    bet(page, "Start again")
    assert state(page)["score"] == [0, 0] and state(page)["open"] == []


def test_most_changes_on_digits_make_no_difference(page):
    follow(page, losses("forks-cm")[0]["key"])
    bet(page, "Show all")
    effects = contrasts(branches_of("forks-cm"))
    none = sum(effects["holm"] >= 0.05)
    assert none > len(effects) / 2
    assert f"no difference {none} of {len(effects)}" in said(page)


def test_a_bet_in_one_autopsy_tells_nothing_of_another(page):
    bet(page, "no difference")
    follow(page, losses("late-c10")[0]["key"])
    assert not state(page)["shown"]
    follow(page, losses("forks-cm")[1]["key"])
    assert state(page)["shown"]  # the same autopsy, another loss


def test_a_row_is_chosen_by_mouse(page):
    board = page.locator("canvas").last
    board.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box = board.bounding_box()
    board.click(position={"x": 20, "y": box["height"] - 10})
    last = page.get_by_role("combobox", name="Change").locator("option").last
    assert state(page)["change"] == last.get_attribute("value")
    board.click(position={"x": 20, "y": 36})
    first = page.get_by_role("combobox", name="Change").locator("option").first
    assert state(page)["change"] == first.get_attribute("value")


def test_the_keyboard_alone_chooses_bets_and_begins_anew(page):
    options = page.get_by_role("combobox", name="Change").locator("option").all()
    names = [option.get_attribute("value") for option in options]
    assert state(page)["change"] == names[-1]
    page.locator("canvas").last.focus()
    page.keyboard.press("ArrowDown")
    assert state(page)["change"] == names[0]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert state(page)["change"] == names[-2]
    page.get_by_role("button", name="more are lost").focus()
    page.keyboard.press("Enter")
    assert state(page)["bet"] == "more"
    loss = state(page)["loss"]
    page.get_by_role("combobox", name="Loss").focus()
    page.keyboard.press("ArrowDown")
    assert state(page)["loss"] != loss
    page.get_by_role("button", name="Start again").focus()
    page.keyboard.press("Space")
    assert state(page)["score"] == [0, 0]
