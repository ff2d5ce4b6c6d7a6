"""CollapseMonitor on the transformers that people write, against what they did."""

import copy
import inspect
import json
import math
import re
import textwrap
import warnings
import weakref
from pathlib import Path

import matplotlib.figure
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stnlib.diagnostics import (
    CollapseError,
    CollapseMonitor,
    CollapseWarning,
    Criteria,
    Trace,
    coverage,
    grid_coverage,
    object_coverage,
    report_sampling,
)
from stnlib.models import SpatialTransformer
from stnlib.sampler import sample_clipped
from stnlib.transforms import FAMILIES, NonFiniteError, bounded

IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
SIZE = 12


class Tutorial(nn.Module):
    """In the manner of PyTorch's STN tutorial, smaller."""

    def __init__(self, dropout=0.5):
        super().__init__()
        self.localization = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.ReLU())
        self.fc_loc = nn.Sequential(nn.Linear(4 * 4 * 4, 8), nn.ReLU(), nn.Linear(8, 6))
        self.fc_loc[2].weight.data.zero_()
        self.fc_loc[2].bias.data.copy_(torch.tensor(IDENTITY))
        self.fc1 = nn.Linear(SIZE * SIZE, 16)
        self.drop = nn.Dropout(dropout)
        self.fc2 = nn.Linear(16, 10)

    def theta(self, x):
        return self.fc_loc(self.localization(x).flatten(1)).view(-1, 2, 3)

    def stn(self, x):
        grid = F.affine_grid(self.theta(x), list(x.size()), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)

    def forward(self, x):
        return self.fc2(self.drop(F.relu(self.fc1(self.stn(x).flatten(1)))))


class Tanh(Tutorial):
    """With θ bounded by a tanh, as forum answers have it."""

    def theta(self, x):
        return torch.tanh(super().theta(x)) * 1.2


class Handmade(Tutorial):
    """With a grid of its own making."""

    def stn(self, x):
        axis = torch.linspace(-1, 1, SIZE)
        y, x_ = torch.meshgrid(axis, axis, indexing="ij")
        base = torch.stack([x_, y, torch.ones_like(y)], dim=-1).view(-1, 3)
        grid = (base @ self.theta(x).mT).view(len(x), SIZE, SIZE, 2)
        return F.grid_sample(x, grid, align_corners=True)


class Scripted(nn.Module):
    """A transformer whose θ the test sets."""

    def __init__(self, theta=IDENTITY):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))

    def forward(self, x):
        theta = self.theta.view(1, 2, 3).expand(len(x), 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=True)
        return F.grid_sample(x, grid, align_corners=True)

    def put(self, *theta):
        self.theta.data = torch.tensor([float(v) for v in theta])


def ours(transform="affine", sampler="bilinear"):
    """This study's transformer before a linear classifier."""
    family = transform if isinstance(transform, str) else "affine"
    localisation = nn.Sequential(
        nn.Flatten(), nn.Linear(SIZE * SIZE, 8), nn.ReLU(), nn.Linear(8, theta_size(transform))
    )
    localisation[3].weight.data.mul_(0.1)
    neutral = FAMILIES[family].identity()
    localisation[3].bias.data.copy_(neutral)
    transformer = SpatialTransformer(localisation, family, sampler=sampler)
    if family is not transform:
        transformer.family = transform
    return nn.Sequential(transformer, nn.Flatten(), nn.Linear(SIZE * SIZE, 10))


def ours_bounded():
    model = ours()
    model[0].localisation.append(nn.Tanh())
    return model


def theta_size(transform):
    return (FAMILIES[transform] if isinstance(transform, str) else transform).n_parameters


MODELS = {
    "tutorial": Tutorial,
    "tanh": Tanh,
    "handmade grid": Handmade,
    "ours": ours,
    "ours, clipped as in Keras": lambda: ours(sampler="clipped"),
    "ours, bounded": lambda: ours(bounded(FAMILIES["affine"], 0.5)),
    "ours, similarity": lambda: ours("similarity"),
    "ours, projective": lambda: ours("projective"),
    "ours, splines": lambda: ours("tps"),
    "ours, tanh": ours_bounded,
}


def batch(seed=0, n=6):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, SIZE, SIZE, generator=generator)
    return images, torch.randint(0, 10, (n,), generator=generator)


def make(kind, seed=0):
    torch.manual_seed(seed)
    return MODELS[kind]()


def train(model, steps, monitor=None, lr=1e-3, optimizer=None, start=0):
    """A plain loop; returns the losses."""
    optimizer = optimizer or (monitor and monitor.optimizer)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr)
    losses = []
    for step in range(start, start + steps):
        images, labels = batch(step)
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if monitor:
            monitor.step(loss)
        losses.append(loss.item())
    return losses


def act_out(model, script, monitor):
    """Steps of a `Scripted` model through θ after θ."""
    for theta in script:
        model.put(*theta)
        model.zero_grad()
        model(batch()[0]).square().sum().backward()
        monitor.step()


