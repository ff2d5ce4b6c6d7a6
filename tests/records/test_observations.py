"""Observations: written whole, read back, and never believed once edited."""

import json

import pytest

from stnlib.paths import BOOK
from stnlib.records import observations, sealed
from stnlib.records.sealed import RecordError

OBSERVED = sorted(BOOK.glob("observations/*/*.json"))
WHAT = {"config": {"lr": 0.01}, "step": 120}
ROWS = [{"change": "none", "died": True, "coverage": 0.5}, {"change": "none", "died": False}]


def test_an_observation_is_read_as_it_was_written_and_can_grow(tmp_path):
    for n in (1, 2):
        path = observations.write(tmp_path, "s", WHAT, ROWS[:n], {"source": "abc"})
        assert path == observations.place(tmp_path, "s", WHAT)
        assert [found["rows"] for found in observations.read_all("s", [tmp_path])] == [ROWS[:n]]
    assert observations.read(path)["what"] == WHAT
    assert len(path.read_text().splitlines()) < 15  # a line a row, for people and diffs


def test_an_observation_of_something_else_has_another_place(tmp_path):
    other = WHAT | {"step": 121}
    assert observations.place(tmp_path, "s", WHAT) != observations.place(tmp_path, "s", other)


def refused(path, damage, digest=True):
    """What is said of an observation after `damage`, which may have a digest that fits."""
    found = json.loads(path.read_text(encoding="utf-8"))
    damage(found)
    if digest:
        found["digest"] = sealed.digest(found)
    path.write_text(json.dumps(found), encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        observations.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["what"].update(step=1),
        lambda found: found["rows"][0].update(coverage=0.6),
        lambda found: found["rows"].pop(),
        lambda found: found["provenance"].update(source="def"),
        lambda found: found.update(study="another"),
        lambda found: found.pop("digest"),
    ],
)
def test_an_edit_of_any_part_is_noticed(tmp_path, change):
    path = observations.write(tmp_path, "s", WHAT, ROWS, {"source": "abc"})
    assert "was edited: its content has the digest" in refused(path, change, digest=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda found: found["what"].update(step=1), "was edited: what was done has the key"),
        (lambda found: found.pop("rows"), "lacks rows"),
        (lambda found: found.update(schema=0), "has schema 0: this version reads 2"),
        (lambda found: found.update(what=[]), "what must have names and values"),
        (lambda found: found.update(rows={}), "rows must be a list, not {}"),
        (lambda found: found.update(rows=[1]), "row 1 must have names and values, not be 1"),
        (lambda found: found["rows"][1].update(black=2), "row 2: black must be a number >= 0 and"),
        (lambda found: found["rows"][1].update(x=[[]]), "row 2: x must be a list of numbers"),
        (lambda found: found["rows"][1].update(x={}), "row 2: x must be a number, not {}"),
        (lambda found: found.update(provenance=[]), "provenance must have names and values"),
        (lambda found: found["provenance"].update(source=1), "source must be a line of text"),
        (lambda found: found.update(study="a/b"), "study must be a name of letters"),
    ],
)
def test_what_no_experiment_gives_is_refused_under_whatever_digest(tmp_path, damage, message):
    path = observations.write(tmp_path, "s", WHAT, ROWS, {})
    assert message in refused(path, damage)


def test_half_a_file_is_not_believed(tmp_path):
    path = observations.write(tmp_path, "s", WHAT, ROWS, {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="cannot be read"):
        observations.read(path)


@pytest.mark.parametrize("path", OBSERVED, ids=lambda p: p.stem)
def test_the_books_observations_are_whole(path):
    found = observations.read(path)
    assert found["rows"] and found["study"] == path.parent.name
    assert {"data", "device", "precision", "threads", "source", "date"} <= set(found["provenance"])
    assert not found["provenance"]["source"].endswith("+")
