"""The sampler chapter: its inline code is stnlib's, and the solutions of its exercises work."""

import re
from pathlib import Path

import matplotlib
import nbformat
import pytest
import torch

from stnlib import sampler

CHAPTER = Path(__file__).parents[2] / "book" / "sampler.ipynb"
CELLS = nbformat.read(CHAPTER, as_version=4).cells
PROSE = "\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
SOLUTION = re.compile(r"````\{solution\} (\S+)\n(.*?)\n````", re.DOTALL)
SOLUTIONS = {
    label: "\n".join(re.findall(r"```python\n(.*?)```", body, re.DOTALL))
    for label, body in SOLUTION.findall(PROSE)
}


@pytest.fixture(scope="module")
def chapter():
    """Names that the chapter defines, after all of its cells have run."""
    matplotlib.use("Agg")
    names = {"In": [], "__name__": "chapter"}
    for cell in CELLS:
        if cell.cell_type == "code":
            exec(compile(cell.source, f"{CHAPTER.name}, cell {cell.id}", "exec"), names)
    matplotlib.pyplot.close("all")
    return names


def random_case(seed, reach):
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    grid = reach * (2 * torch.rand(2, 3, 4, 2, generator=generator, dtype=torch.float64) - 1)
    return image, grid


def value_and_gradients(method, image, grid):
    image, grid = image.clone().requires_grad_(), grid.clone().requires_grad_()
    out = method(image, grid)
    return out.detach(), *torch.autograd.grad(out.square().sum(), (image, grid))


@pytest.mark.parametrize("reach", (0.9, 1.5, 10.0))
@pytest.mark.parametrize(
    ("inline", "package"),
    (
        ("loop", sampler.sample_loop),
        ("vectorised", sampler.sample),
        ("native", sampler.sample_native),
        ("clipped", sampler.sample_clipped),
    ),
)
def test_inline_code_equals_the_package(chapter, inline, package, reach):
    image, grid = random_case(5, reach)
    mine = value_and_gradients(chapter[inline], image, grid)
    theirs = value_and_gradients(package, image, grid)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", sampler.KERNELS)
def test_inline_kernels_are_the_package_s(chapter, kernel):
    distance = torch.linspace(-2, 2, 41, dtype=torch.float64)
    torch.testing.assert_close(
        chapter[kernel](distance), sampler.kernel_weight(distance, 0, kernel)
    )


def test_the_chapter_has_exercises_and_a_solution_for_each():
    exercises = re.findall(r":label: (sampler-exercise-\S+)", PROSE)
    assert len(exercises) >= 2
    assert sorted(exercises) == sorted(SOLUTIONS)


@pytest.mark.parametrize("label", SOLUTIONS)
def test_the_solution_of_an_exercise_works(chapter, label):
    source = SOLUTIONS[label]
    assert "assert" in source
    exec(compile(source, label, "exec"), dict(chapter))


def test_every_checked_statement_of_the_chapter_is_true():
    outputs = [
        line
        for cell in CELLS
        if cell.cell_type == "code" and "nbval-ignore-output" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        for line in output.get("text", "").splitlines()
    ]
    known = "loop       θ has a gradient at the identity: False"  # said in the prose
    assert known in outputs
    assert not [line for line in outputs if line.endswith("False") and line != known]
