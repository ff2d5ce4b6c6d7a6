"""Record what becomes of the small transformer that trains in the page, there and in stnlib.

python tools/small.py           both maps, where they are not there: book/observations/small
python tools/small.py page      one of them: page (needs Chromium and playwright) or stnlib

A map is 16 settings with 10 trainings each: five minutes of a core, or less.
"""

import sys
from pathlib import Path
from shutil import which

import torch

from stnlib.book import small
from stnlib.data import digits
from stnlib.data.sets import Split, fingerprint
from stnlib.records import observations
from stnlib.records.provenance import provenance

BOOK = Path(__file__).resolve().parents[1] / "book"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SCRIPTS = ("stn.js", "widget.js", "data/train.js", "train.js")
TRAIN = """([rate, factor, warmup, seed, steps, batch]) => {
    const { digits, ...rest } = STN_DATA.train, data = { ...rest, digits: Widget.bytes(digits) };
    const options = { rate, factor, warmup, schedule: "constant", relu: true, batch, steps };
    const training = smallTraining(STN, data, options, seed);
    while (training.done < steps) training.step();
    return training.measured;
}"""


def in_stnlib(what):
    """Rows of every training, a setting at a time."""
    for cell in what["cells"]:
        for row in small.train(*cell, seeds=what["seeds"], steps=what["steps"]):
            yield settings(cell) | row


def in_page(what):
    """The same in a browser, by the page's own scripts."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        program = next(filter(None, map(which, PROGRAMS)))
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        for script in SCRIPTS:
            page.add_script_tag(path=BOOK / "interactive" / script)
        for cell in what["cells"]:
            for seed in range(what["seeds"]):
                found = page.evaluate(TRAIN, [*cell, seed, what["steps"], what["batch"]])
                kept = {"accuracy": found["accuracy"], "corner_spread": found["spread"]}
                kept = {name: round(value, 4) for name, value in kept.items()}
                yield settings(cell) | {"seed": seed, "outcome": found["outcome"]} | kept
        browser.close()


def settings(cell):
    """Names for what a cell of the map is."""
    return dict(zip(("rate", "factor", "warmup"), cell, strict=True))


def main(names):
    """Make what is named and not there."""
    images, labels = digits.optical()
    everything = Split(torch.from_numpy(images.copy())[:, None], torch.from_numpy(labels.copy()))
    for name in names:
        what = small.plan(name)
        path = observations.place(BOOK / "observations", small.STUDY, what)
        if not path.exists():
            rows = []
            for row in {"stnlib": in_stnlib, "page": in_page}[name](what):
                rows.append(row)
                print(name, row, flush=True)
            origin = provenance(torch.device("cpu"), fingerprint(everything))
            observations.write(BOOK / "observations", small.STUDY, what, rows, origin)
        print(path.relative_to(BOOK.parent))


if __name__ == "__main__":
    main(sys.argv[1:] or ["stnlib", "page"])
