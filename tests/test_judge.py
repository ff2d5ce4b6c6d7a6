"""What is judged to be a collapse, row by row, and what is not."""

import math

import pytest

from stnlib.diagnostics.criteria import Criteria, Judge

WELL = {"coverage": 0.8, "object_coverage": math.nan, "black": 0.0, "step": 0.01, "phi": 5.0}
WELL |= {"finite": 1.0, "centre": 0.1, "extent": 1.0, "step_ratio": 1.0, "extent_pixels": 20.0}


def kinds(*changes):
    """The kind of verdict on each of these rows, None for none; judged one by one."""
    judge = Judge(Criteria(window=1))
    verdicts = [judge.judge(n, WELL | change) for n, change in enumerate(changes, 1)]
    return [verdict and verdict.kind for verdict in verdicts]


@pytest.mark.parametrize("name", ["coverage", "object_coverage"])
def test_a_view_shrinks_against_its_own_best_and_not_for_having_always_been_small(name):
    small, smaller, smallest = ({name: value} for value in (0.06, 0.031, 0.029))
    assert kinds(small, small, smaller, smallest) == [None, None, None, "shrinking"]
    assert kinds({name: 0.02}, {name: 0.06}, {name: 0.029}) == [None, None, "shrinking"]
    assert kinds(small, smallest | {"centre": 1.5}) == [None, "leaving"]


def test_the_first_looks_of_a_window_are_awaited_after_what_was_is_forgiven():
    judge = Judge(Criteria(window=3))
    black = WELL | {"black": 1.0}
    assert judge.judge(1, black).kind == "black"  # at the start there are fewer
    judge.forgive()
    assert [judge.judge(n, black) is None for n in (2, 3, 4)] == [True, True, False]
