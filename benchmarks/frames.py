"""How long a frame of an interactive figure takes while it is dragged, played or trained.

python benchmarks/frames.py     writes benchmarks/frames.json for the status page

A page as wide as a phone's, 390 pixels with three dots each, on this processor and on one that the
browser slows down fourfold. The processor's time is that of the page's main thread, on this
processor. Without a graphics card Chromium draws on the processor, too. Needs Chromium and
playwright. The times between frames need a machine that does nothing else.
"""

import importlib.util
import json
import tempfile
from pathlib import Path
from shutil import which

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from stnlib.records.provenance import provenance

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("interactive", ROOT / "tools" / "interactive.py")
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)

# One move of the pointer a frame, to and fro, and the time of each frame.
DRAG = """([frames, x, y, reach]) => new Promise((done) => {
    const node = document.querySelector(".stn-drag"), times = [];
    requestAnimationFrame(function frame(now) {
        times.push(now);
        if (times.length > frames) return done(times);
        const at = { clientX: x + reach * Math.sin(times.length / 9), clientY: y };
        node?.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true }));
        requestAnimationFrame(frame);
    });
})"""


def processor(session):
    """Seconds that the main thread has computed."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(one["value"] for one in metrics if one["name"] == "TaskDuration")


def measure(page, slower, frames=240):
    """Milliseconds of the processor a frame, and between frames: median and 95th percentile."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    x = y = reach = 0
    if page.locator(".stn-drag").count():
        canvas = page.locator(".stn-drag").first
        canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        reach = 0.2 * box["width"]
        page.mouse.move(x, y)
        page.mouse.down()
    else:
        page.get_by_role("button", name="Train").click()
        page.wait_for_timeout(500)
    page.evaluate(DRAG, [20, x, y, reach])  # what is drawn once
    before = processor(session)
    between = np.diff(page.evaluate(DRAG, [frames, x, y, reach]))
    computed = 1000 * (processor(session) - before) / frames
    row = {"processor_ms": computed, "ms": np.median(between), "ms_95": np.quantile(between, 0.95)}
    return {key: round(float(value), 1) for key, value in row.items()}


def main():
    """Measure, print and write the results."""
    rows = []
    program = next(filter(None, map(which, tools.PROGRAMS)))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        html = tools.build_small_book(Path(folder) / "book")
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in tools.figures():
            for slower in (1, 4):
                page = browser.new_page(
                    viewport={"width": 390, "height": 844},
                    device_scale_factor=3,
                    reduced_motion="reduce",
                )
                page.goto((html / f"{name}.html").as_uri())
                page.locator(".stn-stage").scroll_into_view_if_needed()
                page.wait_for_timeout(1000)
                rows.append({"figure": name, "slower": slower, **measure(page, slower)})
                print(rows[-1], flush=True)
                page.close()
        origin = {
            "device": provenance(torch.device("cpu"), "")["device"],
            "chromium": browser.version,
        }
        browser.close()
    path = Path(__file__).with_suffix(".json")
    path.write_text(
        json.dumps({"rows": rows, "made on": origin}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