def silently(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        return function(*args, **kwargs)


# Attaching


def test_the_example_of_the_docstring_runs_as_written():
    doc = inspect.getdoc(CollapseMonitor)
    start = doc.index("    monitor = ")
    code = textwrap.dedent(doc[start : doc.index("\n\n", start)])
    model = make("tutorial")
    names = {
        "model": model,
        "optimizer": torch.optim.Adam(model.parameters()),
        "loader": [batch(i) for i in range(9)],
        "F": F,
        "CollapseMonitor": CollapseMonitor,
    }
    exec(code, names)
    assert len(names["monitor"].trace) == 3  # at every fourth step while θ hardly moves
    assert sum("monitor" in line for line in code.splitlines()) == 2


@pytest.mark.parametrize("kind", MODELS)
def test_watching_changes_no_weight_and_no_random_number(kind):
    alone, watched = make(kind), make(kind)
    torch.manual_seed(1)
    train(alone, 4)
    after = torch.rand(1)
    torch.manual_seed(1)
    with CollapseMonitor(watched, every=1) as monitor:
        train(watched, 4, monitor)
    assert torch.equal(torch.rand(1), after)
    for a, b in zip(alone.parameters(), watched.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", MODELS)
def test_every_kind_of_transformer_is_measured(kind):
    model = make(kind)
    with CollapseMonitor(model, torch.optim.Adam(model.parameters()), every=1) as monitor:
        losses = train(model, 3, monitor)
    columns = monitor.trace.columns
    assert columns["loss"] == pytest.approx(losses)
    missing = {name for name, values in columns.items() if any(map(math.isnan, values))}
    assert missing <= {"object_coverage"}
    assert all(0.5 < value <= 1 for value in columns["coverage"])
    assert columns["black"] == [0, 0, 0] and columns["finite"] == [1, 1, 1]


def test_a_second_monitor_is_refused_until_the_first_is_detached():
    model = make("tutorial")
    first = CollapseMonitor(model, every=1)
    with pytest.raises(ValueError, match=r"^the model has a CollapseMonitor already: detach"):
        CollapseMonitor(model, every=1)
    first.detach()
    first.detach()
    CollapseMonitor(model, every=1).detach()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 10)),
        nn.Sequential(nn.Conv3d(1, 1, 1), nn.Flatten(), nn.Linear(SIZE * SIZE, 10)),
    ],
)
def test_a_model_without_a_sampler_is_refused_at_its_first_step(model):
    images, _ = batch()
    images = images if isinstance(model[0], nn.Flatten) else images[:, :, None]
    with CollapseMonitor(model, every=1) as monitor:
        model(images).sum().backward()
        with pytest.raises(ValueError) as caught:
            monitor.step()
    assert "has no spatial transformer" in str(caught.value) and "\n" not in str(caught.value)


def test_a_step_needs_a_forward_pass_with_gradients():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        with torch.no_grad():
            model(batch()[0])
        with pytest.raises(ValueError, match=r"^no forward pass with gradients was seen"):
            monitor.step()
        train(model, 1, monitor)
        with pytest.raises(ValueError, match="call step\\(\\) once"):
            monitor.step()


def test_an_evaluation_between_the_pass_and_the_step_is_not_seen():
    model = make("tutorial", seed=3)
    with CollapseMonitor(model, every=1) as monitor:
        images, labels = batch()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        with torch.no_grad():
            expected = coverage(model.theta(images)).mean().item()
            model(images * 0)
        monitor.step(loss)
    assert monitor.trace.columns["coverage"] == pytest.approx([expected])


def test_detaching_leaves_nothing_behind():
    model = make("ours")
    hooks = {m: (len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()}
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 2, monitor)
    assert hooks == {m: (len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()}


def test_an_error_in_the_forward_pass_leaves_nothing_switched_on():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        with pytest.raises(RuntimeError):
            model(torch.zeros(2, 1, 9, 9))
        assert not torch.overrides.has_torch_function((torch.zeros(1),))  # no mode is active
        train(model, 2, monitor)
    assert len(monitor.trace) == 2


def test_a_copied_model_goes_its_own_way():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 2, monitor)
        train(copy.deepcopy(model), 3)
        train(model, 1, monitor)
    assert len(monitor.trace) == 3


