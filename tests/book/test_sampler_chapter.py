"""The sampler chapter and its appendix: inline code is stnlib's, and what they print is true."""

from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch

from stnlib import sampler

BOOK = Path(__file__).parents[2] / "book"
PAGES = ("sampler", "appendix/copied_sampler", "appendix/shrinking")


def code(name):
    notebook = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names_of(name):
    """The names that a page defines, after all of its cells have run."""
    matplotlib.use("Agg")
    names = {"In": [], "__name__": "page"}
    for cell in code(name):
        if "glue(" not in cell.source:  # outside of a notebook glue shows
            exec(compile(cell.source, f"{name}, cell {cell.id}", "exec"), names)
    matplotlib.pyplot.close("all")
    return names


@pytest.fixture(scope="module")
def chapter():
    return names_of("sampler")


@pytest.fixture(scope="module")
def copied():
    return names_of("appendix/copied_sampler")


def random_case(seed, reach):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    grid = reach * (2 * torch.rand(2, 3, 4, 2, generator=generator, dtype=torch.float64) - 1)
    return image, grid


def agree(method, other, reach):
    image, grid = random_case(5, reach)
    results = []
    for one in (method, other):
        leaves = image.clone().requires_grad_(), grid.clone().requires_grad_()
        out = one(*leaves)
        results.append((out.detach(), *torch.autograd.grad(out.square().sum(), leaves)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reach", (0.9, 1.5, 10.0))
@pytest.mark.parametrize(
    ("inline", "package"),
    (
        ("loop", sampler.sample_loop),
        ("vectorised", sampler.sample),
        ("native", sampler.sample_native),
    ),
)
def test_inline_code_equals_the_package(chapter, inline, package, reach):
    agree(chapter[inline], package, reach)


@pytest.mark.parametrize("reach", (0.9, 1.5, 10.0))
def test_the_copied_sampler_is_the_package_s_clipped_one_and_its_repair_the_correct_one(
    copied, reach
):
    agree(copied["clipped"], sampler.sample_clipped, reach)
    agree(copied["repaired"], sampler.sample, reach)


@pytest.mark.parametrize("kernel", sampler.KERNELS)
def test_inline_kernels_are_the_package_s(chapter, kernel):
    distance = torch.linspace(-2, 2, 41, dtype=torch.float64)
    torch.testing.assert_close(
        chapter[kernel](distance), sampler.kernel_weight(distance, 0, kernel)
    )


def test_the_solution_for_y_is_the_slope_of_the_package_on_pixel_centres_too(chapter):
    image = torch.rand(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for x, y in ((1.3, 2.6), (2.0, 1.0), (-0.5, 2.5), (3.2, 3.7)):
        at = torch.tensor([y], dtype=torch.float64, requires_grad=True)
        grid = torch.stack((torch.full_like(at, 2 * x / 4 - 1), 2 * at / 3 - 1), -1)[None, None]
        (slope,) = torch.autograd.grad(sampler.sample(image[None, None], grid).sum(), at)
        assert chapter["partial_y"](image, x, y) == pytest.approx(slope.item(), abs=1e-12)


def printed(name):
    tagged = "nbval-ignore-output"
    outputs = [o for c in code(name) if tagged not in c.metadata.get("tags", []) for o in c.outputs]
    return [line for o in outputs for line in o.get("text", "").splitlines()]


@pytest.mark.parametrize("name", PAGES)
def test_every_checked_statement_of_a_page_is_true(name):
    known = {  # said so in the prose
        "clipped: the slopes add up to the fall of the value: False",
        "zeros  tx 2.075 has a gradient: False",
        "border tx 2.001 has a gradient: False",
    }
    lines = printed(name)
    assert any(line.endswith("True") for line in lines)
    assert {line for line in lines if line.endswith("False")} == (
        known if name == "sampler" else set()
    )


def test_descent_with_the_clipped_sampler_stays_zoomed_out_and_with_the_correct_one_does_not():
    lines = printed("appendix/copied_sampler")
    assert {"correct: from s = 1.5 to 1.0", "clipped: from s = 1.5 to 1.5"} <= set(lines)
