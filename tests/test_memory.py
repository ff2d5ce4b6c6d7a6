"""Memory is reused between steps, and nothing that is computed changes."""

import subprocess
import sys

import pytest

from stnlib.memory import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from stnlib.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for warm in range(3):
    torch.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(20):
    torch.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode):
    command = [sys.executable, "-c", FAULTS, mode]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="only where the C library is glibc")
def test_large_tensors_are_no_longer_mapped_anew_at_every_step():
    assert 3 * faults("keep") < faults("default")


def test_asking_again_changes_nothing():
    assert keep_freed_memory() is keep_freed_memory()
