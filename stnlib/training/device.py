"""Devices, and the numbers in which a network computes on them."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

import torch
from torch import nn

from stnlib.errors import ConfigError

__all__ = [
    "autocast",
    "check_precision",
    "device_of",
    "exact_float32",
    "has_bfloat16",
    "pick_device",
    "processor_words",
    "resolved",
]


def pick_device(name: str) -> torch.device:
    """The device of a name: cpu, cuda, cuda:N, or auto, a GPU where there is one.

    Raises
    ------
    ConfigError
        For another name, or a device that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ConfigError(f"device must be auto, cpu, cuda or cuda:N, not {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(name.partition(":")[2] or 0)  # torch's own index wraps around at 128
    if name != "cpu" and number >= count:
        raise ConfigError(f"device {name} is not there: this machine has {count} CUDA devices")
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which networks compute with `precision`."""
    enabled = resolved(device, precision) == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def exact_float32() -> AbstractContextManager[None]:
    """The context in which a GPU's convolutions in float32 are float32.

    By default cuDNN rounds what they multiply to TF32: 10 bits after the point, of 23.
    """
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    return cudnn.flags(**kept, allow_tf32=False)


def resolved(device: torch.device, precision: str) -> str:
    """What a configuration's `precision` comes to on a device: `float32` or `bfloat16`.

    `auto` is bfloat16 where the device computes faster with it, not where it is emulated.
    """
    if precision != "auto":
        return precision
    fast = has_bfloat16(device) and (device.type == "cuda" or _processor_gains_by_bfloat16())
    return "bfloat16" if fast else "float32"


def check_precision(precision: str, device: torch.device) -> None:
    """Raise `ConfigError` unless a device computes in what a configuration asks for."""
    if precision == "bfloat16" and not has_bfloat16(device):
        raise ConfigError(
            f"precision must be float32 or auto: {device} does not compute in bfloat16"
        )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes with bfloat16 itself.

    A processor by the flags that Linux lists: avx512_bf16, amx_bf16 (Intel, AMD), bf16 (ARM).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(processor_words())


def _processor_gains_by_bfloat16() -> bool:
    """Whether its bfloat16 is faster than its float32: not so on Intel's without matrix tiles.

    Their avx512_bf16 takes twice the numbers an instruction, and twice the time: on a core of a
    virtual machine that hides the tiles a product of matrices runs at 65 GFLOP/s, in float32 105.
    """
    return "GenuineIntel" not in processor_words() or "amx_bf16" in processor_words()


@cache
def processor_words() -> frozenset[str]:
    """The words with which Linux describes its processors; none elsewhere."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return frozenset()


def device_of(model: nn.Module) -> torch.device:
    """Where a model's parameters are."""
    return next(model.parameters()).device
