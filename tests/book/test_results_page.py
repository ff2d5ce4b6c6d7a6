"""The study on one page: every number is that of its records, and every link leads to one."""

import re
from pathlib import Path

import pytest

from stnlib.book.results_page import linked, network, overview
from stnlib.book.stats import summarize
from stnlib.records import store
from stnlib.records.store import of_study
from stnlib.training.config import RunConfig

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture(autouse=True)
def _book_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("STNLIB_RECORDS", str(tmp_path))


def test_a_number_is_the_mean_of_the_records_that_it_links():
    made = [r for r in of_study("cm") if r.config.model == "stn"]
    said = linked(made)
    paths = [BOOK / link for link in re.findall(r"\]\((.*?)\)", said)]
    accuracies = [store.read(path).result["test_accuracy"] for path in paths]
    assert len(paths) == len(made) and said.startswith(str(summarize(accuracies)))


def test_a_record_outside_the_book_has_no_link(tmp_path):
    config = RunConfig(data="digits", seed=7)
    made = store.Record(tmp_path, "s", config, [], {"test_accuracy": 0.5}, {})
    assert linked([made]) == "0.500 (n=1); seed 7"


def test_the_page_has_a_row_a_data_set_and_network():
    columns = {"as there": of_study("cm") + of_study("c10"), "recipe": of_study("cm-recipe")}
    head, rule, *rows = overview(columns).splitlines()
    assert head == "| data | network | paper | as there | recipe |" and set(rule) <= set("| -")
    assert [row.split(" | ")[:3] for row in rows[:2]] == [
        ["| CM", "no transformer", "0.90"],
        ["| CM", "STN, correct sampler", "0.96"],
    ]
    assert all(row.count(" | ") == 4 for row in rows)
    assert [row.split(" | ")[2] for row in rows if "clipped" in row] == ["0.10"]


def test_runs_that_differ_in_more_than_their_seeds_are_not_averaged():
    made = of_study("c10") + of_study("c10d-bounds")
    rows = [row for row in overview({"as there": made}).splitlines() if "| C10 | no tr" in row]
    assert [row.split(" | ")[1] for row in rows] == [
        "no transformer",
        "no transformer, mirrored images",
    ]
    config = RunConfig(data="c10", model="baseline", lr=0.5)
    other = store.Record(BOOK, "s", config, [], {}, {})
    with pytest.raises(ValueError, match="c10, no transformer, all: runs differ in more than"):
        overview({"all": [*made, other]})


def test_networks_are_named_by_what_tells_them_apart():
    small = RunConfig(data="c10d", output_size=32)
    assert network(small) == "STN, correct sampler, output 32×32"
    assert network(RunConfig(sampler="clipped")) == "STN, clipped sampler"
    assert network(RunConfig(data="c10d", model="oracle")) == "oracle (true θ)"
    crops = [RunConfig(data="c10d", model="crop", output_size=size) for size in (None, 39)]
    assert [network(crop) for crop in crops] == ["centre crop", "centre crop, output 39×39"]
