"""What a monitor tells: numbers for other tools, calls at a collapse, a summary, a report.

The transformer is moved by hand, so that what must be told is known.
"""

import base64
import contextlib
import math
import re
import struct
import subprocess
import traceback
import zlib
from html.parser import HTMLParser
from shutil import which

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stnlib.diagnostics import Collapse, CollapseMonitor, CollapseWarning, Criteria, Trace
from stnlib.diagnostics.album import SIDE, png
from stnlib.diagnostics.measures import QUANTITIES
from stnlib.diagnostics.summary import IDLE_PIXELS, state
from stnlib.records.outcome import IDLE

IDENTITY = (1.0, 0, 0, 0, 1, 0)
AWAY = (1.0, 0, 5, 0, 1, 0)


class Shifted(nn.Module):
    """θ as the test sets it, with each image's own mean as a further shift by `spread`."""

    def __init__(self, theta=IDENTITY, spread=0.0):
        super().__init__()
        self.theta, self.spread = nn.Parameter(torch.tensor(theta)), spread

    def forward(self, x):
        own = self.spread * (x.mean(dim=(1, 2, 3)) - 0.5)
        theta = self.theta.view(1, 2, 3) + F.pad(own[:, None, None], (2, 0, 0, 1))
        grid = F.affine_grid(theta, list(x.shape), align_corners=True)
        return F.grid_sample(x, grid, align_corners=True)


