"""What the benchmarks share: one thread, sizes, and how a measurement is named.

Benchmarks of one group measure one thing; `table.py` sets stnlib's time against each other's.
"""

import pytest
import torch


def pytest_addoption(parser):
    parser.addoption("--tiny", action="store_true", help="only see that they run")


@pytest.fixture
def tiny(request):
    return request.config.getoption("--tiny")


@pytest.fixture(autouse=True)
def one_thread():
    """Everything is measured on one thread: the same core for all sides."""
    torch.set_num_threads(1)


@pytest.fixture
def measure(benchmark, tiny):
    """`measure(group, of, function, rounds)`: time one side of a comparison.

    Keywords that follow are figures of its own, shown beside the ratios.
    """

    def run(group, of, function, rounds=20, **figures):
        benchmark.group = group
        benchmark.extra_info |= {"of": of, **figures}
        warmup = 0 if tiny or rounds == 1 else 1
        return benchmark.pedantic(function, rounds=1 if tiny else rounds, warmup_rounds=warmup)

    return run
