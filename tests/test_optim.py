"""Schedules against their definitions and against PyTorch's own."""

import copy
import math
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from stnlib.models import SpatialTransformer
from stnlib.optim import PATIENCE, SCHEDULES, param_groups, plateau, schedule


@pytest.mark.parametrize(
    ("name", "warmup", "values"),
    [
        ("constant", 0.0, {0: 1, 0.5: 1, 1: 1}),
        ("step", 0.0, {0: 1, 0.33: 1, 1 / 3: 0.1, 0.6: 0.1, 2 / 3: 0.01, 1: 0.01}),
        ("cosine", 0.0, {0: 1, 0.25: (1 + 0.5**0.5) / 2, 0.5: 0.5, 1: 0}),
        ("constant", 0.2, {0: 0, 0.05: 0.25, 0.1: 0.5, 0.2: 1, 0.9: 1}),
        ("cosine", 0.2, {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        ("step", 0.4, {0.2: 0.5, 0.4: 1, 0.6: 0.1, 0.8: 0.01, 1: 0.01}),
    ],
)
def test_a_schedule_takes_the_values_of_its_definition(name, warmup, values):
    for progress, factor in values.items():
        assert schedule(name, progress, warmup) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_past_its_end_a_schedule_stays_what_it_is_there(name):
    assert schedule(name, 1.5, 0.1) == schedule(name, 1, 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cosin", 0.5), "schedule must be one of constant, step, cosine, onecycle, plateau"),
        (("cosine", 0.5, 5), "warmup must be a share of all steps"),
        (("cosine", 0.5, 1), "warmup must be a share of all steps"),
        (("cosine", -1), "progress must be a share of all steps"),
        (("cosine", math.nan), "progress must be a share of all steps"),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        schedule(*arguments)
    assert "\n" not in str(caught.value)


def test_a_run_divided_in_three_takes_each_step_of_the_schedule_for_a_third():
    factors = [schedule("step", step / 30) for step in range(30)]
    assert factors == pytest.approx([1] * 10 + [0.1] * 10 + [0.01] * 10)


def sgd():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("n", [10, 97])
def test_one_cycle_is_pytorchs(n):
    optimizer = sgd()
    # PyTorch counts to n, from 0, where a share of n is meant here: the same bends, then.
    theirs = OneCycleLR(optimizer, max_lr=1.0, total_steps=n + 1, pct_start=(0.3 * n + 1) / (n + 1))
    for step in range(n + 1):
        assert schedule("onecycle", step / n) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        if step < n:
            theirs.step()


def test_one_cycle_begins_low_peaks_at_three_tenths_and_ends_near_nothing():
    values = [schedule("onecycle", p) for p in (0, 0.3, 1)]
    assert values == pytest.approx([0.04, 1, 4e-6], rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_plateau_is_where_pytorch_sees_one(seed):
    draw = random.Random(seed)
    losses = [draw.choice([1.0, 0.9, 0.89995, 0.7]) / (1 + i / 5) ** seed for i in range(40)]
    optimizer = sgd()
    theirs = ReduceLROnPlateau(optimizer, factor=0.1, patience=PATIENCE, eps=0)
    for i, loss in enumerate(losses):
        theirs.step(loss)
        rate = optimizer.param_groups[0]["lr"]
        assert plateau(losses[: i + 1]) == pytest.approx(rate, rel=1e-9)


def test_a_plateau_is_two_epochs_in_a_row_without_a_better_loss():
    losses = [1.0, 1.0, 0.9, 0.9, 0.9, 0.9, 0.9]
    factors = [plateau(losses[: i + 1]) for i in range(len(losses))]
    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01])


def test_before_the_first_validation_there_is_no_plateau():
    assert plateau([]) == 1 and plateau([math.inf]) == 1


def grouped():
    """An optimiser of two groups, whose rates are 0.1 and 0.01."""
    model = torch.nn.ModuleDict({n: torch.nn.Linear(1, 1) for n in ("localisation", "head")})
    return torch.optim.SGD(param_groups(model, 0.1, 0.1))


def test_a_scheduler_of_pytorchs_scales_the_rate_of_each_group():
    optimizer = grouped()
    scheduler = CosineAnnealingLR(optimizer, T_max=4)
    for step in range(1, 5):
        optimizer.step()
        scheduler.step()
        half_cosine = (1 + math.cos(math.pi * step / 4)) / 2
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.1 * half_cosine, 0.01 * half_cosine], abs=1e-12)


