"""Means over seeds, by hand, by SciPy and as others published them; the paper's own numbers."""

from itertools import combinations
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stnlib.book import paper
from stnlib.book.stats import (
    bootstrap,
    holm,
    in_words,
    paired_difference,
    share_contrast,
    share_difference,
    summarize,
    tally,
    wilson,
)

accuracies = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20)


def test_a_summary_is_mean_and_sample_standard_deviation():
    summary = summarize([0.90, 0.92, 0.94])
    assert summary.mean == pytest.approx(0.92)
    assert summary.std == pytest.approx(0.02)
    assert str(summary) == "0.920 ± 0.020 (n=3)"


def test_the_spread_of_one_run_is_unknown():
    assert np.isnan(summarize([0.9]).std)
    assert str(summarize([0.9])) == "0.900 (n=1)"


def test_the_paired_interval_is_that_of_the_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.96, 0.01, 10), rng.normal(0.9, 0.01, 10)
    ours, test = paired_difference(first, second), stats.ttest_rel(first, second)
    assert ours.p == pytest.approx(test.pvalue)
    assert (ours.low, ours.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


@given(accuracies, st.floats(-0.5, 0.5))
def test_a_shift_common_to_all_pairs_is_found_exactly(values, shift):
    values = np.array(values) + np.linspace(0, 0.1, len(values))
    difference = paired_difference(values + shift, values)
    assert difference.mean == pytest.approx(shift, abs=1e-9)


def test_differences_that_are_all_alike_leave_no_doubt():
    same, shifted = (
        paired_difference([1.0, 2.0, 4.0], second) for second in ([1, 2, 4], [0, 1, 3])
    )
    assert same == (0, 0, 0, 1, 3)  # mean, bounds, p, n
    assert shifted == (1, 1, 1, 0, 3)


@pytest.mark.parametrize("second", [[0.9], [0.9, 0.9, 0.9]])
def test_values_that_do_not_pair_up_are_refused(second):
    with pytest.raises(ValueError, match="of one length, at least 2"):
        paired_difference([0.9, 0.8], second)


@pytest.mark.parametrize(("data", "epochs"), [("cm", 10), ("c10", 20), ("c10d", 20)])
def test_the_papers_curves_have_every_epoch_of_both_models(data, epochs):
    for _, run in paper.curves(data).groupby("model"):
        assert run["epoch"].tolist() == list(range(1, epochs + 1))
        assert run[["train_accuracy", "val_accuracy"]].stack().between(0, 1).all()


def test_the_papers_collapse_is_in_its_curve():
    run = paper.curves("c10d").query("model == 'stn'").set_index("epoch")["val_accuracy"]
    assert run[5] > 0.6
    assert run[6:].max() < 0.11


def test_unknown_data_is_refused_by_name():
    with pytest.raises(ValueError, match="data must be one of c10, c10d, cm, not 'mnist'"):
        paper.curves("mnist")


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_at_the_ends_of_wilsons_interval_the_share_is_196_standard_errors_away(case):
    k, n = case
    _, _, low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    for end in {low, high} - {0, 1}:
        error = (end * (1 - end) / n) ** 0.5
        assert abs(k / n - end) == pytest.approx(NormalDist().inv_cdf(0.975) * error)


@pytest.mark.parametrize(
    ("case", "bounds"),
    [  # Newcombe (1998), Statistics in Medicine 17, 857-872, Table I, method 3
        ((81, 263), (0.2553, 0.3662)),
        ((15, 148), (0.0624, 0.1605)),
        ((0, 20), (0.0000, 0.1611)),
        ((1, 29), (0.0061, 0.1718)),
    ],
)
def test_wilsons_interval_is_the_published_one(case, bounds):
    assert wilson(*case)[2:] == pytest.approx(bounds, abs=5e-5)


@pytest.mark.parametrize("case", [(-1, 3), (4, 3), (0, 0)])
def test_an_impossible_share_is_refused(case):
    with pytest.raises(ValueError, match="must"):
        wilson(*case)


def test_a_share_reads_as_counts_and_bounds():
    assert str(wilson(3, 3)) == "3 of 3 [0.44, 1.00]"


def test_a_difference_of_shares_reads_as_a_signed_number_and_bounds():
    assert str(share_difference(wilson(0, 3), wilson(3, 3))) == "-1.00 [-1.00, -0.21]"


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17, Table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_a_difference_of_shares_has_newcombes_interval(first, second, low, high):
    shares = wilson(*first), wilson(*second)
    difference, *bounds = share_difference(*shares)
    assert difference == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert bounds == pytest.approx([low, high], abs=5e-5)


counted = st.integers(1, 60).flatmap(lambda n: st.builds(wilson, st.integers(0, n), st.just(n)))


@given(counted, counted)
def test_a_mean_of_shares_lies_within_its_interval_and_that_within_the_shares(first, second):
    mean, low, high = share_contrast((0.5, first), (0.5, second))
    assert mean == pytest.approx((first.k / first.n + second.k / second.n) / 2)
    assert (first.low + second.low) / 2 - 1e-9 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= (first.high + second.high) / 2 + 1e-9


@given(st.lists(counted, min_size=4, max_size=4))
def test_an_interaction_of_shares_is_surer_of_more_runs_and_turns_with_its_signs(cells):
    signs = (1, -1, -1, 1)
    value, low, high = share_contrast(*zip(signs, cells, strict=True))
    assert value == pytest.approx(sum(s * c.k / c.n for s, c in zip(signs, cells, strict=True)))
    more = [wilson(100 * c.k, 100 * c.n) for c in cells]
    same, closer, nearer = share_contrast(*zip(signs, more, strict=True))
    assert same == pytest.approx(value) and low - 1e-9 <= closer <= value <= nearer <= high + 1e-9
    turned = share_contrast(*((-s, c) for s, c in zip(signs, cells, strict=True)))
    assert turned == pytest.approx((-value, -high, -low))


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_a_share_counts_what_is_so_of_all(kind):
    assert tally(kind([True, False, False, True, True])) == wilson(3, 5)


def test_outcomes_in_words_are_counted_the_most_frequent_first():
    assert in_words(pd.Series(["blind", "black", "black", "black"])) == "3 black, 1 blind"
    assert in_words(pd.Series([], dtype=str)) == ""


def test_holm_rejects_what_a_published_example_does():
    # The example of `Holm` in the reference manual of CRAN's package HDLSSkST, at 0.05.
    corrected = holm([0.50, 0.01, 0.001, 0.69, 0.02, 0.05, 0.0025])
    assert [p < 0.05 for p in corrected] == [False, False, True, False, False, False, True]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_bonferroni_over_every_subset_of_hypotheses(p_values):
    """A hypothesis falls where each subset that has it falls by Bonferroni: the closed test."""
    places = range(len(p_values))
    subsets = [s for n in places for s in combinations(places, n + 1)]
    for i, corrected in enumerate(holm(p_values)):
        worst = max(len(s) * min(p_values[j] for j in s) for s in subsets if i in s)
        assert corrected == pytest.approx(min(1, worst))


def test_a_bootstrap_is_scipys_percentiles_and_always_the_same():
    values = np.random.default_rng(1).normal(size=12)
    low, high = bootstrap(lambda drawn: values[drawn].mean(), 12)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=2)
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.05)
    assert (low, high) == bootstrap(lambda drawn: values[drawn].mean(), 12)


def test_a_bootstrap_of_a_curve_has_a_bound_a_point():
    curves = np.array([[0.1, 0.5, 0.9], [0.2, 0.5, 0.7], [0.3, 0.5, 0.8]])
    low, high = bootstrap(lambda drawn: curves[drawn].mean(0), 3)
    assert low.shape == (3,) and low[1] == high[1] == 0.5
    assert (low[[0, 2]] < curves.mean(0)[[0, 2]]).all()
    assert (high[[0, 2]] > curves.mean(0)[[0, 2]]).all()


def test_draws_that_have_no_value_do_not_count():
    low, high = bootstrap(lambda drawn: np.nan if 0 in drawn else 1.0, 3)
    assert (low, high) == (1, 1)
