"""Loops and networks that people write around a transformer: each look is at a step, in numbers."""

import copy
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import CollapseMonitor, CollapseWarning
from stnlib.diagnostics.advice import NO_PATH, NO_STEP

STEPS = 13  # more than from one whole look to the next


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Net(nn.Module):
    """A hand-made transformer before a classifier."""

    def __init__(self, classes=None):
        super().__init__()
        self.loc = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 6))
        nn.init.normal_(self.loc[3].weight, std=1e-2)
        self.loc[3].bias.data.copy_(torch.tensor([0.9, 0, 0, 0, 0.9, 0]))
        self.classes = classes or nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    def forward(self, images):
        theta = self.loc(images).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images.shape), align_corners=False)
        return self.classes(F.grid_sample(images, grid, align_corners=False))


class Patches(nn.Module):
    """Images as a few tokens, through a transformer's block, as in a ViT."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 4, 4)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        tokens = self.embed(images).flatten(2).mT
        return self.head(self.block(tokens).mean(dim=1))


class Loop:
    """A training of a network; subclasses change how a step is taken."""

    make = Net
    steps = STEPS

    def __init__(self):
        torch.manual_seed(0)
        self.model = self.prepared(self.make())
        self.start()

    def prepared(self, model):
        return model

    def start(self):
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-2)
        self.monitor = CollapseMonitor(self.model, self.optimizer, every=1)

    def batch(self):
        return torch.rand(8, 1, 8, 8), torch.randint(3, (8,))

    def loss(self):
        images, labels = self.batch()
        return F.cross_entropy(self.model(images).float(), labels)

    def step(self):
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.monitor.step(loss)

    def run(self):
        """The trace, and what was warned of."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(STEPS):
                self.step()
        ours = [one for one in caught if one.category is CollapseWarning]
        told = [str(one.message) for one in caught if str(one.message) in (NO_PATH, NO_STEP)]
        return self.monitor.trace, [*told, *ours]


class Vit(Loop):
    def make(self):
        return Net(Patches())


class ChannelsLast(Loop):
    def prepared(self, model):
        return model.to(memory_format=torch.channels_last)

    def batch(self):
        images, labels = super().batch()
        return images.repeat(1, 1, 1, 1).to(memory_format=torch.channels_last), labels


class Bfloat16(Loop):
    def prepared(self, model):
        return model.bfloat16()

    def batch(self):
        images, labels = super().batch()
        return images.bfloat16(), labels


class Accumulation(Loop):
    """Three passes a step; the look is at the last."""

    def step(self):
        self.optimizer.zero_grad()
        for _ in range(3):
            loss = self.loss()
            (loss / 3).backward()
        self.optimizer.step()
        self.monitor.step(loss)


class Scaled(Loop):
    """A scaler finds gradients that are not finite at every fourth step, and skips it."""

    taken = 0

    def start(self):
        super().start()
        self.scaler, self.n = torch.amp.GradScaler("cpu", init_scale=8.0), 0

    def step(self):
        self.n += 1
        loss = self.loss() * (float("inf") if self.n % 4 == 0 else 1)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.monitor.stepped:
            self.monitor.step(loss)

    steps = STEPS - STEPS // 4


class TwoOptimizers(Loop):
    """One for the localisation network, one for the rest; the monitor is given the first."""

    def start(self):
        self.optimizer = torch.optim.Adam(self.model.loc.parameters(), lr=1e-2)
        self.other = torch.optim.SGD(self.model.classes.parameters(), lr=1e-2)
        self.monitor = CollapseMonitor(self.model, self.optimizer, every=1)

    def step(self):
        loss = self.loss()
        self.model.zero_grad()
        loss.backward()
        self.other.step()
        self.optimizer.step()
        self.monitor.step(loss)


class Sharpness(Loop):
    """SAM: gradients come from weights that were moved, and are back before the step."""

    def prepared(self, model):
        hook = lambda part, args, out: setattr(self, "entering", args[0].detach())  # noqa: E731
        model.loc[3].register_forward_hook(hook)
        return model

    def step(self):
        images, labels = self.batch()
        parameters = [*self.model.parameters()]
        F.cross_entropy(self.model(images), labels).backward()
        kept = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p in parameters:
                p.add_(0.1 * p.grad)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(images), labels)
        loss.backward()
        with torch.no_grad():
            for p, old in zip(parameters, kept, strict=True):
                p.copy_(old)
        self.base = F.linear(self.entering, *self.model.loc[3].parameters()).detach()
        self.optimizer.step()
        self.monitor.step(loss)


class Biases(Loop):
    """One optimiser for matrices, as Muon is, one for the rest; the monitor is given the first."""

    def start(self):
        weights = [p for p in self.model.parameters() if p.ndim == 2]
        biases = [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizer = torch.optim.SGD(weights, lr=1e-2)
        self.other = torch.optim.Adam(biases, lr=1e-2)
        self.monitor = CollapseMonitor(self.model, self.optimizer, every=1)

    def step(self):
        loss = self.loss()
        self.model.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.other.step()
        self.monitor.step(loss)


class Closure(Loop):
    """LBFGS, which calls the model several times a step."""

    def start(self):
        self.optimizer = torch.optim.LBFGS(
            self.model.parameters(), lr=1e-2, max_iter=4, history_size=1
        )
        self.monitor = CollapseMonitor(self.model, self.optimizer, every=1)

    def step(self):
        images, labels = self.batch()

        def closure():
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(images), labels)
            loss.backward()
            return loss

        self.monitor.step(self.optimizer.step(closure))


