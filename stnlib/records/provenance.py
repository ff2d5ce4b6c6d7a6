"""What the machine decided about a run: hardware, versions, source revision, date."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

__all__ = ["provenance", "revision"]


def provenance(
    device: torch.device, fingerprint: str, precision: str = "float32"
) -> dict[str, Any]:
    """What the machine decided, for the record: hardware, versions, source, date.

    Parameters
    ----------
    device : torch.device
        Where the training ran.
    fingerprint : str
        Of the data set.
    precision : str
        `float32` or `bfloat16`, also where the configuration left it to the machine.
    """
    return {
        "data": fingerprint,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "numpy")},
        },
        "system": f"{platform.system()} {platform.machine()}",
        "source": revision(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                capability = torch.backends.cpu.get_cpu_capability()
                return f"cpu, {line.partition(':')[2].strip()}, {capability}"
    except OSError:
        pass
    return f"cpu, {platform.processor() or platform.machine()}"


@functools.cache
def revision() -> str:
    """The checkout's commit, with a + when stnlib differs from it; unknown outside of one.

    As it is when first asked in a process: a checkout may move on while a long run goes on.
    """
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # an installed copy may lie in someone else's repository, which does not track it
        subprocess.run([*git, "ls-files", "--error-unmatch", Path(__file__).name], **_QUIET)
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], **_QUIET).stdout.strip()
        dirty = subprocess.run([*git, "status", "--porcelain", "--", "."], **_QUIET).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if dirty else "")


_QUIET: dict[str, Any] = {"capture_output": True, "text": True, "check": True}
