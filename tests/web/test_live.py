"""The page follows a long training while it runs."""

import re

import pytest
from playwright.sync_api import Request, expect

from tests.serving import wait_until
from tests.web.proxy import proxy_of
from tests.web.visits import LONG_TRAINING, Visit, is_training

pytestmark = pytest.mark.processes


def test_a_live_training_goes_on_by_itself_after_a_lost_and_after_a_silent_connection(visit: Visit) -> None:
    page = visit.page
    streams: list[Request] = []
    page.on("request", lambda asked: streams.append(asked) if "/events" in asked.url else None)
    with proxy_of(visit.address) as proxy:
        page.goto(f"{proxy.address}/{LONG_TRAINING}")
        visit.expect_live()
        proxy.cut()
        expect(page.locator("#notice")).to_contain_text("has not answered since")
        proxy.restore()
        expect(page.locator("#notice")).to_be_hidden()
        visit.expect_live()
        visit.complaints = [one for one in visit.complaints if "net::ERR" not in one]

        page.clock.install()
        visit.expect_live()
        proxy.silence()
        before = len(streams)
        wait_until(lambda: (page.clock.fast_forward(5_000), len(streams) > before)[1])  # type: ignore[func-returns-value]
        visit.expect_live()

        first, *further = streams
        assert "last-event-id" not in first.headers
        assert re.fullmatch(r"[0-9]+", further[-1].headers["last-event-id"])
        assert {asked.url for asked in streams} == {first.url}

        visit.field("training.epochs").fill("50")
        with page.expect_response(is_training):
            page.keyboard.press("Enter")
        visit.wait_until_trained()
        assert visit.epoch() == 50
        page.goto("about:blank")