class Two(nn.Module):
    """Looks twice: first at all, then at a half."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Scripted(), Scripted([0.5, 0, 1, 0, 0.5, 0])

    def forward(self, x):
        return self.second(self.first(x))


def test_either_of_two_transformers_can_be_watched_or_both():
    model = Two()
    with CollapseMonitor(model, every=1) as a, CollapseMonitor(model, sampler=1, every=1) as b:
        model(batch()[0]).sum().backward()
        a.step()
        b.step()
    assert [a.trace.columns["coverage"], b.trace.columns["coverage"]] == [[1], [0.5]]
    with CollapseMonitor(model, sampler=2, every=1) as c:
        model(batch()[0]).sum().backward()
        with pytest.raises(ValueError, match="number 2 whose grid"):
            c.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_collapse": "panic"}, "on_collapse must be one of warn, lower, rollback, stop"),
        ({"lr_factor": 1}, "lr_factor must be a number > 0 and < 1, not 1"),
        ({"every": 0}, "every must be a whole number >= 1 or None, not 0"),
        ({"check_every": -1}, "check_every must be a whole number >= 1 or None, not -1"),
        ({"snapshot_every": 0}, "snapshot_every must be a whole number >= 1, not 0"),
    ],
)
def test_an_option_out_of_range_is_refused_and_nothing_attached(options, message):
    model = make("tutorial")
    with pytest.raises(ValueError) as caught:
        CollapseMonitor(model, **options)
    assert str(caught.value).startswith(message)
    CollapseMonitor(model, every=1).detach()


@pytest.mark.parametrize("wrong", ["adam", [], torch.optim.Adam])
def test_another_optimizer_that_is_none_is_refused_and_the_old_one_stays(wrong):
    model = make("tutorial")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = CollapseMonitor(model, optimizer)
    with pytest.raises(TypeError, match=r"^optimizer must be a torch.optim.Optimizer, not"):
        monitor.optimizer = wrong
    assert monitor.optimizer is optimizer


@pytest.mark.parametrize(
    "changed", [{"steps": -3}, {"steps": 1.5}, {"factor": 0}, {"factor": math.nan}, {"done": -1}]
)
def test_a_state_with_impossible_numbers_is_refused_and_nothing_changed(changed):
    monitor = CollapseMonitor(make("tutorial"))
    state = monitor.state_dict()
    part = state if "steps" in changed else state["actions"]
    part |= changed
    with pytest.raises(ValueError, match="state must be what state_dict"):
        monitor.load_state_dict(state)
    assert monitor.steps == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 0),
        ("window", 2.0),
        ("window", True),
        ("step", math.nan),
        ("step", "a"),
        ("coverage_drop", 2.0),
        ("black", 50),
        ("point", -1),
    ],
)
def test_criteria_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Criteria(**{name: value})


# What is recorded


@given(st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6))
@settings(max_examples=25, deadline=None)
def test_the_record_agrees_with_the_functions_on_theta(theta):
    model, mask = Scripted(theta), torch.eye(SIZE)
    points = {"mask": mask}
    with CollapseMonitor(model, seen_object=lambda: points, every=1) as monitor:
        silently(act_out, model, [theta], monitor)
    row = {name: values[0] for name, values in monitor.trace.columns.items()}
    flat = torch.tensor([theta])
    assert row["coverage"] == pytest.approx(coverage(flat).item(), abs=1e-6)
    assert row["object_coverage"] == pytest.approx(object_coverage(flat, mask=mask).item())
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)]) @ flat.view(2, 3).T
    sides = (corners.amax(0) - corners.amin(0)) / 2
    assert row["extent"] == pytest.approx(sides.max().item(), abs=1e-5)
    assert row["centre"] == pytest.approx(max(abs(theta[2]), abs(theta[5])), abs=1e-5)
    assert [row[f"theta_mean_{i}"] for i in range(6)] == pytest.approx(theta)


def test_a_handmade_grid_is_counted():
    model = make("handmade grid", seed=1)
    model.fc_loc[2].bias.data[:] = torch.tensor([1.5, 0.1, 0.3, 0.0, 1.2, 0.0])
    images, _ = batch()
    grid = FAMILIES["affine"].grid(model.theta(images).detach().flatten(1), (SIZE, SIZE))
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 1, monitor)
    assert monitor.trace.columns["coverage"] == pytest.approx([grid_coverage(grid).mean().item()])


@pytest.mark.parametrize("kind", ["tutorial", "ours", "ours, splines"])
def test_the_step_of_the_last_layer_is_what_the_optimiser_did_to_its_output(kind):
    model = make(kind)
    layer = model[0].localisation[3] if kind.startswith("ours") else model.fc_loc[2]
    seen = []
    layer.register_forward_hook(lambda _, args, output: seen.append((args[0], output)))
    with CollapseMonitor(model, torch.optim.Adam(model.parameters(), 1e-2), every=1) as monitor:
        train(model, 1, monitor)
    features, before = seen[0]
    change = (layer(features) - before).abs().amax(1)
    if kind == "ours, splines":  # the largest shift of a point
        grids = [model[0].family.grid(one, (16, 16)) for one in (layer(features), before)]
        change = (grids[0] - grids[1]).abs().flatten(1).amax(1)
    phi = features.abs().sum(1)
    row = {name: values[0] for name, values in monitor.trace.columns.items()}
    assert row["step"] == pytest.approx(change.mean().item(), rel=1e-3)
    assert row["phi"] == pytest.approx(phi.mean().item(), rel=1e-5)
    assert row["phi_max"] == pytest.approx(phi.max().item(), rel=1e-5)
    ratio = (change / (1 + phi)).mean().item() / 1e-2
    assert row["step_ratio"] == pytest.approx(ratio, rel=1e-3)
    assert 0 < ratio < (2 if kind == "ours, splines" else 1.01)


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("kind", ["tanh", "ours, tanh"])
def test_the_step_behind_a_tanh_is_that_of_theta_and_not_of_the_layer(kind, saturated):
    model = make(kind)
    ours = kind.startswith("ours")
    layer = model[0].localisation[3] if ours else model.fc_loc[2]
    layer.bias.data[:] = 2.5 if saturated else 0.5
    images, labels = batch()
    locate = model[0].localisation if ours else model.theta
    with CollapseMonitor(model, every=1) as monitor:
        before = locate(images)
        F.cross_entropy(model(images), labels).backward()
        layer.bias.data.add_(torch.linspace(-0.01, 0.01, 6))
        monitor.step()
    change = (locate(images) - before).flatten(1).abs().amax(1).mean().item()
    assert monitor.trace.row(-1)["step"] == pytest.approx(change, rel=0.03)
    assert change < 0.002 if saturated else change > 0.005


def test_what_lies_behind_the_layer_is_the_models_own_after_the_pass():
    """Looking at the slope leaves the graph to the backward pass, and holds on to none of it."""
    plain, watched = make("tanh"), make("tanh")
    images, labels = batch()
    with CollapseMonitor(watched, every=1) as monitor:
        for model in (plain, watched):
            torch.manual_seed(0)
            F.cross_entropy(model(images), labels).backward()
        gradients = zip(plain.parameters(), watched.parameters(), strict=True)
        assert all(torch.equal(one.grad, two.grad) for one, two in gradients)
        kept = []
        for layer in (watched.fc_loc[2], watched.fc1):  # before and behind the sampler
            layer.register_forward_hook(lambda _, args, output: kept.append(weakref.ref(output)))
        watched(images)
        assert [output() for output in kept] == [None, None]
        monitor.step()


def test_gradients_are_told_apart_by_what_theta_depends_on():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 1, monitor)
    parts = {True: [], False: []}
    for name, parameter in model.named_parameters():
        parts["loc" in name].append(parameter.grad.flatten())
    row = {name: values[0] for name, values in monitor.trace.columns.items()}
    assert row["loc_grad"] == pytest.approx(torch.cat(parts[True]).norm().item(), rel=1e-5)
    assert row["rest_grad"] == pytest.approx(torch.cat(parts[False]).norm().item(), rel=1e-5)


def test_gradients_that_are_not_there_have_no_norm():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        model(batch()[0])
        monitor.step()
        model.fc_loc[2].bias.grad = torch.tensor([3.0, 0, 0, 0, 4.0, 0])
        model(batch()[0])
        monitor.step()
    assert math.isnan(monitor.trace.columns["loc_grad"][0])
    assert monitor.trace.columns["loc_grad"][1] == 5
    assert all(map(math.isnan, monitor.trace.columns["rest_grad"]))


def test_a_theta_without_a_linear_layer_has_no_phi():
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor:
        act_out(model, [IDENTITY] * 2, monitor)
    assert all(map(math.isnan, monitor.trace.columns["phi"]))
    assert all(value > 0 for value in monitor.trace.columns["loc_grad"])


def test_a_frozen_transformer_is_watched_and_its_layer_found_when_it_thaws():
    model = make("tutorial")
    for module in (model.localization, model.fc_loc):
        module.requires_grad_(False)
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 2, monitor)
        model.fc_loc.requires_grad_(True)
        train(model, 2, monitor)
    phi = monitor.trace.columns["phi"]
    assert list(map(math.isnan, phi)) == [True, True, False, False]
    assert monitor.trace.columns["coverage"][0] == pytest.approx(1)


@pytest.mark.parametrize("kind", ["tutorial", "tanh", "ours", "ours, clipped as in Keras"])
def test_under_autocast_the_numbers_are_those_of_bfloat16(kind):
    model = make(kind)
    optimizer = torch.optim.Adam(model.parameters())
    with CollapseMonitor(model, optimizer, every=1) as monitor:
        for step in range(3):
            images, labels = batch(step)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    columns = monitor.trace.columns
    assert all(0.9 < value <= 1 for value in columns["coverage"][:1])
    assert all(math.isfinite(v) for name in ("phi", "step", "step_ratio") for v in columns[name])


def test_gradient_accumulation_records_its_last_pass():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        for seed in range(2):
            images, labels = batch(seed)
            F.cross_entropy(model(images), labels).backward()
        monitor.step()
    assert monitor.steps == 1 and len(monitor.trace) == 1


def test_looking_at_every_third_step_records_those():
    model = make("tutorial")
    with CollapseMonitor(model, every=3) as monitor:
        train(model, 7, monitor)
    assert monitor.trace.columns["step_number"] == [1, 4, 7]


def looked_at(**options):
    """The steps that were looked at of nine small ones, three large ones and nine small ones."""
    model = make("tutorial")
    optimizer = torch.optim.Adam(model.parameters(), 1e-5)
    with CollapseMonitor(model, optimizer, **options) as monitor, warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        for lr, steps in ((1e-5, 8), (0.02, 3), (1e-5, 9)):
            optimizer.param_groups[0]["lr"] = lr
            train(model, steps, monitor, optimizer=optimizer)
    return monitor.trace.columns["step_number"]


def test_every_step_is_looked_at_while_theta_moves_and_every_fourth_while_it_does_not():
    assert looked_at() == [1, 5, 9, 10, 11, 12, 16, 20]


@pytest.mark.parametrize(
    "options", [{"on_collapse": "rollback"}, {"check_every": 5}, {"every": 1}], ids=str
)
def test_every_step_is_looked_at_where_one_missed_would_cost_much(options):
    assert looked_at(**options) == [*range(1, 21)]


def test_every_step_is_looked_at_where_nobody_knows_how_far_theta_moves():
    model = make("tutorial")
    model.fc_loc.append(torch.nn.Dropout(0.1))  # whose calls cannot be made again
    with CollapseMonitor(model) as monitor, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        train(model, 6, monitor)
    assert len(monitor.trace) == 6


# torch.compile


@pytest.fixture
def compiled():
    """`torch.compile` without a C compiler, and without what PyTorch warns itself of."""

    def compile_(model):
        torch._dynamo.reset()
        return torch.compile(model, backend="eager")

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")
        yield compile_
    torch._dynamo.reset()


@pytest.mark.parametrize("kind", ["tutorial", "ours, clipped as in Keras"])
def test_a_compiled_model_is_probed(kind, compiled):
    model = make(kind)
    whole = compiled(model)
    with CollapseMonitor(whole, torch.optim.Adam(model.parameters()), every=2) as monitor:
        train(whole, 4, monitor)
    columns = monitor.trace.columns
    assert columns["step_number"] == [1, 3]
    assert all(0.9 < value <= 1 for value in columns["coverage"])
    assert all(math.isfinite(value) for value in columns["phi"])
    assert all(module.training for module in model.modules())


def test_a_probe_leaves_weights_and_random_numbers_alone(compiled):
    results = []
    for watched in (False, True):
        model = make("tutorial")
        whole = compiled(model)
        torch.manual_seed(1)
        monitor = CollapseMonitor(whole, every=1) if watched else None
        train(whole, 3, monitor)
        results.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*results)


def test_the_inside_of_a_compiled_model_is_refused_in_one_line(compiled):
    model = make("tutorial")
    whole = compiled(model)
    with CollapseMonitor(model, every=1) as monitor:
        whole(batch()[0]).sum().backward()
        with pytest.raises(ValueError, match="watch the module that is called"):
            monitor.step()
    model = make("tutorial")
    model.compile(backend="eager")
    with pytest.raises(ValueError, match=r"^a model compiled in place is opaque"):
        CollapseMonitor(model, every=1)


def test_a_compiled_classifier_behind_the_transformer_does_not_matter(compiled):
    model = make("ours")
    model[2] = compiled(model[2])
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 2, monitor)
    assert len(monitor.trace) == 2


# Warnings


def zoom(*scales):
    return [[s, 0, 0, 0, s, 0] for s in scales]


def shift(*shifts):
    return [[1, 0, t, 0, 1, 0] for t in shifts]


SCRIPTS = {
    "shrinking": zoom(*[1] * 5, *[1 + 0.1 * i for i in range(20)]),
    "leaving": shift(*[0] * 5, *[0.1 * i for i in range(20)]),
}


@pytest.mark.parametrize("kind", SCRIPTS)
def test_a_slow_collapse_is_called_by_its_name_once_and_before_it_is_over(kind):
    model = Scripted()
    with (
        CollapseMonitor(model, every=1) as monitor,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        act_out(model, SCRIPTS[kind], monitor)
        act_out(model, SCRIPTS[kind][-1:] * 9, monitor)
    (warning,) = caught
    text = str(warning.message)
    assert warning.category is CollapseWarning and warning.filename == __file__
    assert monitor.collapse.kind == kind and text.startswith(monitor.collapse.message)
    assert 0.3 < monitor.collapse.numbers["coverage"] < 0.5
    for words in ("coverage 0.4", f"step {monitor.collapse.step}:"):
        assert words in monitor.collapse.message
    assert "\n" not in monitor.collapse.message


def test_a_view_that_loses_only_the_object_is_reported():
    model, mask = Scripted(), torch.zeros(SIZE, SIZE)
    mask[:, -3:] = 1
    left_half = [0.5, 0, -0.5, 0, 1, 0]
    with (
        CollapseMonitor(model, seen_object=lambda: {"mask": mask}, every=1) as monitor,
        pytest.warns(CollapseWarning, match="loses the object"),
    ):
        act_out(model, [IDENTITY] * 5 + [left_half] * 5, monitor)
    assert monitor.collapse.kind == "shrinking" and monitor.collapse.numbers["coverage"] == 1


def test_black_outputs_are_reported_though_the_view_is_inside():
    images = torch.zeros(2, 1, SIZE, SIZE)
    images[..., 0, 0] = 1
    model = Scripted([0.5, 0, 0, 0, 0.5, 0])
    with (
        CollapseMonitor(model, every=1) as monitor,
        pytest.warns(CollapseWarning, match="are black"),
    ):
        for _ in range(6):
            model(images).sum().backward()
            monitor.step()
    assert monitor.collapse.kind == "black"


def test_a_theta_that_jumps_about_is_reported_while_coverage_is_whole():
    model = make("tutorial")
    model.fc_loc[2].bias.data[:] = torch.tensor([0.1, 0, 0, 0, 0.1, 0])  # sees a tenth: room
    with (
        CollapseMonitor(model, criteria=Criteria(step=0.01), every=1) as monitor,
        pytest.warns(CollapseWarning, match=r"θ moves by 0\.\d+ a step"),
    ):
        train(model, 3, monitor, lr=1e-2)
    assert monitor.collapse.kind == "runaway" and monitor.collapse.numbers["coverage"] == 1


def test_a_view_that_zooms_in_to_a_point_is_reported():
    """A flat colour is all that is seen; coverage is whole, and nothing is black."""
    model = Scripted()
    with (
        CollapseMonitor(model, every=1) as monitor,
        pytest.warns(CollapseWarning, match="every output is one flat colour"),
    ):
        act_out(model, zoom(1, 1, 1, *[0.0003] * 4), monitor)
    assert monitor.collapse.kind == "point"
    assert monitor.collapse.numbers["coverage"] == 1 and monitor.collapse.numbers["black"] == 0


@pytest.mark.parametrize("kind", ["ours", "ours, clipped as in Keras", "ours, splines", "tutorial"])
def test_every_kind_of_transformer_can_be_seen_to_zoom_in_to_a_point(kind):
    model = make(kind)
    layer = model.fc_loc[2] if kind == "tutorial" else model[0].localisation[3]
    layer.weight.data.zero_()
    if kind == "ours, splines":
        y, x = torch.meshgrid(torch.linspace(1, -1, 4), torch.linspace(1, -1, 4), indexing="ij")
        layer.bias.data.copy_(torch.stack([x, y], dim=-1).flatten())  # every point to the centre
    else:
        layer.bias.data.zero_()
    with CollapseMonitor(model, every=1) as monitor:
        silently(train, model, 3, monitor, lr=1e-6)
    assert monitor.collapse.kind == "point"


def test_a_sampler_of_ones_own_is_seen_to_zoom_in_to_a_point_if_it_tells_the_images():
    class Own(Scripted):
        def forward(self, x):
            grid = F.affine_grid(self.theta.view(1, 2, 3).expand(len(x), 2, 3), x.shape)
            return report_sampling(grid, sample_clipped(x, grid), *([x] if self.tells else ()))

    kinds = []
    for tells in (True, False):
        model = Own()
        model.tells = tells
        with CollapseMonitor(model, every=1) as monitor, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Default grid_sample and affine_grid")
            silently(act_out, model, zoom(*[0.0003] * 3), monitor)
        kinds.append(monitor.collapse and monitor.collapse.kind)
    assert kinds == ["point", None]


@pytest.mark.parametrize("pixels", [1.01, 2, 6])
def test_magnification_is_left_in_peace_down_to_one_pixel_of_the_input(pixels):
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor:
        act_out(model, zoom(*[pixels / SIZE] * 5), monitor)
    assert monitor.collapse is None
    assert monitor.trace.columns["extent_pixels"] == pytest.approx([pixels] * 5)


def test_a_point_is_counted_in_the_pixels_of_the_side_that_has_more():
    """A line one pixel high and four wide shows something."""
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor:
        for _ in range(4):
            model.put(0.1, 0, 0, 0, 0.1, 0)
            model(torch.rand(2, 1, 8, 40)).sum().backward()
            monitor.step()
    assert monitor.collapse is None
    assert monitor.trace.columns["extent_pixels"] == pytest.approx([4] * 4)


# What the book publishes


def test_the_limits_are_those_that_the_book_publishes():
    assert Criteria() == Criteria(window=3, coverage_drop=0.5, black=0.5, step=0.1, point=1.0)


@pytest.mark.parametrize(
    ("theta", "share_black", "step", "kind"),
    [
        ([0.5, 0, 0, 0, 0.5, 0], 0.4, 0, None),
        ([0.5, 0, 0, 0, 0.5, 0], 0.5, 0, None),
        ([0.5, 0, 0, 0, 0.5, 0], 0.6, 0, "black"),
        (IDENTITY, 0, 0.09, None),
        (IDENTITY, 0, 0.11, "runaway"),
        ([1, 0, 0.98, 0, 1, 0], 0, 0, None),  # coverage 0.51
        ([1, 0, 1.02, 0, 1, 0], 0, 0, "leaving"),
        ([1.4, 0, 0, 0, 1.4, 0], 0, 0, None),
        ([1.42, 0, 0, 0, 1.42, 0], 0, 0, "shrinking"),
        ([0.99 / SIZE, 0, 0, 0, 0.99 / SIZE, 0], 0, 0, "point"),
    ],
)
def test_a_limit_is_where_the_book_says_it_is(theta, share_black, step, kind):
    """On a transformer that has seen the whole image before, with θ, black and step as given."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.loc = nn.Linear(1, 6)
            self.loc.weight.data.zero_()
            self.loc.bias.data.copy_(torch.tensor(IDENTITY))

        def forward(self, x):
            theta = self.loc(torch.ones(len(x), 1)).view(-1, 2, 3)
            return F.grid_sample(x, F.affine_grid(theta, x.shape, False), align_corners=False)

    model, images = Layer(), torch.ones(10, 1, SIZE, SIZE)
    with CollapseMonitor(model, every=1) as monitor:
        for number in range(6):
            if number == 3:
                model.loc.bias.data.copy_(torch.tensor([float(v) for v in theta]))
                images[: round(10 * share_black)] = 0  # but for a corner out of view
                images[:, :, 0, 0] = 1
            model(images).sum().backward()
            moved = step if number >= 3 else 0
            model.loc.bias.data[1] += moved
            silently(monitor.step)
            model.loc.bias.data[1] -= moved
    assert (monitor.collapse and monitor.collapse.kind) == kind
    if kind:
        assert 4 <= monitor.collapse.step <= 6


