"""Transformers that are seen late, that fill with a colour, or that are the whole model."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from stnlib.diagnostics import CollapseMonitor, report_sampling
from stnlib.models import Filled, SpatialTransformer
from stnlib.sampler import sample, sample_native


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def localisation(shift=0.0):
    """From 8 × 8 images to θ, which begins as the identity, or shifted."""
    last = nn.Linear(64, 6)
    nn.init.normal_(last.weight, std=1e-3)
    last.bias.data.copy_(torch.tensor([1.0, 0, shift, 0, 1, 0]))
    return nn.Sequential(nn.Flatten(), last)


def warp(images, theta):
    grid = F.affine_grid(theta.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def trained(model, steps, **options):
    """A monitor after some steps of SGD, and what it warned of."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    monitor = CollapseMonitor(model, optimizer, **({"every": 1} | options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(steps):
            images = torch.rand(6, 1, 8, 8)
            loss = model(images).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    return monitor, [str(one.message) for one in caught]


def own(images, grid):
    return report_sampling(grid, sample(images, grid, align_corners=False), images)


def native(images, grid):
    return F.grid_sample(images, grid, align_corners=False)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is deprecated, and still written
    scripted = torch.jit.script(native)

SAMPLERS = {"grid_sample": native, "of one's own": own, "scripted": scripted}


class Later(nn.Module):
    """A hand-made sampler that runs from the third pass on, before or after one of ours."""

    def __init__(self, sampler, first):
        super().__init__()
        self.ours, self.loc = SpatialTransformer(localisation()), localisation(9.0)
        self.sampler, self.first, self.passes = sampler, first, 0

    def forward(self, images):
        self.passes += 1
        if self.first:
            return self.ours(images + self.made(images))
        return self.made(self.ours(images))

    def made(self, images):
        if self.passes < 3:
            return images
        theta = self.loc(images).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.sampler(images, grid)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_that_first_runs_later_gets_a_trace_and_a_warning_of_its_own(sampler, first):
    monitor, told = trained(Later(SAMPLERS[sampler], first), 15)
    ours, made = monitor.traces
    assert len(ours) == 15 and min(ours.columns["coverage"]) > 0.5
    assert len(made) >= 2 and max(made.columns["coverage"]) == 0
    assert made.events and not ours.events
    assert any(line.startswith("sampler 1: ") for line in told)


@pytest.mark.parametrize("method", [sample_native, sample])
@pytest.mark.parametrize("fill", [0.7, torch.tensor([0.3]), "mean"], ids=str)
def test_a_view_that_left_is_black_whatever_colour_is_shown_outside(fill, method):
    away = SpatialTransformer(localisation(9.0), sampler=Filled(fill, method))
    seeing = SpatialTransformer(localisation(), sampler=Filled(fill, method))
    for layer, share in ((away, 1), (seeing, 0)):
        monitor, told = trained(nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 3)), 2)
        assert monitor.trace.columns["black"] == [share] * 2
        assert any("are black" in line for line in told) == bool(share)


@pytest.mark.parametrize("sampler", ["bilinear", sample])
@pytest.mark.parametrize("family", ["affine", "tps"])
def test_a_transformer_that_is_the_model_is_watched_once(family, sampler):
    last = nn.Linear(64, 6 if family == "affine" else 32)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    if family == "affine":
        last.bias.data.copy_(torch.eye(2, 3).flatten())
    layer = SpatialTransformer(
        nn.Sequential(nn.Flatten(), last), family, sampler=sampler, align_corners=True
    )
    monitor, _ = trained(layer, 12)
    assert len(monitor.traces) == 1 and len(monitor.trace) == 12
    assert min(monitor.trace.columns["step"]) > 0
    assert not monitor._probe._stack._exit_callbacks


class Loop(nn.Module):
    """Looks several times with one localisation network, each time from where it was."""

    def __init__(self, apart):
        super().__init__()
        self.loc, self.apart = localisation(), apart

    def forward(self, images):
        total = torch.eye(3).expand(len(images), 3, 3)
        for _ in range(3):
            seen = warp(images, total[:, :2])
            move = F.pad(self.loc(seen).view(-1, 2, 3), (0, 0, 0, 1)) + torch.zeros(3, 3)
            move = move + torch.tensor([[0.0] * 3, [0.0] * 3, [0.0, 0.0, 1.0]])
            total = (total.detach() if self.apart else total) @ move
        return warp(images, total[:, :2])


