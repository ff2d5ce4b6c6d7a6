"""What to do about a collapse, in lines of PyTorch that run as they are printed."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

__all__ = ["BOOK", "IDLE", "NOT_SEEN", "NO_PASS", "NO_PATH", "NO_STEP", "PAGES", "advice"]

NO_PASS = (
    "no forward pass with gradients was seen since the last step: call step() once after each "
    "optimizer.step(), watch the module that is called, and call one that was scripted in a block "
    "`with monitor.watching():`"
)
NO_STEP = (
    "no step of the optimizer was seen since the last look: call monitor.step() after "
    "optimizer.step(), set monitor.optimizer where another one is in use, and where a GradScaler "
    "may skip a step, call it only if monitor.stepped"
)
NO_PATH = (
    "how far a step moves θ cannot be measured here, since what makes θ cannot be called again; "
    "everything else is watched"
)
#: why a sampler may not have been seen, where nothing else explains it
NOT_SEEN = (
    "nor can one be in other threads, or in a library of its own: let report_sampling of "
    "stnlib.diagnostics tell of it; and what runs outside of the model's forward pass belongs into "
    "a block `with monitor.watching():`"
)

# Titles, because who installs the package has no book beside it.
BOOK = "Spatial Transformer Networks, reproduced"
PAGES = ("My STN is black", "Three ways to lose a transformer")

IDLE = (
    "An idle transformer shows each image in nearly the same way. Early in a training that is "
    "usual. If it stays idle, it costs time and does nothing: leave it out, or give its "
    "localisation network the rate of the rest. Where it has that, lower both to a third."
)


def advice(model: nn.Module, localisation: Iterable[nn.Parameter], rollback: bool) -> str:
    """Advice for a model of any names, as several lines.

    Parameters
    ----------
    model : nn.Module
        Whose names the lines use. They need `torch`, `model` and `lr`, the present rate.
    localisation : Iterable[nn.Parameter]
        The parameters that θ depends on; without any there are no lines of their rate.
    rollback : bool
        Whether to name ``on_collapse="rollback"``, too.

    Returns
    -------
    str
        Without a line feed at the end.
    """
    lines = [
        "Begin again from before this step, with a third of the learning rate for all parameters. "
        "With Adam, 0.0003 is a careful rate:",
        "    lr = lr / 3",
        "    optimizer = torch.optim.Adam(model.parameters(), lr=lr)  # or the one that you use",
    ]
    names = _names(model, localisation)
    if names:
        starts = ", ".join(repr(name) for name in names)
        lines += [
            "Only where that is not enough, take less for the localisation network, and a warm-up:",
            f"    names = ({starts},)",
            "    groups = {True: [], False: []}",
            "    for name, parameter in model.named_parameters():",
            '        groups[f"{name}.".startswith(names)].append(parameter)',
            "    optimizer = torch.optim.Adam(",
            '        [{"params": groups[False]}, {"params": groups[True], "lr": 0.3 * lr}], lr=lr',
            "    )",
            "    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 1e-3, total_iters=500)",
            "    # and warmup.step() after each optimizer.step()",
        ]
    if rollback:
        lines += [
            "Or let the monitor go back and slow the localisation network down by itself:",
            '    monitor = CollapseMonitor(model, optimizer, on_collapse="rollback")',
        ]
    pages = " and ".join(f'"{page}"' for page in PAGES)
    lines += [f'What to change, and why: {pages} in the book "{BOOK}".']
    return "\n".join(lines)


def _names(model: nn.Module, localisation: Iterable[nn.Parameter]) -> list[str]:
    """Modules and parameters, each with a full stop behind it, that are `localisation` together."""
    inside = {id(parameter) for parameter in localisation}
    named = {f"{name}.": id(p) in inside for name, p in model.named_parameters()}
    others = [name for name, mine in named.items() if not mine]
    starts: list[str] = []
    for name in (name for name, mine in named.items() if mine):
        if not name.startswith(tuple(starts)):
            parts = name.split(".")
            above = (".".join(parts[:n]) + "." for n in range(1, len(parts)))
            starts.append(next(m for m in above if not any(o.startswith(m) for o in others)))
    return starts
