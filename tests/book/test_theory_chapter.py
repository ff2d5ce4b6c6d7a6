"""The theory chapter: its inline code is what stnlib does, and its solutions are right."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stnlib.book.figures.animation import footprint_film, to_html
from stnlib.models import LocNet, SpatialTransformer
from stnlib.transforms import FAMILIES, apply, base_grid, family

CHAPTER = Path(__file__).parents[2] / "book" / "theory.ipynb"
NOTEBOOK = nbformat.read(CHAPTER, as_version=4)
PROSE = "\n".join(cell.source for cell in NOTEBOOK.cells if cell.cell_type == "markdown")
CODE = [cell for cell in NOTEBOOK.cells if cell.cell_type == "code"]


# Cells that measure or draw, and define nothing that the tests below need.
SLOW = ("curves", "centred[SHIFT]", "in_place", "stn(", "cost", "to_html", "interact(", "answers")


def run(source, names):
    """Execute code of the chapter, but draw nothing."""
    drawless = re.sub(r"(?m)^(figure = |glue\().*$", "", source)
    exec(compile(drawless, "theory chapter", "exec"), names)
    plt.close("all")


@pytest.fixture(scope="module")
def chapter():
    """The names that the chapter defines, after a training that is too short to be of use."""
    names = {"In": []}
    for cell in CODE:
        if not any(word in cell.source for word in SLOW):
            run(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names.update(n_train=100, epochs=1)
    return names


def solution(name, chapter):
    """Run the solution to the exercise called ``name``; return the names that it leaves."""
    body = re.search(rf"`{{4}}{{solution}} {name}\n(.*?)\n`{{4}}", PROSE, re.DOTALL)[1]
    names = dict(chapter)
    run(re.search(r"```python\n(.*?)```", body, re.DOTALL)[1], names)
    return names


def random_theta(member, spread=0.2):
    noise = torch.rand(3, member.n_parameters, generator=torch.Generator().manual_seed(0))
    return member.identity() + spread * (2 * noise - 1)


def test_every_statement_that_the_chapter_prints_is_true():
    printed = "".join(o.get("text", "") for cell in CODE for o in cell.outputs)
    assert ": True" in printed and ": False" not in printed


def test_the_three_lines_are_the_layer_of_stnlib(chapter):
    images = torch.rand(4, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    localisation = LocNet(1, 40)
    torch.nn.init.normal_(localisation.theta.weight, std=0.1)
    ours, theirs = chapter["Transformer"](localisation), SpatialTransformer(localisation)
    torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


def test_the_affine_map_is_that_of_stnlib(chapter):
    theta, points = random_theta(family("affine")), base_grid((5, 7))
    for one, grid in zip(theta, family("affine").grid(theta, (5, 7)), strict=True):
        ours = torch.stack(chapter["affine_point"](one, *points.unbind(-1)), dim=-1)
        torch.testing.assert_close(ours, grid, rtol=0, atol=1e-6)


def test_the_spline_is_that_of_stnlib(chapter):
    tps, points = family("tps"), base_grid((6, 5), dtype=torch.float64)
    control = tps.control_points(torch.zeros(1, 32).double())[0]
    for theta in random_theta(tps).double().split(1):
        ours = chapter["spline"](control, tps.control_points(theta)[0], points.reshape(-1, 2))
        grid = tps.grid(theta, (6, 5))[0]
        torch.testing.assert_close(ours.view(6, 5, 2), grid, rtol=0, atol=1e-9)


def test_the_families_keep_what_the_table_says(chapter):
    everything = ["lengths", "directions", "angles", "parallels", "lines"]
    for lost, member in enumerate(FAMILIES.values()):
        for grid in member.grid(random_theta(member), (3, 3)):
            assert chapter["kept"](grid) == everything[lost:]


def test_a_family_undoes_its_own_warps_and_a_smaller_family_does_not(chapter):
    planar = [member for member in FAMILIES.values() if member.name != "tps"]
    for i, member in enumerate(planar):
        matrix = member.matrix(random_theta(member)[:1].double())
        left = [chapter["undo"](other, lambda p, m=matrix: apply(m, p)[0])[1] for other in planar]
        assert max(left[i:]) < 1e-6
        assert i == 0 or left[i - 1] > 1e-3


def test_the_counter_counts_a_network_as_pytorch_does(chapter):
    network, image = LocNet(1, 40), torch.rand(1, 1, 40, 40)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network(image)
    with torch.no_grad(), chapter["Count"]() as count:
        network(image)
    assert 2 * count.total == flops.get_total_flops()


def test_the_solution_of_the_first_exercise_shows_the_upper_right_quarter(chapter):
    corners = solution("theory-quarter", chapter)["corners"]
    assert corners.tolist() == [[[0, -1], [1, -1]], [[0, 0], [1, 0]]]


def test_the_solution_of_the_second_exercise_turns_about_its_point(chapter):
    turn_about = solution("theory-pivot", chapter)["turn_about"]
    points = torch.tensor([[0.3, 0.4], [0.8, 0.4], [0.3, 0.9]])
    there = apply(turn_about(0.3, 0.4, 90), points)[0]
    wanted = torch.tensor([[0.3, 0.4], [0.3, 0.9], [-0.2, 0.4]])  # x towards y
    torch.testing.assert_close(there, wanted, rtol=0, atol=1e-6)


def test_the_solution_of_the_third_exercise_undoes_a_change_of_size(chapter):
    names = solution("theory-spread", chapter)
    images = chapter["test"][:20]
    usual = names["both_undone"](images)[:, 0]
    for zoom in (0.6, 1.4):
        theta = names["both_undone"](chapter["moved"](images, zoom=zoom))
        torch.testing.assert_close(theta[:, 0], usual * zoom, rtol=0.05, atol=0)
        torch.testing.assert_close(theta[:, 0], theta[:, 4])


def test_an_animation_is_the_same_at_every_call_and_loads_nothing():
    grids = family("translation").grid(torch.tensor([[0.0, 0.0], [0.3, 0.0]]), (6, 6))
    images = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    html = [to_html(footprint_film(images[0], grids, images, "ab"), "x", "text") for _ in "12"]
    assert html[0] == html[1]
    assert "http" not in html[0].replace("http://www.w3.org", "")
    assert 'alt="text"' in html[0]
