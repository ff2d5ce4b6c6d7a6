"""What tests of interactive figures share: the tool that builds pages, a figure's state."""

import importlib.util
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("interactive", ROOT / "tools" / "interactive.py")
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)

PROGRAM = next(filter(None, map(shutil.which, tools.PROGRAMS)), None)


def far(address):
    return not address.startswith(("file:", "data:", "blob:"))


def state(page):
    """What the page's figure says of itself."""
    return page.evaluate("document.querySelector('figure.interactive').stnState")