class Two(nn.Module):
    """Two transformers in a row."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Shifted(), Shifted((0.5, 0, 0, 0, 0.5, 0))

    def forward(self, x):
        return self.second(self.first(x))


def images(n=4, side=9, channels=1, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


def steps(model, monitor, n=1, theta=None, x=None):
    """Steps at a θ, none of which changes it."""
    for _ in range(n):
        if theta is not None:
            model.theta.data = torch.tensor(theta)
        model(images() if x is None else x).sum().backward()
        monitor.step(0.25)


def collapse(monitor, model):
    """The view leaves after some steps at the identity."""
    steps(model, monitor, 4, IDENTITY)
    with pytest.warns(CollapseWarning):
        steps(model, monitor, 5, AWAY)


# Numbers for other tools


def test_a_logger_gets_each_look_as_numbers_under_a_name_each():
    rows, model = [], Shifted()
    with CollapseMonitor(model, every=1) as monitor:
        monitor.log_to(rows.append)
        steps(model, monitor, 3)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(row["stn/loss"] == 0.25 for row in rows)
    names = {f"stn/sampler_0/{name}" for name in QUANTITIES if name != "loss"}
    theta = {f"stn/sampler_0/theta_{what}_{i}" for what in ("mean", "std") for i in range(6)}
    assert {*rows[0]} == {"step", "stn/loss"} | names | theta
    assert all(isinstance(value, int | float) for row in rows for value in row.values())
    assert rows[2]["stn/sampler_0/coverage"] == monitor.trace.columns["coverage"][2] == 1


def test_transformers_are_told_apart_and_each_look_is_one_call():
    rows, model = [], Two()
    with CollapseMonitor(model, every=1) as monitor:
        monitor.log_to(rows.append)
        steps(model, monitor, 2)
    assert len(rows) == 2
    assert rows[0]["stn/sampler_0/extent"] == pytest.approx(1)
    assert rows[0]["stn/sampler_1/extent"] == pytest.approx(0.5)


def test_two_of_one_name_have_their_numbers_behind_it():
    from stnlib.models import SpatialTransformer

    localisation = nn.Sequential(nn.Flatten(), nn.Linear(81, 6))
    localisation[1].weight.data.zero_()
    localisation[1].bias.data.copy_(torch.tensor(IDENTITY))

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.stn = SpatialTransformer(localisation)

        def forward(self, x):
            return self.stn(self.stn(x))

    rows, model = [], Twice()
    with CollapseMonitor(model, every=1) as monitor:
        monitor.log_to(rows.append)
        steps(model, monitor)
        assert monitor.summary().startswith("stn 0: ")
    assert {"stn/stn_0/coverage", "stn/stn_1/coverage"} <= rows[0].keys()


def test_where_looks_are_judged_together_each_is_logged_with_its_own_step():
    rows, model = [], Shifted()
    with CollapseMonitor(model, check_every=4) as monitor:
        monitor.log_to(rows.append)
        steps(model, monitor, 3)
        assert rows == []
        steps(model, monitor, 2)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]


def test_an_error_of_a_logger_keeps_its_traceback_and_the_trace_its_look():
    def broken(scalars):
        raise ZeroDivisionError("no disk")

    model = Shifted()
    with CollapseMonitor(model, every=1) as monitor:
        monitor.log_to(broken)
        with pytest.raises(ZeroDivisionError, match="no disk") as caught:
            steps(model, monitor)
        assert "broken" in {frame.name for frame in traceback.extract_tb(caught.tb)}
        assert len(monitor.trace) == 1


@pytest.mark.parametrize("wrong", [None, "log", 3])
def test_a_logger_that_is_no_function_is_refused(wrong):
    with CollapseMonitor(Shifted(), every=1) as monitor, pytest.raises(TypeError) as caught:
        monitor.log_to(wrong)
    assert str(caught.value) == f"logger must be a function, not {wrong!r}"


# A function at a collapse


def test_a_function_is_called_with_each_collapse_at_most_three_times():
    found, model = [], Shifted()
    with CollapseMonitor(model, on_collapse=found.append, every=1) as monitor:
        steps(model, monitor, 4)
        with pytest.warns(CollapseWarning):
            steps(model, monitor, 2, AWAY)
        assert [type(x) for x in found] == [Collapse]
        assert found[0] is monitor.collapse and found[0].kind == "black"
        with pytest.warns(CollapseWarning) as caught:
            steps(model, monitor, 30, AWAY)
    assert len(found) == 3 == len(caught) + 1
    assert found[2].step > found[1].step > found[0].step


def test_what_a_function_raises_at_a_collapse_goes_through_after_the_warning():
    def page(collapse):
        raise LookupError(collapse.kind)

    model = Shifted()
    with CollapseMonitor(model, on_collapse=page, every=1) as monitor:
        steps(model, monitor, 3)
        with (
            pytest.warns(CollapseWarning, match="black"),
            pytest.raises(LookupError, match="black") as caught,
        ):
            steps(model, monitor, 3, AWAY)
        assert "page" in {frame.name for frame in traceback.extract_tb(caught.tb)}
        assert monitor.trace.events == [(monitor.steps, "black")]


@pytest.mark.parametrize("wrong", ["call", "Warn", None, 3, ["warn"]])
def test_what_is_neither_an_action_nor_a_function_is_refused(wrong):
    with pytest.raises(ValueError) as caught:
        CollapseMonitor(Shifted(), on_collapse=wrong, every=1)
    allowed = "one of warn, lower, rollback, stop, or a function"
    assert str(caught.value) == f"on_collapse must be {allowed}, not {wrong!r}"


# The summary


def traced(**columns):
    """A trace of three looks, healthy but for some columns."""
    healthy = {"finite": 1.0, "coverage": 1.0, "black": 0.0, "extent_pixels": 20.0}
    healthy |= {"corner_spread": 2.0, "object_coverage": math.nan}
    trace = Trace()
    for i in range(len(next(iter(columns.values()), [0] * 3))):
        row = healthy | {name: values[i] for name, values in columns.items()}
        trace.append(i + 1, [row.get(name, math.nan) for name in QUANTITIES])
    return trace


@pytest.mark.parametrize(
    ("columns", "word"),
    [
        ({}, "looks"),
        ({"corner_spread": [math.nan] * 3}, "looks"),
        ({"corner_spread": [0.501] * 3}, "looks"),
        ({"corner_spread": [0.499] * 3}, "idle"),
        ({"corner_spread": [0.0] * 3}, "idle"),
        ({"corner_spread": [0.02] * 3 + [0.009] * 3}, "blind"),
        ({"extent_pixels": [0.99] * 3}, "point"),
        ({"coverage": [0.8] * 3 + [0.41] * 3}, "looks"),
        ({"coverage": [0.8] * 3 + [0.39] * 3}, "shrunken"),
        ({"object_coverage": [1.0] * 3 + [0.49] * 3}, "shrunken"),
        ({"black": [0.51] * 3, "coverage": [0.0] * 3}, "black"),
        ({"black": [0.0, 0.0, 1.0]}, "looks"),
        ({"finite": [1.0, 1.0, 0.5], "black": [1.0] * 3}, "not finite"),
    ],
)
def test_a_transformers_state_is_the_first_that_holds_of_the_last_three_looks(columns, word):
    assert state(traced(**columns), Criteria()).word == word


def test_thresholds_of_the_summary_are_those_that_the_monitor_is_given():
    trace = traced(extent_pixels=[5.0] * 3)
    assert state(trace, Criteria()).word == "looks"
    assert state(trace, Criteria(point=6)).word == "point"


def test_idle_is_what_the_records_call_idle():
    assert IDLE_PIXELS == IDLE == 0.5


def test_a_summary_says_what_each_does_and_idle_is_no_warning():
    model = Shifted(spread=0.1)
    with CollapseMonitor(model, every=1) as monitor:
        assert monitor.summary() == "sampler 0: not seen; no training step has been looked at yet."
        steps(model, monitor, 5)
        spread = 0.1 * images().mean(dim=(1, 2, 3)).std(correction=0).item() * 4
        assert monitor.summary() == (
            f"sampler 0: idle at step 5; its view differs by {spread:.2f} pixels between images, "
            "less than 0.5."
        )
        assert monitor.collapse is None
        with pytest.warns(CollapseWarning):
            steps(model, monitor, 3, AWAY)
        assert monitor.summary().splitlines() == [
            "sampler 0: black at step 8; 100% of its outputs are black.",
            f"sampler 0: warned of black at step {monitor.collapse.step}.",
        ]


# The report


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tags, self.parts = [], []
        self.feed(self.html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.parts += [] if tag in ("em", "code") else [" "]

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.parts).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def pixels(uri):
    """(H, W) or (H, W, 3) of a PNG with filter 0, read by the format's definition."""
    raw = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(raw):
        (length,) = struct.unpack(">I", raw[at : at + 4])
        kind, body = raw[at + 4 : at + 8], raw[at + 8 : at + 8 + length]
        assert struct.unpack(">I", raw[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + body),
        )
        chunks[kind], at = body, at + 12 + length
    width, height, _, colours = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    data = torch.tensor([*zlib.decompress(chunks[b"IDAT"])]).view(height, -1)[:, 1:]
    return data.view(height, width, 3) if colours == 2 else data


