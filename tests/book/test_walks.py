"""Walks of Adam's against PyTorch, closed forms and simulation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stnlib.book.walks import SIGN, adam, exit_times, largest_step, mean_exit, two_layers

few = settings(deadline=None, max_examples=25, derandomize=True)


def numbers(low, high):
    return st.floats(low, high, allow_nan=False)


def test_the_walks_adam_is_pytorchs():
    curvature = np.array([3.0, 0.2])
    path = list(adam(lambda x: curvature * x, (1.0, -2.0), 0.1, 50))
    leaf = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([leaf], lr=0.1)
    for state in path:
        leaf.grad = torch.from_numpy(curvature) * leaf.detach()
        optimizer.step()
        np.testing.assert_allclose(state, leaf.detach().numpy(), rtol=0, atol=1e-12)


@few
@given(st.lists(numbers(-100, 100).filter(lambda g: abs(g) > 1e-3), min_size=1, max_size=60))
def test_no_gradients_move_adam_by_more_than_the_largest_step(gradients):
    supply = iter(gradients)
    path = [0.0, *(float(x) for x in adam(lambda _: next(supply), 0.0, 1.0, len(gradients)))]
    assert np.abs(np.diff(path)).max() <= largest_step()


def test_growing_gradients_attain_the_largest_step():
    ratio = 0.999 / 0.9
    gradients = iter([1.0] * 20_000 + [ratio**i for i in range(150)])  # bias correction is over
    path = [float(x) for x in adam(lambda _: next(gradients), 0.0, 1.0, 20_150)]
    assert abs(path[-1] - path[-2]) == pytest.approx(largest_step(), rel=0.01)


def test_a_steady_push_takes_the_distance_over_the_step():
    def push(theta):
        return np.tile([0.0, -1.0], (len(theta), 1))

    for step in (0.5, 0.3, 0.01):
        assert exit_times(push, [(1.0, 0.0)], step, 1000) == math.ceil(2 / step)


@pytest.mark.parametrize("n", (1, 2, 7))
def test_an_even_walk_takes_the_square_of_the_distance(n):
    assert mean_exit(np.full(n, 0.5)) == pytest.approx(n**2)


def test_the_mean_exit_is_that_of_a_simulated_walk():
    rng, n, inward = np.random.default_rng(0), 5, 0.65

    def tilted(theta):  # sign descent: the sign is inward with that probability
        t = theta[:, 1]
        coin = rng.random(len(t))
        away = np.where(np.abs(t) < 1e-6, coin < 0.5, coin >= inward)
        sign = np.where(np.abs(t) < 1e-6, 1.0, np.sign(t))
        return np.stack((0 * t, np.where(away, -sign, sign)), -1)

    times = exit_times(tilted, np.tile([1.0, 0.0], (1500, 1)), (0, 2 / n), 4000, SIGN)
    expected = mean_exit([0.5, *[inward] * (n - 1)])
    assert times.mean() == pytest.approx(expected, rel=0.1)


def test_walkers_that_stay_have_no_exit_time():
    assert exit_times(np.zeros_like, [(1.0, 0.0)], 0.1, 10) == np.inf


def test_growing_features_make_a_push_arrive_as_the_chapter_s_formula_says():
    lr, gamma, phi, n = 1e-3, 1e-2, 0.2, 50
    theta, features = two_layers(lambda x: -np.ones_like(x), lr, gamma, phi, 300, betas=SIGN)
    step, growth = lr * (1 + n * phi), n * gamma * lr
    predicted = (-step + math.sqrt(step**2 + 8 * growth)) / (2 * growth)
    assert int((theta[:, 0] < 2).sum()) + 1 == pytest.approx(predicted, abs=2)
    assert (np.diff(features[:, 0]) >= 0).all()


def test_noise_around_a_minimum_kills_the_features():
    rng = np.random.default_rng(0)
    theta, phi = two_layers(
        lambda x: x + rng.normal(size=x.shape), 1e-3, 1e-2, np.full(20, 0.2), 2000
    )
    assert (phi[-1] == 0).all()
    assert np.abs(theta).max() < 1


def test_frozen_features_make_the_two_layers_one_adam_of_larger_step():
    lr, n, phi = 1e-3, 50, 0.4
    theta, _ = two_layers(lambda x: x - 1, lr, 0.0, phi, 200)
    scalar = np.array([*adam(lambda x: x - 1, 0.0, lr * (1 + n * phi), 200)])
    np.testing.assert_allclose(theta[:, 0], scalar, rtol=0, atol=1e-6)
