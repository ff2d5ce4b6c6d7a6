"""Forms of transformers that people write: a monitor leaves them as they are, and out of files."""

import copy
import io
import math
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import CollapseMonitor, CollapseWarning


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


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


class Between(Net):
    """Between the layer and θ: what draws random numbers, or moves what the model holds."""

    def __init__(self, part, scripted=False):
        super().__init__()
        nn.init.normal_(self.theta.weight, std=0.1)
        net = nn.Sequential(self.theta, part())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated, and still written
            self.theta = torch.jit.script(net) if scripted else net


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(6, 1, dropout=0.3)

    def forward(self, theta):
        return self.inner(theta, theta, theta)[0]


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.LSTM(6, 6, 2, dropout=0.3)

    def forward(self, theta):
        return self.inner(theta[None])[0][0]


class Drawn(nn.Module):
    def forward(self, theta):
        return torch.distributions.Gamma(theta.exp(), 1.0).rsample()


class Renormed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Embedding(1, 6, max_norm=0.5)

    def forward(self, theta):
        return theta * self.inner(torch.zeros(len(theta), dtype=torch.long))


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
    "dropout of an attention": lambda: Between(Attending),
    "dropout of an LSTM": lambda: Between(Recurrent),
    "a gamma distribution": lambda: Between(Drawn),
    "an embedding held small": lambda: Between(Renormed),
    "scripted batch norm": lambda: Between(lambda: nn.BatchNorm1d(6), scripted=True),
    "scripted dropout": lambda: Between(lambda: nn.Dropout(0.2), scripted=True),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_a_training_is_bit_for_bit_what_it_is_without_the_monitor(form, compiled):
    if compiled and (form == "dropped weights" or "scripted" in form):
        pytest.skip("dynamo does not compile a weight of its own kind, or what is scripted")
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
    monitor = CollapseMonitor(model, optimizer, every=1)
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
    monitor = CollapseMonitor(model, every=1)
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    monitor.step()
    assert len(monitor.trace) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_model_that_holds_its_monitor_is_copied_without_it(copied):
    model = Net()
    model.monitor = CollapseMonitor(model, torch.optim.Adam(model.parameters()))
    assert copied(model).monitor is None


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_watched_model_is_not_watched(copied):
    model = Net()
    monitor = CollapseMonitor(model, torch.optim.Adam(model.parameters()), every=1)
    other = copied(model)
    other(torch.rand(4, 1, 8, 8)).sum().backward()
    assert monitor._probe.calls == 0
    CollapseMonitor(other, every=1)  # nobody watches it


