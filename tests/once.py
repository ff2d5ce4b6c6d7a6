"""What is made once for all processes of a test run."""

import os
import shutil

from filelock import FileLock


def made_once(tmp_path_factory, name, make):
    """The folder that `make` fills, when the first process asks for it; what `make` returned."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # of all workers
    folder, done = base / name, base / f"{name}.done"
    with FileLock(base / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # where another process failed
            folder.mkdir()
            done.write_text(str(make(folder)), encoding="utf-8")
    return folder / done.read_text(encoding="utf-8")
