"""How soon a first visitor sees the playground: `python -m benchmarks.page [ADDRESS]`. Needs Chromium."""

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from tests.serving import running, wait_until
from tests.web.visits import chromium, first_paint_ms

VISITS = 15

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
        browser.close()
    for what, unit, column in zip(
        ("first contentful paint", "boundary painted", "received until then"),
        ("ms", "ms", "kB"),
        zip(*visits, strict=True),
        strict=True,
    ):
        print(f"{what:24} {statistics.median(column):6.0f} {unit} (from {min(column):.0f} to {max(column):.0f})")


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
