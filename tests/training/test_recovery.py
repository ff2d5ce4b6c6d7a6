"""Remedies for black images: a penalty outside, clipping, recovery."""

import math

import pytest
import torch
from runs import continued, fresh, numbers, train_epoch

from stnlib import models
from stnlib.training import evaluation, fit, recovery
from stnlib.training.config import RunConfig
from stnlib.training.loop import Training, train_step
from stnlib.training.rates import make_optimizer

# Outside of the image


def gradient(theta, weight, penalty="outside_penalty"):
    """Gradient of θ, at the bias of the last layer, after a step with this penalty's weight."""
    torch.manual_seed(0)
    model = models.build("stn", 1, 40, 10)
    bias = model.transformer.localisation.theta.bias
    with torch.no_grad():
        bias.copy_(torch.tensor(theta))
    config = RunConfig(**{penalty: weight})
    images = torch.rand(4, 1, 40, 40)
    train_step(model, make_optimizer(model, config), images, torch.arange(4), config)
    return bias.grad


def test_the_penalty_has_a_gradient_where_sampling_has_none():
    far = [1.0, 0, 9, 0, 1, -9]
    assert not gradient(far, 0.0).any()
    pull = gradient(far, 0.1)
    assert pull[2] > 0 > pull[5]  # a step against it leads back
    assert torch.allclose(gradient(far, 0.2), 2 * pull)


def test_within_the_image_the_penalty_changes_nothing():
    near = [0.7, 0.1, 0.1, -0.1, 0.7, 0.1]
    free = gradient(near, 0.0)
    assert free.any() and torch.equal(gradient(near, 5.0), free)


