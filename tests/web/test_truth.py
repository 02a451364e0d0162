"""The page shows what the service answers, also with many points, after an outage, and for classes in an odd order."""

import re
from operator import eq
from typing import Any

import httpx
import pytest
from playwright.sync_api import Request, expect

from tests.serving import wait_until
from tests.web.visits import LONG_TRAINING, Visit, at, click, drawing, is_training, plane

pytestmark = pytest.mark.processes


def counts(visit: Visit) -> list[int]:
    """The number of points of each class, as the palette says it."""
    titles = visit.page.locator(".palette .swatch[title]").evaluate_all("all => all.map(({ title }) => title)")
    return [int(re.search(r": ([0-9]+) points", title)[1]) for title in titles]  # type: ignore[index]


def test_many_points_are_shown_in_part_and_cannot_be_lost(visit: Visit, service: httpx.Client) -> None:
    rows = "".join(f"{i % 83},{i % 97},{'ab'[i >= 3500]}\n" for i in range(7000))
    headers = {"content-type": "text/csv"}
    service.post("/datasets/sorted", content=f"x,y,kind\n{rows}", headers=headers).raise_for_status()
    page = visit.open()
    visit.trains(lambda: page.get_by_label("Stored dataset").select_option("sorted"))
    assert counts(visit) == [1500, 1500]
    expect(page.locator(".understood")).to_contain_text("3,000 of 7,000 points are shown")
    page.click("#drawer-numbers")
    expect(page.locator("#drawer-panel-numbers")).to_contain_text("3,000 of 7,000 points are shown")
    page.click("#drawer-numbers")
    click(visit, 0.5, 0.5)
    expect(page.locator("#notice")).to_contain_text("cannot be changed here")
    assert counts(visit) == [1500, 1500]


def test_a_link_to_drawn_points_shows_the_plane_on_which_they_were_drawn(visit: Visit) -> None:
    page = visit.open()
    page.click("[data-name=draw]")
    for digit, x in (("1", 0.3), ("2", 0.6)):
        page.keyboard.press("Escape")
        page.keyboard.press(digit)
        for y in (0.4, 0.6):
            click(visit, x, y)
    visit.wait_until_trained()
    page.hover("#share")
    expect(page.locator(".readout")).to_be_empty()
    visit.expect_link_to_reproduce_the_plane()


def test_after_an_outage_the_points_are_those_of_the_network(visit: Visit) -> None:
    page = visit.open()
    page.context.set_offline(True)
    page.click("[data-name=moons]")
    expect(page.locator("#notice")).to_contain_text("has not answered since")
    with page.expect_response(is_training):
        page.context.set_offline(False)
    visit.wait_until_trained()
    visit.expect_link_to_reproduce_the_plane()
    visit.complaints.clear()


def test_a_dataset_that_was_chosen_during_an_outage_is_trained(visit: Visit, service: httpx.Client) -> None:
    content = {"points": [[0, 0], [1, 1], [2, 0], [3, 1]], "labels": ["a", "b", "a", "b"]}
    service.post("/datasets/four-points", json=content).raise_for_status()
    page = visit.open()
    page.context.set_offline(True)
    page.get_by_label("Stored dataset").select_option("four-points")
    expect(page.locator("#notice")).to_contain_text("has not answered since")
    with page.expect_response(is_training) as found:
        page.context.set_offline(False)
    assert found.value.request.post_data_json["data"] == {"dataset": "four-points"}
    visit.wait_until_trained()
    assert counts(visit) == [2, 2]
    visit.complaints.clear()


def test_classes_keep_their_colors_and_names_whatever_their_order(visit: Visit, service: httpx.Client) -> None:
    content = {"points": [[0, 0], [1, 1], [0, 1], [1, 0]], "labels": [2, 1, 2, 1]}
    service.post("/datasets/one-and-two", json=content).raise_for_status()
    page = visit.open()
    visit.trains(lambda: page.get_by_label("Stored dataset").select_option("one-and-two"))
    visit.trains(lambda: click(visit, 0.5, 0.5))
    visit.trains(lambda: page.get_by_role("button", name="One class more").click())
    swatches = page.locator(".palette .swatch[title]")
    assert swatches.all_inner_texts() == ["1", "2", "3"]
    page.locator(".palette [data-name='2']").click()
    body = visit.trains(lambda: click(visit, 0.2, 0.8))
    assert body["data"]["labels"][-1] == 3
    page.locator(".palette [data-name='0']").click()
    expect(page.locator(".result")).to_have_text(["1", "2", "3"])
    page.click("#share")
    expect(page.locator("#share")).not_to_have_text("Share")
    assert page.locator(".palette .swatch[title]").all_inner_texts() == ["1", "2", "3"]
    assert "data.dataset=drawn-" in page.url


def test_a_class_without_points_changes_no_color(visit: Visit) -> None:
    page = visit.open()
    page.click("[data-name=draw]")
    page.get_by_role("button", name="One class more").click()
    for digit, x in (("1", 0.2), ("3", 0.8)):
        page.keyboard.press("Escape")
        page.locator(f".palette [data-name='{int(digit) - 1}']").click()
        for y in (0.2, 0.5):
            click(visit, x, y)
    visit.wait_until_trained()
    expect(page.locator(".result")).to_have_text("p(2)")

    page.hover("#share")
    expect(page.locator(".readout")).to_be_empty()
    visit.wait_until_settled()
    before = drawing(visit)
    page.click("#share")
    expect(page.locator("#share")).not_to_have_text("Share")
    assert drawing(visit) == before