@pytest.fixture
def watched():
    """A model that leaves after four of nine steps, and its monitor, with pictures."""
    model = Shifted()
    monitor = CollapseMonitor(model, pictures=2, every=1)
    collapse(monitor, model)
    monitor.detach()
    return monitor


def test_a_report_says_what_happened_and_what_to_do(watched, tmp_path):
    watched.report(tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "The transformer sampler 0 is black: 100% of its outputs are black." in text
    assert f"A collapse, black, was found at step {watched.collapse.step}." in text
    assert "names = ('theta.',)" in text and '"My STN is black"' in text
    assert "Last numbers, step 9" in text and QUANTITIES["extent_pixels"].split(",")[0] in text


def test_a_report_of_a_transformer_that_looks_says_that_there_is_nothing_to_do(tmp_path):
    model = Shifted(spread=16.0)
    with CollapseMonitor(model, every=1) as monitor:
        steps(model, monitor, 3)
        monitor.report(tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "sampler 0 looks" in text and "What to do Nothing." in text
    assert "No views were kept" in text


def test_a_report_of_an_idle_transformer_says_so_and_gives_no_remedy_for_a_collapse(tmp_path):
    model = Shifted()
    with CollapseMonitor(model, every=1) as monitor:
        steps(model, monitor, 3)
        monitor.report(tmp_path / "report.html")
    text = Page(tmp_path / "report.html").text
    assert "sampler 0 is idle" in text and "An idle transformer shows" in text
    assert "Begin again" not in text


def test_a_report_of_nothing_is_a_report(tmp_path):
    with CollapseMonitor(Shifted(), pictures=1, every=1) as monitor:
        monitor.report(tmp_path / "report.html")
    assert "sampler 0 has not been seen" in Page(tmp_path / "report.html").text


def test_a_report_is_one_file_that_asks_for_no_other(watched, tmp_path):
    watched.report(str(tmp_path / "report.html"))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    page = Page(tmp_path / "report.html")
    asked = [a[k] for _, a in page.tags for k in ("src", "href", "data", "action") if k in a]
    assert asked and all(uri.startswith("data:") for uri in asked)
    assert not page.all("script") and not page.all("link")
    assert not re.search(r"url\(|@import|https?://", page.html)
    assert "prefers-color-scheme: dark" in page.html


def test_a_report_shows_the_views_of_the_steps_that_matter(watched, tmp_path):
    watched.report(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    found = re.findall(r"<h4>(.*?), step (\d+)</h4>", page.html)
    at = watched.collapse.step
    assert found == [
        ("First look, before the collapse", "1"),
        ("At the collapse", f"{at}"),
        ("Last look", "9"),
    ]
    outputs = [pixels(a["src"]) for a in page.all("img")]
    inputs = [pixels(a["href"]) for a in page.all("image")]
    assert len(outputs) == len(inputs) == 6  # two images of three looks
    expected = images()[:2, 0]
    for i, shown in enumerate(inputs):
        image = expected[i % 2]
        scaled = (image - image.min()) / (image.max() - image.min()) * 255
        assert (shown - scaled).abs().max() <= 1
    assert (outputs[0] - inputs[0]).abs().max() <= 1  # θ was the identity
    assert all(shown.max() == 0 for shown in outputs[2:])  # black
    corners = [re.findall(r"-?[\d.]+", a["points"]) for a in page.all("polygon")]
    assert [*map(float, corners[0])] == [-1, -1, 1, -1, 1, 1, -1, 1]
    assert [*map(float, corners[5])] == [4, -1, 6, -1, 6, 1, 4, 1]


def test_of_many_looks_the_report_shows_one_well_before_the_collapse(tmp_path):
    model = Shifted()
    with CollapseMonitor(model, pictures=1, every=1) as monitor:
        steps(model, monitor, 100, IDENTITY)
        with pytest.warns(CollapseWarning):
            steps(model, monitor, 50, AWAY)
        monitor.report(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    at = monitor.collapse.step
    assert [int(step) for step in re.findall(r", step (\d+)</h4>", html)] == [1, at - 10, at, 150]


def test_pictures_in_memory_are_small_and_of_a_bounded_number():
    model, x = Shifted(), images(n=4, side=130, channels=3)
    with CollapseMonitor(model, pictures=3, every=1) as monitor:
        steps(model, monitor, 30, x=x)
        looks = (monitor._album._first, *monitor._album._recent)
        shots = [shot for look in looks for shot in look.values()]
    assert len(shots) <= 1 + 10 + 11
    assert all(max(shot.images.shape[-2:]) <= SIDE and len(shot.images) == 3 for shot in shots)
    owned = sum(t.untyped_storage().nbytes() for s in shots for t in (s.images, s.output))
    assert owned <= 22 * 2 * 3 * 3 * SIDE * SIDE * 4


def test_pictures_change_nothing_of_a_training():
    def train(**options):
        torch.manual_seed(0)
        model = nn.Sequential(Shifted(spread=1.0), nn.Flatten(), nn.Linear(81, 3))
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        with CollapseMonitor(model, optimizer, **options) as monitor:
            for _ in range(4):
                optimizer.zero_grad()
                model(images() + torch.rand(1)).square().sum().backward()
                optimizer.step()
                monitor.step()
        return [p.detach().clone() for p in model.parameters()]

    assert all(map(torch.equal, train(), train(pictures=4)))


@pytest.mark.parametrize(
    "model",
    [
        Shifted((math.nan, 0, 0, 0, 1, 0)),
        Shifted((1e30, 0, 0, 0, 1e30, 0)),
        Two(),
    ],
    ids=["θ not finite", "a huge view", "two"],
)
def test_a_report_is_written_whatever_the_view_is(model, tmp_path):
    with CollapseMonitor(model, pictures=2, every=1) as monitor:
        with contextlib.suppress(CollapseWarning):  # an error in tests
            steps(model, monitor, 3)
        monitor.report(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert page.all("svg") and "nan" not in str(page.all("polygon") + page.all("path"))


def test_names_in_a_report_are_text_whatever_they_are(tmp_path):
    from stnlib.models import SpatialTransformer

    localisation = nn.Sequential(nn.Flatten(), nn.Linear(81, 6))
    localisation[1].bias.data.copy_(torch.tensor(IDENTITY))
    model = nn.Module()
    model.add_module("<script>", SpatialTransformer(localisation))
    model.forward = lambda x: model.get_submodule("<script>")(x)
    with CollapseMonitor(model, every=1) as monitor:
        steps(model, monitor)
        monitor.report(tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    assert not page.all("script") and "The transformer <script>" in page.text


def test_a_report_that_fails_leaves_the_old_one_and_nothing_else(watched, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left"):
        watched.report(path)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("wrong", [None, 3, ""])
def test_a_report_needs_the_path_of_a_file(watched, wrong):
    with pytest.raises(TypeError, match="path must be that of a file, not"):
        watched.report(wrong)


def test_a_long_trace_makes_a_small_report_that_keeps_its_extremes(tmp_path):
    model = Shifted()
    with CollapseMonitor(model, every=1) as monitor:
        steps(model, monitor)
        row = [0.5] * len(QUANTITIES)
        for i in range(20_000):
            row[1] = 0.123 if i == 7_777 else 0.9
            monitor.trace.append(i + 2, row)
        monitor.report(tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(html) < 150_000
    (curve,) = re.findall(r"<path class='curve c0' d='([^']*)'", html)[:1]
    lowest = max(float(y) for y in re.findall(r" ([\d.]+)", curve))  # y goes down
    assert lowest == pytest.approx(150 - 140 * (0.123 + 0.03) / 1.06, abs=0.1)


def test_an_image_is_the_png_that_it_says():
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pixels(png(image)), (image * 255).round().long().permute(1, 2, 0))


@pytest.mark.skipif(not which("chromium"), reason="needs chromium")
def test_at_390_pixels_a_report_does_not_scroll_sideways(watched, tmp_path):
    watched.report(tmp_path / "report.html")
    frame = '<iframe src="report.html" style="width:390px;height:800px"></iframe><p id="x"></p>'
    script = (
        "<script>onload=()=>{const r=document.querySelector('iframe').contentDocument"
        ".documentElement;document.title='w'+r.scrollWidth+'w'+r.clientWidth}</script>"
    )
    (tmp_path / "frame.html").write_text(f"<!doctype html><title></title>{frame}{script}")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000")
    options += ("--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}")
    page = (tmp_path / "frame.html").as_uri()
    done = subprocess.run(
        ["chromium", *options, "--dump-dom", page], capture_output=True, text=True, timeout=120
    )
    (found,) = re.findall(r"<title>w(\d+)w(\d+)</title>", done.stdout)
    assert found[0] == found[1]