def test_one_look_alone_is_no_collapse_where_three_are():
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor:
        act_out(model, [IDENTITY] * 3 + zoom(1.5) + [IDENTITY] * 3, monitor)
        assert monitor.collapse is None
        silently(act_out, model, zoom(*[1.5] * 3), monitor)
    assert monitor.collapse.step == 10


# Advice


def advised(text):
    """The lines of code in a warning."""
    return textwrap.dedent("\n".join(line for line in text.splitlines() if line[:4] == "    "))


@pytest.mark.parametrize("kind", ["tutorial", "handmade grid", "ours", "ours, splines"])
def test_the_code_that_a_warning_prints_runs_and_lowers_the_rate_of_all_before_that_of_theta(kind):
    model = make(kind)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    with (
        CollapseMonitor(model, optimizer, criteria=Criteria(step=1e-30), every=1) as monitor,
        pytest.warns(CollapseWarning) as caught,
    ):
        train(model, 1, monitor, optimizer=optimizer)
    first, then = str(caught[0].message).split("Only where that is not enough")
    names = {"torch": torch, "model": model, "lr": 1e-3, "CollapseMonitor": CollapseMonitor}
    exec(advised(first), names)
    (group,) = names["optimizer"].param_groups
    assert {*map(id, group["params"])} == {*map(id, model.parameters())}
    assert group["lr"] == pytest.approx(1e-3 / 3)
    exec(advised(then), names)
    rates = {id(p): g["lr"] for g in names["optimizer"].param_groups for p in g["params"]}
    scheduled = names["warmup"].base_lrs
    for name, parameter in model.named_parameters():
        mine = "loc" in name
        assert scheduled[mine] == pytest.approx(1e-4 if mine else 1e-3 / 3)
        assert rates[id(parameter)] == pytest.approx(scheduled[mine] * 1e-3)
    with names["monitor"] as monitor:  # of the last line
        train(model, 2, monitor, optimizer=names["optimizer"])


