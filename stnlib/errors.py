"""What a user can cause: errors whose message is one line that says what to do.

Everything else is an error of the program and keeps its traceback.
"""

from __future__ import annotations

__all__ = ["ConfigError", "StnlibError"]


class StnlibError(Exception):
    """Base of the errors that a user can cause.

    In a notebook the message is all that shows: a traceback through our own checks would tell
    the reader nothing.
    """

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ConfigError(StnlibError, ValueError):
    """A parameter that is unknown or out of range; its message is one line."""
