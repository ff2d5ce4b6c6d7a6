"""What tests of interactive figures share: the tool that builds their pages, a figure's state."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("interactive", ROOT / "tools" / "interactive.py")
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)


def state(page):
    """What the page's figure says of itself."""
    return page.evaluate("document.querySelector('figure.interactive').stnState")
