"""Checks of the tensors and modules that a caller hands over: types and shapes, never contents.

They read no number out of a tensor, so that beside a training step no device is waited for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stnlib.checks.values import flag, shown

__all__ = [
    "FLOATS",
    "at_least_float32",
    "check_fits",
    "check_flag",
    "check_grid",
    "check_images",
    "check_module",
    "check_same",
    "check_tensor",
    "is_symbolic",
    "recording",
    "tracing",
]

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def tracing() -> bool:
    """Whether `torch.jit.trace` records a program: there sizes are tensors.

    Returns
    -------
    bool
        True where asking for a size would fix it in the trace, of which PyTorch warns.
    """
    return torch.jit.is_tracing()  # type: ignore[attr-defined] # public, but not to mypy


def recording() -> bool:
    """Whether PyTorch records a program, by `torch.compile`, `torch.export` or `torch.jit.trace`.

    Returns
    -------
    bool
        True where sizes may be unknown.
    """
    return torch.compiler.is_compiling() or tracing()


def is_symbolic(value: Tensor) -> bool:
    """Whether nothing can be asked of a tensor's numbers.

    Parameters
    ----------
    value : Tensor
        Any.

    Returns
    -------
    bool
        True while a program is recorded or a CUDA graph captured: there are no numbers yet. True
        inside `torch.func.vmap`, too, where each image would have an answer of its own.
    """
    if recording() or (value.is_cuda and torch.cuda.is_current_stream_capturing()):
        return True
    functorch = torch._C._functorch
    while functorch.is_gradtrackingtensor(value):
        value = functorch.get_unwrapped(value)
    return functorch.is_batchedtensor(value)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half-precision numbers as float32; float32 and float64 as they are.

    Parameters
    ----------
    tensor : Tensor
        Floating point, of any shape. bfloat16 has 128 steps in [0.5, 1), too few for a place.

    Returns
    -------
    Tensor
        Of the same shape, float32 or float64.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def check_tensor(name: str, value: Any) -> None:
    """Raise a TypeError unless `value` is a dense floating-point tensor.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : Any
        What was handed over.
    """
    if not isinstance(value, Tensor) or value.dtype not in FLOATS:
        raise TypeError(f"{name} must be a floating-point tensor, not {shown(value)}")
    if value.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense tensor, not {value.layout}")


def check_same(**tensors: Tensor) -> None:
    """Raise a ValueError unless two tensors have one dtype and are on one device.

    Parameters
    ----------
    **tensors : Tensor
        Two, by the names that the message calls them.
    """
    (name, first), (other, second) = tensors.items()
    if first.dtype != second.dtype or first.device != second.device:
        raise ValueError(
            f"{name} and {other} must have one dtype and device, not {first.dtype} on "
            f"{first.device} and {second.dtype} on {second.device}"
        )


def check_flag(name: str, value: Any) -> None:
    """Raise a ValueError unless `value` is True or False.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : Any
        What was handed over.
    """
    if value is not True and value is not False:
        raise ValueError(f"{name} must be {flag(value)}, not {shown(value)}")


def check_module(name: str, value: Any) -> None:
    """Raise a TypeError unless `value` is a module.

    Parameters
    ----------
    name : str
        What the message calls it.
    value : Any
        What was handed over.
    """
    if not isinstance(value, nn.Module):
        kind = f"the class {value.__name__}" if isinstance(value, type) else shown(value)
        raise TypeError(f"{name} must be a torch.nn.Module, not {kind}")


def check_images(
    name: str, images: Any, channels: int | None = None, size: int | None = None
) -> None:
    """Raise a TypeError or ValueError unless `images` are (N, C, H, W), floating point.

    Parameters
    ----------
    name : str
        What the message calls them.
    images : Any
        What was handed over.
    channels, size : int | None
        What C must be, and H and W; None for any.
    """
    check_tensor(name, images)
    if tracing():
        return
    wanted = ("N", channels or "C", size or "H", size or "W")
    wrong = images.ndim != 4 or 0 in images.shape[1:]
    wrong = wrong or any(
        isinstance(want, int) and n != want for want, n in zip(wanted, images.shape, strict=True)
    )
    if wrong:
        shape = ", ".join(map(str, wanted))
        raise ValueError(f"{name} must have shape ({shape}), not {tuple(images.shape)}")


def check_grid(name: str, grid: Any) -> None:
    """Raise a TypeError or ValueError unless `grid` is (N, h, w, 2), floating point, not empty.

    Parameters
    ----------
    name : str
        What the message calls it.
    grid : Any
        What was handed over.
    """
    check_tensor(name, grid)
    if grid.ndim != 4 or grid.shape[-1] != 2 or 0 in grid.shape[1:]:
        raise ValueError(f"{name} must have shape (N, H, W, 2), not {tuple(grid.shape)}")


def check_fits(images: Tensor, weight: Tensor) -> None:
    """Raise a ValueError where a layer is elsewhere or, autocast apart, of another dtype.

    Parameters
    ----------
    images : Tensor
        What the layer shall take.
    weight : Tensor
        The layer's.
    """
    if images.device != weight.device:
        raise ValueError(f"images must be on the network's {weight.device}, not {images.device}")
    if images.dtype != weight.dtype and not torch.is_autocast_enabled(images.device.type):
        raise ValueError(f"images must have the network's {weight.dtype}, not {images.dtype}")
