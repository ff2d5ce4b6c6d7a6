"""Where remedies were tried: what is compared with what, on the book's own records."""

import pandas as pd
import pytest

from stnlib.book import remedies
from stnlib.book.comparisons import comparisons, judged
from stnlib.book.screening import screened
from stnlib.book.stats import wilson
from stnlib.records.store import of_study


@pytest.fixture(scope="module")
def every():
    return comparisons()


def test_a_comparison_has_runs_of_one_rate_with_and_without_a_remedy(every):
    for one in every:
        assert set(one.runs["lr"]) == {one.lr} and one.runs["transformer"].all()
        assert "none" in set(one.runs["id"]) and one.runs["id"].nunique() > 1
        assert one.runs["data"].nunique() == 1


def test_a_remedy_is_compared_once_on_each_data_set_at_each_rate(every):
    found = [(one.data, one.lr, name) for one in every for name in set(one.runs["id"]) - {"none"}]
    assert len(found) == len(set(found))


def test_no_seed_comes_twice_with_a_remedy(every):
    for one in every:
        assert not one.runs.duplicated(["id", "seed"]).any()


def test_single_changes_are_those_of_the_chapter(every):
    (one,) = (c for c in every if c.lr == 0.01 and "cosine" in set(c.runs["id"]))
    runs = screened(0.01)
    chapters = remedies.verdicts(runs[runs["transformer"]])
    pd.testing.assert_frame_equal(remedies.verdicts(one.runs), chapters)


def test_beside_the_clipped_sampler_the_correct_one_is_a_remedy(every):
    (one,) = (c for c in every if (c.data, c.lr) == ("C10, 3 epochs", 0.001))
    assert one.sampler == "clipped"
    for sampler, name in (("clipped", "none"), ("bilinear", "sampler_bilinear")):
        alone = {"sampler": sampler, "lr": 0.001, "padding": "zeros", "model": "stn"}
        ends = sorted(
            str(record.outcome)
            for record in of_study("c10-probe")
            if all(getattr(record.config, key) == value for key, value in alone.items())
        )
        assert sorted(one.runs[one.runs["id"] == name]["outcome"].map(str)) == ends and ends


@pytest.mark.parametrize(
    ("lost", "without", "helps", "holm", "words"),
    [
        ((0, 10), (10, 10), True, 0.01, "helps"),
        ((0, 5), (5, 5), True, 0.06, "passes alone"),
        ((10, 10), (0, 10), False, 0.01, "loses more"),
        ((5, 5), (2, 10), False, 0.12, "not shown to help"),
        ((0, 10), (0, 10), False, 1.0, "nothing to prevent"),
        ((0, 3), (3, 3), False, 0.5, "not shown to help"),
    ],
)
def test_a_remedy_is_judged_after_the_correction(lost, without, helps, holm, words):
    difference = lost[0] / lost[1] - without[0] / without[1]
    verdict = {"lost": wilson(*lost), "difference": difference, "helps": helps, "holm": holm}
    assert judged(pd.Series(verdict), without[0]) == words
