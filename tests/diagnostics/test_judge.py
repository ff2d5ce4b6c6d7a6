"""What is judged to be a collapse, row by row, and what is not."""

import math

import pytest

from stnlib.diagnostics import Criteria
from stnlib.diagnostics.criteria import Judge

WELL = {"coverage": 0.8, "object_coverage": math.nan, "black": 0.0, "step": 0.01, "phi": 5.0}
WELL |= {"finite": 1.0, "centre": 0.1, "extent": 1.0, "step_ratio": 1.0, "extent_pixels": 20.0}
WELL |= {"corner_spread": 1.0}


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


def test_theta_that_is_not_finite_is_told_with_its_share():
    verdict = Judge(Criteria()).judge(1, WELL | {"finite": 0.75})
    assert verdict.kind == "nan" and "θ is not finite for 25% of the images" in verdict.message


@pytest.mark.parametrize("name, least, most", [("black", 0, 1), ("coverage_drop", 0, 1)])
def test_a_limit_on_a_share_is_a_share(name, least, most):
    for allowed in (least, 0.5, most):
        assert getattr(Criteria(**{name: allowed}), name) == allowed
    for refused in (least - 0.01, most + 0.01):
        with pytest.raises(ValueError, match=f"{name} must be a number >= {least} and <= {most}"):
            Criteria(**{name: refused})


def test_a_point_may_be_smaller_than_a_pixel_or_left_out():
    row = WELL | {"extent_pixels": 0.4}
    assert Judge(Criteria(point=0.5)).judge(1, row).kind == "point"
    assert Judge(Criteria(point=0.3)).judge(1, row) is None
    assert Judge(Criteria(point=0)).judge(1, WELL | {"extent_pixels": 0.0}) is None


def test_blind_is_a_transformer_whose_views_have_differed_and_no_longer_do():
    spread = [{"corner_spread": value} for value in (0.0, 0.0, 0.01, 0.0099, 0.0)]
    assert kinds(*spread) == [None, None, None, "blind", "blind"]
    assert kinds(*[{"corner_spread": 0.0099}] * 4) == [None] * 4  # they never differed
    alone = {"corner_spread": math.nan}  # a batch of one
    assert kinds({"corner_spread": 1.0}, alone, alone) == [None] * 3
    judge = Judge(Criteria(window=3))
    rows = [WELL | {"corner_spread": value} for value in (1.0, 0.0, 0.0, 0.0)]
    assert [bool(judge.judge(n, row)) for n, row in enumerate(rows)] == [False] * 3 + [True]


def test_the_published_limits_are_these_numbers():
    limits = Criteria()
    assert (limits.window, limits.coverage_drop, limits.black) == (3, 0.5, 0.5)
    assert (limits.step, limits.point, limits.blind) == (0.1, 1.0, 0.01)
