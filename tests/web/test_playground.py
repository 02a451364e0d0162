"""The playground in a browser: every control, against a real service."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, Response, expect

from tests.serving import running
from tests.web.visits import Visit, at, bytes_received, click, first_paint_ms, hold, is_training, plane, visiting

pytestmark = pytest.mark.processes

PENGUINS = Path(__file__).parent.parent.parent / "docs" / "penguins.csv"


def test_a_trained_flower_is_there_before_any_click(visit: Visit) -> None:
    page = visit.open()
    expect(plane(visit)).to_have_attribute("aria-label", re.compile(r"Accuracy 9[0-9.]+ %"))
    assert visit.accuracy() > 90
    assert page.locator(".unit, .unit-map").count() >= 4
    painted = plane(visit).evaluate("c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size")
    assert painted > 20


def test_a_visit_before_the_tutorials_models_are_trained_trains_the_flower(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as service, visiting(browser, service) as visit:
        visit.open()
        assert visit.accuracy() > 90


def test_a_training_is_played_paused_stepped_and_reset(visit: Visit) -> None:
    page = visit.open()
    page.click("#play")
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("Pause"))
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("Play"))
    page.click("#reset")
    expect(page.locator("#epoch")).to_contain_text("Epoch 0")
    page.click("#step")
    expect(page.locator("#epoch")).to_contain_text("Epoch 1")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#epoch")).to_contain_text("Epoch 2")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Home")
    expect(page.locator("#epoch")).to_contain_text("Epoch 0")
    page.locator("input.epochs").press("End")
    expect(page.locator("#epoch")).to_contain_text("Epoch 10,000")


def test_each_setting_of_the_data_is_trained_at_once(visit: Visit) -> None:
    page = visit.open()
    assert visit.trains(lambda: page.click("[data-name=moons]"))["data"]["dataset"] == "moons"
    body = visit.trains(lambda: visit.field("data.noise").fill("0.4"))
    assert body["data"]["noise"] == 0.4
    assert visit.trains(lambda: visit.field("data.n").fill("200"))["data"]["n"] == 200
    body = visit.trains(lambda: (visit.field("data.seed").fill("7"), page.keyboard.press("Enter")))
    assert body["data"]["seed"] == 7
    body = visit.trains(lambda: visit.field("training.validation_fraction").fill("30"))
    assert body["training"]["validation_fraction"] == 0.3
    visit.trains(lambda: page.click("[data-name=gaussians]"))
    body = visit.trains(lambda: page.click("[data-i18n-label='data.more_classes']"))
    assert body["data"]["n_classes"] == 3
    assert page.locator(".palette .swatch").count() == 4


def test_each_setting_of_the_network_is_trained_at_once(visit: Visit) -> None:
    page = visit.open()
    for name, value in (
        ("network.activation", "relu"),
        ("network.scale", "standard"),
        ("training.optimizer", "lbfgs"),
        ("training.weight_decay", "0.001"),
    ):
        part, _, key = name.partition(".")
        body = visit.trains(lambda name=name, value=value: visit.field(name).select_option(value))  # type: ignore[misc]
        assert str(body[part][key]) == value
    for name, number in (("training.epochs", 50), ("training.seed", 3), ("training.restarts", 2)):
        body = visit.trains(
            lambda name=name, number=number: (visit.field(name).fill(str(number)), page.keyboard.press("Enter"))  # type: ignore[misc]
        )
        assert body["training"][name.partition(".")[2]] == number
    body = visit.trains(lambda: page.click("[data-i18n-label='network.more_layers']"))
    assert len(body["network"]["hidden"]) == 2
    body = visit.trains(lambda: page.get_by_label("One unit more in layer 1").click())
    assert body["network"]["hidden"][0] == 5
    body = visit.trains(lambda: page.locator(".terms button", has_text="x²").click())
    assert body["network"]["inputs"] == ["x", "y", "x^2"]
    body = visit.trains(lambda: visit.field("network.kind").select_option("residual"))
    assert body["network"]["kind"] == "residual"
    body = visit.trains(lambda: page.get_by_role("button", name="auto").click())
    assert body["preset"] == "auto"


def test_what_a_person_types_stays_while_a_training_ends(visit: Visit) -> None:
    page = visit.open()
    with page.expect_response(lambda answer: "/points" in answer.url):  # the page requests them after a training
        page.click("[data-name=moons]")
        visit.field("training.epochs").fill("123")
    visit.wait_until_trained()
    assert visit.field("training.epochs").input_value() == "123"
    assert visit.trains(lambda: page.keyboard.press("Enter"))["training"]["epochs"] == 123


def test_an_empty_plane_has_no_maps_of_the_network_before(visit: Visit) -> None:
    page = visit.open()
    painted = "all => all.filter(map => map.width > 1).length"
    assert page.locator(".unit canvas").evaluate_all(painted) == 4
    page.click("[data-name=draw]")
    expect(page.locator(".links g")).to_have_count(0)
    assert page.locator(".unit canvas").evaluate_all(painted) == 0


def test_points_are_drawn_dragged_and_erased(visit: Visit) -> None:
    page = visit.open()
    page.click("[data-name=draw]")
    for x, y in ((0.2, 0.2), (0.25, 0.3)):
        click(visit, x, y)
    page.keyboard.press("2")
    click(visit, 0.7, 0.7)
    body = visit.trains(lambda: click(visit, 0.8, 0.75))
    assert body["data"]["labels"].count(body["data"]["labels"][0]) == 2
    before = body["data"]["points"][-1]

    def drag() -> None:
        page.mouse.move(*at(visit, 0.8, 0.75))
        page.mouse.down()
        page.mouse.move(*at(visit, 0.5, 0.5), steps=4)
        page.mouse.up()

    moved = visit.trains(drag)["data"]["points"]
    visit.wait_until_trained()
    assert len(moved) == 4
    assert moved[-1] != before
    page.keyboard.press("e")

    def is_without_the_point(answer: Response) -> bool:  # the last training of the drag may still come
        return is_training(answer) and len(answer.request.post_data_json["data"]["points"]) == 3

    with page.expect_response(is_without_the_point):
        click(visit, 0.2, 0.2)
    visit.wait_until_trained()


def test_points_are_added_moved_and_erased_by_keyboard(visit: Visit) -> None:
    page = visit.open()
    keys = page.keyboard
    page.click("[data-name=draw]")
    page.get_by_role("button", name="warped").focus()
    keys.press("Tab")
    said = page.locator("#plane-said")
    expect(said).to_contain_text("space adds a point of class 0")

    def press(key: str, announced: str) -> None:
        keys.press(key)
        expect(said).to_contain_text(announced)

    press("Space", "Added 0 (")
    press("2", "space adds a point of class 1")
    keys.press("Shift+ArrowLeft")
    keys.press("Shift+ArrowUp")
    added = visit.trains(lambda: keys.press("Enter"))["data"]
    (x0, y0), (x1, y1) = added["points"]
    assert added["labels"] == [0, 1]
    assert x1 < x0
    assert y1 > y0

    press("n", "On 0 (")
    press("Space", "Picked up 0 (")
    keys.press("ArrowRight")
    press("Escape", f"Put down 0 ({x0:.2f}, {y0:.2f})")
    keys.press("Space")
    moved = [[pytest.approx(x0 + (x0 - x1) / 10), y0], [x1, y1]]
    with page.expect_response(
        lambda answer: is_training(answer) and answer.request.post_data_json["data"]["points"] == moved
    ):
        keys.press("ArrowRight")
        keys.press("Space")
    expect(said).to_contain_text("Put down 0 (")
    visit.wait_until_trained()

    press("Delete", "Points: 1.")
    expect(plane(visit)).to_have_attribute("aria-label", re.compile("No network yet"))
    keys.press("Escape")
    expect(said).to_be_empty()
    keys.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("the point below the cursor")
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_late_answer_about_a_training_does_not_bring_erased_points_back(visit: Visit) -> None:
    page = visit.open()
    held = hold(page, "**/jobs/*/points*")
    with page.expect_request("**/jobs/*/points*"):
        visit.trains(lambda: page.click("[data-name=moons]"))
    page.click("[data-name=draw]")
    expect(plane(visit)).to_have_attribute("aria-label", re.compile("No network yet"))
    with page.expect_response(held[-1].request.url):
        for route in held:
            route.continue_()
    expect(page.locator(".swatch").first).to_have_attribute("title", re.compile("0: 0 points"))
    expect(plane(visit)).to_have_attribute("aria-label", re.compile("No network yet"))


def test_a_csv_file_is_stored_summarized_and_trained_on_with_axes_by_name(visit: Visit) -> None:
    page = visit.open()
    page.set_input_files("input[type=file]", PENGUINS)
    expect(page.locator("#notice")).to_contain_text("has no value in column 'bill_length_mm'")
    visit.expect_refusal("/datasets/penguins")
    page.get_by_label("Leave out rows without a value").check()
    page.get_by_label("Label column").fill("species")
    page.get_by_label("Leave out columns").fill("island,sex,year")
    body = visit.trains(lambda: page.get_by_role("button", name="Read again").click())
    assert body["data"] == {"dataset": "penguins"}
    expect(page.locator(".understood")).to_contain_text("342 points, 4 features, 3 classes")
    axes = page.locator(".axes select")
    assert axes.count() == 2
    with page.expect_response(lambda answer: "axes=" in answer.url):
        axes.nth(0).select_option(index=2)


def test_a_file_that_cannot_be_read_is_answered_with_the_services_own_words(visit: Visit) -> None:
    page = visit.open()
    page.set_input_files("input[type=file]", {"name": "x.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"})
    expect(page.locator("#notice")).to_contain_text("must contain 2 to 100 different labels")
    visit.expect_refusal("/datasets/x")


def test_a_file_in_doubt_is_read_once_the_person_decides(visit: Visit) -> None:
    page = visit.open()
    lines = (f"{n},{n}00;{n % 4};{'ab'[n % 2]}" for n in range(1, 9))
    content = "\n".join(["price;rooms;kind", *lines, ""]).encode()
    file: Any = {"name": "doubt.csv", "mimeType": "text/csv", "buffer": content}
    page.set_input_files("input[type=file]", file)
    notice = page.locator("#notice")
    expect(notice).to_have_text(re.compile("^line 2: '1,100' may have a decimal comma"))
    visit.expect_refusal("/datasets/doubt")
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(notice).to_be_hidden()
    expect(page.locator(".reading")).to_be_hidden()
    expect(page.get_by_role("button", name="file")).to_be_focused()
    page.set_input_files("input[type=file]", file)
    expect(notice).to_have_text(re.compile("^line 2: '1,100' may have a decimal comma"))
    visit.expect_refusal("/datasets/doubt")
    visit.field("decimal").select_option("comma (1,5)")
    assert visit.trains(lambda: page.get_by_role("button", name="Read again").click())["data"] == {"dataset": "doubt"}
    expect(page.locator(".reading")).to_be_hidden()
    with page.expect_response("**/datasets/doubt*"):  # the same file can be chosen again
        page.set_input_files("input[type=file]", file)
    expect(page.locator(".reading")).to_be_visible()
    visit.expect_refusal("/datasets/doubt")


def test_a_refused_setting_is_explained_beside_it(visit: Visit) -> None:
    page = visit.open()
    visit.field("training.epochs").fill("0")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("at least 1")
    expect(page.locator('[data-field="training.epochs"]')).to_have_class(re.compile("refused"))
    visit.expect_refusal("/train")


def test_views_threshold_and_hover_show_what_the_service_answers(visit: Visit) -> None:
    page = visit.open()
    for name, asked in (("entropy", "response=entropy"), ("warped", "response=embedding")):
        with page.expect_response(lambda answer, asked=asked: asked in answer.url):  # type: ignore[misc]
            page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="probability", exact=True).click()
    page.mouse.move(*at(visit, 0.5, 0.2))
    expect(page.locator(".readout")).to_contain_text("Nearest boundary")
    page.click("#drawer-numbers")
    expect(page.locator("#drawer")).to_contain_text("Area under the ROC curve")
    before = page.locator("#drawer").inner_text()
    visit.field("threshold").fill("0.9")
    expect(page.locator("#drawer")).not_to_have_text(before)


def test_the_drawer_has_programs_and_weights_under_the_tutorials_names(visit: Visit) -> None:
    page = visit.open()
    page.click("#drawer-code")
    expect(page.locator("#drawer pre")).to_contain_text("curl")
    page.get_by_role("button", name="Python", exact=True).click()
    expect(page.locator("#drawer pre")).to_contain_text("import")
    page.click("#drawer-layers")
    expect(page.locator("#drawer")).to_contain_text("net[0].weight")


def test_a_link_reproduces_the_training_to_the_bit(visit: Visit, tmp_path: Path) -> None:
    page = visit.open()
    visit.trains(lambda: page.click("[data-name=spirals]"))
    visit.trains(lambda: page.get_by_label("One unit more in layer 1").click())
    page.click("#share")
    link = page.evaluate("location.hash")
    assert 10 < len(link) < 2_000
    weights = []
    for number in range(2):
        if number:
            page.goto("about:blank")
            visit.open(link)
        if not page.get_by_text("Checkpoint (.pth)").is_visible():
            page.click("#drawer-code")
        with page.expect_download() as download:
            page.get_by_text("Checkpoint (.pth)").click()
        download.value.save_as(tmp_path / f"{number}.pth")
        weights.append(torch.load(tmp_path / f"{number}.pth", weights_only=True))
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_a_lost_service_is_shown_and_the_page_resumes_by_itself(visit: Visit) -> None:
    page = visit.open()
    page.context.set_offline(True)
    visit.field("training.seed").fill("5")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("has not answered since")
    with page.expect_response(lambda answer: answer.url.endswith("/train")) as found:
        page.context.set_offline(False)
    assert found.value.request.post_data_json["training"]["seed"] == 5
    visit.wait_until_trained()
    expect(page.locator("#notice")).to_be_hidden()
    visit.complaints.clear()


def test_the_page_speaks_chinese_and_remembers_it(visit: Visit) -> None:
    page = visit.open()
    page.click("#language")
    expect(page.locator("#data-heading")).to_have_text("数据")
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.reload()
    expect(page.locator("#data-heading")).to_have_text("数据")
    assert not re.search(r"\b[a-z]+\.[a-z_]+\b", page.locator("#network").inner_text())


def test_the_whole_page_is_on_one_screen(visit: Visit) -> None:
    page = visit.open()
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_first_picture_needs_less_than_200_kb_all_from_this_service(visit: Visit) -> None:
    page = visit.page
    received = bytes_received(page)
    held = hold(page, "**/train", "**/datasets?*")  # what the page requests after its first picture
    page.goto(visit.address)
    expect(plane(visit)).to_have_attribute("aria-label", re.compile("The boundary"))
    assert len(held) == 2
    assert sum(received) < 200_000
    assert first_paint_ms(page) > 0  # benchmarks/page.py measures how long it takes
    files = page.evaluate("performance.getEntriesByType('resource').filter(e => e.name.includes('/page/'))")
    assert len(files) > 30
    assert sum(one["transferSize"] for one in files) < 100_000
    hosts = set(page.evaluate("performance.getEntriesByType('resource').map(e => new URL(e.name).origin)"))
    assert hosts == {visit.address}
    for route in held:
        route.continue_()
    visit.wait_until_trained()
