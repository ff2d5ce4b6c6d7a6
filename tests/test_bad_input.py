"""Bad input on the command line: hundreds of mistakes, each told in a line, at once."""

import os
import random
import signal
import socket
import string

import pytest
from typer.testing import CliRunner

from stnlib.book.autopsy import branches
from stnlib.book.third_party import recording
from stnlib.cli import app
from stnlib.study import runs, work
from stnlib.training.config import defaults

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs an alarm, pipes and devices")
LONG = "x" * 5000
JUNK = ["", " ", "null", "nan", "inf", "-inf", "-1e-3", "1e400", "0x10", "1_0", "١", "1,5", "[1]"]
JUNK += ["--1", "=", "1e-", "\x00", "\udcff", "💥", "é", "true1", "3 4", LONG, "9" * 5000, "a\nb"]
PLAN = "back = 10\nsteps = 5\nwithin = 60\nunchanged = 1\norders = 1\n"


def seeded(n, seed=0):
    """Texts of random characters, among them letters, signs, controls and emblems."""
    draw = random.Random(seed)
    signs = string.printable + "\x00\x1b\u202e\ufeffäßλ日本💥\udc80"
    return ["!" + "".join(draw.choices(signs, k=draw.randint(1, 30))) for _ in range(n)]


@pytest.fixture(autouse=True)
def nothing_is_trained(places, monkeypatch):
    """A configuration that is accepted would be told as a traceback, not trained for hours."""
    monkeypatch.setattr(runs, "run", None)
    monkeypatch.setattr(work, "make", None)
    monkeypatch.setattr(branches, "run", None)
    monkeypatch.setattr(recording, "record", None)
    monkeypatch.chdir(places["data"].parent)


@pytest.fixture
def refuses(places):
    """`refuses(arguments, ...)`: whether `stn` tells what is wrong, in a line, within seconds."""

    def hung(*_):
        raise TimeoutError("hangs")

    def ask(*arguments, said="", status=(2,)):
        signal.signal(signal.SIGALRM, hung)
        signal.alarm(20)
        try:
            done = CliRunner().invoke(app, list(map(str, arguments)))
        finally:
            signal.alarm(0)
        about = f"{[str(a)[:80] for a in arguments]}: {done.output[-500:]}"
        assert done.exception is None or isinstance(done.exception, SystemExit), about
        assert done.exit_code in status, about
        lines = done.stderr.splitlines()
        assert lines[-1].lower().startswith(("error: ", "problem: ")), about
        assert len(lines) == 1 or lines[0].startswith(("Usage: ", "problem: ")), about
        assert said in lines[-1] and (len(lines[-1]) < 1200 or len(lines) > 1), about
        assert not list(places["records"].rglob("*.json"))

    return ask


@pytest.mark.parametrize("name", defaults())
def test_no_field_takes_junk(refuses, name):
    for text in [*JUNK, *seeded(5, name)]:
        refuses("run", f"{name}={text}", said=f"{name} must be ")


def test_settings_that_are_none_are_refused(refuses):
    for text in ["lr", "=", "=1", "LR=1", "lr =1", " lr=1", "é=1", "\n=1", f"{LONG}=1", "", "{}"]:
        refuses("run", text, said="is no setting")
    for text in seeded(30, 1):
        refuses("run", text.replace("=", ""), said="is no setting")
    refuses("run", "lr=1", "lr=2", said="lr is set twice")


@pytest.mark.parametrize(
    "settings",
    [
        "model=baseline transform=tps",
        "model=baseline locnet=deep",
        "model=baseline output_size=28",
        "model=oracle",
        "data=digits model=crop",
        "sampler=clipped padding=border",
        "optimizer=keras_adam weight_decay=1",
        "schedule=onecycle warmup=.1",
        "scale_init=2 bound=1",
        "scale_init=2 transform=tps",
        "alter=frame1 augment=warp",
        "distortion=.5",
        "data=digits distortion=1",
        "data=digits output_size=9",
        "data=c10 output_size=21",
        "data=digits n_train=4001",
        "data=shapes10 n_train=5001",
        "n_train=10001",
        "data=mnist n_train=59001",
        "data=c10 n_train=45001",
        "data=digits batch_size=4001",
        "data=digits n_train=127",
        "data=digits n_train=9223372036854775807",
        "data=digits batch_size=9223372036854775808",
    ],
)
def test_settings_that_contradict_each_other_or_the_data_are_refused(refuses, settings):
    refuses("run", *settings.split())


