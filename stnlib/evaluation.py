"""What a network does with images that it does not learn from."""

from __future__ import annotations

import math
import re
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stnlib.config import ConfigError
from stnlib.data import Split
from stnlib.data.distort import upright_points
from stnlib.diagnostics import black_share, grid_coverage, pose_summary, theta_summary
from stnlib.models import STN
from stnlib.transforms import NonFiniteError

__all__ = [
    "autocast",
    "device_of",
    "evaluate",
    "exact_float32",
    "has_bfloat16",
    "pick_device",
    "processor_gains_by_bfloat16",
    "processor_words",
    "resolved",
    "thetas",
    "to_float",
]

Row = dict[str, Any]


def to_float(images: Tensor) -> Tensor:
    """Images as float32 in [0, 1], whether they are that already or uint8."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


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


def exact_float32() -> AbstractContextManager:
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
    fast = has_bfloat16(device) and (device.type == "cuda" or processor_gains_by_bfloat16())
    return "bfloat16" if fast else "float32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes with bfloat16 itself.

    A processor by the flags that Linux lists: avx512_bf16, amx_bf16 (Intel, AMD), bf16 (ARM).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(processor_words())


def processor_gains_by_bfloat16() -> bool:
    """Whether its bfloat16 is faster than its float32: not so on Intel's without matrix tiles.

    Their avx512_bf16 takes twice the numbers an instruction, and twice the time: on a core of a
    virtual machine that hides the tiles a product of matrices runs at 65 GFLOP/s, in float32 105.
    """
    return "GenuineIntel" not in processor_words() or "amx_bf16" in processor_words()


@lru_cache(maxsize=1)
def processor_words() -> frozenset[str]:
    """The words with which Linux describes its processors; none elsewhere."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return frozenset()


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def evaluate(model: nn.Module, split: Split, precision: str = "float32") -> Row:
    """Loss and accuracy on `split`, and for an STN what its transformer does.

    Returns
    -------
    `loss` (mean cross-entropy in nats) and `accuracy` in [0, 1]; for an STN also
    `coverage` and `black` (`grid_coverage` and `black_share` of `stnlib.diagnostics`) and, for
    affine θ, its summary, and how far it is from the true θ where that is known.
    When the network diverged, so that θ or the loss is not finite: nan for both.
    """
    try:
        return _measure(model, split, precision)
    except NonFiniteError:
        return {"loss": math.nan, "accuracy": math.nan}


_AT_ONCE = 100  # images, as in training: with more, validation would need more memory than a step


@torch.inference_mode()
def _measure(model: nn.Module, split: Split, precision: str) -> Row:
    model.eval()
    device = device_of(model)
    loss = correct = 0.0
    thetas, parts = [], []
    parts_of = (tensor.split(_AT_ONCE) for tensor in (split.images, split.labels))
    for images, labels in zip(*parts_of, strict=True):
        images = to_float(images)
        with autocast(device, precision):
            if isinstance(model, STN):
                theta, grid = model.transformer.locate(images)
                images = model.transformer.sample(images, grid)
                thetas.append(theta)
                parts.append((len(labels), grid_coverage(grid).mean(), black_share(images)))
                logits = model.classifier(images).float()
            else:
                logits = model(images).float()
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(1) == labels).sum().item()
    accuracy = correct / len(split) if math.isfinite(loss) else math.nan
    row = {"loss": loss / len(split), "accuracy": accuracy}
    return row | (_transformer_row(torch.cat(thetas), parts, split) if thetas else {})


def _transformer_row(theta: Tensor, parts: list[tuple[int, Tensor, Tensor]], split: Split) -> Row:
    n = len(theta)
    row = {
        "coverage": sum(k * c.item() for k, c, _ in parts) / n,
        "black": sum(k * b.item() for k, _, b in parts) / n,
    }
    if theta.shape[1] != 6:
        return row
    row |= theta_summary(theta)
    if split.theta is not None:
        size = split.images.shape[-1]
        row |= pose_summary(theta, split.theta, upright_points(size).to(theta.device), size)
    return row


@torch.inference_mode()
def thetas(model: nn.Module, split: Split, n: int, precision: str = "float32") -> list[list[float]]:
    """θ of the first `n` images of `split`, for pictures of what an STN's transformer does.

    Where θ is bounded and is not finite, there is none to show: an empty list.
    """
    model.eval()
    images = to_float(split.first(n).images)
    try:
        with autocast(device_of(model), precision):
            return model.transformer.localisation(images).float().tolist()
    except NonFiniteError:
        return []
