"""Forms of transformers that people write: a monitor leaves them as they are, and out of files."""

import copy
import io
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import CollapseMonitor, CollapseWarning


def identity(last):
    """A last layer that begins as the identity."""
    nn.init.zeros_(last.weight)
    last.bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    return last


def warp(images, theta):
    grid = F.affine_grid(theta.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


class Net(nn.Module):
    """A network of the usual form; others change a part of it."""

    def __init__(self):
        super().__init__()
        self.loc = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU())
        self.theta, self.out = identity(nn.Linear(12, 6)), nn.Linear(64, 3)

    def forward(self, images):
        return self.out(warp(images, self.theta(self.loc(images))).flatten(1))


class Spectral(Net):
    """A weight that is computed at each access, and moves a buffer."""

    def __init__(self, part):
        super().__init__()
        layer = self.theta if part == "theta" else self.loc[1]
        nn.init.normal_(layer.weight, std=0.1)
        torch.nn.utils.parametrizations.spectral_norm(layer)


class Dropped(nn.Linear):
    """A weight that draws random numbers at each access."""

    def __getattribute__(self, name):
        value = super().__getattribute__(name)
        return F.dropout(value, 0.1) if name == "weight" and self.training else value


class DropConnect(Net):
    def __init__(self):
        super().__init__()
        self.theta = Dropped(12, 6)


class Noisy(Net):
    """Random numbers in evaluation, too."""

    def forward(self, images):
        return super().forward(images + 0.01 * torch.randn_like(images))


