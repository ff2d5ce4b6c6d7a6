"""Freed memory that is kept for the next step instead of being handed back to the system."""

from __future__ import annotations

import ctypes
import functools
import platform

__all__ = ["keep_freed_memory"]

# Names and numbers of glibc's malloc.h, in the order in which they are set.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


@functools.cache
def keep_freed_memory() -> bool:
    """Let this process reuse the memory of large tensors, where the C library is glibc.

    A training step on the CPU allocates and frees the same large tensors again and again.
    By default glibc maps each from the system and unmaps it, and the system fills it with
    zeros page by page. Kept, the memory is ready for the next step, and stays with the
    process until it ends. Nothing that is computed changes.

    Returns
    -------
    bool
        Whether it was done; False, and nothing happens, on other systems.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20))
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings])
