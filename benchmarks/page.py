"""How soon the page shows a visit and a changed setting: `python -m benchmarks.page [ADDRESS]`. Needs Chromium."""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.serving import running, wait_until
from tests.web.visits import Visit, chromium, first_paint_ms

VISITS, CHANGES = 15, 40

PAINTED = """canvas => new Promise(resolve => {
  const background = getComputedStyle(document.documentElement).getPropertyValue("--canvas").trim();
  const look = () => {
    const [r, g, b, a] = canvas.getContext("2d").getImageData(2, 2, 1, 1).data;
    const isPainted = a && "#" + [r, g, b].map(v => v.toString(16).padStart(2, "0")).join("") !== background;
    if (!isPainted) return requestAnimationFrame(look);
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const now = performance.now();
    const arrived = entries.filter(({ responseEnd }) => responseEnd && responseEnd <= now);
    resolve([now, arrived.reduce((sum, { transferSize }) => sum + transferSize, 0)]);
  };
  look();
})"""
"""Milliseconds from the start of the visit until the plane shows a region of the network, and the bytes until then."""


NOTE_PAINTINGS = """
window.paintings = [];
const paint = CanvasRenderingContext2D.prototype.putImageData;
CanvasRenderingContext2D.prototype.putImageData = function (image, ...place) {
  paint.call(this, image, ...place);
  if (image.width === 100) window.paintings.push(performance.now());
};"""
"""Notes when the regions of the plane are painted. Only their image is 100 cells wide."""

TIMES_OF_A_CHANGE = """() => new Promise(resolve => {
  const look = () => {
    const requests = performance.getEntriesByType("resource");
    const training = requests.findLast(({ name }) => name.endsWith("/train"));
    const later = requests.filter(({ startTime }) => startTime >= training?.responseEnd);
    const grid = later.find(({ name }) => name.includes("boundary-grid"));
    const painted = window.paintings.find(time => time >= grid?.responseEnd);
    if (!painted) return requestAnimationFrame(look);
    resolve([training.responseEnd, grid.responseEnd, painted].map(time => time - training.startTime));
  };
  look();
})"""
"""Milliseconds from the start of the last `POST /train` to its response, to the grid, and to the painted regions."""


def main() -> None:
    """Prints the figures of the service at the given address or, without one, of a service that it starts."""
    if len(sys.argv) > 1:
        report(sys.argv[1])
        return
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), seed_models=True) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        report(str(client.base_url))


def report(address: str) -> None:
    """Measures several visits, each with an empty cache, and prints their medians and ranges."""
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        visits = [first_visit(browser, address) for _ in range(VISITS)]
        changes = changed_settings(browser, address)
        browser.close()
    print_medians(visits, ("first contentful paint", "ms"), ("boundary painted", "ms"), ("received until then", "kB"))
    print("\nfrom the POST of a changed setting, with lbfgs:")
    print_medians(changes, ("response of the job", "ms"), ("response of the grid", "ms"), ("boundary painted", "ms"))


def print_medians(rows: Sequence[tuple[float, ...]], *columns: tuple[str, str]) -> None:
    """Prints the median and the range of each column, whose name and unit are given."""
    for (what, unit), column in zip(columns, zip(*rows, strict=True), strict=True):
        print(f"{what:24} {statistics.median(column):6.0f} {unit} (from {min(column):.0f} to {max(column):.0f})")


def changed_settings(browser: Browser, address: str) -> list[tuple[float, ...]]:
    """The times of `TIMES_OF_A_CHANGE` of some trainings of the tutorial's network."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.add_init_script(NOTE_PAINTINGS)
    visit = Visit(page, address)
    visit.open("#training.optimizer=lbfgs")
    seed = visit.field("training.seed")
    times = []
    for i in range(CHANGES):
        page.evaluate("performance.clearResourceTimings(); paintings.length = 0")
        seed.fill(str(100 + i))
        visit.trains(partial(seed.press, "Enter"))
        times.append(tuple(page.evaluate(TIMES_OF_A_CHANGE)))
    page.close()
    return times


def first_visit(browser: Browser, address: str) -> tuple[float, float, float]:
    """Milliseconds to the first paint and to the painted boundary, and the kilobytes until then."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(address, wait_until="commit")
    plane = page.locator("canvas.plane")
    expect(plane).to_be_visible()
    painted_ms, received = plane.evaluate(PAINTED)
    figures = (first_paint_ms(page), painted_ms, received / 1000)
    context.close()
    return figures


if __name__ == "__main__":
    main()