def test_a_scheduler_of_pytorchs_that_resumes_finds_each_groups_first_rate():
    optimizer = grouped()
    for group in optimizer.param_groups:
        group["lr"] *= schedule("cosine", 0.5)
    scheduler = CosineAnnealingLR(optimizer, T_max=4, last_epoch=2)  # KeyError without `initial_lr`
    assert scheduler.base_lrs == pytest.approx([0.1, 0.01])


# Which parameters are the localisation network's


def warp(images, theta):
    grid = F.affine_grid(theta.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


class Tutorial(nn.Module):
    """Names and layers of PyTorch's tutorial, on 12 × 12 images."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm, self.drop = nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Dropout()
        self.fc1 = nn.Linear(256, 3)
        self.localization = nn.Sequential(nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.ReLU(True))
        self.fc_loc = nn.Sequential(nn.Linear(64, 8), nn.ReLU(True), nn.Linear(8, 6))

    def theta(self, images):
        return self.fc_loc(self.localization(images).flatten(1))

    def forward(self, images):
        seen = warp(images, self.theta(images))
        return self.fc1(self.drop(self.norm(self.conv1(seen)).flatten(1)))


class WithTheta(Tutorial):
    """Returns θ, too, for a loss of its own."""

    def theta(self, images):
        self.found = super().theta(images)
        return self.found

    def forward(self, images):
        return {"classes": super().forward(images), "theta": self.found}


class Parts(nn.Module):
    """A stem that both networks need, a middle between two transformers, and what is θ's alone."""

    def __init__(self):
        super().__init__()
        self.stem, self.middle = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
        self.first, self.second = (nn.Sequential(nn.Flatten(), nn.Linear(144, 6)) for _ in "12")
        self.head = nn.Linear(144, 3)

    def forward(self, images):
        maps = self.stem(images)
        maps = self.middle(warp(maps, self.first(maps)))
        theta = self.second(maps)
        return self.head(warp(maps, theta).flatten(1)), theta


class Ours(nn.Module):
    def __init__(self):
        super().__init__()
        loc = nn.Sequential(nn.Flatten(), nn.Linear(144, 6))
        self.stn, self.head = SpatialTransformer(loc, sampler="clipped"), nn.Linear(144, 3)

    def forward(self, images, scale=1.0):
        return self.head(self.stn(images).flatten(1)) * scale


class Refined(nn.Module):
    """One localisation network, with weight norm, that looks twice."""

    def __init__(self):
        super().__init__()
        layer = torch.nn.utils.parametrizations.weight_norm(nn.Linear(144, 6, bias=False))
        self.loc, self.head = nn.Sequential(nn.Flatten(), layer), nn.Linear(144, 3)

    def forward(self, images):
        theta = self.loc(images)
        theta = theta + self.loc(warp(images, theta.detach()))
        return self.head(warp(images, theta).flatten(1))


class Alone(nn.Module):
    """θ is a parameter."""

    def __init__(self):
        super().__init__()
        self.theta, self.head = nn.Parameter(torch.eye(2, 3)), nn.Linear(144, 3)

    def forward(self, images):
        return self.head(warp(images, self.theta.tanh().repeat(len(images), 1, 1)).flatten(1))


FORMS = {
    Tutorial: {"localization", "fc_loc"},
    WithTheta: {"localization", "fc_loc"},
    Parts: {"first", "second"},
    Ours: {"stn"},
    Refined: {"loc"},
    Alone: {"theta"},
}
IMAGES = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def slowed(model, **options):
    """First parts of the names of parameters with the localisation network's rate."""
    groups = param_groups(model, 0.1, 0.1, **options)
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert all(g["lr"] == pytest.approx(0.01 if g["localisation"] else 0.1) for g in groups)
    return {name.split(".")[0] for name, p in model.named_parameters() if rates[id(p)] < 0.1}


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel], ids=["plain", "parallel"])
@pytest.mark.parametrize("form", FORMS)
def test_by_a_batch_the_localisation_network_is_what_only_theta_needs(form, wrap):
    model = form()
    wrapped = {
        id(p) for g in param_groups(wrap(model), 1, 0.1, batch=IMAGES)[1:] for p in g["params"]
    }
    assert {n.split(".")[0] for n, p in model.named_parameters() if id(p) in wrapped} == FORMS[form]
    assert slowed(model, batch=IMAGES) == FORMS[form]
    assert slowed(model, batch=(IMAGES,)) == slowed(model, batch={"images": IMAGES}) == FORMS[form]


