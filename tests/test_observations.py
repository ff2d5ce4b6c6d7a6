"""Observations: written whole, read back, and never believed once edited."""

import json

import pytest

from stnlib import observations
from stnlib.records import RecordError

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


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda found: found["what"].update(step=1), "was edited"),
        (lambda found: found.pop("rows"), "lacks rows"),
        (lambda found: found.update(schema=0), "no observation of schema 1"),
    ],
)
def test_what_was_edited_is_not_believed(tmp_path, damage, message):
    path = observations.write(tmp_path, "s", WHAT, ROWS, {})
    found = json.loads(path.read_text())
    damage(found)
    path.write_text(json.dumps(found))
    with pytest.raises(RecordError, match=message) as caught:
        observations.read(path)
    assert "\n" not in str(caught.value)


def test_half_a_file_is_not_believed(tmp_path):
    path = observations.write(tmp_path, "s", WHAT, ROWS, {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="cannot be read"):
        observations.read(path)


@pytest.mark.parametrize("path", sorted(observations.BOOK.glob("*/*.json")), ids=lambda p: p.stem)
def test_the_books_observations_are_whole(path):
    found = observations.read(path)
    assert found["rows"] and found["study"] == path.parent.name
    assert {"data", "device", "precision", "threads", "source", "date"} <= set(found["provenance"])
    assert not found["provenance"]["source"].endswith("+")
