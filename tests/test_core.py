"""The core where nothing is installed but torch, and the package's face."""

import re
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from torch import nn

import stnlib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CORE = ("sampler", "transforms", "models", "diagnostics", "optim", "errors")
FACE = {
    *("SpatialTransformer", "CollapseMonitor", "coverage"),
    *("find_rates", "param_groups", "schedule"),
}


def modules(name):
    """The module of that name and those inside it, but for the plot and frameworks' callbacks."""
    path = ROOT / "stnlib" / name
    inside = [f"stnlib.{name}.{p.stem}" for p in sorted(path.glob("*.py")) if p.stem != "__init__"]
    others = {f"stnlib.diagnostics.{x}" for x in ("plot", "lightning_callback", "trainer_callback")}
    return [f"stnlib.{name}", *(m for m in inside if m not in others)]


def others():
    """Top-level modules of all that pyproject.toml names, but for torch."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    groups = PROJECT["dependency-groups"].values()
    lines = [Requirement(line).name for part in (*extras, *groups) for line in part]
    named = {canonicalize_name(name) for name in lines} - {"stnlib", "torch"}
    return sorted(
        module
        for module, homes in packages_distributions().items()
        if named & {canonicalize_name(home) for home in homes}
    )


def run(code):
    """Run code in an interpreter in which nothing but torch can be imported."""
    block = f"import sys; sys.modules.update(dict.fromkeys({others()!r}))\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", block + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_kept_out_is_kept_out():
    assert {"numpy", "pandas", "safetensors", "PIL", "tqdm", "matplotlib"} <= set(others())
    with pytest.raises(AssertionError, match="ModuleNotFoundError"):
        run("import numpy")


def test_every_module_of_the_core_needs_nothing_but_torch():
    names = [module for name in CORE for module in modules(name)]
    assert len(names) > 20
    run("\n".join(f"import {name}" for name in names))


def test_the_core_imports_none_of_the_rest_of_the_package():
    loaded = run(f"""
        import {", ".join(f"stnlib.{name}" for name in CORE)}
        print(*{{name.split(".")[1] for name in sys.modules if name.startswith("stnlib.")}})
    """).split()
    assert set(loaded) == {*CORE, "checks"}


def test_with_torch_alone_a_transformer_is_built_trained_watched_and_rescued():
    out = run("""
        import torch
        from torch import nn
        from stnlib import CollapseMonitor, SpatialTransformer, coverage
        from stnlib import find_rates, param_groups, schedule

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                localisation = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, 6))
                localisation[2].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
                self.stn = SpatialTransformer(localisation)
                self.head = nn.Linear(64, 2)

            def forward(self, images):
                return self.head(self.stn(images).flatten(1))

        model = Net()
        optimizer = torch.optim.Adam(param_groups(model, 1e-3, 0.1))
        with CollapseMonitor(model, optimizer, on_collapse="rollback") as monitor:
            for step in range(5):
                for group in optimizer.param_groups:
                    group["lr"] = group["initial_lr"] * schedule("cosine", step / 5, 0.1)
                loss = model(torch.rand(3, 1, 8, 8)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                monitor.step(loss)
        batches = [(torch.rand(3, 1, 8, 8), torch.zeros(3, 2))]
        assert len(find_rates(model, batches, nn.functional.mse_loss, 20, sweep=10).curve["rate"])
        theta = model.stn.localisation(torch.rand(2, 1, 8, 8))
        print(len(monitor.trace), tuple(coverage(theta).shape))
    """)
    assert out.split("\n")[0] == "5 (2,)"


def test_the_face_is_not_made_before_it_is_looked_at():
    out = run("""
        import stnlib
        assert "torch" not in sys.modules
        print(*dir(stnlib))
        assert "torch" not in sys.modules
    """)
    assert {*FACE, "__version__"} <= set(out.split())


def test_the_face_has_what_it_lists_and_nothing_that_it_does_not():
    names = {}
    exec("from stnlib import *", names)
    assert names.keys() >= FACE
    assert all(callable(names[name]) for name in FACE)
    with pytest.raises(AttributeError, match="module 'stnlib' has no attribute 'Monitor'"):
        _ = stnlib.Monitor


def test_the_example_of_the_readme_runs_as_written():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    localisation = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    localisation[1].weight.data.zero_()
    localisation[1].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
    transformer = stnlib.SpatialTransformer(localisation)
    model = nn.Sequential(transformer, nn.Flatten(), nn.Linear(64, 3))
    loader = [(torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])) for _ in range(3)]
    exec(code, names := {"model": model, "loader": loader})
    assert len(names["monitor"].trace) == 3


def test_the_readme_names_the_face():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## In your own project")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == FACE


def test_the_version_is_that_of_pyproject():
    assert stnlib.__version__ == PROJECT["project"]["version"]
