from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.serving import running, wait_until
from tests.web.visits import LIMIT_MS, Visit, chromium, visiting


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A browser for this folder only: Playwright runs an event loop in this thread, where other tests run theirs."""
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        browser = chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with the tutorial's models, as after its first start."""
    with running(tmp_path_factory.mktemp("web"), seed_models=True) as client:
        wait_until(lambda: client.get("/health/ready").status_code == 200)
        yield client


@pytest.fixture
def visit(browser: Browser, service: httpx.Client) -> Iterator[Visit]:
    """A first visit to the page of that service."""
    with visiting(browser, service) as visit:
        yield visit
