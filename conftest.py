"""Options that let the bare ``pytest --nbval book/`` work from any folder."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


def pytest_configure(config):
    """Run chapters in this environment, whatever kernel they name, and sanitize their outputs."""
    config.option.nbval_current_env = True
    config.option.nbval_sanitize_with = str(ROOT / "tests" / "nbval_sanitize.cfg")


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark a chapter's cells that have the tag `slow`."""
    for item in items:
        if "slow" in getattr(item, "cell", {}).get("metadata", {}).get("tags", ()):
            item.add_marker("slow")
