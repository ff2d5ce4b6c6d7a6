"""Write what the interactive figures of the book show.

python tools/interactive.py             their data, from the records: book/interactive/data
python tools/interactive.py --pictures  besides, a picture of each for readers without scripts:
                                        book/images (needs Chromium and playwright)
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stnlib.book.interactive import FIGURES, script

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PAGE = """# {name}

:::{{interactive}} {name}
![A picture of the figure {name}](picture.png)

A caption of the figure {name}.
:::
"""
CONFIGURATION = """
title: Figures
execute: {{execute_notebooks: "off"}}
parse: {{myst_enable_extensions: [colon_fence]}}
only_build_toc_files: true
sphinx:
  local_extensions: {{bookext: {extension}}}
  config: {{nb_ipywidgets_js: {{}}}}
"""


def write_data():
    """Write the data of every figure."""
    for name in FIGURES:
        path = BOOK / "interactive" / "data" / f"{name}.js"
        path.write_text(script(name), encoding="utf-8", newline="\n")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def figures():
    """Names of the figures: every script that calls ``Widget.figure``."""
    scripts = sorted((BOOK / "interactive").glob("*.js"))
    return [p.stem for p in scripts if f'Widget.figure("{p.stem}"' in p.read_text("utf-8")]


def build_small_book(folder):
    """Build a book of one page a figure, each as the directive makes it; return the pages' folder.

    Parameters
    ----------
    folder : Path
        Empty.
    """
    from PIL import Image

    folder.mkdir(exist_ok=True)
    names = figures()
    Image.new("L", (2, 2)).save(folder / "picture.png")
    for name in names:
        (folder / f"{name}.md").write_text(PAGE.format(name=name), encoding="utf-8")
    (folder / "index.md").write_text("# Figures\n", encoding="utf-8")
    entries = "".join(f"  - file: {name}\n" for name in names)
    toc = f"format: jb-book\nroot: index\nchapters:\n{entries}"
    (folder / "_toc.yml").write_text(toc, encoding="utf-8")
    configuration = CONFIGURATION.format(extension=(BOOK / "_ext").as_posix())
    (folder / "_config.yml").write_text(configuration, encoding="utf-8")
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    done = subprocess.run([*program, "build", "-W", "-n", folder], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return folder / "_build" / "html"


def scrub(page):
    """Go to where the left one of the recorded trainings is leaving."""
    page.get_by_role("slider", name="Frame").fill("164")


def train(page):
    """Let all small transformers train to their end."""
    page.get_by_role("button", name="Train").click()
    finished = "document.querySelector('figure.interactive').stnState.finished"
    page.wait_for_function(finished, timeout=300_000)


def bet(page):
    """Bet that the change makes no difference."""
    page.get_by_role("button", name="no difference").click()


def release(page):
    """Let twenty walkers go at each of four rates."""
    for power in ("-0.2", "-0.4", "-0.6", "-0.8"):
        page.get_by_label("rate", exact=True).fill(power)
        page.get_by_role("button", name="Release").click()
        ended = "document.querySelector('figure.interactive').stnState.running === false"
        page.wait_for_function(ended, timeout=300_000)


POSES = {
    "branches": bet,
    "landscape": release,
    "recorder": scrub,
    "train": train,
}  # the others as they first are


def take_pictures():
    """Take a picture of each figure, in the light theme."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        html = build_small_book(Path(folder) / "book")
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1000, "height": 1600}, color_scheme="light", reduced_motion="reduce"
        )
        for name in figures():
            page.goto((html / f"{name}.html").as_uri())
            stage = page.locator(".stn-stage")
            stage.scroll_into_view_if_needed()
            POSES.get(name, lambda page: None)(page)
            page.wait_for_timeout(500)
            image = Image.open(io.BytesIO(stage.screenshot())).convert("RGB")
            (BOOK / "images").mkdir(exist_ok=True)
            image.save(BOOK / "images" / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    write_data()
    if "--pictures" in sys.argv[1:]:
        take_pictures()
