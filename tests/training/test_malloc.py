"""Memory is reused between steps, and nothing that is computed changes."""

import subprocess
import sys

import pytest

from stnlib.training import fit, malloc
from stnlib.training.config import RunConfig
from stnlib.training.loop import make_model
from stnlib.training.malloc import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from stnlib.training.malloc import keep_freed_memory

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
@pytest.mark.slow
def test_large_tensors_are_no_longer_mapped_anew_at_every_step():
    assert 3 * faults("keep") < faults("default")


def test_asking_again_changes_nothing():
    assert keep_freed_memory() is keep_freed_memory()


def test_a_training_in_a_program_of_ones_own_leaves_its_memory_alone(few, monkeypatch):
    settings = []
    monkeypatch.setattr(malloc.ctypes, "CDLL", lambda name: settings.append(name))
    keep_freed_memory.cache_clear()
    config = RunConfig(data="digits", model="baseline", n_train=96, batch_size=96, epochs=1)
    fit.fit(make_model(config, few), few, config, progress=False)
    assert settings == []
