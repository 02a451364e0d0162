"""The page follows a long training while it runs."""

import re
from collections import Counter

import httpx
import pytest
from playwright.sync_api import Request, expect

from tests.serving import wait_until
from tests.web.proxy import proxy_of
from tests.web.visits import LONG_TRAINING, Visit, drawing, hold, is_training, plane

pytestmark = pytest.mark.processes


def pixels(visit: Visit) -> Counter[tuple[int, ...]]:
    """The colors of the plane (red, green, blue), each with the number of its pixels."""
    colors = plane(visit).evaluate(
        """canvas => {
            const [width, height] = [canvas.width, canvas.height];
            const copy = Object.assign(document.createElement("canvas"), { width, height });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const counts = new Map();
            for (const color of new Uint32Array(context.getImageData(0, 0, width, height).data.buffer))
                counts.set(color, (counts.get(color) ?? 0) + 1);
            return [...counts];
        }"""
    )
    counts: Counter[tuple[int, ...]] = Counter()
    for color, count in colors:
        counts[color & 255, color >> 8 & 255, color >> 16 & 255] += count
    return counts


def share_of_red_and_blue(visit: Visit) -> float:
    """The share of the plane that has the colors of the first two classes: in other views, only points."""
    counts = pixels(visit)
    return sum(count for (red, _, blue), count in counts.items() if abs(red - blue) > 40) / counts.total()


def regions(visit: Visit) -> int:
    """How many colors the plane has that cover more than points and lines do."""
    return sum(count > 4500 for count in pixels(visit).values())


def press(visit: Visit, name: str) -> None:
    visit.page.get_by_role("button", name=name, exact=True).click()


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


def test_the_chart_grows_while_a_training_runs(visit: Visit) -> None:
    visit.page.goto(f"{visit.address}/{LONG_TRAINING}")
    visit.expect_live()
    chart = visit.page.locator("canvas.chart")

    def reach() -> int:
        """How far the lines of the chart reach to the right, in pixels: its frame and its numbers are gray."""
        found: int = chart.evaluate(
            """canvas => {
                const { width, height } = canvas;
                const copy = Object.assign(document.createElement("canvas"), { width, height });
                const context = copy.getContext("2d", { willReadFrequently: true });
                context.drawImage(canvas, 0, 0);
                const { data } = context.getImageData(0, 0, width, height);
                let most = 0;
                for (let i = 0; i < data.length; i += 4) {
                    const [least, greatest] = [Math.min(...data.slice(i, i + 3)), Math.max(...data.slice(i, i + 3))];
                    if (greatest - least > 80) most = Math.max(most, (i / 4) % width);
                }
                return most;
            }"""
        )
        return found

    wait_until(lambda: reach() > 0)
    before = reach()
    wait_until(lambda: reach() > before)
    visit.page.goto("about:blank")


def test_the_plane_shows_the_pressed_view_of_a_training_that_runs(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/{LONG_TRAINING}")
    visit.expect_live()
    wait_until(lambda: share_of_red_and_blue(visit) > 0.7)
    press(visit, "entropy")
    wait_until(lambda: share_of_red_and_blue(visit) < 0.4)
    visit.expect_live()
    assert share_of_red_and_blue(visit) < 0.4
    press(visit, "warped")
    background = (251, 251, 250)
    wait_until(lambda: pixels(visit)[background] > 10_000)  # around what the last hidden layer maps
    before = drawing(visit)
    wait_until(lambda: drawing(visit) != before)
    assert pixels(visit)[background] > 10_000
    page.goto("about:blank")


def test_the_plane_shows_how_sure_a_network_of_three_classes_is_while_it_learns(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/{LONG_TRAINING}&data.dataset=gaussians&data.n_classes=3&data.noise=1")
    visit.expect_live()
    wait_until(lambda: regions(visit) > 3)
    visit.expect_live()
    assert regions(visit) > 3
    press(visit, "label")
    wait_until(lambda: regions(visit) == 3)
    visit.expect_live()
    assert regions(visit) == 3
    page.goto("about:blank")


def test_maps_and_weights_are_those_of_the_training_that_runs(visit: Visit) -> None:
    page = visit.open("#data.n=2000&network.hidden=16&training.epochs=20")
    maps = page.locator(".unit canvas")
    weights = page.locator(".links g path:first-child")
    looks = "all => all.map(one => one.toDataURL())"
    widths = "all => all.map(one => one.getAttribute('stroke-width'))"
    before = maps.evaluate_all(looks), weights.evaluate_all(widths)
    visit.field("training.epochs").fill("1000000")
    page.keyboard.press("Enter")
    visit.expect_live()
    wait_until(lambda: set(before[0]).isdisjoint(maps.evaluate_all(looks)))
    wait_until(lambda: weights.evaluate_all(widths) != before[1])
    page.goto("about:blank")


def test_a_view_that_was_pressed_during_a_training_shows_its_result_at_the_end(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/#data.n=2000&network.hidden=16&training.epochs=60000")
    visit.expect_live()
    press(visit, "label")
    visit.wait_until_trained()
    visit.expect_link_to_reproduce_the_plane()


def test_play_pauses_a_training_that_runs_and_resumes_it(visit: Visit, service: httpx.Client) -> None:
    page = visit.page
    with page.expect_response(is_training) as found:
        page.goto(f"{visit.address}/{LONG_TRAINING}")
    job = found.value.json()["links"]["self"]
    visit.expect_live()
    page.get_by_role("button", name="Pause").click()
    wait_until(lambda: service.get(job).json()["status"] == "paused")
    expect(page.locator("#epoch")).to_contain_text("Paused at epoch")
    paused_at = visit.epoch()
    press(visit, "entropy")
    wait_until(lambda: share_of_red_and_blue(visit) < 0.4)
    expect(page.locator("#notice")).to_be_hidden()
    press(visit, "warped")
    expect(page.locator("#notice")).to_contain_text("Go on with the training")
    page.get_by_role("button", name="Go on").click()
    visit.expect_live()
    assert visit.epoch() > paused_at
    page.keyboard.press("Space")
    wait_until(lambda: service.get(job).json()["status"] == "paused")
    visit.field("training.epochs").fill("50")
    page.keyboard.press("Enter")
    visit.wait_until_trained()
    assert service.get(job).json()["status"] == "cancelled"
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("^Play"))


def test_a_training_pauses_after_the_last_request_for_its_weights_has_been_answered(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/{LONG_TRAINING}")
    visit.expect_live()
    with page.expect_request("**/layers"):
        held = hold(page, "**/layers")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#epoch")).to_contain_text("Paused at epoch")
    with page.expect_response("**/pause"):
        for route in held:
            route.continue_()
    visit.field("threshold").fill("0.7")  # no request: frames have no boundary that moves
    visit.field("training.epochs").fill("50")
    page.keyboard.press("Enter")
    visit.wait_until_trained()
