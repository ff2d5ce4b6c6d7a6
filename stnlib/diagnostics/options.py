"""Checks of what a monitor is made with, and that a model has one for each sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import nn

from stnlib.checks.tensors import check_module
from stnlib.checks.values import optional, require, shown, whole
from stnlib.diagnostics.criteria import Criteria
from stnlib.diagnostics.graph import uncompiled

__all__ = ["check_optimizer", "check_options", "check_seen", "claim", "release"]

# Who watches which sampler; a monitor that nobody holds lets go.
_attached: WeakKeyDictionary[nn.Module, dict[int | None, ReferenceType[Any]]] = WeakKeyDictionary()

MOST_PICTURES = 16  # of a batch


def check_options(
    model: object, optimizer: object, criteria: object, seen_object: object, **numbers: Any
) -> None:
    """Raise a TypeError or ValueError of one line at the first that is not allowed."""
    check_module("model", model)
    check_optimizer(optimizer)
    if criteria is not None and not isinstance(criteria, Criteria):
        raise TypeError(f"criteria must be Criteria or None, not {shown(criteria)}")
    if seen_object is not None and not callable(seen_object):
        raise TypeError(f"seen_object must be a function or None, not {shown(seen_object)}")
    for name, value in numbers.items():
        require(name, value, _RULES[name])


def check_optimizer(optimizer: object) -> None:
    """Raise a TypeError of one line unless it is one, or wraps one, or is None."""
    if optimizer is not None and not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, not {shown(optimizer)}")


_RULES = {
    "every": optional(whole(1)),
    "check_every": optional(whole(1)),
    "keep": optional(whole(1)),
    "snapshot_every": whole(1),
    "sampler": optional(whole(-1000)),
    "pictures": whole(0, MOST_PICTURES),
}


def check_seen(seen: object) -> None:
    """Raise a ValueError of one line unless `seen` is what `seen_object` may return."""
    if not isinstance(seen, Mapping) or seen.keys() - {"points", "mask", "align_corners"}:
        raise ValueError(
            "seen_object must return a dict with points or mask, and align_corners, "
            f"not {shown(seen)}"
        )


def claim(model: nn.Module, sampler: int | None, owner: object) -> None:
    """Note who watches; a ValueError where another does, or where nothing can be seen."""
    if getattr(model, "_compiled_call_impl", None) is not None:
        raise ValueError("a model compiled in place is opaque: use torch.compile(model)")
    held = _attached.setdefault(uncompiled(model), {})
    if sampler in held and held[sampler]() is not None:
        raise ValueError("the model has a CollapseMonitor already: detach() it first")
    held[sampler] = ref(owner)


def release(model: nn.Module, sampler: int | None) -> None:
    """Let another watch."""
    _attached.get(uncompiled(model), {}).pop(sampler, None)
