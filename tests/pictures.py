"""Draws the pictures of the README that depend on the page or the colors: `python -m tests.pictures`.

`docs/playground.png` is the page after its first training, `docs/models.png` a comparison of two versions, and
`docs/penguins.png` what the README's own commands draw.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.readme import separatrix_commands
from tests.serving import running, train, wait_until
from tests.web.visits import Visit, chromium

DOCS = Path(__file__).parent.parent / "docs"

COLORS = 256
"""Colors in the palette of a picture of the page. With a palette, the file is less than half as large."""


def draw_page(folder: Path) -> None:
    """Writes pictures of both tabs of the page: the first visit to the playground, and a comparison of two versions."""
    with running(folder, seed_models=True) as client, sync_playwright() as playwright:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        browser = chromium(playwright)
        page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US", reduced_motion="reduce")
        visit = Visit(page, str(client.base_url))
        with page.expect_response(lambda answer: "/jobs/" in answer.url and "/points" in answer.url):
            visit.open()  # this response changes the picture last: it says which points are on the wrong side
        page.wait_for_load_state("networkidle")
        save(page, DOCS / "playground.png")
        for width, epochs in ((2, 500), (6, 5000)):
            settings = {"network": {"hidden": [width]}, "training": {"epochs": epochs, "validation_fraction": 0.2}}
            train(client, "moons", data={"dataset": "moons", "n": 300, "noise": 0.25}, **settings)
        page.goto(f"{client.base_url}/#tab=models&compare=moons:1,moons:2")
        page.locator(".flips").wait_for()
        expect(page.locator("img[src]")).to_have_count(3)
        page.wait_for_load_state("networkidle")
        save(page, DOCS / "models.png")
        browser.close()


def save(page: Page, target: Path) -> None:
    """Writes a picture of what a page shows."""
    page.screenshot(path=target)
    Image.open(target).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(target, optimize=True)


def draw_penguins(target: Path, folder: Path) -> None:
    """Runs the README's commands that train on the penguins and draw them."""
    for command in separatrix_commands():
        if command[:2] == ["boundary", "penguins"] or command[:2] == ["train", "--csv"]:
            arguments = [str(target) if argument == target.name else argument for argument in command]
            environment = os.environ | {"SEPARATRIX_DATA_DIR": str(folder)}
            subprocess.run([sys.executable, "-m", "service", *arguments], cwd=DOCS.parent, env=environment, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        draw_page(Path(folder) / "page")
        draw_penguins(DOCS / "penguins.png", Path(folder) / "penguins")


if __name__ == "__main__":
    main()
