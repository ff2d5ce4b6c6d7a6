"""A range test of learning rates for a network with a spatial transformer."""

from __future__ import annotations

import copy
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from stnlib.checks.tensors import check_module
from stnlib.checks.values import flag, optional, require, shown, whole
from stnlib.diagnostics.criteria import Collapse, CollapseWarning, Criteria
from stnlib.diagnostics.graph import unwrapped
from stnlib.diagnostics.monitor import CollapseMonitor
from stnlib.diagnostics.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["THROWN", "Rates", "find_rates"]

LOWEST, HIGHEST = 1e-5, 1.0  # rates of the test
LEAST, MOST = 30, 150  # its steps, unless they are given
THROWN = 0.05  # half image sides a step: from there on a step may throw the view out
SAFE = 1 / 3  # of the rate at which that happens, for the localisation network
BEYOND = 2.0  # times the rate of the lowest loss, which is met late in a test of few steps
LOOKS = 0.5  # pixels by which views must differ between images, or the transformer idles
SHARE = 0.3  # the localisation network's rate over the rest's, where the window allows it
WARMUP = 0.05  # share of the steps
MEAN = 0.5  # of the schedule's factor, over the steps
EXPLODED = 4.0  # times the lowest loss


@dataclass(frozen=True)
class Rates:
    """What a range test found. ``print`` says it in words.

    Parameters
    ----------
    steps : int
        Of the training that was asked about.
    window : tuple[float, float] | None
        Lowest and highest rate of the localisation network, each at the peak of the schedule. None
        where no rate is high enough for θ to move and low enough for the view to stay.
    lr, loc_lr : float | None
        Suggested for the peak of the network's rate, and of the localisation network's; None
        without a window.
    warmup : int
        Suggested steps over which both rise from 0; a cosine then leads back to 0.
    travels : float | None
        The lowest constant rate that lets views differ by half an input pixel between images in
        these steps, None where they never did so in the test.
    thrown : float | None
        The rate at which a step moves the view by 0.05 half image sides, or the test had to end;
        None where neither happened.
    ended : str | None
        What ended the test early, in words.
    optimizer : str
        Its kind, such as "Adam".
    curve : dict[str, list[float]]
        Step by step: `rate`, `loss`, `step` (half image sides that the step moved θ by; nan where
        that is not known), `corner_spread` (input pixels) and `coverage`.
    """

    steps: int
    window: tuple[float, float] | None
    lr: float | None
    loc_lr: float | None
    warmup: int
    travels: float | None
    thrown: float | None
    ended: str | None
    optimizer: str
    curve: dict[str, list[float]] = field(repr=False)

    @property
    def loc_lr_factor(self) -> float | None:
        """The localisation network's rate over the network's, as `param_groups` takes it."""
        return None if self.lr is None or self.loc_lr is None else self.loc_lr / self.lr

    @property
    def _safe(self) -> float:
        return SAFE * self.thrown if self.thrown else self.curve["rate"][-1]

    def plot(self) -> Figure:
        """Draw loss, θ's step and spread over the rates, and the window: a Matplotlib figure."""
        from stnlib.diagnostics.plot import draw_rates

        return draw_rates(self)

    def __str__(self) -> str:
        tested = self.curve["rate"]
        ended = self.ended or "neither view nor loss was lost"
        lines = [f"Range test, {len(tested)} steps up to the rate {tested[-1]:.2g}: {ended}."]
        if "Adam" not in self.optimizer:
            lines.append(f"This has been of use with Adam alone, not with {self.optimizer}.")
        if self.window is None:
            why = (
                "views differed by less than half a pixel between images before that"
                if self.travels is None
                else f"in {self.steps} steps θ travels far enough from {self.travels / MEAN:.2g} "
                f"on, and the view is safe up to {self._safe:.2g}"
            )
            return "\n".join([*lines, f"There is no window: {why}."])
        above = "" if self.thrown else "; higher ones were not tested"
        return "\n".join(
            [
                *lines,
                f"Window of the localisation network: {self.window[0]:.2g} to "
                f"{self.window[1]:.2g}{above}.",
                f"Suggested for {self.steps} steps: {self.lr:g} for the network, {self.loc_lr:g} "
                f"for the localisation network, {self.warmup} steps of warm-up, then a cosine to "
                "0.",
            ]
        )


