"""Every public function of the core, and of the book's toy, given what it is not made for.

A call works, or it ends in one line of our own that says what was wrong: never in an error from
inside of PyTorch or NumPy. Each argument of each function is replaced by each bad value in turn; a
seeded draw then spoils two at once.
"""

import linecache
import math
import random
import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib import diagnostics, models, optim, sampler, transforms
from stnlib.book import toy, walks
from stnlib.training.config import RunConfig
from stnlib.training.rates import make_optimizer, set_rates

IDENTITY = torch.tensor([[1.0, 0, 0, 0, 1, 0]] * 2)


class Net(nn.Module):
    """A small network behind a transformer."""

    def __init__(self):
        super().__init__()
        self.localisation = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 6))
        self.head = nn.Linear(64, 2)

    def forward(self, x):
        theta = self.localisation(x).view(-1, 2, 3)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False).flatten(1))


def images(side=8):
    return torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def grid():
    return transforms.base_grid((4, 4)).expand(2, 4, 4, 2).clone()


def eye():
    return torch.eye(3).repeat(2, 1, 1)


def step(**options):
    """One step of a watched training."""
    loss = options.pop("loss", None)
    model = options.pop("model", None) or Net()
    with diagnostics.CollapseMonitor(model, **options) as monitor:
        model(images()).sum().backward()
        monitor.step(loss)


def monitor(model, **options):
    diagnostics.CollapseMonitor(model, **options).detach()


def resume(state):
    with diagnostics.CollapseMonitor(Net()) as monitor:
        monitor.load_state_dict(state)


def state():
    with diagnostics.CollapseMonitor(Net()) as monitor:
        return monitor.state_dict()


def trace(**values):
    """A trace of one look, asked for what `values` says."""
    trace = diagnostics.Trace()
    trace.append(1, [0.5] * 15)
    if "index" in values:
        return trace.row(values["index"])
    return trace.note(**values)


def rates(optimizer=None, **arguments):
    optimizer = optimizer or make_optimizer(Net(), RunConfig())
    set_rates(optimizer, **arguments)


def walk(**arguments):
    return [*walks.adam(**arguments)]


@dataclass
class Case:
    """A function and arguments that it takes."""

    call: object
    arguments: dict = field(default_factory=dict)


family = transforms.family
sampling = {"image": images(), "grid": grid(), "padding": "zeros", "align_corners": True}
classify = {"channels": 1, "size": 32, "classes": 3, "hidden": 8, "dropout": 0.1}
modern = {"channels": 1, "size": 8, "classes": 3, "dropout": 0.1}
locate = {
    "channels": 1,
    "size": 32,
    "transform": "affine",
    "kind": "paper",
    "bound": None,
    "theta_init": "identity",
    "scale_init": 1.0,
    "hidden_scale": 2.0,
    "warps": 2,
    "shared": None,
}
toys = {"image": toy.cone(0.2), "theta": [1.0, 0.1], "target": toy.cone(0.0)}
shrink = {"slope": lambda x: x, "start": [[0.1, 0.2]], "steps": 2, "betas": (0.9, 0.999)}
BAD_BETAS = {"betas": (0.9, 0.999)}

