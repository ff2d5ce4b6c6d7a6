"""The one-dimensional toy against dense sums, finite differences and autograd."""

import math

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stnlib.book import toy
from stnlib.book.figures import toy as figures
from stnlib.book.toy import Image, cone, gradient, loss
from stnlib.sampler import sample, sample_clipped, sample_native

few = settings(deadline=None, max_examples=25, derandomize=True)
NOTHING = Image((-1.0, 1.0), (0.0, 0.0))


@st.composite
def images(draw, dark=None):
    """Any image; its border black or not if `dark` says so."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inner = np.sort(rng.choice(np.arange(-9, 10), draw(st.integers(0, 6)), replace=False)) / 10
    values = rng.uniform(0.1, 1, len(inner) + 2)
    if draw(st.booleans()) if dark is None else dark:
        values[[0, -1]] = 0
    return Image((-1.0, *inner, 1.0), tuple(values))


def numbers(low, high):
    return st.floats(low, high, allow_nan=False)


scales = st.one_of(numbers(0.2, 4), numbers(-4, -0.2))


def dense(image, theta, target, points=400_001):
    u = np.linspace(-1, 1, points)
    x = theta[0] * u + theta[1]
    inside = np.abs(x) <= 1
    seen = np.interp(x, image.knots, image.values) * inside
    return np.trapezoid((seen - np.interp(u, target.knots, target.values)) ** 2, u)


@few
@given(images(), images(), scales, numbers(-3, 3))
def test_the_loss_is_the_dense_sum(image, target, s, t):
    assert loss(image, (s, t), target) == pytest.approx(
        dense(image, (s, t), target), rel=0, abs=1e-4
    )


@few
@given(images(), images(), scales, numbers(-3, 3))
def test_interior_and_boundary_add_up_to_the_derivative_of_the_loss(image, target, s, t):
    t += 1e-3 * math.pi  # away from the kinks, where a border meets a border
    h = 1e-7
    steps = h * np.eye(2)
    above, below = (loss(image, (s, t) + sign * steps, target) for sign in (1, -1))
    total = gradient(image, (s, t), target).total
    np.testing.assert_allclose(total, (above - below) / (2 * h), rtol=0, atol=1e-4)


@few
@given(images(dark=True), images(), scales, numbers(-3, 3))
def test_a_dark_border_has_no_boundary_term(image, target, s, t):
    assert not gradient(image, (s, t), target).boundary.any()


@few
@given(images(), scales, st.sampled_from((-1, 1)), numbers(0, 3))
def test_out_of_sight_the_gradient_is_exactly_zero(image, s, side, beyond):
    theta = (s, side * (1 + abs(s) + 1e-9 + beyond))
    assert not gradient(image, theta, image).total.any()
    assert loss(image, theta, image) == pytest.approx(loss(NOTHING, (1, 0), image))


@few
@given(images(), images(), scales, numbers(-1.5, 1.5))
def test_autograd_through_the_correct_sampler_is_the_whole_derivative(image, target, s, t):
    t += 1e-3 * math.pi
    exact = gradient(image, (s, t), target).total
    sampled = toy.sampled_gradient(sample, image, (s, t), target, 2001, 200_000)
    np.testing.assert_allclose(sampled, exact, rtol=0.02, atol=0.06)


@few
@given(images(), images(), scales, numbers(-1.5, 1.5))
def test_autograd_through_the_clipped_sampler_is_the_interior_term_alone(image, target, s, t):
    t += 1e-3 * math.pi
    exact = gradient(image, (s, t), target).interior
    sampled = toy.sampled_gradient(sample_clipped, image, (s, t), target, 2001, 200_000)
    np.testing.assert_allclose(sampled, exact, rtol=0.02, atol=0.06)


@pytest.mark.parametrize("theta", ((1.5, 0.2), (2.0, -0.7), (0.6, 0.7)))
@pytest.mark.parametrize(
    ("method", "part"), ((sample_native, "total"), (sample_clipped, "interior"))
)
def test_the_error_of_autograd_falls_with_the_size_of_a_pixel(method, part, theta):
    image = cone(0.5)
    exact = getattr(gradient(image, theta, image), part)
    coarse, fine = (
        np.abs(toy.sampled_gradient(method, image, theta, image, n, 512 * n) - exact).max()
        for n in (16, 256)
    )
    assert fine < coarse / 8


@pytest.mark.parametrize("border", (0, 0.3, 1))
@pytest.mark.parametrize("s", (1.2, 2.0, 3.5))
def test_the_cone_has_the_closed_form_of_the_chapter(border, s):
    found = gradient(cone(border), (s, 0), cone(border))
    rest = 1 - border
    assert found.interior == pytest.approx((4 / 3 * rest**2 * (s - 1) / s**3, 0))
    boundary = 2 * border / s**2 * (2 - border - 2 * rest / s)
    assert found.boundary == pytest.approx((boundary, 0))


@few
@given(images(), numbers(1.01, 5))
def test_the_interior_term_of_the_energy_is_mean_less_border(image, s):
    """Integration by parts: the clipped sampler zooms out where the border is above average."""
    energy = loss(image, (1, 0), NOTHING)
    ends = image.values[0] ** 2 + image.values[-1] ** 2
    found = gradient(image, (s, 0), NOTHING)
    assert found.interior[0] == pytest.approx((ends - energy) / s**2)
    assert found.total[0] == pytest.approx(-energy / s**2)


def test_a_black_frame_moves_the_boundary_term_into_the_interior():
    bright, edge = cone(0.5), 0.999
    framed = Image((-1, -edge, 0, edge, 1), (0, bright(edge), 1, bright(edge), 0))
    theta = (1.5, 0.2)
    whole, found = gradient(bright, theta, bright).total, gradient(framed, theta, framed)
    assert not found.boundary.any()
    np.testing.assert_allclose(found.interior, whole, rtol=0.02)


def test_a_view_of_one_point_has_a_gradient():
    """At s = 0 the view is f(t) everywhere."""
    image = cone(0.5)
    found = gradient(image, (0, 0.5), NOTHING)
    assert loss(image, (0, 0.5), NOTHING) == pytest.approx(2 * 0.75**2)
    assert found.total == pytest.approx((0, 2 * 2 * 0.75 * -0.5))


def test_many_theta_at_once_give_what_each_gives_alone():
    image, theta = cone(0.3), np.random.default_rng(0).normal(size=(2, 3, 2))
    together = gradient(image, theta, image).total
    assert together.shape == (2, 3, 2)
    for i in np.ndindex(2, 3):
        assert together[i] == pytest.approx(gradient(image, theta[i], image).total)


@pytest.mark.parametrize("knots", ((), (-1, 0.5), (-1, 0, 0, 1), (-1, 1), (-1, 1, 2)))
def test_wrong_knots_are_told(knots):
    with pytest.raises(ValueError, match="knots must increase from -1 to 1"):
        Image(knots, (1.0, 1.0, 1.0))


def test_the_figures_name_every_line_and_panel():
    matplotlib.use("Agg")
    s, t = np.linspace(0.5, 3, 5), np.linspace(0, 4, 6)
    theta = np.stack(np.meshgrid(s, t), -1)
    panels = {
        f"b = {b}": (
            loss(cone(b), theta, cone(b)),
            -gradient(cone(b), theta, cone(b)).total,
        )
        for b in (0, 0.5)
    }
    drawn = figures.landscapes(s, t, panels)
    assert [ax.get_title() for ax in drawn.axes] == list(panels)
    laws = {"a push": (np.array([4, 8]), [4, 8]), "a walk": (np.array([16, 64]), [20, np.nan])}
    drawn = figures.exits([0.5, 0.25], laws)
    assert {text.get_text() for text in drawn.axes[0].texts} == set(laws)
    drawn = figures.ends([0.1, 0.2], {"dead": [1, 0], "gone": [0, 1]}, {"noise": np.ones(3)})
    assert {text.get_text() for ax in drawn.axes for text in ax.texts} == {"noise", "dead", "gone"}
    matplotlib.pyplot.close("all")
