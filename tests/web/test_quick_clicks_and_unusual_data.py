"""The page withstands quick clicks, odd datasets and files of one name, and keeps the focus of the keyboard."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Response, expect

from tests.requirements import needs
from tests.serving import wait_until
from tests.web.visits import Visit, at, click, hold, is_training

pytestmark = pytest.mark.processes


def table(classes: int, features: int = 2) -> bytes:
    """A CSV file of 60 rows with a column for each feature and labels of so many classes."""
    heading = ",".join([*(f"x{d}" for d in range(features)), "label"])
    points = ([i * (d + 3) % 17 / 4 for d in range(features)] for i in range(60))
    rows = (",".join([*map(str, point), f"c{i % classes:02}"]) for i, point in enumerate(points))
    return "\n".join([heading, *rows, ""]).encode()


def drop(visit: Visit, name: str, content: bytes) -> Any:
    """Opens a file, and returns the body of the training that follows."""
    file: Any = {"name": name, "mimeType": "text/csv", "buffer": content}
    return visit.trains(lambda: visit.page.set_input_files("input[type=file]", file))


def test_more_classes_than_the_page_has_colors_are_shown_and_other_data_after_them(visit: Visit) -> None:
    page = visit.open()
    drop(visit, "twelve.csv", table(12))
    expect(page.locator(".palette")).to_contain_text("c11")
    visit.trains(lambda: page.click("[data-name=moons]"))
    expect(page.locator(".palette .swatch")).to_have_count(3)  # two classes and the eraser


def test_quick_clicks_on_layers_and_units_all_count(visit: Visit) -> None:
    page = visit.open()
    page.get_by_role("button", name="by hand").click()
    before = len(visit.trains(lambda: page.click("[data-i18n-label='network.more_layers']"))["network"]["hidden"])

    def click_quickly() -> None:
        page.evaluate(
            """() => {
                const press = (selector) => document.querySelector(selector).click();
                press("[data-i18n-label='network.more_layers']");
                press("[data-i18n-label='network.more_layers']");
                press("[aria-label='One unit more in layer 1']");
                press("[aria-label='One unit more in layer 1']");
            }"""
        )

    widths = visit.trains(click_quickly)["network"]["hidden"]
    assert (len(widths), widths[0]) == (before + 2, 6)


def test_a_file_never_replaces_another_one_of_its_name(visit: Visit, service: httpx.Client) -> None:
    visit.open()
    assert drop(visit, "Same Name.csv", table(2))["data"] == {"dataset": "same-name"}
    assert drop(visit, "Same Name.csv", table(3))["data"] == {"dataset": "same-name-2"}
    visit.expect_refusal("/datasets/same-name")
    assert [len(service.get(f"/datasets/same-name{n}").json()["classes"]) for n in ("", "-2")] == [2, 3]


def test_the_focus_stays_on_the_control_that_was_used(visit: Visit) -> None:
    page = visit.open()
    focused = "document.activeElement.dataset.i18nLabel ?? document.activeElement.getAttribute('aria-label')"
    for label in ("network.more_layers", "One unit more in layer 1"):
        page.locator(f"[data-i18n-label='{label}'], [aria-label='{label}']").focus()
        visit.trains(lambda: page.keyboard.press("Enter"))
        assert page.evaluate(focused) == label
    page.locator(".palette .swatch").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".palette .swatch").nth(1)).to_be_focused()


def test_programs_predict_a_point_with_the_features_of_the_data(visit: Visit) -> None:
    page = visit.open()
    drop(visit, "four.csv", table(2, features=4))
    page.click("#drawer-code")
    program = page.locator("#drawer pre").inner_text()
    body = json.loads(program.rpartition("predict -d '")[2].removesuffix("'"))
    assert len(body["points"][0]) == 4


def test_the_program_for_curl_sends_as_many_points_as_can_be_drawn(
    visit: Visit, service: httpx.Client, tmp_path: Path
) -> None:
    needs("curl", "curl")
    page = visit.open("#training.epochs=5")
    rows = (f"{i % 53 / 7},{i % 61 / 7},it's {i % 2}" for i in range(2900))
    drop(visit, "many.csv", "\n".join(["x,y,label", *rows, ""]).encode())
    visit.trains(lambda: click(visit, 0.99, 0.99))
    page.click("#drawer-code")
    program = page.locator("#drawer pre").inner_text()
    run = subprocess.run(["sh"], input=program, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    newest = service.get("/models/my-model").raise_for_status().json()["newest_version"]
    card = service.get(f"/models/my-model/versions/{newest}").json()["card"]
    assert (card["data"]["n_points"], card["classes"]) == (2901, ["it's 0", "it's 1"])


def test_the_comparison_follows_the_axes(visit: Visit) -> None:
    page = visit.open()
    drop(visit, "axes.csv", table(2, features=4))
    page.click("#drawer-compare")
    expect(page.locator("#drawer-panel-compare figcaption p").last).to_contain_text("% right")
    visit.wait_until_settled()
    look = "() => [...document.querySelectorAll('#drawer-panel-compare canvas')].map(canvas => canvas.toDataURL())"
    before = page.evaluate(look)
    page.get_by_label("Up").select_option("x3")
    visit.wait_until_settled()
    assert all(now != earlier for now, earlier in zip(page.evaluate(look), before, strict=True))


def test_a_comparison_of_data_that_were_left_ends_at_once(visit: Visit, service: httpx.Client) -> None:
    page = visit.open("#training.epochs=5")
    rows = (f"{i % 53 / 7},{i % 61 / 7},c{i % 2}" for i in range(20_000))
    drop(visit, "long.csv", "\n".join(["x,y,label", *rows, ""]).encode())
    jobs: list[str] = []

    def note(answer: Response) -> None:
        if is_training(answer) and answer.request.post_data_json["training"]["epochs"] == 10_000:
            jobs.append(answer.json()["links"]["self"])

    page.on("response", note)
    page.click("#drawer-compare")
    wait_until(lambda: (page.evaluate("1"), len(jobs) == 3)[1])
    page.click("[data-name=moons]")
    wait_until(lambda: (page.evaluate("1"), "cancelled" in [service.get(job).json()["status"] for job in jobs])[1])
    visit.wait_until_trained()
    expect(page.locator("#drawer-panel-compare figcaption p").last).to_contain_text("% right")


def test_data_of_one_feature_are_refused_in_a_sentence(visit: Visit) -> None:
    page = visit.open()
    file: Any = {"name": "one.csv", "mimeType": "text/csv", "buffer": table(2, features=1)}
    page.set_input_files("input[type=file]", file)
    expect(page.locator("#notice")).to_contain_text("needs at least two features, and one has one")


def test_a_training_that_replaces_one_that_is_played_is_played_to_its_end(visit: Visit) -> None:
    page = visit.open()
    page.click("#play")
    expect(page.locator("#epoch")).not_to_contain_text("10,000")
    with page.expect_response(is_training):
        page.click("[data-name=spirals]")
    expect(page.locator("#epoch")).to_contain_text("Epoch 0 ")
    expect(page.locator("#epoch")).to_contain_text("Epoch 10,000 ")
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("^Play"))


def test_play_that_is_pressed_before_a_training_has_ended_plays_it_unless_it_is_pressed_again(visit: Visit) -> None:
    page = visit.open()
    held = hold(page, "**/train")
    play = page.locator("#play")
    for name, presses in (("spirals", 1), ("moons", 2)):
        with page.expect_request("**/train"):
            page.click(f"[data-name={name}]")
        for i in range(presses):
            play.click()
            expect(play).to_have_attribute("aria-label", re.compile("^Play" if i else "^Pause"))
        with page.expect_request(lambda asked: "/boundary-grid" in asked.url) as first:
            held.pop().continue_()
        assert ("epoch=0" in first.value.url) == (presses == 1)
        visit.wait_until_trained()
        expect(play).to_have_attribute("aria-label", re.compile("^Play"))
        visit.wait_until_settled()


def test_play_and_share_without_points_say_what_to_do(visit: Visit) -> None:
    page = visit.open()
    sentence = "Draw points of at least two classes"
    expect(page.locator(".age")).to_be_empty()
    page.click("[data-name=draw]")
    expect(page.locator(".age")).to_contain_text(sentence)
    for _ in range(2):  # a message that was closed comes back when its cause does
        page.click("#play")
        expect(page.locator("#notice")).to_contain_text(sentence)
        page.get_by_role("button", name="Close this message").click()
        expect(page.locator("#notice")).to_be_hidden()
    page.click("#share")
    expect(page.locator("#notice")).to_contain_text(sentence)
    click(visit, 0.2, 0.2)
    page.keyboard.press("2")
    visit.trains(lambda: click(visit, 0.8, 0.8))
    expect(page.locator(".age")).to_be_empty()
    expect(page.locator(".readout")).to_contain_text("Nearest boundary")


def test_probabilities_that_arrive_after_the_points_were_erased_are_not_shown(visit: Visit) -> None:
    page = visit.open()
    page.click("[data-name=draw]")
    click(visit, 0.2, 0.2)
    page.keyboard.press("2")
    visit.trains(lambda: click(visit, 0.8, 0.8))
    expect(page.locator(".readout")).to_contain_text("Nearest boundary")
    page.keyboard.press("e")
    held = hold(page, "**/predict")
    with page.expect_request("**/predict"):
        page.mouse.move(*at(visit, 0.7, 0.7))
    click(visit, 0.8, 0.8)
    expect(page.locator(".readout")).to_be_empty()
    with page.expect_response("**/predict"):
        held.pop().continue_()
    visit.wait_until_settled()
    expect(page.locator(".readout")).to_be_empty()


def test_a_warning_that_was_closed_leaves_the_page_free(visit: Visit) -> None:
    page = visit.open("#data.dataset=spirals&data.noise=0.05")
    expect(page.locator("#notice")).to_contain_text("get that label")
    page.get_by_role("button", name="Close this message").click()
    expect(page.locator("#notice")).to_be_hidden()
    visit.trains(lambda: page.click("[data-i18n-label='network.more_layers']"))
    visit.trains(lambda: page.click("[data-i18n-label='network.fewer_layers']"))
    expect(page.locator("#notice")).to_be_hidden()


def test_warnings_are_in_the_language_of_the_page_and_other_sentences_of_the_service_are_marked_as_english(
    visit: Visit,
) -> None:
    page = visit.open("#data.dataset=spirals&data.noise=0.05")
    text = page.locator("#notice > span > span")
    expect(text).to_have_text(re.compile("training points of the class 0 get that label"))
    page.click("#language")
    expect(text).to_have_text(re.compile("^类别 0 的 200 个训练点中.只有 [0-9]+ 个得到该标签。$"))
    expect(text).to_have_attribute("lang", "zh-Hans")
    visit.field("training.epochs").fill("0")
    page.keyboard.press("Enter")
    expect(text).to_have_text("training.epochs: must be at least 1")
    expect(text).to_have_attribute("lang", "en")
    visit.expect_refusal("/train")


def test_a_number_that_is_emptied_returns(visit: Visit) -> None:
    visit.open()
    epochs = visit.field("training.epochs")
    before = epochs.input_value()
    epochs.fill("")
    epochs.blur()
    expect(epochs).to_have_value(before)


def test_figures_of_the_last_epoch_are_marked_while_an_earlier_one_is_shown(visit: Visit) -> None:
    page = visit.open()
    page.click("#drawer-numbers")
    expect(page.locator("#drawer-panel-numbers")).not_to_contain_text("last epoch")
    page.keyboard.press("Home")
    expect(page.locator("#drawer-panel-numbers")).to_contain_text("These figures are those of the last epoch")


def test_a_constant_feature_is_not_an_axis(visit: Visit) -> None:
    page = visit.open()
    content = "same,a,b,label\n" + "".join(f"7,{i % 5},{i % 7},{'yes' if i % 5 > 2 else 'no'}\n" for i in range(40))
    with page.expect_response(lambda answer: "/boundary-grid" in answer.url and "axes=1%2C2" in answer.url):
        drop(visit, "constant.csv", content.encode())
    assert [page.locator(".axes select").nth(i).input_value() for i in (0, 1)] == ["1", "2"]


def test_a_class_more_renames_no_class_of_the_data(visit: Visit) -> None:
    page = visit.open()
    labels = page.locator(".palette .swatch[title]")
    rows = "".join(f"{i},{i % 7},{i % 5},{('setosa', 'virginica')[i % 2]}\n" for i in range(30))
    drop(visit, "kinds.csv", f"a,b,c,kind\n{rows}".encode())
    visit.trains(lambda: page.get_by_role("button", name="One class more").click())
    assert labels.all_inner_texts() == ["setosa", "virginica", "virginica 2"]
    visit.trains(lambda: page.get_by_role("button", name="One class more").click())
    assert labels.all_inner_texts() == ["setosa", "virginica", "virginica 2", "virginica 3"]
    drop(visit, "numbers.csv", rows.replace("setosa", "5").replace("virginica", "7").encode())
    visit.trains(lambda: page.get_by_role("button", name="One class more").click())
    assert labels.all_inner_texts() == ["5", "7", "8"]


def test_a_file_that_is_stored_while_the_page_lists_the_datasets_is_in_the_list(visit: Visit) -> None:
    page = visit.page
    held = hold(page, "**/datasets/moons/points*")  # the example of a generator, for which the list waits
    with page.expect_request("**/datasets/moons/points*"):
        page.goto(visit.address)
    drop(visit, "early.csv", table(2))
    for route in held:
        route.continue_()
    expect(page.locator("[data-name=moons]")).to_be_visible()
    expect(page.get_by_label("Stored dataset")).to_have_value("early")


def test_all_datasets_can_be_chosen_also_those_after_the_first_page_of_their_list(visit: Visit) -> None:
    page = visit.page
    page.route("**/datasets?limit=100*", lambda route: route.continue_(url=route.request.url.replace("100", "4")))
    visit.open()
    drop(visit, "last.csv", table(2))
    visit.open()
    expect(page.locator(".tile")).to_have_count(8)  # six generators, drawing and files
    expect(visit.field("data.dataset").get_by_role("option", name="last", exact=True)).to_be_attached()


def test_a_file_that_is_dropped_on_the_tab_of_models_is_shown_in_the_playground(visit: Visit) -> None:
    page = visit.page
    page.goto(f"{visit.address}/#tab=models")
    expect(page.locator(".list")).to_be_visible()
    files = page.evaluate_handle(
        "text => { const data = new DataTransfer(); data.items.add(new File([text], 'dropped.csv')); return data; }",
        table(2).decode(),
    )
    page.locator("#models").dispatch_event("drop", {"dataTransfer": files})
    expect(page.locator("#playground")).to_be_visible()
    expect(page.get_by_label("Stored dataset")).to_have_value("dropped")
    visit.wait_until_trained()
    expect(page.locator(".palette")).to_contain_text("c01")
    page.go_back()
    expect(page.locator(".list")).to_be_visible()