def test_a_parameter_whose_name_begins_like_anothers_is_told_from_it():
    class Near(Scripted):
        def __init__(self):
            super().__init__()
            self.theta_rest = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return super().forward(x) * self.theta_rest

    model = Near()
    with CollapseMonitor(model, every=1) as monitor, pytest.warns(CollapseWarning) as caught:
        act_out(model, zoom(1, 9, 9, 9), monitor)
    names = {"torch": torch, "model": model, "lr": 1e-3, "CollapseMonitor": CollapseMonitor}
    names["optimizer"] = torch.optim.SGD(model.parameters(), 1e-3)
    exec(advised(str(caught[0].message)), names)
    groups = [group["params"] for group in names["optimizer"].param_groups]
    assert [[id(p) for p in g] for g in groups] == [[id(model.theta_rest)], [id(model.theta)]]


@pytest.mark.parametrize("action", ["warn", "lower", "rollback"])
def test_a_warning_names_the_rollback_unless_it_is_one(action):
    model = Scripted()
    with (
        CollapseMonitor(model, on_collapse=action, every=1) as monitor,
        pytest.warns(CollapseWarning) as caught,
    ):
        act_out(model, zoom(1, 9, 9, 9), monitor)
    assert ('on_collapse="rollback"' in str(caught[0].message)) == (action != "rollback")


