"""A visit to the page in a browser."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, Response, Route, expect

from tests.requirements import lacks
from tests.serving import wait_until

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Names of browsers as Linux distributions and macOS install them. The headless shell is Chromium without windows. It
takes half of the processor time."""

LIMIT_MS = 20_000
"""How long a test waits for the page."""

LONG_TRAINING = "#data.n=2000&network.hidden=16&training.epochs=1000000"
"""The fragment of a training that takes half a minute. A changed setting cancels it."""


def chromium(playwright: Playwright) -> Browser:
    """A headless Chromium of the machine; Playwright's own need not be installed."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        lacks("Chromium is not installed (Debian: apt-get install chromium-headless-shell)")
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


class Visit:
    """An open page, and what the browser complains about.

    Attributes:
        page: of Playwright.
        complaints: errors and warnings of the console, exceptions, and responses that are errors.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.complaints: list[str] = []
        self._asked, self._answered = 0, 0
        page.on("request", self._on_request)
        page.on("requestfinished", self._on_answer)
        page.on("requestfailed", self._on_answer)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._on_response)

    def open(self, fragment: str = "") -> Page:
        """Opens the page and waits until its network is trained, and shown with its history and points."""
        self.page.goto(f"{self.address}/{fragment}")
        self.wait_until_trained()
        self.wait_until_settled()
        return self.page

    def expect_refusal(self, path: str) -> None:
        """Checks that a request to this path was refused, which is no complaint then."""
        refused = [one for one in self.complaints if path in one or "Failed to load resource" in one]
        assert any(path in one for one in refused)
        self.complaints = [one for one in self.complaints if one not in refused]

    def wait_until_trained(self) -> None:
        """Waits until a training with its snapshots has ended and nothing is on its way."""
        # The browser watches for this in each frame; an `expect` asks again after up to a second.
        self.page.locator('body[data-status="done"]:has(#step:enabled)').wait_for(state="attached")

    def trains(self, change: Callable[[], Any]) -> Any:
        """Makes a change that trains, waits for the end of the training, and returns the body of its request."""
        with self.page.expect_response(is_training) as found:
            change()
        self.wait_until_trained()
        return found.value.request.post_data_json

    def field(self, name: str) -> Any:
        """The control of a setting, such as `training.epochs`."""
        return self.page.locator(f'[data-field="{name}"]').locator("input, select").first

    def accuracy(self) -> float:
        """The accuracy below the plane, in percent."""
        return float(self.page.locator(".key b, .key strong").nth(1).inner_text().partition("%")[0].split("/")[0])

    def epoch(self) -> int:
        """The epoch that is shown in the bar."""
        return epoch_in(self.page.locator("#epoch").inner_text())

    def expect_live(self) -> None:
        """Waits until the page shows two later epochs of a training. One could come from the job, not its events."""
        expect(self.page.locator("body")).to_have_attribute("data-status", "training")
        for _ in range(2):
            before = self.epoch()
            wait_until(lambda before=before: self.epoch() > before)  # type: ignore[misc]
        expect(self.page.locator("body")).to_have_attribute("data-status", "training")

    def wait_until_settled(self) -> None:
        """Waits until all requests of the page have been answered, and nothing has been asked for two frames."""

        def is_settled() -> bool:
            asked = self._asked
            self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            return asked == self._asked == self._answered

        wait_until(is_settled)

    def expect_link_to_reproduce_the_plane(self) -> None:
        """Presses Share, opens the address again, and checks that the plane shows the same, pixel by pixel."""
        self.page.click("#share")
        expect(self.page.locator("#share")).not_to_have_text("Share")
        self.wait_until_settled()
        shown = drawing(self)
        self.page.reload()
        self.wait_until_trained()
        self.wait_until_settled()
        assert drawing(self) == shown

    def _on_request(self, _: Request) -> None:
        self._asked += 1

    def _on_answer(self, _: Request) -> None:
        self._answered += 1

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_response(self, answer: Response) -> None:
        if answer.status >= 400:
            self.complaints.append(f"{answer.status} {answer.url}")


@contextmanager
def visiting(browser: Browser, service: httpx.Client) -> Iterator[Visit]:
    """A first visit to the page of a service. Fails at its end if the browser complained about anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", reduced_motion="reduce")
    context.set_default_timeout(LIMIT_MS)
    visit = Visit(context.new_page(), str(service.base_url))
    try:
        yield visit
    finally:
        context.close()
    assert visit.complaints == [], visit.complaints


def plane(visit: Visit) -> Any:
    return visit.page.locator("canvas.plane")


def drawing(visit: Visit) -> str:
    """All that the plane shows, as text."""
    return plane(visit).evaluate("canvas => canvas.toDataURL()")  # type: ignore[no-any-return]


def at(visit: Visit, x: float, y: float) -> tuple[float, float]:
    """A place on the plane in pixels of the page, from shares of its width and height."""
    box = plane(visit).bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def click(visit: Visit, x: float, y: float) -> None:
    visit.page.mouse.click(*at(visit, x, y))


def hold(page: Page, *patterns: str) -> list[Route]:
    """Holds back the requests that match one of the patterns. The list grows by each of them."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    for pattern in patterns:
        page.route(pattern, keep)
    return held


def epoch_in(text: str) -> int:
    found = re.search(r"poch ([0-9,]+)", text)
    return int(found[1].replace(",", "")) if found else 0


def is_training(answer: Response) -> bool:
    return answer.url.endswith("/train") and answer.request.method == "POST"


def bytes_received(page: Page) -> list[int]:
    """The size on the wire of each response from now on, with headers, in bytes. The list grows with each response."""
    sizes: list[int] = []
    session = page.context.new_cdp_session(page)
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    session.send("Network.enable")
    return sizes


def first_paint_ms(page: Page) -> float:
    """When the browser first painted text or pictures of the page, in milliseconds after the start of the visit."""
    time_ms: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return time_ms
