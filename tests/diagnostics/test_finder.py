"""What the finder of rates finds where the answer is known, and what it leaves alone."""

import copy
import dataclasses
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import stnlib
from stnlib import CollapseMonitor, find_rates
from stnlib.book.third_party.networks import Tutorial

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SIDE = 12


class Net(nn.Module):
    """A transformer whose features are multiplied by `scale`, so that Adam's steps are, too."""

    def __init__(self, scale=1.0, dropout=0.0):
        super().__init__()
        self.scale = scale
        self.look = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 16), nn.ReLU())
        self.theta = nn.Linear(16, 6)
        nn.init.zeros_(self.theta.weight)
        self.theta.bias.data.copy_(torch.tensor(IDENTITY))
        self.read = nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(SIDE**2, 4))

    def forward(self, images):
        theta = self.theta(self.scale * self.look(images)).view(-1, 2, 3)
        grid = F.affine_grid(theta, images.shape, align_corners=False)
        return self.read(F.grid_sample(images, grid, align_corners=False))


def made(scale=1.0, **options):
    torch.manual_seed(0)
    return Net(scale, **options)


@pytest.fixture(scope="module")
def data():
    """A blob in one of four quarters, moved about; which quarter is the class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (256,), generator=generator)
    images = torch.zeros(256, 1, SIDE, SIDE)
    for image, label in zip(images, labels.tolist(), strict=True):
        y, x = torch.randint(3, (2,), generator=generator).tolist()
        y, x = y + 6 * (label // 2), x + 6 * (label % 2)
        image[0, y : y + 3, x : x + 3] = 1.0
    return TensorDataset(images, labels)


@pytest.fixture
def loader(data):
    return DataLoader(data, batch_size=32, shuffle=True)


def found(model, loader, steps=200, **options):
    return find_rates(model, loader, F.cross_entropy, steps, progress=False, **options)


def test_a_window_and_a_suggestion_within_it_are_found(loader):
    rates = found(made(), loader)
    low, high = rates.window
    assert low < high < rates.thrown
    assert low <= rates.loc_lr * 1.05 and rates.loc_lr <= high * 1.05
    assert rates.loc_lr_factor == rates.loc_lr / rates.lr
    assert rates.warmup == 10
    assert len({len(column) for column in rates.curve.values()}) == 1


def test_features_ten_times_as_large_are_thrown_out_at_a_lower_rate(loader):
    small, large = (found(made(scale), loader, sweep=100) for scale in (1.0, 10.0))
    assert large.thrown < small.thrown / 3


def test_a_longer_training_may_go_slower(loader):
    torch.manual_seed(1)
    short, long = (found(made(), DataLoader(loader.dataset, 32), n, sweep=60) for n in (100, 1000))
    assert long.travels == pytest.approx(short.travels / 10)
    assert (short.thrown, short.curve) == (long.thrown, long.curve)


def test_the_step_at_the_lowest_rate_is_what_adam_takes_by_its_definition(loader):
    """Its first step is the rate for each weight: an entry of θ moves by lr (1 + ‖φ‖₁)."""
    model = made()
    batches = list(loader)
    rates = found(model, batches)
    phi = model.look(batches[0][0]).abs().sum(dim=1)
    assert rates.curve["step"][0] == pytest.approx(1e-5 * (1 + phi.mean().item()), rel=0.02)


def test_a_transformer_that_is_not_trained_has_no_window(loader):
    model = made()
    for part in (model.look, model.theta):
        part.requires_grad_(False)
    rates = found(model, loader)
    assert rates.window is rates.lr is rates.loc_lr is rates.loc_lr_factor is None
    assert "There is no window" in str(rates)


def test_too_few_steps_leave_no_window(loader):
    rates = found(made(), loader, steps=1)
    assert rates.window is None
    assert "There is no window: in 1 steps θ travels far enough from" in str(rates)
    untested = dataclasses.replace(rates, thrown=None, curve={"rate": [1e-5, 1.0]})
    assert str(untested).endswith("the view is safe up to 1.")


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_nothing_of_the_caller_is_changed(data, kind):
    model = made(dropout=0.5).eval()
    optimizer = kind(model.parameters(), 0.1)
    loss = model(data.tensors[0][:8]).sum()
    loss.backward()
    optimizer.step()
    seen = []
    model.read.register_forward_hook(lambda *_: None)
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    loader = DataLoader(data, 32, shuffle=True, generator=torch.Generator().manual_seed(3))

    def state():
        parts = model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
        modes = [m.training for m in model.modules()]
        own = torch.get_rng_state(), loader.generator.get_state()
        return copy.deepcopy((*parts, hooks, modes, own, random.getstate(), np.random.get_state()))

    def alike(one, other):
        if isinstance(one, torch.Tensor | np.ndarray):
            return bool((one == other).all())
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
        if isinstance(one, list | tuple):
            return len(one) == len(other) and all(map(alike, one, other))
        return one == other

    before = state()
    first = found(model, loader, optimizer=optimizer)
    assert alike(before, state())
    assert not seen
    assert found(model, loader, optimizer=optimizer) == first  # the same random state
    CollapseMonitor(model, optimizer).detach()


def test_a_model_that_is_watched_may_be_tested(loader):
    model = made()
    with CollapseMonitor(model) as monitor:
        found(model, loader)
        assert not len(monitor.trace)
        assert monitor.collapse is None


def test_a_network_as_others_write_it_needs_no_names_of_ours():
    torch.manual_seed(0)
    batches = [(torch.rand(8, 1, 28, 28), torch.arange(8)) for _ in range(2)]
    rates = found(Tutorial(), batches, sweep=10)
    assert rates.curve["rate"][0] == 1e-5
    assert all(step >= 0 for step in rates.curve["step"])


def test_of_the_steps_of_the_training_half_are_taken_at_most(loader):
    assert len(found(made(), loader, steps=80).curve["rate"]) <= 40
    assert len(found(made(), loader, steps=10**6, sweep=12).curve["rate"]) <= 12


class Breaking(Net):
    """θ is not finite from the fourth pass on, and the grid's user says so, as `LocNet`'s does."""

    passes = 0

    def forward(self, images):
        self.passes += 1
        theta = self.theta(self.look(images)).view(-1, 2, 3) / (self.passes < 4)
        grid = F.affine_grid(theta, images.shape, align_corners=False)
        if not grid.isfinite().all():
            raise ArithmeticError("the grid is not finite")
        return self.read(F.grid_sample(images, grid, align_corners=False))


def test_a_theta_that_is_not_finite_ends_the_test(loader):
    rates = found(Breaking(), loader)
    assert len(rates.curve["rate"]) == 3
    assert rates.ended == "θ is not finite for 100% of the images"
    assert rates.window is None


def test_an_error_of_the_model_that_theta_does_not_explain_is_not_hidden(loader):
    class Other(Breaking):
        def forward(self, images):
            if self.passes == 3:
                raise ArithmeticError("something else")
            return super().forward(images)

    with pytest.raises(ArithmeticError, match="something else"):
        found(Other(), loader)


def test_a_loss_that_explodes_ends_the_test(loader):
    model, calls = made(), []

    def loss(logits, labels):
        calls.append(1)
        return F.cross_entropy(logits, labels) * (10 if len(calls) == 7 else 1)

    rates = find_rates(model, loader, loss, 100, progress=False)
    assert len(rates.curve["rate"]) == 7
    assert rates.ended.startswith("the loss exploded")
    assert rates.thrown == rates.curve["rate"][-1]


def test_it_says_in_words_and_in_a_picture_what_it_found(loader):
    rates = found(made(), loader)
    said = str(rates)
    assert f"{rates.lr:g} for the network, {rates.loc_lr:g} for the localisation network" in said
    assert "Window of the localisation network" in said
    loss, moves = rates.plot().axes
    assert loss.lines[0].get_ydata() == pytest.approx(rates.curve["loss"])
    assert moves.lines[-1].get_xdata()[0] == rates.loc_lr


def test_it_warns_of_optimisers_with_which_it_has_failed(loader):
    model = made()
    for kind, warned in ((torch.optim.AdamW, False), (torch.optim.SGD, True)):
        optimizer = kind(model.parameters(), 0.1)
        said = str(found(model, loader, optimizer=optimizer, sweep=10))
        assert (f"not with {kind.__name__}" in said) == warned


def test_the_bar_is_shown_if_it_is_asked_for(loader, capsys):
    find_rates(made(), loader, F.cross_entropy, 20, sweep=10)
    assert "range test" in capsys.readouterr().err
    found(made(), loader, 20, sweep=10)
    assert not capsys.readouterr().err


def other():
    return torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)


BAD = {
    "model must be": lambda net, data: found("net", data),
    "loader must be an iterable": lambda net, data: found(net, 3),
    "loss must be a function": lambda net, data: find_rates(net, data, "mse", 10),
    "steps must be a whole number >= 1": lambda net, data: found(net, data, 0),
    "sweep must be a whole number >= 10": lambda net, data: found(net, data, sweep=5),
    "optimizer must be a torch": lambda net, data: found(net, data, optimizer="adam"),
    "optimizer must have parameters": lambda net, data: found(net, data, optimizer=other()),
    "loader must give pairs": lambda net, data: found(net, [torch.rand(2, 1, SIDE, SIDE)]),
    "in each pass": lambda net, data: found(net, iter(list(data)[:2])),
    "batches of at least two images": lambda net, data: found(net, DataLoader(data.dataset, 1)),
    "model must have its shapes": lambda net, data: found(nn.LazyLinear(3), data),
    "loss must return": lambda net, data: find_rates(
        net, data, lambda out, labels: out, 10, progress=False
    ),
    "has no spatial transformer": lambda net, data: found(net.read, data),
    "allow copy.deepcopy": lambda net, data: found(held(net), data),
}


def held(net):
    net.seen = net.theta.weight * 1  # such as a θ that a model keeps from its last pass
    return net


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused_in_one_line(loader, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        BAD[message](made(), loader)
    assert "\n" not in str(caught.value)


def test_it_is_one_of_the_names_of_the_face():
    assert stnlib.find_rates is find_rates