class Averaged(Loop):
    """Beside a moving average of the model, which is copied while watched and evaluated."""

    def start(self):
        super().start()
        self.mean = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
        )

    def step(self):
        super().step()
        self.mean.update_parameters(self.model)
        if len(self.monitor.trace) == 3:
            self.mean = copy.deepcopy(self.mean)
        self.mean(self.batch()[0]).sum().backward()


class Thread(Loop):
    """Each forward pass runs in a thread of its own."""

    def loss(self):
        found = []
        thread = threading.Thread(target=lambda: found.append(super(Thread, self).loss()))
        thread.start()
        thread.join()
        return found[0]


LOOPS = [Loop, Vit, ChannelsLast, Bfloat16, Accumulation, Scaled, TwoOptimizers, Closure]
LOOPS += [Averaged, Thread, Sharpness, Biases]


@pytest.mark.parametrize("loop", LOOPS)
def test_every_step_has_a_look_with_all_its_numbers_and_no_warning(loop):
    trace, told = loop().run()
    assert told == []
    assert len(trace) == loop.steps
    for name in ("coverage", "phi", "step", "step_ratio", "loc_grad", "corner_spread"):
        assert torch.tensor(trace.columns[name]).isfinite().all(), name
    assert min(trace.columns["step"]) > 0 and max(trace.columns["black"]) == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_the_step_is_how_far_the_optimisers_step_has_moved_theta(loop, monkeypatch):
    running = loop()
    model, seen = running.model, {}
    model.loc[3].register_forward_hook(lambda m, args, out: seen.update(entering=args[0].detach()))
    expected = []
    take = running.monitor.step

    def step(loss):
        with torch.no_grad():
            after = F.linear(seen["entering"], model.loc[3].weight, model.loc[3].bias)
            before = getattr(running, "base", seen["theta"])
        expected.append((after - before).abs().amax(dim=1).float().mean().item())
        take(loss)

    model.loc[3].register_forward_hook(lambda m, args, out: seen.update(theta=out.detach()))
    monkeypatch.setattr(running.monitor, "step", step)
    trace, _ = running.run()
    assert trace.columns["step"] == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("loop", LOOPS)
def test_weights_are_bit_for_bit_what_they_are_without_the_monitor(loop, monkeypatch):
    watched = loop()
    watched.run()
    plain = loop()
    plain.monitor.detach()
    monkeypatch.setattr(plain.monitor, "step", lambda loss: None)
    plain.run()
    for one, other in zip(watched.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_skipped_step_is_known_where_not_every_step_is_looked_at():
    loop = Scaled()
    loop.monitor.detach()
    loop.monitor = CollapseMonitor(loop.model, loop.optimizer, every=4)
    loop.run()
    assert loop.monitor.steps == Scaled.steps


def test_a_pass_of_each_image_alone_under_vmap_is_refused_in_one_line():
    model = Net()
    monitor = CollapseMonitor(model, every=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.func.vmap(lambda image: model(image[None]))(torch.rand(4, 1, 8, 8))
    with pytest.raises(ValueError, match="under vmap"):
        monitor.step()


class Flow(nn.Module):
    """A dense flow, with or without a constant for each image between layer and grid."""

    def __init__(self, apart):
        super().__init__()
        self.flow, self.apart = nn.Linear(1024, 2048), apart
        nn.init.normal_(self.flow.weight, std=1e-4)
        still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 32, 32], align_corners=True)
        self.register_buffer("still", still)

    def forward(self, images):
        self.entering = images.flatten(1)
        flow = self.flow(self.entering).view(-1, 32, 32, 2)
        if self.apart:
            flow = flow * images.detach().mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)
        self.grid = self.still + flow
        return F.grid_sample(images, self.grid, align_corners=True)


@pytest.mark.parametrize("apart", [False, True])
def test_the_step_of_a_large_grid_is_that_of_every_so_many_th_image(apart):
    model = Flow(apart)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    monitor, expected = CollapseMonitor(model, optimizer, every=1), []
    for n in range(STEPS):
        images = torch.rand(40 if n % 3 else 24, 1, 32, 32)
        optimizer.zero_grad()
        model(images).square().mean().backward()
        before = model.grid.detach()
        optimizer.step()
        monitor.step()
        with torch.no_grad():
            model(images)
        some = slice(None, None, 5 if n % 3 else 3)  # eight images of 2,048 numbers are enough
        change = (model.grid - before).flatten(1).abs().amax(dim=1)
        expected.append(change[some].mean().item())
    assert monitor.trace.columns["step"] == pytest.approx(expected, rel=1e-3)
