"""What the repository promises: versions that agree, layout, layers, well-formed chapters."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
CHAPTERS = sorted([*BOOK.glob("*.ipynb"), *BOOK.glob("appendix/*.ipynb")])
MODULES = sorted((ROOT / "stnlib").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


LOCKS = ("requirements.lock", "frameworks.lock")


def locked(*names):
    """Return the lines of locks, by default of the first, as (name, version, marker or None)."""
    text = [(ROOT / name).read_text(encoding="utf-8") for name in names or LOCKS[:1]]
    lines = "".join(text).splitlines()
    entries = []
    for line in lines:
        if line and not line.startswith("#"):
            pin, _, marker = line.partition(" ; ")
            name, version = pin.split("==")
            entries.append((canonicalize_name(name), Version(version), marker or None))
    return entries


# What the second lock is for: tests that are skipped without these.
FRAMEWORKS = ("interop", "frameworks")
GROUPS = PROJECT["dependency-groups"]
LOCKED = {name: lines for name, lines in GROUPS.items() if name not in FRAMEWORKS}


def wanted(groups=LOCKED):
    """Return the requirements of pyproject.toml: the package's own, of its extras and `groups`."""
    more = (PROJECT["project"]["optional-dependencies"], groups)
    lines = PROJECT["project"]["dependencies"] + [x for d in more for v in d.values() for x in v]
    return [found for found in map(Requirement, lines) if found.name != "stnlib"]


def yml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("requirement", wanted(GROUPS), ids=lambda requirement: requirement.name)
def test_the_locks_fix_a_version_that_pyproject_allows(requirement):
    name = canonicalize_name(requirement.name)
    locks = LOCKS[:1] if requirement in wanted() else LOCKS
    versions = [v for other, v, _ in locked(*locks) if other == name]
    assert versions
    assert all(version in requirement.specifier for version in versions)


def test_the_locks_agree():
    first, second = ({name: v for name, v, _ in locked(lock)} for lock in LOCKS)
    assert not {name for name in first.keys() & second.keys() if first[name] != second[name]}


def test_the_installed_versions_are_those_of_the_lock():
    here = [(n, v) for n, v, marker in locked() if marker is None or Marker(marker).evaluate()]
    named = {canonicalize_name(requirement.name) for requirement in wanted()}
    wrong = {n: version(n) for n, v in here if n in named and Version(version(n)) != v}
    assert not wrong


def test_the_lock_names_no_address():
    assert not [lock for lock in LOCKS if "://" in (ROOT / lock).read_text(encoding="utf-8")]


def test_conda_users_get_the_python_of_pyproject_and_the_versions_of_the_lock():
    dependencies = yml("environment.yml")["dependencies"]
    (python,) = [d for d in dependencies if isinstance(d, str) and d.startswith("python=")]
    (pip,) = [d["pip"] for d in dependencies if isinstance(d, dict)]
    assert Requirement(f"python{PROJECT['project']['requires-python']}").specifier.contains(
        python.removeprefix("python=")
    )
    assert pip == ["-r requirements.lock", "-e .[all]"]


def test_every_way_to_install_the_book_installs_all_extras():
    for path in ("Makefile", "README.md"):
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        install = [line for line in lines if "-r requirements.lock -e " in line]
        assert install and all('-e ".[all]"' in line for line in install)


def test_the_core_needs_torch_alone_and_the_extra_all_has_every_other():
    extras = PROJECT["project"]["optional-dependencies"]
    (core,) = map(Requirement, PROJECT["project"]["dependencies"])
    assert core.name == "torch"

    def reached(name):
        found = {name}
        for requirement in map(Requirement, extras[name]):
            if requirement.name == "stnlib":
                found = found.union(*map(reached, requirement.extras))
        return found

    assert reached("all") == set(extras) == {"data", "study", "cluster", "book", "all"}


