"""What the benchmarks share: one thread, sizes, and how a measurement is named.

Benchmarks of one group measure one thing; `table.py` sets stnlib's time against each other's.
"""

import pytest
import torch


def pytest_addoption(parser):
    parser.addoption("--tiny", action="store_true", help="only see that they run")


def pytest_benchmark_update_json(config, benchmarks, output_json):
    """Say of a measurement of tiny sizes that it is one: nothing can be judged by it."""
    output_json["tiny"] = config.getoption("--tiny")


@pytest.fixture
def tiny(request):
    return request.config.getoption("--tiny")


@pytest.fixture(autouse=True)
def one_thread():
    """Everything is measured on one thread, unless its name says more: one core for all sides."""
    torch.set_num_threads(1)


@pytest.fixture
def measure(benchmark, tiny):
    """`measure(group, of, function, rounds)`: time one side of a comparison.

    One more round warms up, unless `warm` is false. Other keywords are figures of its own, shown
    beside the ratios; with `images`, how many the function works through, also images a second.
    Returns the median in seconds.
    """

    def run(group, of, function, rounds=20, images=None, warm=True, **figures):
        benchmark.group = group
        benchmark.extra_info |= {"of": of, **figures}
        warmup = int(warm and rounds > 1 and not tiny)
        benchmark.pedantic(function, rounds=1 if tiny else rounds, warmup_rounds=warmup)
        if benchmark.disabled:  # the functions ran once, nobody looked at the clock
            return float("nan")
        seconds = benchmark.stats.stats.median
        if images:
            benchmark.extra_info["images a second"] = float(f"{images / seconds:.4g}")
        return seconds

    return run