def test_a_warning_names_pages_by_titles_that_the_book_has():
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor, pytest.warns(CollapseWarning) as caught:
        act_out(model, zoom(1, 9, 9, 9), monitor)
    text, book = str(caught[0].message), Path(__file__).parents[2] / "book"
    *pages, title = re.findall(r'"([^"]+)"', text.splitlines()[-1])
    titles = {
        "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
        for path in book.rglob("*.ipynb")
    }
    titles |= {path.read_text(encoding="utf-8").splitlines()[0] for path in book.glob("*.md")}
    assert len(pages) == 2 and {f"# {page}" for page in pages} <= titles
    assert title in (book.parent / "README.md").read_text(encoding="utf-8")
    assert ".ipynb" not in text and "stnlib" not in text


def test_a_collapse_at_the_first_step_is_told_without_code_that_could_not_run():
    model = make("tutorial")
    model.fc_loc[2].bias.data[2] = math.nan
    model.fc_loc.requires_grad_(False)
    model.localization.requires_grad_(False)
    with CollapseMonitor(model, every=1) as monitor, pytest.warns(CollapseWarning) as caught:
        train(model, 1, monitor)
    code = advised(str(caught[0].message))
    names = {"torch": torch, "model": model, "lr": 1e-3, "CollapseMonitor": CollapseMonitor}
    exec(code, names)
    names["monitor"].detach()


