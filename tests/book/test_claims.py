"""The ledgers: every number and verdict is what the records say, and a false one is told."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from stnlib.book.autopsy.contrasts import calmed, contrasts, within_deaths
from stnlib.book.claims import ledger, pages
from stnlib.book.claims.findings import Finding, Verdict, found, judged, settled
from stnlib.errors import ConfigError

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
CLAIMS, PREDICTIONS = ledger.claims(), ledger.predictions()


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_claim_holds_with_its_published_numbers_and_verdict(claim):
    assert list(ledger.problems(claim)) == []


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=lambda prediction: prediction["id"])
def test_a_prediction_has_its_published_verdict(prediction):
    assert list(ledger.problems(prediction)) == []


@pytest.mark.parametrize("entry", [*CLAIMS, *PREDICTIONS], ids=lambda entry: entry["id"])
def test_an_entry_names_studies_that_there_are(entry):
    places = {"studies": ".toml", "autopsies": ".toml", "observations": ""}
    for name in entry["studies"]:
        assert any((BOOK / folder / (name + end)).exists() for folder, end in places.items())


def test_every_study_of_the_book_has_a_claim():
    named = {name for claim in CLAIMS for name in claim["studies"]}
    files = {
        path.stem for kind in ("studies", "autopsies") for path in (BOOK / kind).glob("*.toml")
    }
    files -= {"c10d-start", "scattered-judged", "today"}  # nothing of them is recorded yet
    files -= {name for name in files if name.startswith("jaderberg")}  # nor of these
    assert files - named == {"scattered-search"}  # it chose rates and claims nothing


def test_every_prediction_was_committed_when_it_says():
    for entry in PREDICTIONS:
        shown = ["git", "show", "-s", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"]
        git = subprocess.run(
            [*shown, entry["commit"]],
            cwd=ROOT,
            env={"TZ": "UTC", "PATH": "/usr/bin:/bin:/usr/local/bin"},
            capture_output=True,
            text=True,
        )
        if git.returncode:
            pytest.skip("no history here: a shallow clone, or no checkout")
        assert git.stdout.strip() == entry["date"], entry["id"]


def test_predictions_stand_in_the_order_in_which_they_were_written_down():
    assert [entry["date"] for entry in PREDICTIONS] == sorted(e["date"] for e in PREDICTIONS)


def computed(monkeypatch, result):
    def compute(function):
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(ledger, "compute", compute)


CLAIM = {"id": "c", "function": "f.f", "numbers": {"lead": "+0.1"}, "verdict": "reproduced"}


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (found(True, {"lead": "+0.1"}, True), []),
        (found(False, {"lead": "+0.1"}, True), ["c: does not hold"]),
        (found(True, {"lead": "+0.2"}, True), ["c: lead is '+0.2', published as '+0.1'"]),
        (
            found(True, {"lead": "+0.1", "n": 3}, True),
            ["c: n is '3', published as None"],
        ),
        (found(True, {}, True), ["c: lead is None, published as '+0.1'"]),
        (
            found(True, {"lead": "+0.1"}, False),
            ["c: verdict is 'not reproduced', published as 'reproduced'"],
        ),
        (KeyError("x"), ["c: cannot be computed: KeyError: 'x'"]),
    ],
)
def test_what_is_no_longer_so_is_told(result, told, monkeypatch):
    computed(monkeypatch, result)
    assert list(ledger.problems(CLAIM)) == told


def test_a_verdict_that_is_no_longer_so_is_told(monkeypatch):
    computed(monkeypatch, judged(False, "3 black", []))
    entry = {"id": "p", "function": "f.f", "verdict": "held"}
    assert list(ledger.problems(entry)) == ["p: verdict is 'failed', published as 'held'"]


def test_a_verdict_in_words_counts_only_where_the_claim_holds():
    assert found(True, {}, "holds on C10D").verdict == "holds on C10D"
    assert found(False, {}, "holds on C10D").verdict == "undecided"


@pytest.mark.parametrize(
    ("so", "planned", "verdict"),
    [
        ([True, True, True], 3, "held"),
        ([True], 3, "open: 1 of 3 recorded"),
        ([], 3, "open: 0 of 3 recorded"),
        ([True, False], 3, "failed"),
    ],
)
def test_one_run_refutes_every_run_and_only_all_prove_it(so, planned, verdict):
    assert settled(so, planned) == verdict


def test_runs_before_the_commit_are_counted(monkeypatch):
    dates = ("2026-11-24T03:00:00Z", "2026-11-24T05:00:00Z")
    computed(monkeypatch, Verdict("held", "", dates))
    assert ledger.early({"function": "f.f", "date": "2026-11-24T04:00:00Z"}) == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claim = 3 3", "cannot be read"),
        ("", "cannot be read"),
        ('[[claim]]\nid = "a"', "claims.toml, a lacks claim, data, function, numbers"),
    ],
)
def test_a_ledger_that_is_not_sound_is_refused_in_one_line(text, message, tmp_path):
    (tmp_path / "claims.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        ledger.claims(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('status = "settled"', 'status = "sure"'), "status must be one of settled, suggestive"),
        (('data = ["CM"]', 'data = ["CM"]\nstatsu = 1'), "has what is not known: statsu"),
        (('id = "cm-generalises"', 'id = "cm-table-iv"'), "cm-table-iv stands there twice"),
        (('shown = ["in validation"]', 'shown = ["nothing"]'), "shown must be of its numbers"),
    ],
)
def test_a_claim_that_is_not_sound_is_refused_in_one_line(change, message, tmp_path):
    text = (BOOK / "claims.toml").read_text(encoding="utf-8").replace(*change, 1)
    (tmp_path / "claims.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        ledger.claims(tmp_path)


def test_a_table_has_a_row_a_claim_and_its_links_lead_somewhere():
    _, _, *rows = pages.claims(CLAIMS).splitlines()
    assert len(rows) == len(CLAIMS)
    assert all(row.count(" | ") == 1 for row in rows)
    links = {link for row in rows for link in re.findall(r"\]\((.*?)\)", row)}
    assert len(links) > 20 and all((BOOK / link).is_file() for link in links)


def test_the_papers_table_has_its_claims_only():
    _, _, *rows = pages.papers(CLAIMS).splitlines()
    assert len(rows) == sum("paper" in claim for claim in CLAIMS) > 10


def test_a_folded_part_of_a_page_opens_at_a_click_or_is_open():
    for unfolded in (False, True):
        first, summary, space, text, last, end = pages.folded("T", "| a |", unfolded).splitlines()
        assert first == ("<details open>" if unfolded else "<details>")
        assert summary == "<summary>T</summary>" and (last, end) == ("", "</details>")
        assert not space and text == "| a |"  # or Markdown takes it for HTML


def test_the_scoreboard_says_which_predictions_came_late(monkeypatch):
    dates = ("2026-11-24T03:00:00Z", "2026-11-24T05:00:00Z")
    monkeypatch.setattr(pages, "compute", lambda function: Verdict("held", "3 black", dates))
    computed(monkeypatch, Verdict("held", "3 black", dates))
    entry = {"statement": "S.", "function": "f", "commit": "abc", "studies": [], "verdict": "held"}
    when = {"04:00": "after 1 of 2 runs", "02:00": "before any run", "06:00": "after all of its"}
    for hour, words in when.items():
        (row,) = pages.scoreboard([entry | {"date": f"2026-11-24T{hour}:00Z"}]).splitlines()[2:]
        assert words in row and "**held**<br>3 black" in row


def tool():
    path = ROOT / "tools" / "evidence.py"
    spec = importlib.util.spec_from_file_location("evidence", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_renews_numbers_and_verdicts_and_nothing_else(monkeypatch):
    computed(monkeypatch, Finding(True, {"black": "2 of 3", "a “b”": "1"}, "reproduced"))
    entry = '# Words.\n\n[[claim]]\nid = "c"\nfunction = "f.f"\nverdict = "old"\n'
    text = entry + '\n[claim.numbers]\n"black" = "1 of 2"\n'
    new = tool().renewed(text, "claim")
    (claim,) = tomllib.loads(new)["claim"]
    assert new.startswith("# Words.\n\n[[claim]]\n")
    assert claim == {
        "id": "c",
        "function": "f.f",
        "verdict": "reproduced",
        "numbers": {"black": "2 of 3", "a “b”": "1"},
    }
    assert tool().renewed(new, "claim") == new


def branches(*deaths):
    """Branches of deaths: for each, how many die of how many, unchanged and with each change."""
    rows = []
    for point, counts in enumerate(deaths):
        for name, (k, n) in counts.items():
            rows += [{"point": point, "id": name, "died": i < k} for i in range(n)]
    return pd.DataFrame(rows)


def test_a_change_is_compared_within_deaths_and_corrected_for_the_number_of_changes():
    counts = {"none": (4, 4), "frozen": (0, 4), "nothing": (4, 4)}
    table = contrasts(branches(counts, counts))
    p = 2 / 70**2  # both of two tables at one end of 70 each, either end
    assert table.loc["frozen", "p"] == pytest.approx(p)
    assert table.loc["frozen", "holm"] == pytest.approx(2 * p)
    assert table.loc["nothing", ["difference", "p", "holm"]].tolist() == [0, 1, 1]
    assert table.loc["frozen", "difference"] == -1 and table.loc["frozen", "high"] < 0


def test_a_difference_between_deaths_is_no_effect_of_a_change():
    """All branches of one death die and none of the other: a change in one of them says nothing."""
    easy, hard = {"none": (0, 2), "frozen": (0, 8)}, {"none": (8, 8), "frozen": (2, 2)}
    some = branches(easy, hard)
    kinds = some["id"] == "frozen"
    assert within_deaths(some[kinds], some[~kinds]) == pytest.approx(1)


def test_the_calmed_are_those_whose_steps_cannot_grow():
    some = branches({"none": (1, 2), "loc_sgd": (0, 3), "labels_shuffled": (1, 1)})
    calm, base = calmed(some)
    assert (set(calm["id"]), len(base)) == ({"loc_sgd"}, 2)