def test_a_training_ends_when_the_page_is_left(visit: Visit, service: httpx.Client) -> None:
    page = visit.page
    with page.expect_response(is_training) as found:
        page.goto(f"{visit.address}/{LONG_TRAINING}")
    job = found.value.json()
    visit.expect_live()
    for control in ("#step", "#reset", ".epochs"):
        expect(page.locator(control)).to_be_disabled()
    expect(plane(visit)).to_have_attribute("aria-label", "The network is being trained.")
    page.goto("about:blank")
    wait_until(lambda: service.get(job["links"]["self"]).json()["status"] == "cancelled")


def test_a_training_of_a_moving_point_ends_when_the_point_rests(visit: Visit, service: httpx.Client) -> None:
    page = visit.page
    page.goto(f"{visit.address}/{LONG_TRAINING}")
    visit.expect_live()
    with page.expect_response(
        lambda answer: is_training(answer) and "supersede" not in answer.request.post_data_json
    ) as found:
        click(visit, 0.95, 0.95)
    job = found.value.json()
    wait_until(lambda: (page.evaluate("1"), service.get(job["links"]["self"]).json()["status"] == "cancelled")[1])
    visit.field("training.epochs").fill("20")
    page.keyboard.press("Enter")
    visit.wait_until_trained()


def test_the_boundary_follows_the_threshold(visit: Visit) -> None:
    page = visit.open()
    levels: list[str] = []

    def note(asked: Request) -> None:
        if "geojson" in asked.url:
            levels.append(asked.url)

    page.on("request", note)
    with page.expect_response(lambda answer: "levels=0.9" in answer.url) as found:
        page.get_by_label("Threshold").fill("0.9")
    lines: Any = found.value.json()
    assert lines["features"]
    visit.trains(lambda: (visit.field("training.seed").fill("3"), page.keyboard.press("Enter")))
    assert "levels=0.9" in levels[-1]


def test_a_training_that_is_gone_is_trained_again(visit: Visit, service: httpx.Client) -> None:
    page = visit.page
    with page.expect_response(is_training) as found:
        visit.open()
    service.delete(found.value.json()["links"]["self"]).raise_for_status()
    page.click("#reset")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Job not found")
    assert notice.inner_text().count("GET /jobs") == 1
    visit.complaints.clear()
    visit.trains(lambda: page.click("#play"))
    expect(notice).to_be_hidden()


def test_the_comparison_waits_while_a_point_is_dragged(visit: Visit) -> None:
    page = visit.open("#view.drawer=compare")
    expect(page.locator("#drawer-panel-compare figcaption p").last).to_contain_text("%")
    kinds: list[str] = []

    def note(asked: Request) -> None:
        if asked.url.endswith("/train"):
            kinds.append(asked.post_data_json["network"]["kind"])

    page.on("request", note)
    page.mouse.move(*at(visit, 0.5, 0.9))
    page.mouse.down()
    for step in range(8):
        with page.expect_response(is_training):
            page.mouse.move(*at(visit, 0.5 + step / 50, 0.9))
    assert set(kinds) == {"sequential"}
    page.mouse.up()
    wait_until(lambda: (page.evaluate("1"), "logistic" in kinds)[1])


def test_options_for_one_file_are_not_used_for_the_next(visit: Visit) -> None:
    page = visit.open()

    def refused(name: str) -> None:
        file: Any = {"name": name, "mimeType": "text/csv", "buffer": b"a;b;c\n1,100;1;x\n2,200;2;y\n"}
        page.set_input_files("input[type=file]", file)
        expect(page.locator(".reading")).to_be_visible()

    refused("one.csv")
    visit.field("decimal").select_option(",")
    visit.field("label").fill("nothing")
    page.get_by_role("button", name="Read again").click()
    expect(page.locator("#notice")).to_contain_text("nothing")
    assert visit.field("label").input_value() == "nothing"
    refused("two.csv")
    expect(visit.field("label")).to_have_value("")
    expect(visit.field("decimal")).to_have_value("")
    visit.trains(lambda: page.click("[data-name=moons]"))
    expect(page.locator(".reading")).to_be_hidden()
    visit.complaints.clear()


def test_the_accuracy_at_an_early_epoch_is_that_of_its_network(visit: Visit, service: httpx.Client) -> None:
    page = visit.page
    with page.expect_response(is_training) as found:
        visit.open()
    points = found.value.json()["links"]["self"] + "/points"
    page.keyboard.press("Home")
    for epoch in (0, 1, 2, 3):
        expect(page.locator("#epoch")).to_contain_text(f"Epoch {epoch} ")
        answer = service.get(points, params={"epoch": epoch}).json()
        right = sum(map(eq, answer["labels"], answer["predicted_labels"]))
        assert visit.accuracy() == round(100 * right / answer["n_points"], 1)
        page.keyboard.press("ArrowRight")