CASES = {
    "sample_loop": Case(
        sampler.sample_loop,
        sampling | {"image": images(2), "grid": grid()[:, :1, :2].clone(), "kernel": "bilinear"},
    ),
    "sample": Case(sampler.sample, sampling | {"kernel": "integer"}),
    "sample_native": Case(sampler.sample_native, sampling | {"kernel": "bilinear"}),
    "sample_native, border": Case(sampler.sample_native, sampling | {"padding": "border"}),
    "sample_native, reflection": Case(sampler.sample_native, sampling | {"padding": "reflection"}),
    "sample_clipped": Case(sampler.sample_clipped, sampling),
    "kernel_weight": Case(
        sampler.kernel_weight, {"coordinate": torch.ones(3), "pixel": 1, "kernel": "bilinear"}
    ),
    "to_pixels": Case(
        sampler.to_pixels, {"coordinate": torch.ones(3), "size": 4, "align_corners": True}
    ),
    "base_grid": Case(
        transforms.base_grid,
        {"size": (4, 5), "align_corners": True, "dtype": torch.float32, "device": "cpu"},
    ),
    "apply": Case(transforms.apply, {"matrix": eye(), "points": torch.ones(5, 2)}),
    "compose": Case(transforms.compose, {"first": eye(), "second": eye()}),
    "invert": Case(transforms.invert, {"matrix": eye()}),
    "matrix_grid": Case(
        transforms.matrix_grid,
        {"matrix": eye(), "size": (3, 4), "align_corners": True, "affine": False},
    ),
    **{
        name: Case(
            getattr(transforms, name),
            {"theta" if name == "to_opencv" else "matrix": IDENTITY.view(2, 2, 3).clone()}
            | {"size": (8, 9), "output_size": (4, 5), "align_corners": True, "inverse_map": False},
        )
        for name in ("to_opencv", "from_opencv")
    },
    **{
        name: Case(
            getattr(transforms, name),
            {"theta" if name == "to_kornia" else "matrix": eye()}
            | {"size": (8, 9), "output_size": None, "align_corners": True}
            | {"warp_align_corners": False},
        )
        for name in ("to_kornia", "from_kornia")
    },
    "boxes": Case(
        transforms.boxes, {"theta": IDENTITY.clone(), "size": (8, 9), "align_corners": True}
    ),
    "outside": Case(transforms.outside, {"grid": grid()}),
    "displacement": Case(transforms.displacement, {"grid": grid(), "align_corners": True}),
    "resizing": Case(transforms.resizing, {"grid": grid(), "align_corners": True}),
    "rotation": Case(transforms.rotation, {"aspect": 1.5}),
    "rotation.from_matrix": Case(transforms.rotation(1.5).from_matrix, {"matrix": eye()}),
    "window": Case(transforms.window, {"scale": (0.5, 0.25)}),
    "window.grid": Case(
        transforms.window(0.5).grid,
        {"theta": torch.zeros(2, 2), "size": (4, 4), "align_corners": True},
    ),
    "family": Case(transforms.family, {"name": "affine"}),
    "Family": Case(transforms.Family, {"name": "f", "neutral": (1.0, 0.0)}),
    "bounded": Case(transforms.bounded, {"family": family("affine"), "limit": 0.5}),
    "spline_family": Case(transforms.spline_family, {"rows": 3, "columns": 3, "name": "tps"}),
    **{
        f"{name}.grid": Case(
            family(name).grid,
            {
                "theta": family(name).identity().repeat(2, 1),
                "size": (4, 4),
                "align_corners": True,
            },
        )
        for name in transforms.FAMILIES
    },
    "affine.matrix": Case(family("affine").matrix, {"theta": IDENTITY.clone()}),
    "affine.constrain": Case(family("affine").constrain, {"theta": IDENTITY.clone()}),
    "tps.control_points": Case(family("tps").control_points, {"theta": torch.zeros(2, 32)}),
    "affine.from_matrix": Case(family("affine").from_matrix, {"matrix": eye()}),
    "tps.from_matrix": Case(family("tps").from_matrix, {"matrix": eye()}),
    "bounded.grid": Case(
        transforms.bounded(family("affine"), 0.5).grid,
        {"theta": IDENTITY.clone(), "size": (4, 4), "align_corners": True},
    ),
    "bounded.from_matrix": Case(
        transforms.bounded(family("affine"), 0.5).from_matrix, {"matrix": eye()}
    ),
    "LocNet": Case(models.LocNet, locate),
    "LocNet()": Case(models.LocNet(1, 32), {"images": images(32)}),
    "CMNet": Case(models.CMNet, classify),
    "CMNet()": Case(models.CMNet(1, 32), {"images": images(32)}),
    "CNN": Case(models.CNN, classify | {"halved": False}),
    "CNN()": Case(models.CNN(1, 32), {"images": images(32)}),
    "FCN": Case(models.FCN, classify | {"halved": False}),
    "FCN()": Case(models.FCN(1, 32), {"images": images(32)}),
    "C10Net": Case(models.C10Net, classify),
    "C10Net()": Case(models.C10Net(1, 32), {"images": images(32)}),
    "SpatialTransformer": Case(
        models.SpatialTransformer,
        {
            "localisation": nn.Flatten(),
            "transform": "affine",
            "output_size": (5, 5),
            "padding": "zeros",
            "sampler": "bilinear",
            "align_corners": True,
        },
    ),
    "SpatialTransformer()": Case(
        models.SpatialTransformer(models.LocNet(1, 32)), {"images": images(32)}
    ),
    "Filled": Case(models.Filled, {"fill": torch.zeros(1), "method": sampler.sample}),
    "Filled()": Case(
        models.Filled(torch.zeros(1)),
        {"image": images(), "grid": grid(), "padding": "zeros", "align_corners": True},
    ),
    "STN": Case(models.STN, {"transformer": nn.Flatten(), "classifier": nn.Flatten()}),
    "STN()": Case(models.build("stn", 1, 32, 3), {"images": images(32)}),
    "build": Case(
        models.build,
        locate
        | {"name": "stn", "classes": 3, "output_size": 32, "padding": "zeros"}
        | {"sampler": "bilinear", "dropout": 0.1, "classifier": "cm", "locnet": "paper"}
        | {"width": None},
    ),
    "ResNet": Case(models.ResNet, modern | {"width": 16}),
    "ResNet()": Case(models.ResNet(1, 8, 3, 16), {"images": images()}),
    "ViT": Case(models.ViT, modern | {"width": 32}),
    "ViT()": Case(models.ViT(1, 8, 3, 32), {"images": images()}),
    "Canonicaliser": Case(models.Canonicaliser, {"channels": 1, "size": 8}),
    "Canonicaliser()": Case(models.Canonicaliser(1, 8), {"images": images()}),
    "Canonicaliser.scores": Case(models.Canonicaliser(1, 8).scores, {"images": images()}),
    "count_parameters": Case(models.count_parameters, {"module": nn.Linear(2, 2)}),
    "glorot": Case(models.glorot, {"module": nn.Linear(2, 2)}),
    "coverage": Case(diagnostics.coverage, {"theta": IDENTITY.clone()}),
    "decompose": Case(diagnostics.decompose, {"theta": IDENTITY.clone()}),
    "theta_summary": Case(diagnostics.theta_summary, {"theta": IDENTITY.clone()}),
    "footprint": Case(diagnostics.footprint, {"grid": grid()}),
    "grid_coverage": Case(diagnostics.grid_coverage, {"grid": grid()}),
    "black_share": Case(
        diagnostics.black_share,
        {"output": torch.ones(2, 1, 3, 4), "images": torch.ones(2, 1, 5, 5)},
    ),
    "view_corners": Case(diagnostics.view_corners, {"grid": grid()}),
    "view_pixels": Case(diagnostics.view_pixels, {"grid": grid(), "size": (8, 9)}),
    "corner_spread": Case(
        diagnostics.corner_spread, {"corners": torch.ones(2, 4, 2), "size": (8, 9)}
    ),
    "object_coverage, points": Case(
        diagnostics.object_coverage,
        {"theta": IDENTITY.clone(), "points": torch.ones(5, 2), "align_corners": True},
    ),
    "object_coverage, mask": Case(
        diagnostics.object_coverage,
        {"theta": IDENTITY.clone(), "mask": torch.ones(5, 4), "align_corners": False},
    ),
    "through": Case(
        diagnostics.through, {"theta": IDENTITY.clone(), "points": torch.ones(2, 5, 2)}
    ),
    "pose_summary": Case(
        diagnostics.pose_summary,
        {
            "theta": IDENTITY.clone(),
            "truth": IDENTITY.clone(),
            "points": torch.ones(5, 2),
            "size": 8,
        },
    ),
    "step_bound": Case(
        diagnostics.step_bound,
        {"localisation": models.LocNet(1, 32), "images": images(32), "lr": 1e-3},
    ),
    "report_sampling": Case(
        diagnostics.report_sampling, {"grid": grid(), "output": images(4), "images": images()}
    ),
    "Criteria": Case(
        diagnostics.Criteria,
        {"window": 3, "coverage_drop": 0.5, "black": 0.5, "step": 0.1, "point": 1.0},
    ),
    "CollapseMonitor": Case(
        monitor,
        {
            "model": Net(),
            "optimizer": torch.optim.SGD(Net().parameters(), 1e-3),
            "on_collapse": "warn",
            "criteria": diagnostics.Criteria(),
            "seen_object": dict,
            "lr_factor": 0.1,
            "every": 1,
            "check_every": 1,
            "snapshot_every": 1,
            "sampler": 0,
            "keep": 1,
            "pictures": 1,
        },
    ),
    "find_rates": Case(
        lambda **options: diagnostics.find_rates(progress=False, **options),
        {
            "model": Net(),
            "loader": [(images(), torch.tensor([0, 1]))],
            "loss": F.cross_entropy,
            "steps": 2,
            "optimizer": None,
            "sweep": 10,
        },
    ),
    "CollapseMonitor.log_to": Case(
        lambda logger: diagnostics.CollapseMonitor(Net()).log_to(logger), {"logger": print}
    ),
    "CollapseMonitor.report": Case(
        lambda path: diagnostics.CollapseMonitor(Net()).report(path), {"path": "report.html"}
    ),
    "CollapseMonitor.step": Case(step, {"loss": 1.0}),
    "CollapseMonitor.seen_object": Case(
        lambda value: step(seen_object=lambda: value), {"value": {"points": torch.ones(5, 2)}}
    ),
    "CollapseMonitor.seen_points": Case(
        lambda value: step(seen_object=lambda: {"points": value}), {"value": torch.ones(5, 2)}
    ),
    "CollapseMonitor.load_state_dict": Case(resume, {"state": state()}),
    **{
        f"CollapseMonitor.load_state_dict, {part}": Case(
            lambda value, part=part: resume(state() | {part: value}), {"value": state()[part]}
        )
        for part in state()
    },
    "Trace.row": Case(trace, {"index": 0}),
    "Trace.note": Case(trace, {"name": "accuracy", "value": 0.5}),
    "Trace.append": Case(
        lambda values: diagnostics.Trace().append(1, values), {"values": [0.5] * 15}
    ),
    "Trace.save": Case(diagnostics.Trace().save, {"path": "trace.npz"}),
    "Trace.load_state_dict": Case(
        lambda state: diagnostics.Trace().load_state_dict(state),
        {"state": {"columns": {}, "events": []}},
    ),
    "param_groups": Case(optim.param_groups, {"model": Net(), "lr": 1e-3, "loc_lr_factor": 0.1}),
    "make_optimizer": Case(make_optimizer, {"model": Net(), "config": RunConfig()}),
    "set_rates": Case(rates, {"config": RunConfig(), "progress": 0.5, "history": []}),
    "set_rates, plateau": Case(
        rates,
        {"config": RunConfig(schedule="plateau"), "progress": 0.5, "history": [{"val_loss": 1.0}]},
    ),
    "set_rates, optimizer": Case(
        lambda value: set_rates(value, RunConfig(), 0.5),
        {"value": make_optimizer(Net(), RunConfig())},
    ),
    "KerasAdam": Case(optim.KerasAdam, {"params": optim.param_groups(Net(), 1e-3), "lr": 1e-3}),
    "schedule": Case(optim.schedule, {"name": "cosine", "progress": 0.5, "warmup": 0.1}),
    "plateau": Case(optim.plateau, {"losses": [1.0, 0.5]}),
    "Image": Case(toy.Image, {"knots": (-1.0, 0.0, 1.0), "values": (0.0, 1.0, 0.0)}),
    "Image()": Case(toy.cone(0.1), {"x": 0.3}),
    "Image.slope": Case(toy.cone(0.1).slope, {"x": 0.3}),
    "floats": Case(lambda value: toy.floats("x", value), {"value": [0.3]}),
    "cone": Case(toy.cone, {"border": 0.1}),
    "loss": Case(toy.loss, toys),
    "gradient": Case(toy.gradient, toys),
    "sampled_gradient": Case(
        toy.sampled_gradient, toys | {"method": sampler.sample, "pixels": 8, "points": 8}
    ),
    "adam": Case(walk, shrink | {"size": 0.1}),
    "largest_step": Case(walks.largest_step, {"betas": (0.9, 0.999)}),
    "exit_times": Case(walks.exit_times, shrink | {"size": 0.1}),
    "mean_exit": Case(walks.mean_exit, {"inward": [0.5, 0.5]}),
    "two_layers": Case(
        walks.two_layers,
        {"slope": lambda x: x, "lr": 0.01, "gamma": 0.01, "phi": [1.0], "steps": 2},
    ),
}
CASES["build"].arguments.pop("kind")
CASES["build"].arguments.pop("shared")

