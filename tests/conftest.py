"""What tests of the core share: folders of their own, and a small data set."""

import signal
from dataclasses import replace

import pytest
import torch
from browser import MISSING, OPTIONS, PROGRAM

from stnlib.data import catalogue
from stnlib.training.config import RunConfig


@pytest.fixture(scope="session", autouse=True)
def ctrl_c():
    """Ctrl-C reaches what tests start: a shell's background jobs, and so CI's, may ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request):
    """Each kind of device that is there."""
    return torch.device(request.param)


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def dtype(request):
    """Each number format that the layer takes."""
    return getattr(torch, request.param)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders of the test's own for data, records and checkpoints."""
    names = ("data", "records", "checkpoints")
    for name in names:
        monkeypatch.setenv(f"STNLIB_{name.upper()}", str(tmp_path / name))
    return {name: tmp_path / name for name in names}


@pytest.fixture(scope="session")
def few():
    """Cluttered digits, 96 to train and 50 each to validate and to test."""
    whole = catalogue.load("digits", n_train=96)
    return replace(whole, val=whole.val.first(50), test=whole.test.first(50))


@pytest.fixture(scope="session")
def shapes():
    """Distorted shapes, 40 to train and 50 each to validate and to test."""
    whole = catalogue.load("shapes10d", n_train=40)
    return replace(whole, val=whole.val.first(50), test=whole.test.first(50), probes={})


@pytest.fixture
def config():
    """Three epochs of three steps in which everything is random that can be."""
    return RunConfig(
        data="digits",
        n_train=96,
        batch_size=40,
        epochs=3,
        augment="warp+clutter",
        dropout=0.5,
        schedule="cosine",
        warmup=0.1,
        loc_lr_factor=0.5,
    )


@pytest.fixture(scope="session")
def chromium():
    """The installed browser, without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason=MISSING)
    if PROGRAM is None:
        pytest.skip(MISSING)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=PROGRAM, args=OPTIONS)
        yield browser
        browser.close()
