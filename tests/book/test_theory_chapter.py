"""The theory chapter and its appendix: inline code is what stnlib does, solutions are right."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stnlib.book.moves import moved
from stnlib.models import LocNet, SpatialTransformer
from stnlib.transforms import FAMILIES, apply, base_grid, family

BOOK = Path(__file__).parents[2] / "book"
# Cells that measure or draw, and define nothing that the tests below need.
SLOW = ("glue(", "curves", "stn = build(", "answers", "networks", "parts[", "transformer = {")


def code(name):
    notebook = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def names_of(name):
    """The names that a page defines; nothing is trained or drawn."""
    names = {"In": []}
    for cell in code(name):
        if not any(word in cell.source for word in SLOW):
            exec(compile(re.sub(r"(?m)^figure = .*$", "", cell.source), name, "exec"), names)
        if "n_train" in names and "parameters" in cell.metadata.get("tags", []):
            names.update(n_train=100)
    plt.close("all")
    return names


@pytest.fixture(scope="module")
def chapter():
    return names_of("theory")


@pytest.fixture(scope="module")
def undoing():
    return names_of("appendix/undoing")


def random_theta(member, spread=0.2):
    noise = torch.rand(3, member.n_parameters, generator=torch.Generator().manual_seed(0))
    return member.identity() + spread * (2 * noise - 1)


@pytest.mark.parametrize(
    "name", ["theory", "appendix/invariance", "appendix/undoing", "appendix/cost"]
)
def test_every_statement_that_a_page_prints_is_true(name):
    printed = "".join(o.get("text", "") for cell in code(name) for o in cell.outputs)
    assert ": True" in printed and ": False" not in printed


def test_the_three_lines_are_the_layer_of_stnlib(chapter):
    images = torch.rand(4, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    localisation = LocNet(1, 40)
    torch.nn.init.normal_(localisation.theta.weight, std=0.1)
    ours, theirs = chapter["Transformer"](localisation), SpatialTransformer(localisation)
    torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=1e-5)


def test_the_spline_is_that_of_stnlib(undoing):
    tps, points = family("tps"), base_grid((6, 5), dtype=torch.float64)
    control = tps.control_points(torch.zeros(1, 32).double())[0]
    for theta in random_theta(tps).double().split(1):
        ours = undoing["spline"](control, tps.control_points(theta)[0], points.reshape(-1, 2))
        grid = tps.grid(theta, (6, 5))[0]
        torch.testing.assert_close(ours.view(6, 5, 2), grid, rtol=0, atol=1e-9)


def test_the_families_keep_what_the_table_says(undoing):
    everything = ["lengths", "directions", "angles", "parallels", "lines"]
    for lost, member in enumerate(FAMILIES.values()):
        for grid in member.grid(random_theta(member), (3, 3)):
            assert undoing["kept"](grid) == everything[lost:]


def test_a_family_undoes_its_own_warps_and_a_smaller_family_does_not(undoing):
    planar = [member for member in FAMILIES.values() if member.name != "tps"]
    for i, member in enumerate(planar):
        matrix = member.matrix(random_theta(member)[:1].double())
        left = [undoing["undo"](other, lambda p, m=matrix: apply(m, p)[0])[1] for other in planar]
        assert max(left[i:]) < 1e-6
        assert i == 0 or left[i - 1] > 1e-3


def test_the_counter_counts_a_network_as_pytorch_does():
    network, image = LocNet(1, 40), torch.rand(1, 1, 40, 40)
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        network(image)
    with torch.no_grad(), names_of("appendix/cost")["Count"]() as count:
        network(image)
    assert 2 * count.total == flops.get_total_flops()


def test_the_solution_of_the_first_exercise_shows_the_upper_right_quarter(chapter):
    assert chapter["corners"].tolist() == [[[0, -1], [1, -1]], [[0, 0], [1, 0]]]


def test_the_solution_of_the_exercise_on_composition_turns_about_its_point(undoing):
    points = torch.tensor([[0.3, 0.4], [0.8, 0.4], [0.3, 0.9]])
    there = apply(undoing["turn_about"](0.3, 0.4, 90), points)[0]
    wanted = torch.tensor([[0.3, 0.4], [0.3, 0.9], [-0.2, 0.4]])  # x towards y
    torch.testing.assert_close(there, wanted, rtol=0, atol=1e-6)


def test_the_solution_of_the_second_exercise_undoes_a_change_of_size(chapter):
    both, images = chapter["CentreAndSpread"](), chapter["test"][:20]
    usual = both(images)[:, 0]
    for zoom in (0.6, 1.4):
        theta = both(moved(images, zoom=zoom))
        torch.testing.assert_close(theta[:, 0], usual * zoom, rtol=0.05, atol=0)
        torch.testing.assert_close(theta[:, 0], theta[:, 4])