def imported(code):
    """Return the top-level packages that a piece of code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("package", [True, False], ids=["the package", "all else"])
def test_every_package_that_is_imported_is_declared(package):
    """What a package that we import happens to bring with it may not come with its next version."""
    code = [(path, text) for path, room, text in sources() if bool(room) == package]
    modules = set().union(*(imported(text) for _, text in code))
    modules -= {"stnlib"} if package else {"stnlib", *(path.stem for path, _ in code)}
    callbacks = {"frameworks": PROJECT["dependency-groups"]["frameworks"]}
    groups = callbacks if package else LOCKED | callbacks
    declared = {canonicalize_name(found.name) for found in wanted(groups)}
    homes = packages_distributions()
    missing = {m for m in modules if not declared & {*map(canonicalize_name, homes.get(m, [m]))}}
    assert len(modules) > 10 and missing == set()


def test_the_citation_has_the_version_of_the_package():
    assert yml("CITATION.cff")["version"] == PROJECT["project"]["version"]


def test_the_archive_says_what_the_citation_says():
    archive = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    citation = yml("CITATION.cff")
    for name in ("title", "version", "keywords"):
        assert archive[name] == citation[name]
    names = [author["name"] for author in citation["authors"]]
    assert [creator["name"] for creator in archive["creators"]] == names
    assert archive["license"] in citation["license"]


def test_the_book_installs_without_torch():
    needs = {Requirement(line).name for line in PROJECT["dependency-groups"]["book"]}
    assert not needs & {"torch", "torchvision", "stnlib"}


def files(entries):
    """Yield the pages of a table of contents, those below a page after it."""
    for entry in entries:
        yield entry["file"]
        yield from files(entry.get("sections", []))


def test_the_two_tables_of_contents_are_equal():
    top, inner = ROOT / "_toc.yml", BOOK / "_toc.yml"
    lines = inner.read_text(encoding="utf-8")
    lines = re.sub(r"(?<=file: )|(?<=^root: )", "book/", lines, flags=re.MULTILINE)
    assert top.read_text(encoding="utf-8") == lines


def test_every_page_of_the_book_is_in_the_table_of_contents():
    toc = yml("book/_toc.yml")
    folders = (BOOK, BOOK / "api", BOOK / "appendix")
    found = [path for folder in folders for path in folder.iterdir()]
    pages = {path for path in found if path.suffix in {".md", ".ipynb"}}
    listed = {toc["root"], *(page for part in toc["parts"] for page in files(part["chapters"]))}
    assert {path.relative_to(BOOK).with_suffix("").as_posix() for path in pages} == listed


def test_the_readme_names_the_two_commands_and_ci_runs_the_second():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make book" in readme and "make test" in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_has_at_most_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def listed(path):
    """Return what a module's `__all__` lists, without importing it."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def defined(path):
    """Return the names that a module itself gives a meaning."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    return names


def faces():
    """Return the rooms that have a face: what each offers to all outside of it."""
    inits = (ROOT / "stnlib").glob("*/__init__.py")
    return {path.parent.name: names for path in inits if (names := listed(path))}


def test_the_house_has_at_most_16_rooms():
    entries = {path.stem for path in (ROOT / "stnlib").iterdir()} - {"__init__", "__pycache__"}
    assert len({name for name in entries if not name.startswith(".")} - {"py"}) <= 16


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_module_lists_its_own_names_and_a_face_those_of_its_room(path):
    own = path.parent.glob("*.py") if path.name == "__init__.py" else [path]
    if path.parent == ROOT / "stnlib" and path.name == "__init__.py":
        return  # the package's face: test_core
    assert listed(path) <= set().union(*map(defined, own))


def test_no_face_has_a_name_that_hides_a_module():
    for room, names in faces().items():
        assert not names & {path.stem for path in (ROOT / "stnlib" / room).glob("*.py")}


def sources():
    """Yield every piece of code of the repository: where it is, its room and its text."""
    for folder in ("stnlib", "tests", "tools", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            room = path.relative_to(ROOT / folder).parts[0] if folder == "stnlib" else None
            yield path, room, path.read_text(encoding="utf-8")
    for path in CHAPTERS:
        yield path, None, "\n".join(cell.source for cell in cells(path, "code"))


def test_a_name_has_one_address():
    """From outside a room its face, where that has the name; else the module that defines it."""
    wrong = []
    for path, room, code in sources():
        for node in ast.walk(ast.parse(code)):
            if not re.match(r"stnlib\.", getattr(node, "module", None) or ""):
                continue
            _, where, *inner = node.module.split(".")
            module = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
            for alias in node.names:
                behind = inner and where != room and alias.name in faces().get(where, ())
                borrowed = module.is_file() and alias.name not in defined(module)
                wrong += [f"{path.name}: {node.module}.{alias.name}"] * bool(behind or borrowed)
    assert wrong == []


def cells(path, kind):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_was_run_from_top_to_bottom_without_an_error(path):
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_code_cell_has_at_most_15_lines_besides_its_imports(path):
    for cell in cells(path, "code"):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len([x for x in lines if not re.match(r"(from|import) |    \w+,$|\)$", x)]) <= 15


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_first_code_cell_holds_the_parameters(path):
    for cell in cells(path, "code")[:1]:
        assert "parameters" in cell.metadata.get("tags", [])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_one_title_and_skips_no_heading_level(path):
    prose = "\n".join(cell.source for cell in cells(path, "markdown"))
    prose = re.sub(r"^(`{3,}|:{3,}|~{3,}).*?^\1", "", prose, flags=re.MULTILINE | re.DOTALL)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose, re.MULTILINE)]
    assert levels[:1] == [1] and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_stores_nothing_that_changes_from_run_to_run(path):
    notebook = nbformat.read(path, as_version=4)
    volatile = {"execution", "papermill", "ExecuteTime", "collapsed", "scrolled"}
    assert not {key for cell in notebook.cells for key in cell.metadata} & volatile
    assert "version" not in notebook.metadata.get("language_info", {})