NAMES = ["", ".", "..", "a/b", "../x", "/etc", "a b", " ", ".hidden", "a\nb", "💥", "\x00", "~"]


def test_names_that_lead_elsewhere_are_refused(refuses):
    for name in [*NAMES, *seeded(10, 2)]:
        refuses("run", "data=digits", f"--study={name}", said="study must be a name of ")
        refuses("records", f"{name}", said="there is no study ")
        refuses("data", f"{name}", said="data must be one of ")
        refuses("third-party", f"{name}", said="data must be one of ")
    for name in ("*", "c?", "[cm]m", "**", "cm/", "./cm", LONG):
        refuses("records", name, said="there is no study ")


def folders(tmp_path):
    """Places where nothing can be written."""
    (tmp_path / "file").write_bytes(b"")
    there = [tmp_path / "file", tmp_path / "file" / "x", "/dev/null/x", "/proc/x", f"/{LONG}"]
    return [*there, "", " ", "a\x00b", "~nosuchuser/x", f"{LONG}/x", "x/" * 3000]


@pytest.mark.parametrize("option", ["--records", "--checkpoints"])
def test_folders_that_cannot_be_are_refused(refuses, tmp_path, option, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STNLIB_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("STNLIB_CHECKPOINTS", str(tmp_path / "checkpoints"))
    study_file = tmp_path / "a.toml"
    study_file.write_text('seeds = [71]\n[base]\ndata = "digits"\n', encoding="utf-8")
    for folder in folders(tmp_path):
        refuses("run", "data=digits", "seed=71", option, folder)
        refuses("sweep", study_file, option, folder)
        if option == "--records":
            refuses("records", option, folder)


@pytest.mark.parametrize("variable", ["DATA", "RECORDS", "CHECKPOINTS"])
def test_variables_that_name_no_place_are_refused(refuses, tmp_path, variable, monkeypatch):
    for folder in folders(tmp_path):
        if str(folder).strip() and "\x00" not in str(folder):
            monkeypatch.setenv(f"STNLIB_{variable}", str(folder))
            refuses("doctor", status=(1, 2))


def test_devices_and_numbers_that_are_none_are_refused(refuses, tmp_path, monkeypatch):
    python_reads = {"1_0", "١"}  # as whole numbers, and so does typer
    for text in [*sorted({*JUNK} - python_reads), "0", "-1", "1025", "1e3", "2.5"]:
        refuses("run", f"--threads={text}")
        refuses("sweep", "a.toml", f"--workers={text}")
        refuses("sweep", "a.toml", f"--per-gpu={text}")
        refuses("third-party", "optical", f"--seeds={text}")
    for text in [*JUNK, "tpu", "cuda:x", "cuda:-1", "cpu:0", "cuda:999", "CPU", "auto "]:
        refuses("run", "data=digits", "seed=71", f"--device={text}", said="device ")


def test_commands_that_are_none_are_refused(refuses):
    for command in ("train", "", " ", "Run", "💥", "\x00", LONG, "--nosuch", "-x", "--version=1"):
        refuses(command)
    refuses("run", "--nosuch")
    refuses("sweep")
    refuses("branches")


def kinds(tmp_path):
    """Paths at which no study file is."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.toml")  # stays in the folder
    (tmp_path / "latin.toml").write_bytes(b'title = "\xe9"')
    (tmp_path / "empty.toml").write_bytes(b"")
    (tmp_path / "nul.toml").write_bytes(b"\0" * 100)
    names = ("pipe", "folder", "loop", "socket", "latin", "empty", "nul", "missing")
    there = [
        *(tmp_path / f"{name}.toml" for name in names),
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
    ]
    return [*there, "", " ", "a\x00b", "~nosuchuser/a.toml", f"{LONG}.toml", "x/" * 3000, "."]


@pytest.mark.parametrize("command", ["sweep", "branches"])
def test_files_that_are_no_study_are_refused(refuses, tmp_path, command):
    for path in [*kinds(tmp_path), *seeded(10, 3)]:
        refuses(command, path)


STUDIES = [
    "[base",
    "= 1",
    "a = 1",
    "[[base]]",
    "[cells]",
    "base = 1",
    "cells = 1",
    "cells = [1]",
    "cells = [[]]",
    "seeds = 1",
    "seeds = 'x'",
    "seeds = []\n[base]\nlr = 1",
    "seeds = [-1]\n[base]\nlr = 1",
    "seeds = [1.5]\n[base]\nlr = 1",
    "seeds = [true]\n[base]\nlr = 1",
    "seeds = [[1]]\n[base]\nlr = 1",
    "seeds = [{a = 1}]\n[base]\nlr = 1",
    f"seeds = [{'9' * 50}]\n[base]\nlr = 1",
    f"seeds = [{'9' * 5000}]\n[base]\nlr = 1",
    "title = 3\n[base]\nlr = 1",
    "test = 'no'\n[base]\nlr = 1",
    "keep_weights = 1\n[base]\nlr = 1",
    "[base]\nseed = 1",
    "[base]\nlr = nan",
    "[base]\nlr = inf",
    "[base]\nlr = []",
    "[base]\nlr = [1]",
    "[base]\nlr = {a = 1}",
    "[base]\nlr = 2020-01-01",
    "[base]\nlr = 1\nlr = 2",
    "[base]\nnosuch = 1",
    "[base]\n'' = 1",
    "[base]\n'💥' = 1",
    "[base]\nmodel = ''",
    "[base]\nmodel = 'resnet'",
    "[base]\nmodel = 1979-05-27T07:32:00Z",
    "[[cells]]\nlr = []",
    "[[cells]]\nlr = [[]]",
    "[[cells]]\nlr = [1, [2]]",
    "[[cells]]\nzip = 1\nlr = [1]",
    "[[cells]]\nzip = ['lr']",
    "[[cells]]\nzip = ['lr', 'epochs']\nlr = [1]\nepochs = [1, 2]",
    "[[cells]]\nzip = [['lr']]\nlr = [1]",
    "[[cells]]\nlr = 1\nseed = [1]",
    "[base]\ndata = 'digits'\nn_train = 4001",
    "[base]\ndata = 'digits'\nn_train = 127",
    "[base]\ndata = 'digits'\noutput_size = 1000000",
    "title = 'nothing'",
    "seeds = [0, 1]",
    "[[cells]]",
    f"title = {'[' * 5000}{']' * 5000}",
    f"[base]\nlr = {'{a = ' * 5000}1{'}' * 5000}",
    f"{'a.' * 5000}a = 1",
    f"[base]\nmodel = '{LONG}'",
    "[[cells]]\n" + "".join(f"{name} = [{'1,' * 99}]\n" for name in list(defaults())[:9]),
    "[forks]",
    f"[forks]\n{PLAN}",
]


def test_study_files_with_a_mistake_are_refused(refuses, tmp_path):
    draw = random.Random(4)
    sound = "seeds = [0, 1]\n[base]\ndata = 'digits'\n[[cells]]\nlr = [1e-3, 1e-4]\n"
    for i, text in enumerate(STUDIES):
        path = tmp_path / f"s{i}.toml"
        path.write_text(text, encoding="utf-8")
        refuses("sweep", path)
    for i in range(60):  # a sound one with a sign where none belongs
        place = draw.randrange(len(sound))
        path = tmp_path / f"r{i}.toml"
        path.write_text(f"{sound[:place]}\x01{sound[place:]}", encoding="utf-8")
        refuses("sweep", path, said=str(path))


CHANGES = ["", "changes = 5", "changes = 'none'", "changes = []", "changes = ['nosuch']"]
CHANGES += ["changes = [1]", "changes = [['none']]", "changes = [{}]", "changes = {none = 1}"]
CHANGES += ["changes = true", "changes = [nan]", "changes = ['none', 'none']", "more = 1"]


def test_plans_for_branches_with_a_mistake_are_refused(refuses, tmp_path):
    base, right = "[base]\ndata = 'digits'\nbatch_size = 40\n", "changes = ['locnet frozen']\n"
    texts = [f"{base}[forks]\n{PLAN}{change}" for change in CHANGES]
    for name in ("back", "steps", "within", "unchanged", "orders"):
        for value in ("0", "-1", "1.5", "true", "'1'", "[1]", "nan", "9" * 30):
            lines = [line for line in PLAN.splitlines() if not line.startswith(name)]
            texts.append(f"{base}[forks]\n" + "\n".join([*lines, f"{name} = {value}", right]))
    texts.append(f"seeds = []\n{base}[forks]\n{PLAN}{right}")
    texts.append(f"[forks]\n{PLAN}{right}")
    texts.append(f"{base}model = 'baseline'\n[forks]\n{PLAN}{right}")
    texts.append(f"{base}n_train = 39\n[forks]\n{PLAN}{right}")
    for i, text in enumerate(texts):
        path = tmp_path / f"f{i}.toml"
        path.write_text(text, encoding="utf-8")
        refuses("branches", path, "--folder", tmp_path / "o")
    assert not (tmp_path / "o").exists()
