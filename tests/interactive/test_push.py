"""*Push or no push*: the loss and what a sampler reports of it are those of stnlib's samplers."""

import itertools
import math

import pytest
import torch
from pages import state

from stnlib.sampler import SAMPLERS, sample_native

D = torch.float64
STATE = "() => document.querySelector('figure.interactive').stnState"


@pytest.fixture
def page(show):
    return show("push")


def row_of(border):
    u = torch.linspace(-1, 1, 64, dtype=D)
    row = 0.65 + 0.25 * torch.cos(3 * math.pi * u + 0.6)
    if border == "framed":
        row[0] = row[-1] = 0
    return row * torch.cos(math.pi * u / 2) ** 2 if border == "black" else row


def loss(border, sampler, s):
    row = row_of(border).expand(1, 1, 3, -1)
    X = torch.linspace(-1, 1, 1024, dtype=D)

    def read(method, x):
        return method(row, torch.stack([x, torch.zeros_like(x)], dim=-1)[None, None])[0, 0, 0]

    off = read(SAMPLERS[sampler], s * X) - read(sample_native, X)
    return 2 * off.square().mean()


def check_against_stnlib(found):
    s = torch.tensor(found["s"], dtype=D, requires_grad=True)
    value = loss(found["border"], found["sampler"], s)
    value.backward()
    assert found["loss"] == pytest.approx(value.item(), abs=1e-5)
    assert found["reported"] == pytest.approx(s.grad.item(), abs=1e-5)
    around = [loss(found["border"], found["sampler"], found["s"] + d).item() for d in (-0.01, 0.01)]
    assert found["real"] == pytest.approx((around[1] - around[0]) / 0.02, abs=1e-5)


BORDERS = ("bright", "bright, one black pixel", "black")


def test_loss_and_gradient_are_those_of_stnlib(page):
    for border, sampler in itertools.product(BORDERS, ("correct", "clipped")):
        page.get_by_label(border, exact=True).check(force=True)
        page.get_by_label(sampler, exact=True).check(force=True)
        for value in ("0.73", "1.19", "1.52", "2.03"):
            page.get_by_label("scale s").fill(value)
            assert state(page)["s"] == float(value)
            check_against_stnlib(state(page))


def descend(page, border, sampler):
    page.get_by_label(border, exact=True).check(force=True)
    page.get_by_label(sampler, exact=True).check(force=True)
    page.get_by_label("scale s").fill("2")
    page.get_by_role("button", name="Descend").click()
    page.wait_for_function(f"{STATE}.running === false", timeout=60_000)
    return state(page)["s"]


@pytest.mark.slow
def test_only_the_clipped_sampler_lets_a_bright_border_go_and_a_frame_brings_it_back(page):
    assert descend(page, "bright", "correct") == pytest.approx(1, abs=0.05)
    assert descend(page, "bright", "clipped") > 2
    assert descend(page, "bright, one black pixel", "clipped") < 1.2


def test_the_scale_is_dragged_and_moves_by_the_arrow_keys(page):
    canvas = page.locator("canvas").nth(1)
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 30)
    assert state(page)["s"] == pytest.approx(1.4, abs=0.02)
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert state(page)["s"] == pytest.approx(1.41, abs=0.02)
    check_against_stnlib(state(page))