NOT_FUNCTIONS = {  # constants and types that hold what was found
    "KERNELS", "PADDINGS", "SAMPLERS", "FAMILIES", "NonFiniteError", "CLASSIFIERS", "LOCNETS",
    "MODELS", "THETA_INITS", "Collapse", "CollapseError", "CollapseWarning", "PATIENCE",
    "SCHEDULES", "Gradient", "Rates", "Trace",
}  # fmt: skip


def anything():
    """Values of the wrong type, size or sign; no function, for what it does is its own affair."""
    return [
        None, True, -1, 0, 7, 2.5, -0.5, math.nan, math.inf, -math.inf, 10**400, 1j,
        "", "a", b"a", [], (), {}, [1], ["a"], {"a": 1}, {1, 2}, (1, 2, 3), [math.nan, 0.5],
        object(), np.float32(0.5), np.int64(4), np.zeros(2), np.zeros((2, 6)),
        torch.device("cpu"), torch.float16, torch.int64, slice(2),
        nn.Parameter(torch.zeros(2)), torch.tensor(0.5), torch.zeros(0), torch.zeros(2, 3),
        torch.zeros(2, 3, 3),
        torch.zeros(2, 3, 4, 2), torch.zeros(2, 6, dtype=torch.int64), torch.zeros(2, 6) > 0,
        torch.zeros(2, 6, dtype=torch.complex64),
    ]  # fmt: skip