@pytest.mark.parametrize("apart", [False, True])
def test_glimpses_from_where_the_last_was_have_a_trace_each_and_a_step(apart):
    monitor, _ = trained(Loop(apart), 12)
    assert len(monitor.traces) == 3
    for trace in monitor.traces:
        assert len(trace) == 12 and min(trace.columns["step"]) > 0


class Called(nn.Module):
    """A transformer whose weights are given for the pass."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(localisation(), nn.Identity())

    def forward(self, images):
        return warp(images, self.net(images))


def test_by_functional_call_the_models_own_parameters_are_what_theta_depends_on():
    model = Called()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    monitor = CollapseMonitor(model, optimizer, on_collapse="lower", every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(6):
            fast = {name: p * 1.0 for name, p in model.named_parameters()}
            loss = torch.func.functional_call(model, fast, (torch.rand(6, 1, 8, 8),)).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(-loss)
    assert monitor.trace.columns["loc_grad"][0] > 0
    assert monitor.trace.events
    assert all(any(p is q for q in model.parameters()) for p in monitor._actions.brake.parameters)
    assert len(monitor._actions.brake.parameters) == 2


def test_behind_a_reentrant_checkpoint_lower_holds_the_localisation_network():
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = localisation(9.0)

        def forward(self, images):
            images = images.clone().requires_grad_()
            return warp(images, checkpoint(self.loc, images, use_reentrant=True))

    model = Checkpointed()
    monitor, told = trained(model, 4, on_collapse="lower")
    assert [id(p) for p in monitor._actions.brake.parameters] == [*map(id, model.parameters())]
    assert any("Done" in line for line in told)


class Alone(nn.Module):
    """A hand-made transformer and nothing else."""

    def __init__(self):
        super().__init__()
        self.loc = localisation()

    def forward(self, images):
        return warp(images, self.loc(images))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("make", [Alone, lambda: SpatialTransformer(localisation())])
def test_a_model_in_a_checkpoint_trains_and_is_watched_once_a_step(make, reentrant):
    model = make()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    monitor, expected = CollapseMonitor(model, optimizer, every=1), []
    loc = model.loc if isinstance(model, Alone) else model.localisation
    for _ in range(12):
        images = torch.rand(6, 1, 8, 8, requires_grad=True)
        optimizer.zero_grad()
        checkpoint(model, images, use_reentrant=reentrant).square().mean().backward()
        before = loc(images)
        optimizer.step()
        monitor.step()
        expected.append((loc(images) - before).abs().amax(1).mean().item())
    assert monitor.trace.columns["step"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_step_of_a_transformer_in_a_checkpoint_is_measured(reentrant):
    class Inside(Alone):
        def forward(self, images):
            images = images.clone().requires_grad_()
            return checkpoint(super().forward, images, use_reentrant=reentrant)

    monitor, told = trained(Inside(), 12)
    assert min(monitor.trace.columns["step"]) > 0 and told == []


def test_glimpses_of_a_changing_number_have_a_step_each_and_no_line_that_it_has_none():
    class Some(Alone):
        passes = 0

        def forward(self, images):
            self.passes += 1
            for _ in range((2, 1, 3)[self.passes % 3]):
                images = warp(images, self.loc(images))
            return images

    monitor, told = trained(Some(), 31)
    assert told == [] and [len(trace) for trace in monitor.traces] == [31, 20, 10]
    for trace in monitor.traces:
        steps = torch.tensor(trace.columns["step"])
        assert steps.isfinite().sum() >= len(steps) - 2


def test_what_is_written_into_views_is_no_path_rather_than_a_wrong_one():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))

        def forward(self, images):
            theta = torch.eye(2, 3).repeat(len(images), 1, 1)
            theta[:, :, 2].copy_(self.loc(images))
            return warp(images, theta)

    monitor, told = trained(Written(), 12)
    assert torch.tensor(monitor.trace.columns["step"]).isnan().all()
    assert sum("cannot be measured" in line for line in told) == 1


def test_a_layer_put_in_place_of_another_is_found():
    model = nn.Sequential(SpatialTransformer(localisation(), sampler=sample), nn.Flatten())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer, every=1)
    for step in range(25):
        if step == 2:
            model[0] = copy.deepcopy(model[0])
            monitor.optimizer = optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        optimizer.zero_grad()
        model(torch.rand(6, 1, 8, 8)).square().mean().backward()
        optimizer.step()
        monitor.step()
    assert len(monitor.trace) > 10