class Counting(Net):
    """A buffer that each pass moves, once in place and once by another tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images):
        self.passes += 1
        self.mean = self.mean * 0.9 + images.mean() * 0.1
        return super().forward(images)


def batches(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n):
        images = torch.rand(8, 1, 8, 8, generator=generator)
        yield images, torch.randint(3, (8,), generator=generator)


def trained(make, watch, compiled, lr=1e-3, steps=12, **options):
    """Weights, buffers and the next random number after a training, watched or not."""
    torch.manual_seed(0)
    model = make()
    called = torch.compile(model, backend="eager") if compiled else model
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    monitor = CollapseMonitor(called, optimizer, every=1, **options) if watch else None
    torch.manual_seed(1)
    for images, labels in batches(steps):
        loss = F.cross_entropy(called(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if monitor:
            monitor.step(loss)
    return [*model.state_dict().values(), torch.rand(3)]


FORMS = {
    "plain": Net,
    "spectral theta": lambda: Spectral("theta"),
    "spectral hidden": lambda: Spectral("hidden"),
    "dropped weights": DropConnect,
    "noisy": Noisy,
    "counting": Counting,
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_training_is_bit_for_bit_what_it_is_without_the_monitor(form, compiled):
    if compiled and form == "dropped weights":
        pytest.skip("dynamo does not compile a weight of its own kind")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, watched = (trained(FORMS[form], watch, compiled) for watch in (False, True))
    assert all(map(torch.equal, plain, watched))


def test_a_rollback_leaves_the_rates_to_the_schedule():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    monitor = CollapseMonitor(model, optimizer, on_collapse="rollback", snapshot_every=2)
    for step, (images, labels) in enumerate(batches(8)):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 5:
            model.theta.bias.data[2] = 9.0  # the view leaves
            F.cross_entropy(model(images), labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            monitor.step(loss)
        schedule.step()
    assert monitor.trace.events
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * 0.9**8)


def test_an_evaluation_with_gradients_is_not_judged_as_the_training():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer)
    for images, labels in batches(3):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen = model.theta.bias.data.clone()
        model.eval()
        model.theta.bias.data[2] = 9.0  # what the evaluation sees is another view
        model(images)
        model.theta.bias.data.copy_(seen)
        model.train()
        monitor.step(loss)
    assert min(monitor.trace.columns["coverage"]) > 0.9


def test_a_training_in_evaluation_mode_is_watched():
    model = Net().eval()
    monitor = CollapseMonitor(model)
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    monitor.step()
    assert len(monitor.trace) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_watched_model_is_not_watched(copied):
    model = Net()
    monitor = CollapseMonitor(model, torch.optim.Adam(model.parameters()))
    other = copied(model)
    other(torch.rand(4, 1, 8, 8)).sum().backward()
    assert monitor._probe.calls == 0
    CollapseMonitor(other)  # nobody watches it


def test_a_watched_model_is_saved_without_the_monitor_and_loads_without_the_package(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    sizes = []
    for watch in (False, True):
        monitor = CollapseMonitor(model, torch.optim.Adam(model.parameters())) if watch else None
        torch.save(model, file := io.BytesIO())
        sizes.append(len(file.getvalue()))
    assert sizes[1] < sizes[0] + 500 and monitor is not None
    path = tmp_path / "model.pt"
    path.write_bytes(file.getvalue())
    code = (
        "import sys, torch; sys.modules['stnlib'] = None\n"
        f"model = torch.load({str(path)!r}, weights_only=False)\n"
        "model(torch.ones(2, 2, 2)).sum().backward()"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_a_monitor_that_nobody_holds_lets_go_of_the_model():
    model = Net()

    def watched():
        monitor = CollapseMonitor(model, torch.optim.Adam(model.parameters()))
        model(torch.rand(4, 1, 8, 8)).sum().backward()
        monitor.step()
        return len(monitor.trace)

    assert watched() == watched() == 1
    assert not model._forward_hooks and not model._forward_pre_hooks
    kept = CollapseMonitor(model)
    with pytest.raises(ValueError, match="has a CollapseMonitor already"):
        CollapseMonitor(model)
    kept.detach()


WRAPPERS = {
    "plain": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "parallel": nn.DataParallel,
    "parallel of compiled": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
}


@pytest.mark.parametrize("after", WRAPPERS)
@pytest.mark.parametrize("before", WRAPPERS)
def test_a_state_goes_from_one_wrapper_to_another(before, after):
    def watch(wrap):
        model = Net()
        called = wrap(model)
        optimizer = torch.optim.Adam(model.parameters())
        return model, CollapseMonitor(called, optimizer, on_collapse="lower")

    model, monitor = watch(WRAPPERS[before])
    monitor._actions.act([model.theta.weight])
    state = monitor.state_dict()
    other, restored = watch(WRAPPERS[after])
    restored.load_state_dict(state)
    (held,) = restored._actions.brake.parameters
    assert held is other.theta.weight


def test_lower_says_that_it_cannot_where_no_parameter_makes_theta():
    class Made(Net):
        """θ comes of weights that another network makes for each pass."""

        def forward(self, images):
            theta = F.linear(self.loc(images), self.made, self.theta.bias)
            return self.out(warp(images, theta).flatten(1))

    model = Made()
    for parameter in [*model.loc.parameters(), model.theta.bias]:
        parameter.requires_grad_(False)
    model.made = torch.zeros(6, 12, requires_grad=True)  # no parameter of the model
    model.theta.bias.data[2] = 9.0
    monitor = CollapseMonitor(model, on_collapse="lower")
    with pytest.warns(CollapseWarning, match="Nothing done: no parameter of the model is known"):
        for images, labels in batches(4):
            F.cross_entropy(model(images), labels).backward()
            monitor.step()
    assert monitor._actions.brake.parameters == []


def test_passes_under_vmap_are_refused_in_one_line():
    model = Net()
    monitor = CollapseMonitor(model)
    values = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values, image, label):
        return F.cross_entropy(torch.func.functional_call(model, values, image[None]), label[None])

    ((images, labels),) = batches(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(values, images, labels)
    with pytest.raises(ValueError, match="for what runs under vmap cannot be seen") as caught:
        monitor.step()
    assert "\n" not in str(caught.value)


def test_a_compiled_part_trains_and_is_refused_in_one_line():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.part, self.out = torch.compile(Net(), backend="eager"), nn.Linear(3, 3)

        def forward(self, images):
            return self.out(self.part(images))

    model = Whole()
    monitor = CollapseMonitor(model)
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    with pytest.raises(ValueError, match="a part of it is compiled: compile the whole model"):
        monitor.step()