def test_features_that_are_all_zero_make_a_transformer_blind():
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        torch.nn.init.normal_(model.fc_loc[2].weight, std=0.02)
        train(model, 3, monitor)
        assert monitor.trace.columns["corner_spread"][-1] > 0.01
        model.fc_loc[0].bias.data[:] = -1e3
        train(model, 2, monitor)
        assert monitor.collapse is None  # two steps may be an accident, three are a state
        with pytest.warns(CollapseWarning, match="θ is the same for every image"):
            train(model, 1, monitor)
    assert monitor.collapse.kind == "blind" and monitor.collapse.step == 6
    assert monitor.collapse.numbers["phi"] == 0 and monitor.collapse.numbers["coverage"] > 0.9


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("kind", ["tutorial", "handmade grid"])
def test_theta_that_is_not_finite_is_reported_and_training_goes_on(kind, value):
    model = make(kind)
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 1, monitor)
        model.fc_loc[2].bias.data[2] = value
        with pytest.warns(CollapseWarning, match="θ is not finite for 100% of the images"):
            train(model, 1, monitor)
        train(model, 1, monitor)
    assert monitor.collapse.kind == "nan" and monitor.trace.columns["coverage"][1] == 0


@pytest.mark.parametrize("sampler", ["bilinear", "clipped"])
def test_where_the_model_itself_refuses_nan_the_reason_is_said_before(sampler):
    model = ours(sampler=sampler)
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 1, monitor)
        model[0].localisation[3].bias.data[2] = math.nan
        with pytest.warns(CollapseWarning, match="θ is not finite"), pytest.raises(NonFiniteError):
            train(model, 1, monitor)
    assert monitor.collapse.step == 2


def test_an_error_while_a_window_is_awaited_is_the_models_own_and_nothing_else():
    model = ours()
    everything = Criteria(step=1e-30)  # is a collapse
    with CollapseMonitor(model, on_collapse="lower", criteria=everything) as monitor:
        with pytest.warns(CollapseWarning, match="θ moves by"):
            train(model, 1, monitor)
        model[0].localisation[3].bias.data[2] = math.nan
        with pytest.raises(NonFiniteError):
            train(model, 1, monitor)


def test_rows_kept_on_the_device_are_judged_in_blocks():
    model = Scripted()
    with CollapseMonitor(model, check_every=10) as monitor, pytest.warns(CollapseWarning):
        act_out(model, zoom(*[1] * 5, *[4] * 5), monitor)
    assert monitor.steps == 10 and monitor.collapse.step == 7  # mean of three below a half


def test_a_healthy_training_is_left_in_peace():
    model = make("tutorial")
    with CollapseMonitor(model, torch.optim.Adam(model.parameters()), every=1) as monitor:
        train(model, 20, monitor)
    assert monitor.collapse is None and monitor.trace.events == []