def find_rates(
    model: nn.Module,
    loader: Iterable[Any],
    loss: Callable[[Any, Any], Tensor],
    steps: int,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    sweep: int | None = None,
    progress: bool = True,
) -> Rates:
    """Learning rates for a network with a spatial transformer, by a short range test. ::

        rates = find_rates(model, loader, F.cross_entropy, steps=3 * len(loader))
        print(rates)
        optimizer = torch.optim.Adam(
            param_groups(model, rates.lr, rates.loc_lr_factor, batch=images)
        )

    A copy is trained for some steps, at one rate for all parameters that rises from 1e-5 by a
    constant factor towards 1, until the view is lost or the loss explodes. The window's lower end
    is set by how far θ must travel: with Adam it travels in proportion to the sum of the rates, so
    the sum at which views differ by half a pixel in the test must be reached in `steps` steps. The
    upper end is a third of the rate at which one step moves the view by 0.05 half image sides. The
    network's rate is twice that of the lowest loss, but not above the rate at which the view moves
    so far, and the localisation network's is 0.3 of it, moved into the window.

    Model, optimiser, random numbers (also those of the loader's generators) and hooks are as
    before. The same random state gives the same rates.

    Parameters
    ----------
    model : nn.Module
        Any whose transformer `CollapseMonitor` sees, as it is before the training.
    loader : Iterable[Any]
        Batches (images, labels) of at least two images, as the training has them; begun again when
        it ends. An iterator is used up.
    loss : Callable[[Any, Any], Tensor]
        Of the model's output and the labels, such as ``F.cross_entropy``.
    steps : int
        That the training will take, at least 1.
    optimizer : torch.optim.Optimizer | None
        Of the model's parameters, copied with its state; its rates do not matter. None for Adam.
    sweep : int | None
        Most steps of the test, at least 10; by default half of `steps`, at least 30 and at most
        150.
    progress : bool
        Show a bar, if tqdm is installed.

    Returns
    -------
    Rates
        The window, a suggestion, and the numbers behind it.

    Raises
    ------
    TypeError, ValueError
        One line, where an argument is not one of the allowed, a batch is no pair of images and
        labels, or the model has no transformer that can be seen.

    Notes
    -----
    What it cannot do: find the most accurate rates, or serve SGD. Its constants were chosen on two
    networks; it was then judged on eight others, in 93 to 312 steps, and missed what was asked of
    it (`stnlib.book.finder`). With Adam all 11 trainings of five networks looked at the end. So did
    all five, trained once each, at 0.01 and 0.003 for the localisation network on the same
    schedule; that plain choice was more accurate in three of them, by up to 7.6 points: where
    features are large the test is too cautious, and between two seeds its rates differed by up to a
    factor of 6.6. With SGD it failed: of seven trainings of three networks four were given no
    window, one stayed idle, and two lost their view at what was suggested. Longer trainings and
    photographs were not judged, nor other warm-ups. After the first epoch ask
    `CollapseMonitor.summary` whether the transformer looks.
    """
    check_module("model", model)
    if not isinstance(loader, Iterable) or isinstance(loader, str | bytes | Tensor):
        raise TypeError(f"loader must be an iterable of (images, labels), not {shown(loader)}")
    if not callable(loss):
        raise TypeError(f"loss must be a function of outputs and labels, not {shown(loss)}")
    require("steps", steps, whole(1))
    require("sweep", sweep, optional(whole(10)))
    require("progress", progress, flag)
    if any(map(is_lazy, model.parameters())):
        raise ValueError("model must have its shapes: run a batch through its lazy modules first")
    _check_optimizer(model, optimizer)
    most = sweep or max(LEAST, min(MOST, steps // 2))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with _kept(loader, device), torch.enable_grad():
        twin, optimizer = _copied(unwrapped(model), optimizer)
        curve, ended = _test(twin, optimizer, _batches(loader, device), loss, most, progress)
    return _judged(curve, ended, steps, type(optimizer).__name__)


def _check_optimizer(model: nn.Module, optimizer: Any) -> None:
    """Raise a TypeError or ValueError unless it is one of this model's, or None."""
    if optimizer is None:
        return
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer must be a torch.optim.Optimizer or None, not {shown(optimizer)}"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("optimizer must have parameters of the model, and has none")


def _copied(
    model: nn.Module, optimizer: torch.optim.Optimizer | None
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Both together, so that the copied optimiser has the copied parameters."""
    try:
        twin, its = copy.deepcopy((model, optimizer))
    except Exception as error:  # of many kinds: what a module holds may be anything
        reason = str(error).partition("\n")[0]
        raise ValueError(f"model and optimizer must allow copy.deepcopy: {reason}") from None
    twin.train()
    if its is None:
        its = torch.optim.Adam(twin.parameters())
    return twin, its


@contextmanager
def _kept(loader: Any, device: torch.device) -> Iterator[None]:
    """Random numbers are afterwards as they were: PyTorch's, Python's, NumPy's, the loader's."""
    parts = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
    found = [x for part in parts for x in getattr(part, "__dict__", {}).values()]
    own = [(x, x.get_state()) for x in found if isinstance(x, torch.Generator)]
    numpy, pure = sys.modules.get("numpy"), random.getstate()
    theirs = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for generator, state in own:
            generator.set_state(state)
        random.setstate(pure)
        if numpy:
            numpy.random.set_state(theirs)


def _batches(loader: Iterable[Any], device: torch.device) -> Iterator[tuple[Any, Any]]:
    """Pass after pass, on the device."""
    while True:
        empty = True
        for batch in loader:
            if not isinstance(batch, Sequence) or isinstance(batch, str) or len(batch) != 2:
                raise ValueError(f"loader must give pairs (images, labels), not {shown(batch)}")
            images, labels = (x.to(device) if isinstance(x, Tensor) else x for x in batch)
            if isinstance(images, Tensor) and images.ndim and len(images) < 2:
                continue  # such as a last, small batch: there views cannot differ
            empty = False
            yield images, labels
        if empty:
            raise ValueError(
                "loader must give batches of at least two images in each pass, and gave none: it "
                "must be an iterable that can begin again, such as a DataLoader or a list"
            )


def _test(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Any, Any]],
    loss: Callable[[Any, Any], Tensor],
    most: int,
    progress: bool,
) -> tuple[dict[str, list[float]], str | None]:
    """Train at rates that rise: the curve, and what ended it early."""
    # Not a runaway: that is what `step` tells of, at a bound of our own.
    criteria = Criteria(step=sys.float_info.max, blind=0)
    monitor = CollapseMonitor(model, optimizer, criteria=criteria, every=1, check_every=1)
    curve: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    lowest = math.inf
    with monitor, warnings.catch_warnings(action="ignore", category=CollapseWarning):
        for rate in _bar(_rising(most), most, progress):
            for group in optimizer.param_groups:
                group["lr"] = rate
            images, labels = next(batches)
            try:
                value = _step(model, optimizer, loss, images, labels)
            except Exception:
                if monitor.collapse and curve["rate"]:  # of a θ that is not finite
                    return curve, _reason(monitor.collapse)
                raise
            monitor.step(value)
            for name, column in curve.items():
                column.append(_seen(monitor.traces, name) if name != "rate" else rate)
            lowest = min(lowest, value)
            if monitor.collapse:
                return curve, _reason(monitor.collapse)
            if not value <= lowest + (EXPLODED - 1) * abs(lowest) < math.inf:
                return curve, f"the loss exploded, from {lowest:.2g} at best to {value:.2g}"
    return curve, None


def _reason(found: Collapse) -> str:
    """The message without step and numbers."""
    return found.message.partition(f"step {found.step}: ")[2].partition(" (")[0].rstrip(".")


_COLUMNS = ("rate", "loss", "step", "corner_spread", "coverage")


def _rising(most: int) -> list[float]:
    return [LOWEST * (HIGHEST / LOWEST) ** (n / (most - 1)) for n in range(most)]


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Any, images: Any, labels: Any
) -> float:
    value = loss(model(images), labels)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        raise ValueError(
            "loss must return a tensor of one number that depends on the parameters, "
            f"not {shown(value)}"
        )
    optimizer.zero_grad()
    value.backward()
    optimizer.step()
    return value.item()


def _seen(traces: list[Trace], name: str) -> float:
    """A number of the last look: of several transformers that of the one that moves most."""
    values = [trace.columns[name][-1] for trace in traces if len(trace)]
    known = [value for value in values if not math.isnan(value)]
    return (min if name == "coverage" else max)(known, default=math.nan)


def _bar(rates: list[float], most: int, progress: bool) -> Iterable[float]:
    try:
        from tqdm.auto import tqdm
    except ImportError:  # the core needs nothing but torch
        return rates
    return tqdm(rates, desc="range test", unit="step", disable=not progress)


def _judged(curve: dict[str, list[float]], ended: str | None, steps: int, optimizer: str) -> Rates:
    """The window, and what to take of it."""
    rates, moved = curve["rate"], _smooth(curve["step"], 1)
    end = next((n for n, by in enumerate(moved) if by > THROWN), len(rates) - 1)
    thrown = rates[end] if ended or moved[end] > THROWN else None
    wide = next((n for n, by in enumerate(curve["corner_spread"]) if by >= LOOKS), None)
    travels = None if wide is None else sum(rates[: wide + 1]) / steps
    warmup, window, lr, loc_lr = round(WARMUP * steps), None, None, None
    high = SAFE * rates[end] if thrown else rates[-1]
    if travels is not None and travels / MEAN < high:
        window = travels / MEAN, high
        losses = _smooth(curve["loss"][: end + 1], max(1, len(rates) // 20))
        lr = _rounded(min(BEYOND * min(zip(losses, rates, strict=False))[1], rates[end]))
        loc_lr = _rounded(min(max(SHARE * lr, window[0]), high))
    return Rates(steps, window, lr, loc_lr, warmup, travels, thrown, ended, optimizer, curve)


def _smooth(values: list[float], reach: int) -> list[float]:
    """Means over as many neighbours on either side; those that are no numbers do not count."""
    parts = (values[max(0, n - reach) : n + reach + 1] for n in range(len(values)))
    known = ([value for value in part if math.isfinite(value)] for part in parts)
    return [sum(part) / len(part) if part else math.nan for part in known]


def _rounded(rate: float) -> float:
    return float(f"{rate:.2g}")
