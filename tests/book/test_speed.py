"""Measured speed: the table that the benchmarks make, and its figure."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from stnlib.book.figures.speed import alternatives, speed_ratios

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("table", ROOT / "benchmarks" / "table.py")
table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(table)


def measured(group, of, seconds, **figures):
    """One measurement, as pytest-benchmark writes it."""
    return {"group": group, "stats": {"median": seconds}, "extra_info": {"of": of, **figures}}


RUNS = [
    measured("8 runs", "stnlib", 10.0, runs=8),
    measured("8 runs", "one worker", 19.0),
    measured("8 runs", "no sweep, one process", 18.2),
    measured("8 runs", "no sweep, two processes", 9.1),
]


def test_a_ratio_is_the_others_time_over_ours_and_figures_stand_in_the_first_row():
    first, second = table.rows(
        [
            measured("sort", "theirs", 3.0),
            measured("sort", "stnlib", 2.0, items=7),
            measured("sort", "slow", 8.0, items=6),
        ]
    )
    assert (first["against"], first["ratio"], first["figures"]) == ("theirs", 1.5, {"items": 7})
    assert (second["against"], second["ratio"], second["figures"]) == ("slow", 4.0, {})
    assert (first["ms"], first["their_ms"], second["their_figures"]) == (2000, 3000, {"items": 6})


def test_what_nobody_else_does_has_a_row_without_a_ratio():
    (row,) = table.rows([measured("the book", "stnlib", 30.0)])
    assert row["against"] is None and "ratio" not in row


def test_distortion_is_judged_against_the_fastest_but_not_against_opencv():
    others = dict.fromkeys(table.OTHERS, 9.0) | {"kornia": 3.9, "OpenCV": 1.1}
    sides = [measured("distortion", of, seconds) for of, seconds in others.items()]
    (bar,) = table.bars(table.rows([measured("distortion", "stnlib", 1.0), *sides]))
    assert (bar["measured"], bar["asked"], bar["met"]) == (3.9, ">= 4", False)


def test_overhead_is_what_a_sweep_adds_to_a_run_over_sixty_seconds():
    judged = {row["what"]: row for row in table.bars(table.rows(RUNS))}
    assert judged["sweep's overhead, share of a 60 s run"]["measured"] == pytest.approx(
        (19.0 - 18.2) / 8 / 60, rel=5e-3
    )
    assert judged["two workers against one, runs an hour"]["measured"] == 1.9
    ceiling = judged["two processes against one, no sweep"]
    assert (ceiling["measured"], ceiling["met"]) == (2.0, None)


@pytest.mark.parametrize(
    ("theirs", "tiny", "verdict", "status"),
    [(5.0, False, "met", 0), (3.0, False, "MISSED", 1), (3.0, True, "tiny sizes: not judged", 0)],
)
def test_a_missed_bar_is_an_error_and_tiny_sizes_are_not_judged(
    tmp_path, theirs, tiny, verdict, status
):
    sides = [measured("distortion", of, theirs) for of in table.OTHERS]
    content = {"benchmarks": [measured("distortion", "stnlib", 1.0), *sides], "tiny": tiny}
    (tmp_path / "m.json").write_text(json.dumps(content), encoding="utf-8")
    command = [sys.executable, str(ROOT / "benchmarks" / "table.py"), str(tmp_path / "m.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[-1].endswith(verdict)
    assert ("MISSED" in done.stdout) == (status == 1)


def test_the_figure_has_a_labelled_bar_for_each_row_and_a_line_at_1():
    ratios = pd.DataFrame({"what": ["a", "b"], "against": ["x", "y"], "ratio": [3.0, 0.5]})
    figure = speed_ratios(ratios)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["a  |  x", "b  |  y"]
    ends = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches]
    assert ends == [(1, 3), (1, 0.5)]
    assert list(axis.lines[0].get_xdata()) == [1, 1]
    assert axis.get_xlabel() and axis.get_xscale() == "log"
    plt.close(figure)


def test_alternatives_are_what_others_can_do_and_samplers_lose_their_padding():
    found = [
        {"what": "affine sampler, zeros", "against": "kornia", "ratio": 3.0},
        {"what": "affine sampler, border", "against": "kornia", "ratio": 2.0},
        {"what": "epoch, C10 STN", "against": "plain PyTorch", "ratio": 2.5},
        {"what": "epoch, C10D STN, output 32×32", "against": "64×64", "ratio": 4.0},
        {"what": "step, cm STN, batch 128", "against": "without a monitor", "ratio": 0.9},
        {"what": "8 runs", "against": "one worker", "ratio": 1.8},
        {"what": "make test", "against": None},
    ]
    assert alternatives(found).to_numpy().tolist() == [
        ["affine sampler", "kornia", 3.0],
        ["affine sampler", "kornia", 2.0],
        ["epoch, C10 STN", "plain PyTorch", 2.5],
    ]


def test_every_alternative_is_slower_as_the_caption_of_the_figure_says():
    measured = json.loads((ROOT / "benchmarks" / "ratios.json").read_text(encoding="utf-8"))
    assert alternatives(measured["rows"])["ratio"].min() > 1


def test_rows_of_one_name_are_one_bar_to_their_median():
    ratios = pd.DataFrame({"what": "a", "against": "x", "ratio": [2.0, 3.0, 7.0]})
    figure = speed_ratios(ratios)
    (axis,) = figure.axes
    (bar,) = axis.patches
    assert bar.get_x() + bar.get_width() == 3
    (reach,) = axis.collections[0].get_segments()
    assert reach[:, 0].tolist() == [2, 7]
    plt.close(figure)


def test_the_figure_refuses_a_ratio_of_nothing():
    ratios = pd.DataFrame({"what": ["a"], "against": ["x"], "ratio": [0.0]})
    with pytest.raises(ValueError, match="ratio must be a number > 0"):
        speed_ratios(ratios)


def test_what_was_not_measured_again_keeps_its_rows():
    old = [{"what": w, "against": x, "ratio": 1} for w in "ab" for x in "xy"]
    new = [{"what": "a", "against": "x", "ratio": 2}, {"what": "c", "against": "x", "ratio": 3}]
    found = [(row["what"], row["against"], row["ratio"]) for row in table.renewed(old, new)]
    assert found == [("a", "x", 2), ("b", "x", 1), ("b", "y", 1), ("c", "x", 3)]
