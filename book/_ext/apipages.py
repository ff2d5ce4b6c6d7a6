"""The pages of the API, from the source itself: ``{api} stnlib.sampler`` lists a module's names.

It reads the syntax tree, so that a build needs no torch and a page says what the source says.
"""

import ast
import inspect
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).resolve().parents[2]
# The one place from which each of these is imported.
MODULES = ("sampler", "transforms", "models", "diagnostics", "optim")
TABLES = ("Parameters", "Returns", "Attributes", "Raises")


def path(module):
    """Return the file of a module, as ``stnlib.transforms``."""
    place = ROOT.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def tree(module):
    return ast.parse(path(module).read_text(encoding="utf-8"))


def listed(body):
    """Return the names in ``__all__``."""
    for node in body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def homes(body):
    """Return where a face takes its names from: name to module."""
    taken = [node for node in body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module for node in taken for alias in node.names}


def definitions(body):
    """Return what a module defines: name to node."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {name.id: node for name in targets if isinstance(name, ast.Name)}
    return found


def public(module):
    """Yield (name, node, module that defines it) of what a module offers, in order of its list."""
    body = tree(module).body
    elsewhere = homes(body)
    for name in listed(body):
        home = elsewhere.get(name, module)
        yield name, definitions(tree(home).body)[name], home


def known():
    """Return every public name's full one, by each way in which a docstring may call it."""
    found = {}
    for room in MODULES:
        module = f"stnlib.{room}"
        found[module] = module
        for name, node, home in public(module):
            full = f"{module}.{name}"
            found |= {name: full, full: full, f"{home}.{name}": full}
            if isinstance(node, ast.ClassDef):
                found |= {f"{name}.{m.name}": f"{full}.{m.name}" for m in methods(node)}
    return found


def methods(node):
    """Return the public methods of a class."""
    found = {}
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            found.setdefault(child.name, child)  # a property's setter comes after it
    return list(found.values())


def signature(node):
    """Return parameters and defaults as they are written, without types."""
    given = node
    if isinstance(node, ast.ClassDef):
        made = [c for c in node.body if getattr(c, "name", "") == "__init__"]
        if not made:
            fields = [c for c in node.body if isinstance(c, ast.AnnAssign)]
            told = [
                f"{c.target.id}={ast.unparse(c.value)}" if c.value else c.target.id for c in fields
            ]
            return f"({', '.join(told)})"
        (given,) = made
    arguments = given.args
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    inner = [*arguments.posonlyargs, *arguments.args]
    if inner and inner[0].arg in ("self", "cls"):
        (arguments.posonlyargs or arguments.args).pop(0)
    return f"({ast.unparse(arguments)})"


def linked(text, names):
    """Return reST in which a name in single quotes is a link, if it is known, or code."""

    def one(match):
        name = match[1]
        return f":py:obj:`{name} <{names[name]}>`" if name in names else f"``{name}``"

    def line(words):
        # What stands in a table keeps its width: the default role makes it code.
        table = re.search(r"\S {2,}\S", words)
        return words if table else re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", one, words)

    return "\n".join(map(line, text.split("\n")))


def head(line):
    """Return the first line of an entry, ``name : type``, as code."""
    name, _, kind = line.partition(" : ")
    return f"``{name}`` : ``{kind}``" if kind else f"``{name}``"


def rst(doc, names):
    """Return a docstring in NumPy's style as reST: lists of parameters, small headings."""
    parts = re.split(r"^([^\n]+)\n-{3,}$", inspect.cleandoc(doc), flags=re.MULTILINE)
    text = [linked(parts[0].strip(), names)]
    for title, section in zip(parts[1::2], parts[2::2], strict=True):
        lines = section.strip("\n").split("\n")
        if title in TABLES:
            lines = [head(line) if line and not line[0].isspace() else line for line in lines]
        text += [f".. rubric:: {title}", linked("\n".join(lines), names)]
    return "\n\n".join(text)


def indented(text):
    return "\n".join(f"   {line}" if line else "" for line in text.split("\n"))


def entry(name, node, names, kind=None):
    """Return the reST of one name, with the methods of a class."""
    if not isinstance(node, ast.FunctionDef | ast.ClassDef):
        value = ast.unparse(node.value)
        option = f"\n   :value: {value}" if len(value) <= 72 else ""
        return f".. py:data:: {name}{option}"
    is_class = isinstance(node, ast.ClassDef)
    kind = kind or ("class" if is_class else "function")
    told = "" if kind == "property" else signature(node)
    body = rst(ast.get_docstring(node) or "", names)
    if is_class:
        body += "".join(f"\n\n{member(m, names)}" for m in methods(node))
    return f".. py:{kind}:: {name}{told}\n\n{indented(body)}"


def member(node, names):
    """Return the reST of one method, which stands in its class."""
    decorators = {getattr(d, "id", "") for d in node.decorator_list}
    kind = "property" if "property" in decorators else "method"
    return entry(node.name, node, names, kind)


def page(module):
    """Return the reST of a module: what it says of itself, then its public names."""
    names = known()
    about = rst(ast.get_docstring(tree(module)) or "", names)
    entries = [entry(name, node, names) for name, node, _ in public(module)]
    start = [".. default-role:: literal", f".. py:module:: {module}", about]
    return "\n\n".join([*start, *entries, ".. default-role::"])


class Api(Directive):
    """Everything that a module offers, from its docstrings."""

    required_arguments = 1

    def run(self):
        module = self.arguments[0]
        for _, _, home in public(module):
            self.state.document.settings.env.note_dependency(str(path(home)))
        text = f"```{{eval-rst}}\n{page(module)}\n```"
        holder = nodes.Element()
        self.state.nested_parse(StringList(text.split("\n")), self.content_offset, holder)
        return holder.children


def setup(app):
    """Register the directive."""
    app.add_directive("api", Api)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