def test_a_frozen_localisation_network_is_found_and_stays_frozen():
    model = Tutorial()
    model.localization.requires_grad_(False)
    model.fc_loc.requires_grad_(False)
    assert slowed(model, batch=IMAGES) == {"localization", "fc_loc"}
    frozen = {name.split(".")[0] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"localization", "fc_loc"}


@pytest.mark.parametrize("training", [True, False])
def test_the_pass_of_the_batch_leaves_no_trace(training):
    model = Tutorial().train(training)
    model(IMAGES).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with torch.no_grad():
        param_groups(model, 0.1, 0.1, batch=IMAGES)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(map(torch.equal, gradients, [p.grad for p in model.parameters()]))
    assert {m.training for m in model.modules()} == {training}
    assert not model._forward_hooks and not model._forward_pre_hooks


@pytest.mark.parametrize("batch", [[IMAGES, IMAGES], "images", torch.rand(2, 3)], ids=type)
def test_a_batch_that_the_model_cannot_take_is_told_in_one_line(batch):
    with pytest.raises(ValueError, match="batch must be an input of the model's") as caught:
        param_groups(Tutorial(), 0.1, 0.1, batch=batch)
    assert "\n" not in str(caught.value)


def test_modules_or_a_function_of_names_choose_the_localisation_network():
    model = Tutorial()
    expected = {"localization", "fc_loc"}
    assert slowed(model, localisation=[model.localization, model.fc_loc]) == expected
    assert slowed(model, localisation=lambda name: "loc" in name) == expected
    assert slowed(model, localisation=model.fc_loc) == {"fc_loc"}


class Joint(nn.Module):
    """One layer gives classes and θ, so that nothing is θ's alone."""

    def __init__(self):
        super().__init__()
        self.both = nn.Linear(144, 9)

    def forward(self, images):
        theta, classes = self.both(images.flatten(1)).split((6, 3), dim=1)
        return classes + self.both(warp(images, theta).flatten(1))[:, 6:]


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (Tutorial(), {}, ValueError, "give batch=, an input of the model's"),
        (nn.Linear(144, 3), {"batch": torch.rand(2, 144)}, ValueError, "give localisation="),
        (Joint(), {"batch": IMAGES}, ValueError, "by θ alone: give localisation="),
        (Tutorial(), {"localisation": lambda name: False}, ValueError, "chooses no parameter"),
        (Tutorial(), {"localisation": nn.Linear(1, 1)}, ValueError, "modules of the model, not"),
        (Tutorial(), {"localisation": "fc_loc"}, TypeError, "or a function of parameters' names"),
        (Tutorial(), {"localisation": 3}, TypeError, "or a function of parameters' names"),
        (Tutorial(), {"localisation": [], "batch": IMAGES}, ValueError, "not both"),
    ],
)
def test_where_no_localisation_network_is_told_one_line_says_what_can_be_given(
    model, options, error, message
):
    with pytest.raises(error, match=message) as caught:
        param_groups(model, 0.1, 0.1, **options)
    assert "\n" not in str(caught.value)