def like(value):
    """A good tensor, spoiled."""
    if not isinstance(value, torch.Tensor):
        return []
    first = (0,) * value.ndim
    values = []
    for number in (math.nan, math.inf, -math.inf, 1e38):
        spoiled = value.clone()
        spoiled[first] = number
        values.append(spoiled)
    return [
        *values, torch.full_like(value, math.nan), value[:0], value[..., :0], value[:1], value[0],
        value[None], value[..., None], value.double(), value.half(), value.bfloat16(),
        value.long(), value > 0, value.cfloat(), value.numpy(), value.tolist(),
        value.repeat_interleave(2, 0), value.repeat_interleave(2, -1), value.mT if value.ndim > 1
        else value, -value, value * 0, value.to_sparse(),
    ]  # fmt: skip


def fault(call, arguments):
    """What is wrong with how a call ends; None where it works, or says what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", diagnostics.CollapseWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of NaN that goes through
        try:
            result = call(**arguments)
            if isinstance(result, torch.Tensor) and result.requires_grad:
                result.sum().backward()
        except (ValueError, TypeError) as error:
            text, trace = str(error), error.__traceback__
            while trace.tb_next:
                trace = trace.tb_next
            line = linecache.getline(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
            if not line.strip().startswith("raise") or "\n" in text or len(text) > 300:
                return f"{type(error).__name__} from {line.strip()}: {text}"
        except OSError as error:
            return None if "path" in arguments else repr(error)
        except Exception as error:
            return repr(error)
    return None


@pytest.mark.parametrize("name", CASES)
def test_a_good_call_works(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    CASES[name].call(**CASES[name].arguments)


@pytest.mark.parametrize("name", CASES)
def test_each_bad_argument_works_or_is_told_in_one_line(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case, faults = CASES[name], {}
    for key, good in case.arguments.items():
        for bad in (*anything(), *like(good)):
            found = fault(case.call, case.arguments | {key: bad})
            if found:
                faults[f"{key} = {bad!r}"[:60]] = found
    assert faults == {}


@pytest.mark.parametrize("seed", range(3))
def test_two_bad_arguments_at_once_work_or_are_told_in_one_line(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw, faults = random.Random(seed), {}
    several = [name for name, case in CASES.items() if len(case.arguments) > 1]
    for _ in range(100):
        case = CASES[name := draw.choice(several)]
        keys = draw.sample(sorted(case.arguments), 2)
        bad = {key: draw.choice([*anything(), *like(case.arguments[key])]) for key in keys}
        if found := fault(case.call, case.arguments | bad):
            faults[f"{name} {bad!r}"[:80]] = found
    assert faults == {}


def test_every_public_function_is_tried():
    tried = {name.partition(",")[0].partition(".")[0].removesuffix("()") for name in CASES}
    for module in (sampler, transforms, models, diagnostics, optim, toy, walks):
        names = {name for name in module.__all__ if callable(getattr(module, name))}
        assert names - NOT_FUNCTIONS <= tried, module


REFUSED = {
    "a negative rate": lambda: optim.param_groups(Net(), -1e-3),
    "a rate that is no number": lambda: optim.param_groups(Net(), math.nan),
    "a rate without an end": lambda: optim.param_groups(Net(), math.inf),
    "a rate in words": lambda: optim.param_groups(Net(), "1e-3"),
    "a negative factor": lambda: optim.param_groups(Net(), 1e-3, -0.1),
    "a factor that is no number": lambda: optim.param_groups(Net(), 1e-3, math.nan),
    "parameters for a model": lambda: optim.param_groups(Net().parameters(), 1e-3),
    "a rate for an optimiser": lambda: monitor(Net(), optimizer=1e-3),
    "a list of optimisers": lambda: monitor(Net(), optimizer=[torch.optim.SGD([torch.ones(1)], 1)]),
    "model and optimiser exchanged": lambda: monitor(
        torch.optim.SGD(Net().parameters(), 1e-3), optimizer=Net()
    ),
    "a function for a model": lambda: monitor(lambda x: x),
    "looks in words": lambda: monitor(Net(), every="2"),
    "half a look": lambda: monitor(Net(), every=2.5),
    "a sampler and a half": lambda: monitor(Net(), sampler=1.5),
    "a sampler by name": lambda: monitor(Net(), sampler="stn"),
    "a dict for criteria": lambda: monitor(Net(), criteria={"step": 0.2}),
    "a dict for a function": lambda: monitor(Net(), seen_object={"points": 1}),
    "a factor in words": lambda: monitor(Net(), lr_factor="0.1"),
    "an object by another name": lambda: step(seen_object=lambda: {"point": torch.ones(1, 2)}),
    "a loss for each image": lambda: step(loss=torch.ones(8)),
    "a dict of losses": lambda: step(loss={"loss": 1.0}),
    "a state of nothing": lambda: resume({}),
    "no state": lambda: resume(None),
    "a share above one": lambda: diagnostics.Criteria(coverage_drop=2.0),
    "a percentage": lambda: diagnostics.Criteria(black=50),
    "a window that is true": lambda: diagnostics.Criteria(window=True),
    "one side for two": lambda: models.SpatialTransformer(nn.Flatten(), output_size=28),
    "half a pixel": lambda: models.SpatialTransformer(nn.Flatten(), output_size=(2.5, 2)),
    "corners in words": lambda: models.SpatialTransformer(nn.Flatten(), align_corners="yes"),
    "the clipped sampler's other padding": lambda: models.SpatialTransformer(
        nn.Flatten(), sampler="clipped", padding="border"
    ),
    "the clipped sampler's other corners": lambda: models.SpatialTransformer(
        nn.Flatten(), sampler="clipped", align_corners=False
    ),
    "a class for a module": lambda: models.SpatialTransformer(nn.Flatten),
    "no channels": lambda: models.LocNet(0, 40),
    "a bound that is true": lambda: models.LocNet(1, 40, bound=True),
    "a size of nothing": lambda: models.build("stn", 1, 40, 10, output_size=0),
    "more dropout than there is": lambda: models.CMNet(dropout=1.5),
    "images of other channels": lambda: models.CMNet(1, 40)(torch.rand(2, 3, 40, 40)),
    "images of bytes": lambda: models.LocNet(1, 40)(torch.zeros(2, 1, 40, 40, dtype=torch.uint8)),
    "images in another format": lambda: models.LocNet(1, 40)(torch.rand(2, 1, 40, 40).double()),
    "images elsewhere": lambda: models.LocNet(1, 40)(torch.rand(2, 1, 40, 40, device="meta")),
    "points of three coordinates": lambda: diagnostics.through(IDENTITY, torch.ones(5, 3)),
    "points of other images": lambda: diagnostics.through(IDENTITY, torch.ones(3, 5, 2)),
    "corners that are one": lambda: sampler.sample_native(images(), grid(), align_corners=1),
    "a warm-up in steps": lambda: optim.schedule("cosine", 0.5, "500"),
    "losses in words": lambda: optim.plateau("abc"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_only_be_a_mistake_is_refused(what):
    call = REFUSED[what]
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert any(word in str(caught.value) for word in (" must ", " allows "))
    assert fault(call, {}) is None


def test_a_refused_monitor_leaves_the_model_free():
    model = Net()
    with pytest.raises(ValueError, match="sampler must be a whole number"):
        monitor(model, sampler="last")
    monitor(model)


def test_a_wrong_state_changes_nothing():
    with diagnostics.CollapseMonitor(Net()) as watching:
        before = watching.state_dict()
        with pytest.raises(ValueError, match="state must be what state_dict"):
            watching.load_state_dict(before | {"steps": 5, "actions": {"done": 1}})
        assert watching.state_dict() == before


def test_a_long_value_is_told_in_short():
    with pytest.raises(TypeError) as caught:
        diagnostics.coverage([[0.123456789] * 50] * 50)
    assert len(str(caught.value)) < 200


def test_checking_reads_no_number_from_a_tensor(monkeypatch):
    """On a GPU each such reading would make the host wait for the device."""

    def forbidden(*_):
        raise AssertionError("a number was read from a tensor")

    for name in ("item", "tolist", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, forbidden)
    model = models.CMNet(1, 32)
    model(images(32))
    models.LocNet.forward(models.LocNet(1, 32), images(32))
    for padding in sampler.PADDINGS:
        sampler.sample_native(images(), grid(), padding=padding)
    sampler.sample_clipped(images(), grid())
    diagnostics.coverage(IDENTITY)
    diagnostics.grid_coverage(grid())
