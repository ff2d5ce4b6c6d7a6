"""What can be known of this machine without importing torch, which takes seconds."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["count_gpus", "gpu_files"]

_DRIVERS = ("nvidia[0-9]*", "dxg", "kfd")  # NVIDIA's, Windows's for Linux, AMD's


def gpu_files() -> list[str]:
    """The device files that drivers of GPUs have made."""
    return sorted(str(path) for name in _DRIVERS for path in Path("/dev").glob(name))


def count_gpus() -> int:
    """How many GPUs torch can use; it is only asked where there may be any."""
    if os.name != "nt" and not gpu_files():
        return 0
    import torch

    return torch.cuda.device_count()