@pytest.mark.parametrize(
    ("penalty", "theta", "expected"),
    [  # beyond the image, where sampling has no gradient: the derivatives by hand
        ("identity_penalty", [1.0, 0, 9, 0, 1, -8], [0, 0, 2 * 9, 0, 0, -2 * 8]),
        ("area_penalty", [0.5, 0, 9, 0, 1, -9], [-1.0, 0, 0, 0, -0.5, 0]),
    ],
)
def test_a_penalty_adds_its_own_gradient_times_its_weight(penalty, theta, expected):
    assert not gradient(theta, 0.0).any()
    found = gradient(theta, 0.25, penalty)
    torch.testing.assert_close(found, 0.25 * torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_the_penalty_on_phi_pulls_a_dead_relu_back(few):
    config = RunConfig(data="digits", batch_size=8, n_train=96)
    model, optimizer = fresh(config, few)
    dense = model.transformer.localisation.features[-2]
    with torch.no_grad():
        dense.bias.fill_(-9)  # off for every image
    images, labels = torch.rand(8, 1, 40, 40), torch.arange(8)
    train_step(model, optimizer, images, labels, config)
    assert not dense.bias.grad.any()
    before = model.transformer.localisation.preactivation(images)
    train_step(model, optimizer, images, labels, config.replace(phi_penalty=0.25))
    # of a mean of squares over images and features, by hand
    expected = 0.25 * 2 * before.mean(0) / before.shape[1]
    torch.testing.assert_close(dense.bias.grad, expected, rtol=1e-4, atol=1e-6)


def test_a_black_transformer_comes_back_under_the_penalty(few):
    config = RunConfig(data="digits", lr=1e-3, batch_size=40, n_train=96, epochs=8)
    coverage = []
    for weight in (0.0, 1.0):
        model, _ = fresh(config, few)
        with torch.no_grad():
            model.transformer.localisation.theta.bias[2] = 4
        history = fit.fit(model, few, config.replace(outside_penalty=weight), progress=False)
        coverage.append(history[-1]["coverage"])
    assert coverage[0] == 0 and coverage[1] > 0.4


def test_the_reported_loss_is_the_cross_entropy_alone(few, config):
    rows = []
    for weight in (0.0, 1e-6):
        model, optimizer = fresh(config, few)
        with torch.no_grad():
            model.transformer.localisation.theta.bias[0] = 1000
        with_penalty = config.replace(outside_penalty=weight)
        rows.append(train_epoch(model, optimizer, few, with_penalty)["train_loss"])
    assert rows[0] == pytest.approx(rows[1], rel=0.05)


# Clipping


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_the_localisations_gradient_is_shortened_to_the_limit_and_no_other(few, config, clip):
    gradients = []
    for limit in (None, clip):
        model, optimizer = fresh(config, few)
        model.eval()
        images, labels = few.train.images[:20] / 255, few.train.labels[:20]
        step = config.replace(loc_clip=limit)
        norms = train_step(model, optimizer, images, labels, step)[2]
        parts = (model.classifier, model.transformer.localisation)
        gradients.append([[p.grad for p in part.parameters()] for part in parts])
        assert norms[1] > 1e-3  # as it was before
    (free, free_loc), (same, short) = gradients
    assert all(map(torch.equal, free, same))
    length = math.sqrt(sum(g.square().sum() for g in free_loc))
    assert math.sqrt(sum(g.square().sum() for g in short)) == pytest.approx(min(clip, length))
    for whole, part in zip(free_loc, short, strict=True):
        assert torch.allclose(part, whole * min(1, clip / length), atol=1e-9)


# Scaling


def stepped(few, config, hook=None):
    """Gradients of both parts after one step, and what the localisation network became."""
    model, optimizer = fresh(config, few)
    localisation = model.transformer.localisation
    with torch.no_grad():
        torch.nn.init.normal_(localisation.theta.weight, std=0.1)
    if hook:
        localisation.register_forward_hook(lambda *call: call[-1].register_hook(hook) and None)
    before = [p.detach().clone() for p in localisation.parameters()]
    train_step(model, optimizer, few.train.images[:20] / 255, few.train.labels[:20], config)
    parts = ([p.grad for p in part.parameters()] for part in (model.classifier, localisation))
    moved = [p.detach() - b for p, b in zip(localisation.parameters(), before, strict=True)]
    return *parts, moved


def test_the_localisations_gradient_is_scaled_as_by_a_hook_on_theta_and_no_other(few, config):
    classifier, scaled, _ = stepped(few, config.replace(loc_grad_factor=0.1))
    same, hooked, _ = stepped(few, config, hook=lambda gradient: 0.1 * gradient)
    assert all(map(torch.equal, classifier, same))
    for one, other in zip(scaled, hooked, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)


def test_adam_does_not_see_the_scale_of_a_gradient(few, config):
    free, scaled = (stepped(few, config.replace(loc_grad_factor=f)) for f in (1.0, 0.1))
    pairs = zip(scaled[2], free[2], strict=True)
    steps = [(one.norm() / other.norm()).item() for one, other in pairs]
    assert steps == pytest.approx([1.0] * len(steps), rel=1e-2)
    assert scaled[1][-1].norm() == pytest.approx(0.1 * free[1][-1].norm().item(), rel=1e-4)


# Recovery

DEADLY = {"data": "digits", "n_train": 96, "batch_size": 40, "epochs": 5, "lr": 1e-3}
DEADLY |= {"loc_lr_factor": 3000.0}  # θ leaves at once


@pytest.mark.parametrize("kind", ["rollback", "reset"])
def test_a_run_that_recovered_and_was_interrupted_equals_one_that_was_not(
    few, tmp_path, monkeypatch, kind
):
    config = RunConfig(**DEADLY, recovery=kind)
    whole, _ = fresh(config, few)
    history = fit.fit(whole, few, config, progress=False)
    recovered = [row["epoch"] for row in history if row.get("recovered")]
    assert recovered and len(history) == config.epochs
    assert all(row["black"] < 0.5 for row in history)  # each says how it stands afterwards
    for after in (recovered[0], 4):
        path = tmp_path / f"after-{after}"
        model, resumed = continued(config, few, path, after, monkeypatch)
        assert numbers(resumed) == numbers(history)
        assert all(map(torch.equal, model.state_dict().values(), whole.state_dict().values()))


def validations_that_see_black(when, monkeypatch):
    """Let these validations, by count, see black outputs; note the weights that each sees."""
    seen = []

    def black(model, split, precision):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        row = evaluation.evaluate(model, split, precision)
        return row | {"black": float(len(seen) in when)}

    monkeypatch.setattr(fit, "evaluate", black)
    return seen


def rates_of(config, few, monkeypatch):
    """Train; the learning rates at the first step of each epoch, and weights before it."""
    rates, starts, real = [], [], Training.epoch

    def epoch(training, on_step):
        weights = training.model.state_dict()
        starts.append({name: value.clone() for name, value in weights.items()})

        def note(*_):
            rates.append([group["lr"] for group in training.optimizer.param_groups])

        return real(training, note)

    monkeypatch.setattr(Training, "epoch", epoch)
    model, _ = fresh(config, few)
    history = fit.fit(model, few, config, progress=False)
    return rates[::3], starts, history, model


def equal(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_rolling_back_goes_on_from_before_the_epoch_with_a_tenth_of_the_localisations_rate(
    few, monkeypatch
):
    config = RunConfig(**DEADLY | {"loc_lr_factor": 0.5}, recovery="rollback")
    validations_that_see_black({2, 5, 7}, monkeypatch)  # after a recovery there is one more
    rates, starts, history, model = rates_of(config, few, monkeypatch)
    assert [row.get("recovered", False) for row in history] == [False, True, False, True, True]
    assert equal(starts[1], starts[2]) and equal(starts[3], starts[4])
    assert not equal(starts[0], starts[1]) and not equal(starts[2], starts[3])
    assert equal(model.state_dict(), starts[4])  # the last epoch was black, too
    assert history[1]["val_loss"] == history[0]["val_loss"]
    assert [rest for rest, _ in rates] == [1e-3] * 5
    assert [loc for _, loc in rates] == pytest.approx([5e-4, 5e-4, 5e-5, 5e-5, 5e-6])


def test_resetting_makes_the_last_layer_the_identity_and_leaves_the_rest(few, monkeypatch):
    config = RunConfig(**DEADLY | {"loc_lr_factor": 0.5}, recovery="reset")
    seen = validations_that_see_black({2}, monkeypatch)
    rates, starts, history, _ = rates_of(config, few, monkeypatch)
    assert [row.get("recovered", False) for row in history] == [False, True, False, False, False]
    last = "transformer.localisation.theta."
    assert seen[1][f"{last}weight"].any() and not starts[2][f"{last}weight"].any()
    assert starts[2][f"{last}bias"].tolist() == [1, 0, 0, 0, 1, 0]
    rest = {name: value for name, value in seen[1].items() if not name.startswith(last)}
    assert equal(rest, starts[2])
    assert [loc for _, loc in rates] == [5e-4] * 5


def test_without_recovery_a_black_epoch_is_left_as_it_is(few, monkeypatch):
    config = RunConfig(**DEADLY | {"loc_lr_factor": 0.5})
    seen = validations_that_see_black({2}, monkeypatch)
    _, starts, history, _ = rates_of(config, few, monkeypatch)
    assert equal(seen[1], starts[2]) and not any("recovered" in row for row in history)


@pytest.mark.parametrize(("black", "recovers"), [(0.49, False), (0.5, True), (1.0, True)])
@pytest.mark.parametrize("kind", ["rollback", "reset"])
def test_an_epoch_is_black_from_one_half_of_the_outputs_on(few, kind, black, recovers):
    config = RunConfig(**DEADLY | {"loc_lr_factor": 0.5}, recovery=kind)
    training = Training(config, few)
    before = training.state()
    training.epoch()
    after = {name: value.clone() for name, value in training.model.state_dict().items()}
    assert recovery.recover(training, before, {"black": black}) == recovers
    assert equal(training.model.state_dict(), after) != recovers
    assert training.taken == training.steps_per_epoch  # the epoch counts


def test_a_bounded_run_that_diverges_stops_and_says_so(few):
    config = RunConfig(data="digits", n_train=96, batch_size=40, epochs=9, lr=1e30, bound=1.0)
    network, _ = fresh(config, few)
    history = fit.fit(network, few, config, progress=False)
    assert fit.stopped(history) == "diverged" and len(history) < 9