# Actions


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW"])
def test_lowering_is_what_a_lower_rate_does(optimizer):
    def make_optimizer(model, factor):
        slow = [p for n, p in model.named_parameters() if "loc" in n]
        fast = [p for n, p in model.named_parameters() if "loc" not in n]
        options = {"SGD": {"momentum": 0.9}}.get(optimizer, {})
        groups = [{"params": slow, "lr": 1e-3 * factor}, {"params": fast}]
        return getattr(torch.optim, optimizer)(groups, lr=1e-3, **options)

    models = [Tutorial(dropout=0) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (make_optimizer(model, 1) for model in models)
    options = {"on_collapse": "lower", "lr_factor": 0.25}
    everything = Criteria(window=1, step=1e-30)  # is a collapse
    with CollapseMonitor(models[0], criteria=everything, **options) as monitor:
        with pytest.warns(CollapseWarning, match="steps × 0.25"):
            train(models[0], 1, monitor, optimizer=first)
        lowered = monitor.state_dict()
    train(models[1], 1, optimizer=second)
    with CollapseMonitor(models[0], **options) as monitor:  # to which no more is one
        monitor.load_state_dict(lowered)
        train(models[0], 5, monitor, optimizer=first, start=1)
        for group, factor in zip(second.param_groups, (0.25, 1), strict=True):
            group["lr"] *= factor
        train(models[1], 5, optimizer=second, start=1)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_at_most_three_actions_are_taken_and_each_is_announced():
    model = make("tutorial")
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    model.fc_loc[2].bias.data[2] = 9.0
    with (
        CollapseMonitor(model, optimizer, on_collapse="lower", every=1) as monitor,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        train(model, 20, monitor, optimizer=optimizer)
    assert [step for step, _ in monitor.trace.events] == [1, 4, 7]  # a window lies between
    factors = [re.search(r"steps × ([\d.]+)\.\n", str(w.message))[1] for w in caught]
    assert factors == ["0.1", "0.01", "0.001"]


def test_a_rollback_brings_back_weights_and_optimiser_of_the_older_snapshot():
    model = make("tutorial")
    optimizer = torch.optim.Adam(model.parameters())
    monitor = CollapseMonitor(model, optimizer, on_collapse="rollback", snapshot_every=4)
    states = {0: None}
    for step in range(1, 11):
        train(model, 1, monitor, optimizer=optimizer, start=step)
        states[step] = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    model.fc_loc[2].bias.data[2] = math.nan
    with pytest.warns(CollapseWarning, match="Done: back to step 4, the localisation network"):
        train(model, 1, monitor, optimizer=optimizer)
    assert_state(model, optimizer, states[4])
    train(model, 3, monitor, optimizer=optimizer)  # which must not reach what is kept
    model.fc_loc[2].bias.data[2] = math.nan
    with pytest.warns(CollapseWarning, match="Done: back to step 4, the localisation network"):
        train(model, 1, monitor, optimizer=optimizer)
    assert_state(model, optimizer, states[4])
    monitor.detach()


def assert_state(model, optimizer, expected):
    weights, moments = expected
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            assert torch.equal(value, moments["state"][index][name])


def test_stop_raises_with_the_message_of_the_warning():
    model = Scripted()
    with (
        CollapseMonitor(model, on_collapse="stop", every=1) as monitor,
        pytest.warns(CollapseWarning) as caught,
        pytest.raises(CollapseError) as stopped,
    ):
        act_out(model, SCRIPTS["leaving"], monitor)
    assert str(stopped.value) == monitor.collapse.message
    assert str(caught[0].message).startswith(f"{monitor.collapse.message}\n")


# Keeping


def test_saved_and_reloaded_in_the_middle_a_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole, parts = Scripted(), Scripted()
    script = [theta for theta in SCRIPTS["shrinking"] for _ in (0, 1)]
    with CollapseMonitor(whole, on_collapse="lower", every=1) as expected:
        for theta in script:
            silently(act_out, whole, [theta], expected)
    with CollapseMonitor(parts, on_collapse="lower", every=1) as monitor:
        for i, theta in enumerate(script):
            if i in (12, 37):  # before and after the collapse is found
                torch.save(monitor.state_dict(), tmp_path / "monitor.pt")
                monitor.detach()
                parts = copy.deepcopy(Scripted(parts.theta.tolist()))
                monitor = CollapseMonitor(parts, on_collapse="lower", every=1)
                monitor.load_state_dict(torch.load(tmp_path / "monitor.pt", weights_only=True))
            silently(act_out, parts, [theta], monitor)
    assert monitor.trace.columns.keys() == expected.trace.columns.keys()
    for name, values in expected.trace.columns.items():
        assert monitor.trace.columns[name] == pytest.approx(values, nan_ok=True)
    assert monitor.trace.events == expected.trace.events != []
    assert monitor.collapse == expected.collapse and monitor.steps == len(script)


def test_a_trace_is_saved_and_loaded_whole(tmp_path):
    model = make("tutorial")
    with CollapseMonitor(model, every=1) as monitor:
        train(model, 3, monitor)
        model.fc_loc[2].bias.data[2] = math.nan
        silently(train, model, 1, monitor)
    monitor.save(tmp_path / "trace.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["trace.npz"]
    loaded = Trace.load(tmp_path / "trace.npz")
    assert loaded.events == monitor.trace.events == [(4, "nan")]
    for name, values in monitor.trace.columns.items():
        assert loaded.columns[name] == pytest.approx(values, nan_ok=True)


def test_a_frame_has_a_row_for_each_look():
    model = make("tutorial")
    with CollapseMonitor(model, every=2) as monitor:
        losses = train(model, 5, monitor)
    frame = monitor.to_frame()
    assert frame.index.tolist() == [1, 3, 5] and frame.index.name == "step_number"
    assert frame["loss"].tolist() == pytest.approx(losses[::2])


def test_a_plot_shows_what_was_recorded_and_marks_the_collapse():
    model = Scripted()
    with CollapseMonitor(model, every=1) as monitor:
        assert isinstance(monitor.plot(), matplotlib.figure.Figure)
        silently(act_out, model, SCRIPTS["shrinking"], monitor)
    figure = monitor.plot()
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert list(drawn["coverage"]) == monitor.trace.columns["coverage"]
    assert any(text.get_text() == "shrinking" for text in figure.axes[0].texts)
    figure.canvas.draw()


def test_the_clipped_sampler_alone_cannot_be_seen():
    class Alone(nn.Module):
        def forward(self, x):
            return sample_clipped(x, FAMILIES["affine"].grid(torch.tensor([IDENTITY]), (5, 5)))

    images = torch.rand(1, 1, 5, 5, requires_grad=True)
    with CollapseMonitor(model := Alone(), every=1) as monitor:
        model(images).sum().backward()
        with pytest.raises(ValueError, match="no spatial transformer"):
            monitor.step()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_in_another_number_format_with_a_grid_of_its_own_is_watched(dtype):
    class Own(Tutorial):
        def stn(self, x):
            grid = F.affine_grid(self.theta(x), list(x.size()), align_corners=False)
            return F.grid_sample(x, grid * 1.0, align_corners=False)

    model = Own().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with CollapseMonitor(model, optimizer, every=1) as monitor:
        loss = model(torch.rand(4, 1, SIZE, SIZE, dtype=dtype)).square().mean()
        loss.backward()
        optimizer.step()
        monitor.step(loss)
    assert monitor.trace.row(-1)["coverage"] == pytest.approx(1, abs=0.01)


def test_a_monitor_that_has_seen_nothing_has_an_empty_frame():
    with CollapseMonitor(Tutorial(), every=1) as monitor:
        frame = monitor.to_frame()
    assert frame.empty and frame.index.name == "step_number"