def test_a_watched_model_is_saved_without_the_monitor_and_loads_without_the_package(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    sizes = []
    for watch in (False, True):
        monitor = (
            CollapseMonitor(model, torch.optim.Adam(model.parameters()), every=1) if watch else None
        )
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

    optimizer = torch.optim.Adam(model.parameters())

    def watched():
        monitor = CollapseMonitor(model, optimizer, every=1)
        model(torch.rand(4, 1, 8, 8)).sum().backward()
        optimizer.step()
        monitor.step()
        return len(monitor.trace)

    assert watched() == watched() == 1
    assert not model._forward_hooks and not model._forward_pre_hooks
    assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
    kept = CollapseMonitor(model, every=1)
    with pytest.raises(ValueError, match="has a CollapseMonitor already"):
        CollapseMonitor(model, every=1)
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
        return model, CollapseMonitor(called, optimizer, on_collapse="lower", every=1)

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
    monitor = CollapseMonitor(model, on_collapse="lower", every=1)
    with pytest.warns(CollapseWarning, match="Nothing done: no parameter of the model is known"):
        for images, labels in batches(4):
            F.cross_entropy(model(images), labels).backward()
            monitor.step()
    assert monitor._actions.brake.parameters == []


def test_passes_under_vmap_are_refused_in_one_line():
    model = Net()
    monitor = CollapseMonitor(model, every=1)
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
    monitor = CollapseMonitor(model, every=1)
    model(torch.rand(4, 1, 8, 8)).sum().backward()
    with pytest.raises(ValueError, match="a part of it is compiled: compile the whole model"):
        monitor.step()


# Which sampler


def native(images, grid):
    return F.grid_sample(images, grid, align_corners=False)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is deprecated, and still written
    scripted = torch.jit.script(native)


SAMPLERS = {
    "grid_sample": native,
    "grid_sampler": lambda images, grid: torch.grid_sampler(images, grid, 0, 0, False),
    "aten": lambda images, grid: torch.ops.aten.grid_sampler_2d(images, grid, 0, 0, False),
    "scripted": scripted,
}


class Sampled(Net):
    """Any sampler, after a warp that is given from outside."""

    def __init__(self, sampler, given=False):
        super().__init__()
        self.sampler, self.given = sampler, given

    def forward(self, images):
        if self.given:
            images = warp(images, torch.tensor([0.9, 0, 0, 0, 0.9, 0]).repeat(len(images), 1))
        theta = self.theta(self.loc(images)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.out(self.sampler(images, grid).flatten(1))


def watch(model, steps=4, **options):
    """A monitor after some steps, and its warnings."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer, **({"every": 1} | options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for images, labels in batches(steps):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.step(loss)
    return monitor, [str(one.message) for one in caught]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_form_of_pytorchs_sampler_is_seen_and_a_given_warp_does_not_count(sampler, given):
    model = Sampled(SAMPLERS[sampler], given)
    model.theta.bias.data[0] = 0.5
    monitor, _ = watch(model)
    assert len(monitor.traces) == 1 and len(monitor.trace) == 4
    assert monitor.trace.columns["coverage"][0] == 1
    assert all(0 < step < 0.1 for step in monitor.trace.columns["step"])


class Whole(nn.Module):
    """A transformer in TorchScript's language."""

    def __init__(self):
        super().__init__()
        self.loc = nn.Sequential(nn.Flatten(), identity(nn.Linear(64, 6)))

    def forward(self, images):
        size = [images.size(0), images.size(1), images.size(2), images.size(3)]
        grid = F.affine_grid(self.loc(images).view(-1, 2, 3), size, align_corners=False)
        return F.grid_sample(images, grid, align_corners=False)


def whole(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both are deprecated, and still written
        return made(Whole())


def ours(localisation):
    from stnlib.models import SpatialTransformer

    return SpatialTransformer(localisation)


@pytest.mark.parametrize(
    "part",
    [
        lambda: whole(torch.jit.script),
        lambda: whole(lambda m: torch.jit.trace(m, torch.rand(2, 1, 8, 8), check_trace=False)),
        lambda: ours(whole(lambda m: torch.jit.script(m.loc))),
        lambda: ours(whole(lambda m: torch.jit.trace(m.loc, torch.rand(2, 1, 8, 8)))),
    ],
    ids=["scripted", "traced", "ours, scripted localisation", "ours, traced localisation"],
)
def test_a_scripted_or_traced_part_is_watched(part):
    model = nn.Sequential(part(), nn.Flatten(), nn.Linear(64, 3))
    monitor, _ = watch(model, 13)
    steps = torch.tensor(monitor.trace.columns["step"])
    assert len(monitor.traces) == 1 and len(monitor.trace) == 13
    assert steps.isfinite().sum() >= 10 and (steps[steps.isfinite()] > 0).all()
    assert monitor.trace.columns["loc_grad"][0] > 0


def test_a_scripted_model_is_watched_in_a_block_and_refused_without():
    model = whole(lambda part: torch.jit.script(nn.Sequential(part, nn.Flatten())))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer, every=1)
    for images, _ in batches(3):
        with monitor.watching():
            loss = model(images).square().mean()
        loss.backward()
        optimizer.step()
        monitor.step(loss)
    assert monitor.trace.columns["coverage"][0] == pytest.approx(1, abs=0.2)
    model(images).mean().backward()
    optimizer.step()
    with pytest.raises(ValueError, match="one that was scripted in a block"):
        monitor.step()


@pytest.mark.parametrize("away", [(2, 5.0), (5, -4.0)])
@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_a_view_that_begins_outside_is_told_though_its_outputs_are_not_flat(padding, away):
    class Padded(Net):
        def forward(self, images):
            theta = self.theta(self.loc(images)).view(-1, 2, 3)
            grid = F.affine_grid(theta, list(images.shape), align_corners=False)
            seen = F.grid_sample(images, grid, padding_mode=padding, align_corners=False)
            return self.out(seen.flatten(1))

    model = Padded()
    model.theta.bias.data[away[0]] = away[1]
    monitor, told = watch(model, 3)
    assert max(monitor.trace.columns["black"]) < 0.5
    assert told[0].startswith("step 1: the view is outside of the image: coverage 0.00")
    assert monitor.collapse.kind == "leaving"
    assert monitor.summary().startswith("sampler 0: outside at step 3")


def test_grids_of_affine_grid_are_known_as_such_in_any_order_unless_written_into():
    class Branches(Net):
        def forward(self, images):
            theta, size = self.theta(self.loc(images)).view(-1, 2, 3), list(images.shape)
            first, second = (F.affine_grid(theta * f, size, align_corners=False) for f in (1, 0.5))
            third = F.affine_grid(theta, size, align_corners=False)
            third += 0.5
            grids = (first, second, first, third)
            return self.out(sum(native(images, grid) for grid in grids).flatten(1))

    monitor, _ = watch(Branches())
    first, second, again, written = (trace.row(0) for trace in monitor.traces)
    assert [row["extent"] for row in (first, second, again)] == pytest.approx([1, 0.5, 1], abs=1e-3)
    for name in ("coverage", "corner_spread", "step"):
        assert first[name] == again[name] and not math.isnan(first[name])
    assert written["centre"] == pytest.approx(0.5, abs=1e-3)


class Several(nn.Module):
    """Transformers in a row, in which one runs away; the last may be the package's own."""

    def __init__(self, lost, ours=False):
        super().__init__()
        heads = (nn.Sequential(nn.Flatten(), identity(nn.Linear(64, 6))) for _ in range(3))
        self.loc = nn.ModuleList(heads)
        self.out = nn.Linear(64, 3)
        self.loc[lost][1].bias.data[2] = 9.0
        from stnlib.models import SpatialTransformer

        self.last = SpatialTransformer(self.loc[2]) if ours else None

    def forward(self, images):
        for n, loc in enumerate(self.loc):
            ours = n == 2 and self.last is not None
            images = self.last(images) if ours else warp(images, loc(images))
        return self.out(images.flatten(1))


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("lost", [0, 1, 2])
def test_all_of_several_are_watched_and_the_warning_says_which(lost, ours):
    monitor, told = watch(Several(lost, ours))
    assert len(monitor.traces) == 3
    assert [bool(trace.events) for trace in monitor.traces][:lost] == [False] * lost
    assert monitor.traces[lost].columns["coverage"][0] == 0
    name = "last" if ours and lost == 2 else f"sampler {lost}"
    assert told and told[0].startswith(f"{name}: step 1: ")


@pytest.mark.parametrize("sampler", [0, 1, 2, -1, -3])
def test_one_of_several_is_chosen_by_its_number_also_from_the_end(sampler):
    monitor, told = watch(Several(2), sampler=sampler)
    assert len(monitor.traces) == 1
    assert bool(told) == (sampler in (2, -1))


def test_glimpses_in_a_loop_have_a_trace_each():
    class Glimpses(Net):
        def forward(self, images):
            seen = [warp(images, self.theta(self.loc(images)) * f) for f in (1.0, 0.5)]
            return self.out(sum(seen).flatten(1))

    monitor, _ = watch(Glimpses())
    extents = [trace.columns["extent"][0] for trace in monitor.traces]
    assert extents == pytest.approx([1.0, 0.5], abs=0.01)


def test_a_volume_is_watched():
    class Volume(nn.Module):
        def __init__(self):
            super().__init__()
            self.theta, self.out = nn.Linear(64, 12), nn.Linear(64, 3)
            nn.init.zeros_(self.theta.weight)
            self.theta.bias.data.copy_(torch.eye(3, 4).flatten())

        def forward(self, images):
            volumes = images.view(-1, 1, 4, 4, 4)
            theta = self.theta(images.flatten(1)).view(-1, 3, 4)
            grid = F.affine_grid(theta, list(volumes.shape), align_corners=False)
            seen = F.grid_sample(volumes, grid, align_corners=False)
            return self.out(seen.flatten(1))

    monitor, _ = watch(Volume())
    row = monitor.trace.row(0)
    assert row["coverage"] == 1 and 0 < row["step"] < 0.5 and row["phi"] > 0


def test_a_warp_outside_of_the_model_is_watched_in_a_block():
    model = nn.Sequential(nn.Flatten(), identity(nn.Linear(64, 6)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer, every=1)
    for images, _ in batches(3):
        with monitor.watching():
            loss = F.mse_loss(warp(images, model(images)), images.flip(3))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        monitor.step(loss)
    assert len(monitor.trace) == 3 and all(s > 0 for s in monitor.trace.columns["step"])
    monitor.detach()
    other = CollapseMonitor(model, optimizer, every=1)
    F.mse_loss(warp(images, model(images)), images).backward()
    optimizer.step()
    with pytest.raises(ValueError, match=r"belongs into a block `with monitor.watching\(\):`"):
        other.step()


# The step of θ


def expm(matrix):
    return torch.linalg.matrix_exp(matrix)


class Made(Net):
    """θ made of the layer's output in any way."""

    def __init__(self, way):
        super().__init__()
        self.way = way
        nn.init.normal_(self.theta.weight, std=0.05)
        if way in ("shift", "filled"):
            self.theta = nn.Linear(12, 2)
        elif way == "convolution":
            self.theta = nn.Conv1d(1, 6, 12)
            nn.init.normal_(self.theta.weight, std=0.05)
        elif way in ("weight norm", "weight norm, no bias"):
            self.theta = nn.Linear(12, 6, bias=way == "weight norm")
            torch.nn.utils.parametrizations.weight_norm(self.theta)
        elif way == "low rank":
            self.down, self.up = nn.Parameter(torch.randn(2, 12)), nn.Parameter(torch.randn(6, 2))
            self.theta.requires_grad_(False)
        elif way == "of another network":
            self.code = nn.Parameter(torch.randn(1, 4))
            self.makes = nn.Linear(4, 72)
        elif way == "normed":
            self.norm = nn.BatchNorm1d(6)
        elif way == "scaled":
            self.scale = nn.Parameter(torch.ones(6))

    def locate(self, images):
        features = self.loc(images)
        if self.way == "convolution":
            return self.theta(features[:, None]).squeeze(2) + torch.eye(2, 3).flatten()
        if self.way == "matmul":
            return features @ self.theta.weight.T + self.theta.bias
        out = self.theta(features)
        if self.way == "tanh":
            return out.tanh()
        if self.way == "centred":
            return out - out.mean(1, keepdim=True) + torch.eye(2, 3).flatten()
        if self.way == "exponential":
            square = F.pad(out.view(-1, 2, 3), (0, 0, 0, 1))
            return expm(square)[:, :2].flatten(1)
        if self.way == "shift":
            shift = torch.cat([torch.eye(2).expand(len(out), 2, 2), 0.02 * out[:, :, None]], 2)
            return shift.flatten(1)
        if self.way == "filled":
            theta = torch.zeros(len(out), 6)
            theta[:, 0] = theta[:, 4] = 1.0
            theta[:, 2], theta[:, 5] = out[:, 0], out[:, 1]
            return theta
        if self.way == "scaled":
            return out * self.scale
        if self.way == "low rank":
            return F.linear(features, self.theta.weight + self.up @ self.down * 0.01)
        if self.way == "of another network":
            return F.linear(features, self.makes(self.code).view(6, 12))
        if self.way == "normed":
            return self.norm(out) * 0.1
        return out

    def forward(self, images):
        return self.out(warp(images, self.locate(images)).flatten(1))


WAYS = (
    "plain",
    "tanh",
    "centred",
    "exponential",
    "shift",
    "filled",
    "matmul",
    "convolution",
    "scaled",
    "weight norm",
    "weight norm, no bias",
    "low rank",
    "of another network",
    "normed",
)


@pytest.mark.parametrize("way", WAYS)
def test_the_step_is_how_far_the_matrix_has_moved_whatever_makes_it(way):
    model = Made(way)
    for parameter in model.loc.parameters():
        parameter.requires_grad_(False)  # the features are held
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = CollapseMonitor(model, optimizer, criteria=None, every=1)
    calls = []
    for images, labels in batches(3):
        model.train()
        state = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            before = model.locate(images)
        model.load_state_dict(state)  # with the running means
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            true = (model.locate(images) - before).abs().amax(1).mean().item()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            monitor.step(loss)
        with torch.no_grad():
            phi = model.loc(images).abs().sum(1).mean().item()
        assert (
            monitor.trace.columns["phi"][-1] == pytest.approx(phi, rel=1e-4) or way == "convolution"
        )
        calls.append((monitor.trace.columns["step"][-1], true))
    for said, true in calls:
        assert said == pytest.approx(true, rel=1e-3, abs=1e-7) and true > 0


def test_a_hook_of_the_users_on_theta_is_called_once_a_step():
    seen = []

    class Hooked(Net):
        def forward(self, images):
            theta = self.theta(self.loc(images)).tanh()
            theta.register_hook(lambda gradient: seen.append(gradient.abs().max().item()))
            return self.out(warp(images, theta).flatten(1))

    watch(Hooked(), 3)
    assert len(seen) == 3


def test_where_the_step_cannot_be_measured_one_line_says_so_once():
    class Dropping(Net):
        def forward(self, images):
            theta = F.dropout(self.theta(self.loc(images)), 0.1) * 0.01 + torch.eye(2, 3).flatten()
            return self.out(warp(images, theta).flatten(1))

    monitor, told = watch(Dropping())
    (line,) = told
    assert line.startswith("how far a step moves θ cannot be measured here") and "\n" not in line
    assert all(map(torch.isnan, torch.tensor(monitor.trace.columns["step"])))
    assert min(monitor.trace.columns["coverage"]) > 0.9


def test_a_step_before_the_optimisers_and_another_optimiser_are_noticed_once():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    monitor = CollapseMonitor(model, optimizer, every=1)
    with pytest.warns(UserWarning, match="no step of the optimizer was seen") as caught:
        for images, labels in batches(3):
            F.cross_entropy(model(images), labels).backward()
            monitor.step()  # before the optimiser's
    assert len(caught) == 1
    monitor.detach()
    other = torch.optim.SGD(model.parameters(), lr=1e-3)
    monitor = CollapseMonitor(model, optimizer, every=1)
    monitor.optimizer = other
    F.cross_entropy(model(images), labels).backward()
    other.step()
    monitor.step()
    assert monitor.trace.columns["step"][0] > 0


def test_a_trace_keeps_the_last_looks_and_no_entry_by_entry_of_a_long_theta():
    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.flow, self.out = nn.Linear(64, 128), nn.Linear(64, 3)
            nn.init.zeros_(self.flow.weight)
            nn.init.zeros_(self.flow.bias)

        def forward(self, images):
            still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 8, 8], align_corners=False)
            grid = still + 0.1 * self.flow(images.flatten(1)).view(-1, 8, 8, 2)
            return self.out(native(images, grid).flatten(1))

    monitor, _ = watch(Flow(), 6, keep=4)
    assert monitor.trace.columns["step_number"] == [3, 4, 5, 6]
    assert not [name for name in monitor.trace.columns if name.startswith("theta_")]
    assert all(step > 0 for step in monitor.trace.columns["step"])
