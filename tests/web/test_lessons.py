"""The lessons in a browser show what the service has just computed."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from playwright.sync_api import expect

from tests.web.test_accessibility import serious
from tests.web.visits import Visit, click, is_training

pytestmark = pytest.mark.processes

KINDS = ("logistic", "logistic", "two_layer", "sequential", "module", "module")
PARAMETERS = {2: "w", 3: "w1", 4: "net[0].weight", 5: "net.layer1.weight"}
"""The first parameter of the network, for each lesson that lists parameters."""

MINUS = "\N{MINUS SIGN}"


def set_up(visit: Visit) -> tuple[Any, float]:
    """Sets up the lesson. Returns the request of its training, and the accuracy that the service reached."""
    with visit.page.expect_response(is_training) as found:
        visit.page.click(".set-up")
    visit.wait_until_trained()
    job = visit.page.request.get(f"{visit.address}/jobs/{found.value.json()['id']}").json()
    return found.value.request.post_data_json, job["metrics"]["training_accuracy"]


def next_lesson(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Next", exact=True).click()


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


def test_all_lessons_are_walked_through_and_show_what_the_service_reached(
    visit: Visit, service: httpx.Client, tmp_path: Path
) -> None:
    page = visit.open()
    page.click("#drawer-lessons")
    accuracies = []
    for number, kind in enumerate(KINDS, 1):
        expect(page.get_by_text(f"Lesson {number} of 6")).to_be_visible()
        expect(page.locator(".places [aria-current]")).to_have_text(str(number))
        body, accuracy = set_up(visit)
        accuracies.append(accuracy)
        assert body["network"]["kind"] == kind
        wrong = round((1 - accuracy) * 400)
        expect(page.locator(".reached")).to_contain_text(f"{percent(accuracy)} % right, {wrong} of 400 points wrong")
        expect(page.locator(".results [aria-current]")).to_contain_text(percent(accuracy))
        if number in PARAMETERS:
            expect(page.locator(".parameters tbody th").first).to_have_text(PARAMETERS[number])
        answer = page.locator(".question p")
        expect(answer).to_be_hidden()
        page.click(".question summary")
        expect(answer).to_be_visible()
        assert serious(visit, "#drawer") == []
        if number < len(KINDS):
            next_lesson(visit)
            expect(page.locator(".lesson-bar h2")).to_be_focused()
    assert accuracies[0] > 0.95
    assert accuracies[1] < 0.6
    assert min(accuracies[2:]) > 0.9
    assert accuracies[3] == accuracies[4]

    with page.expect_download() as download:
        page.get_by_role("button", name="Save to a file").click()
    download.value.save_as(tmp_path / "flower.pth")
    assert set(torch.load(tmp_path / "flower.pth", weights_only=True)) == {
        f"layer{layer}.{part}" for layer in (1, 3) for part in ("weight", "bias")
    }
    page.set_input_files("input[accept='.pth']", tmp_path / "flower.pth")
    told = page.locator(".file [role=status]")
    expect(told).to_contain_text("of lesson-network. 400 of 400 labels")
    version = service.get("/models/lesson-network").json()["newest_version"]
    expect(told).to_contain_text(f"version {version} ")
    expect(told).to_contain_text("differ by at most 0.")
    expect(page.locator(".reached")).to_contain_text(percent(accuracies[5]))
    page.click("#drawer-code")
    checkpoint = page.get_by_text("Checkpoint (.pth)").get_attribute("href")
    assert checkpoint is not None
    assert f"/models/lesson-network/versions/{version}/" in checkpoint


def test_lessons_open_by_link_in_chinese(visit: Visit) -> None:
    page = visit.open("#view.drawer=lessons&view.lesson=1")
    page.click("#language")
    titles = ("单个神经元", "逻辑回归", "手写两层网络", "Sequential", "Module", "保存与加载")
    for number, title in enumerate(titles, 1):
        if number > 1:
            page.get_by_role("button", name="下一课").click()
        expect(page.locator(".lesson-bar h2")).to_have_text(title)
        text = page.locator("#drawer-panel-lessons").inner_text()
        assert f"第 {number} 课" in text
        assert not re.search(r"\b(lessons|training|network|drawer)\.[a-z_]+", text)
    page.goto("about:blank")
    visit.open("#view.drawer=lessons&view.lesson=3")
    expect(page.locator(".lesson-bar h2")).to_have_text(titles[2])
    _, accuracy = set_up(visit)
    expect(page.locator(".reached")).to_contain_text(f"准确率 {percent(accuracy)}%")


def test_the_setup_before_the_lessons_comes_back_when_they_are_closed(visit: Visit) -> None:
    page = visit.open("#data.noise=0.3")
    page.click("[data-name=draw]")
    click(visit, 0.3, 0.4)
    page.keyboard.press("2")
    # Only the training after the point has come to rest has snapshots.
    with page.expect_response(lambda answer: is_training(answer) and "snapshots" in answer.request.post_data) as found:
        click(visit, 0.6, 0.4)
    own = found.value.request.post_data_json
    visit.wait_until_trained()
    page.get_by_role("button", name="entropy", exact=True).click()

    page.click("#drawer-lessons")
    next_lesson(visit)
    assert page.evaluate("location.hash") == "#data.noise=0.3&view.drawer=lessons&view.lesson=2"
    body, _ = set_up(visit)
    assert body["data"]["dataset"] == "flower"
    expect(page.get_by_role("button", name="probability", exact=True)).to_have_attribute("aria-pressed", "true")
    page.click("#drawer-layers")
    expect(page.locator("#drawer-panel-layers")).to_contain_text("w[:, 0]")
    page.click("#drawer-lessons")
    expect(page.locator(".lesson-bar h2")).to_have_text("Logistic regression")
    restored = visit.trains(lambda: page.get_by_role("button", name="Close lessons").click())
    assert restored["data"] == own["data"]
    assert restored["network"] == own["network"]
    assert restored["training"] == own["training"]
    expect(page.get_by_role("button", name="entropy", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#drawer-lessons")).to_be_focused()
    assert page.evaluate("location.hash") == "#data.noise=0.3"


def test_a_file_that_is_opened_during_a_lesson_stays_when_the_lessons_are_closed(visit: Visit) -> None:
    page = visit.open()
    page.click("#drawer-lessons")
    set_up(visit)
    content = "a,b,kind\n" + "".join(f"{i},{i % 7},{'no' if i < 20 else 'yes'}\n" for i in range(40))
    file: Any = {"name": "own.csv", "mimeType": "text/csv", "buffer": content.encode()}
    visit.trains(lambda: page.set_input_files("#data input[type=file]", file))
    page.get_by_role("button", name="Close lessons").click()
    visit.wait_until_settled()
    expect(page.get_by_label("Stored dataset")).to_have_value("own")
    expect(page.locator(".palette")).to_contain_text("yes")


def test_a_lesson_follows_the_controls_that_it_points_at(visit: Visit) -> None:
    page = visit.open("#view.drawer=lessons&view.lesson=2")
    field = page.locator('[data-field="training.epochs"]')
    button = page.get_by_role("button", name="Epochs", exact=True)
    button.hover()
    expect(field).to_have_class(re.compile("pointed"))
    page.mouse.move(0, 0)
    expect(field).not_to_have_class(re.compile("pointed"))
    _, accuracy = set_up(visit)
    button.press("Enter")
    expect(field.locator("input")).to_be_focused()
    expect(field).to_have_class(re.compile("pointed"))
    page.keyboard.type("1000")
    body = visit.trains(lambda: page.keyboard.press("Enter"))
    assert body["training"]["epochs"] == 1000
    expect(page.locator(".reached")).to_contain_text("With your changes:")
    expect(page.locator(".results")).to_contain_text(f"Logistic regression {percent(accuracy)} %")


def test_the_curves_of_a_neuron_follow_its_weight_and_bias(visit: Visit) -> None:
    page = visit.open("#view.drawer=lessons")
    curves = page.locator("svg.curve")
    assert curves.count() == 3
    page.get_by_label("Weight w").fill("-2")
    page.get_by_label("Bias b").fill("1")
    for number, x in ((0, -4), (1, 0), (2, 4)):
        z = torch.tensor(-2.0 * x + 1)
        place = str(x).replace("-", MINUS)
        value = (torch.sigmoid, torch.tanh, torch.relu)[number](z).item()
        expect(curves.nth(number)).to_have_attribute("aria-label", re.compile(f"{value:.2f} at x = {place}"))
    expect(page.locator(".neuron")).to_contain_text(f"x = {MINUS}b / w = 0.50")
    page.get_by_label("Weight w").fill("0")
    expect(page.locator(".neuron")).to_contain_text("z = b = 1.0 everywhere")


def test_a_file_that_is_not_a_network_is_refused_with_the_message_of_the_service(visit: Visit) -> None:
    page = visit.open("#view.drawer=lessons&view.lesson=6")
    page.set_input_files("input[accept='.pth']", {"name": "a.pth", "mimeType": "x/y", "buffer": b"no network"})
    expect(page.locator("#notice.bad")).to_be_visible()
    visit.expect_refusal("/models/lesson-network/versions")
    expect(page.get_by_role("button", name="Load a file")).to_be_enabled()


def test_lessons_are_fetched_when_they_are_opened_and_again_once_the_service_answers_again(visit: Visit) -> None:
    page = visit.open()
    fetched = "performance.getEntriesByType('resource').filter(e => e.name.includes('lessons')).length"
    assert page.evaluate(fetched) == 0
    page.context.set_offline(True)
    page.click("#drawer-lessons")
    expect(page.locator("#drawer-panel-lessons")).to_contain_text("could not be loaded")
    page.context.set_offline(False)
    expect(page.locator(".lesson")).to_be_visible()
    assert page.evaluate(fetched) > 5
    visit.complaints.clear()
