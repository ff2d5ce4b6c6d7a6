"""Docstrings: NumPy's style as tools read it, and coordinates told without doubt."""

import importlib.util
import inspect
import pkgutil
import re
from itertools import pairwise

ROOMS = ("sampler", "transforms", "models", "diagnostics", "optim", "checks")
WHOLE = (*ROOMS, "errors", "paths", "atomic", "progress")
WHOLE += ("book", "book.autopsy", "book.claims", "book.figures", "book.third_party")
BRIEF = ("data", "training", "records", "study", "cli")  # where a line may do
COORDINATES = {"theta", "truth", "grid", "points", "matrix", "first", "second", "corners"}
COORDINATES |= {"coordinate", "align_corners"}


# What needs a framework that is in no extra, and is looked at where that is installed.
NEED = {"stnlib.diagnostics.lightning_callback": "lightning"}
NEED |= {"stnlib.diagnostics.trainer_callback": "transformers"}


def modules():
    """Yield every module."""
    for name in (*WHOLE, *BRIEF):
        room = importlib.import_module(f"stnlib.{name}")
        yield room
        for found in pkgutil.iter_modules(getattr(room, "__path__", ()), f"{room.__name__}."):
            if importlib.util.find_spec(NEED.get(found.name, "stnlib")):
                yield importlib.import_module(found.name)


def members(space, where, module):
    """Yield (name, thing, where it stands) of a module's functions, classes and methods."""
    for name, value in vars(space).items():
        thing = inspect.unwrap(getattr(value, "__func__", value))  # of a class method, of a cache
        kinds = inspect.isfunction(thing) or inspect.isclass(thing)
        if kinds and not name.startswith("_") and thing.__module__ == module.__name__:
            yield f"{where}.{name}", thing, space
            if inspect.isclass(thing):
                yield from members(thing, f"{where}.{name}", module)


ALL = [entry for module in modules() for entry in members(module, module.__name__, module)]
DOCS = {name: inspect.getdoc(thing) or "" for name, thing, _ in ALL}


def is_public(name, thing):
    """Whether a face offers a thing, or its class: the room's, else its module's."""
    if name.split(".")[1] in BRIEF:
        return False
    room = importlib.import_module(".".join(thing.__module__.split(".")[:2]))
    offers = getattr(room, "__all__", None) or inspect.getmodule(thing).__all__
    return name.removeprefix(f"{thing.__module__}.").partition(".")[0] in offers


def parameters(thing):
    """Return the parameters of a function or class: name to annotation, as they are written."""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return {}
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    found = inspect.signature(thing).parameters.values()
    named = {stars.get(p.kind, "") + p.name: p.annotation for p in found}
    named = {name: getattr(kind, "__forward_arg__", kind) for name, kind in named.items()}
    return {name: kind for name, kind in named.items() if name not in ("self", "cls")}


def entries(doc, title):
    """Return a section's entries, name to type; ill-formed ones by what is wrong with them."""
    found = re.search(rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^[^\n]+\n---|\Z)", doc, re.M | re.S)
    types = {}
    for head, below in pairwise([*found[1].split("\n"), ""] if found else []):
        if head and not head.startswith(" "):
            names, _, kind = head.partition(" : ")
            told = names.split(", ") if kind else [head]
            types |= dict.fromkeys(told, kind if below.startswith("    ") else "no meaning below")
    return types


def test_there_is_something_to_look_at():
    assert {"stnlib.sampler.sample", "stnlib.transforms.families.Family.grid"} <= DOCS.keys()


def test_every_public_thing_has_a_docstring():
    assert [name for name, doc in DOCS.items() if not doc] == []


def test_parameters_have_the_names_and_types_of_the_signature():
    """Where a face offers a thing; where none does, a line may do, but no half of a list."""
    wrong = {}
    for name, thing, _ in ALL:
        told, true = entries(DOCS[name], "Parameters"), parameters(thing)
        if told != true and (told or is_public(name, thing)):
            wrong[name] = (told, true)
    assert wrong == {}


def test_what_is_returned_has_the_type_of_the_signature():
    wrong = {}
    for name, thing, _ in ALL:
        told = list(entries(DOCS[name], "Returns"))
        if told and told != [inspect.signature(thing).return_annotation]:
            wrong[name] = told
    assert wrong == {}


def test_attributes_have_a_type_and_a_meaning():
    for doc in DOCS.values():
        types = entries(doc, "Attributes").values()
        assert all(types) and "no meaning below" not in types


def convention(doc, module):
    """Whether a docstring has a section on coordinates, or names a module that has one."""
    named = re.search(r"^Convention: see (the module|`([\w.]+)`)\.$", doc, re.MULTILINE)
    if named:
        doc = inspect.getdoc(importlib.import_module(named[2]) if named[2] else module)
    return "\nConvention\n----------\n" in doc


def test_where_coordinates_come_in_their_convention_is_told():
    """By the function or its class; a check looks at types and shapes alone."""
    silent = []
    for name, thing, home in ALL:
        if COORDINATES & parameters(thing).keys() and not thing.__name__.startswith("check_"):
            docs = [DOCS[name], *([inspect.getdoc(home)] if inspect.isclass(home) else [])]
            told = any(convention(doc, inspect.getmodule(thing)) for doc in docs)
            silent += [] if told else [name]
    assert silent == []
