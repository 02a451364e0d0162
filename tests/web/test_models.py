"""The tab of models: versions, aliases, jobs and comparisons."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.serving import ended, train
from tests.web.visits import Visit

pytestmark = pytest.mark.processes

ENDLESS = {"network": {"hidden": [64, 64]}, "training": {"epochs": 1_000_000}}
"""A training that goes on until it is cancelled."""


@pytest.fixture(scope="session")
def garden(service: httpx.Client) -> str:
    """A model of three versions: two with 1 epoch, one with 300."""
    for epochs in (1, 300, 1):
        train(service, "garden", training={"epochs": epochs, "validation_fraction": 0.2})
    return "garden"


def open_models(visit: Visit, place: str = "") -> Page:
    visit.page.goto(f"{visit.address}/#tab=models{place}")
    return visit.page


def row(page: Page, name: str) -> Locator:
    """The row of a model or of a version."""
    name_of = page.locator(".model a, [aria-expanded]").filter(has_text=re.compile(f"^{name}"))
    return page.locator(".list tbody tr", has=name_of)


def job(page: Page, model: str) -> Locator:
    return page.locator(".job", has=page.get_by_role("button", name=model, exact=True)).first


def expect_pictures(pictures: Locator, count: int) -> None:
    """Waits until `count` pictures are drawn."""
    expect(pictures).to_have_count(count)
    for i in range(count):
        pictures.nth(i).scroll_into_view_if_needed()
        expect(pictures.nth(i)).to_have_js_property("complete", True)
        expect(pictures.nth(i)).to_have_attribute("src", re.compile("^blob:"))
        assert pictures.nth(i).evaluate("async image => { await image.decode(); return image.naturalWidth }") > 100


@pytest.fixture
def long_job(service: httpx.Client) -> Iterator[dict[str, Any]]:
    """A job that runs until its test ends."""
    body = {"model": "endless", "data": {"dataset": "flower"}} | ENDLESS
    started: dict[str, Any] = service.post("/train", json=body).json()
    yield started
    if service.post(f"/jobs/{started['id']}/cancel").status_code != 404:  # the test may have deleted it
        ended(service, f"/jobs/{started['id']}")


def test_models_are_listed_with_pictures_figures_and_aliases(visit: Visit, service: httpx.Client, garden: str) -> None:
    page = open_models(visit)
    found = row(page, garden)
    accuracy = service.get(f"/models/{garden}").json()["latest"]["metrics"]["training_accuracy"]
    expect(found).to_contain_text(f"{100 * accuracy:.1f} %")
    expect(found).to_contain_text("validation")
    expect(found.locator(".alias")).to_have_text(["latest → 3"])
    expect_pictures(found.locator("img"), 1)
    page.get_by_role("link", name=garden, exact=True).click()
    expect_pictures(page.locator(".list img"), 3)
    row(page, "Version 2").get_by_role("button", name="Version 2").click()
    expect(page.locator(".details:visible")).to_contain_text("sequential, 4, tanh")
    page.go_back()
    expect(row(page, garden)).to_be_visible()


def test_lists_are_read_page_by_page(visit: Visit, garden: str) -> None:
    def make_pages_small(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=20", "limit=1"))

    visit.page.route("**/versions?limit=20**", make_pages_small)
    page = open_models(visit, f"&model={garden}")
    rows = page.locator(".list tbody tr:not(.details)")
    for count in (1, 2, 3):
        expect(rows).to_have_count(count)
        more = page.locator("#models .paged").get_by_role("button", name="Show more")
        assert more.is_visible() == (count < 3)
        if count < 3:
            more.click()
    expect(rows.last).to_contain_text("Version 1")


def test_an_alias_is_set_moved_and_removed_and_protects_its_version(visit: Visit, service: httpx.Client) -> None:
    for _ in range(2):
        train(service, "hedge")
    page = open_models(visit, "&model=hedge")
    for version in (1, 2):
        row(page, f"Version {version}").get_by_placeholder("alias").fill("best")
        page.keyboard.press("Enter")
        expect(row(page, f"Version {version}")).to_contain_text("best")
        assert service.get("/models/hedge").json()["aliases"]["best"] == version
    row(page, "Version 1").get_by_placeholder("alias").fill("No!")
    page.keyboard.press("Enter")
    expect(page.locator("#models .said:visible")).to_contain_text("alias: must be 1 to 63 characters")
    visit.expect_refusal("/aliases/No")
    row(page, "Version 2").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_contain_text("These aliases name the version: best")
    visit.expect_refusal("/versions/2")
    page.get_by_role("button", name="Keep").click()
    page.get_by_label("Remove the alias best").click()
    expect(page.locator(".alias", has_text="best")).to_have_count(0)
    row(page, "Version 2").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".list tbody tr:not(.details)")).to_have_count(1)
    page.get_by_role("button", name="Delete model").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page).to_have_url(re.compile("#tab=models$"))
    assert service.get("/models/hedge").status_code == 404


def test_a_version_is_downloaded(visit: Visit, service: httpx.Client, garden: str) -> None:
    page = open_models(visit, f"&model={garden}")
    with page.expect_download() as download:
        row(page, "Version 2").get_by_label("Download version 2").select_option("json")
    assert download.value.suggested_filename == f"{garden}-v2.json"
    expected = service.get(f"/models/{garden}/versions/2/checkpoint?format=json").content
    assert download.value.path().read_bytes() == expected


def test_a_stored_version_is_shown_in_the_playground_and_trained_on_from_its_settings(
    visit: Visit, garden: str
) -> None:
    page = open_models(visit, f"&model={garden}")
    trainings: list[str] = []
    page.on("request", lambda sent: trainings.append(sent.url) if sent.url.endswith("/train") else None)
    row(page, "Version 2").get_by_role("button", name="Open").click()
    visit.wait_until_trained()
    expect(page.locator("#epoch")).to_contain_text("Epoch 300 · garden:2")
    expect(page.locator("canvas.plane")).to_have_attribute("aria-label", re.compile("Accuracy"))
    assert visit.field("training.epochs").input_value() == "300"
    page.click("#step")
    page.keyboard.press("Home")
    expect(page.locator("#epoch")).to_contain_text("Epoch 0")
    assert trainings == []
    body = visit.trains(lambda: page.get_by_label("One unit more in layer 1").click())
    assert body["training"]["validation_fraction"] == 0.2
    assert body["training"]["epochs"] == 300
    assert body["network"]["hidden"] == [5]


def test_settings_without_a_control_are_named_when_a_version_is_opened(visit: Visit, service: httpx.Client) -> None:
    training = {"epochs": 50, "ensemble": 2, "class_weight": "balanced", "patience": 9, "validation_fraction": 0.2}
    train(service, "orchard", training=training)
    page = open_models(visit, "&model=orchard")
    row(page, "Version 1").get_by_role("button", name="Version 1").click()
    named = "patience = 9, class_weight = balanced, ensemble = 2"
    expect(page.locator(".facts")).to_contain_text(named)
    row(page, "Version 1").get_by_role("button", name="Open").click()
    expect(page.locator("#notice")).to_contain_text(f"no controls for: {named}.")
    visit.wait_until_settled()
    expect(page.locator("#network .links path")).to_have_count(0)
    page.click("#drawer-layers")
    expect(page.locator("#drawer-panel-layers")).to_contain_text("No weights to show")
    body = visit.trains(lambda: page.get_by_label("One unit more in layer 1").click())
    assert not set(training) & {"ensemble", "class_weight", "patience"} & set(body["training"])
    expect(page.locator("#network .links path").first).to_be_attached()
    expect(page.locator("#notice")).to_be_hidden()
    service.delete("/models/orchard").raise_for_status()


def test_jobs_show_live_progress_and_are_paused_resumed_and_cancelled(visit: Visit, long_job: dict[str, Any]) -> None:
    page = open_models(visit)
    shown = page.locator(f'.job[data-job="{long_job["id"]}"]')
    epochs = shown.locator(".job-foot .muted")
    expect(epochs).to_contain_text("of 1,000,000")
    first = epochs.inner_text()
    expect(epochs).not_to_have_text(first)
    for action, status in (("Pause", "paused"), ("Resume", "running"), ("Cancel", "cancelled")):
        shown.get_by_role("button", name=action).click()
        expect(shown.locator(".status")).to_have_text(status)
    expect(shown.locator("progress")).to_be_hidden()
    page.get_by_label("Status of the jobs shown").select_option("cancelled")
    shown.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(shown).to_have_count(0)


def test_the_playgrounds_setup_is_trained_as_a_version_which_appears_by_itself(visit: Visit) -> None:
    page = open_models(visit)
    page.get_by_placeholder("model name").fill("meadow")
    page.keyboard.press("Enter")
    expect(job(page, "meadow").locator(".status")).to_have_text("succeeded")
    expect(row(page, "meadow").locator(".alias")).to_have_text(["latest → 1"])
    job(page, "meadow").get_by_role("button", name="Version 1").click()
    expect(page).to_have_url(re.compile("model=meadow"))


def test_two_versions_are_compared(visit: Visit, service: httpx.Client, garden: str) -> None:
    page = open_models(visit, f"&model={garden}")
    row(page, "Version 1").get_by_role("button", name="Compare").click()
    expect(page.locator(".choice")).to_contain_text("Compare garden:1 with another version")
    row(page, "Version 2").get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile("compare=garden:1,garden:2"))
    pair = {"a": f"{garden}:1", "b": f"{garden}:2"}
    window = service.get("/comparison", params=pair | {"resolution": 400}).json()
    points = service.get("/comparison", params=pair | {"training_data": "a"}).json()
    assert window["differing"] > 0
    assert points["differing"] > 0
    expect(page.locator("figure").last).to_contain_text(f"{100 * window['disagreement']:.1f} % of the window")
    expect_pictures(page.locator("figure img"), 3)
    expect(page.locator("#models [role=status]", has_text="get another label")).to_contain_text(
        f"{points['differing']} of 400 points"
    )
    expect(page.locator("figure").last.locator("circle")).to_have_count(points["differing"])
    expect(page.locator(".flips tbody tr")).to_have_count(points["differing"])
    page.get_by_label("Points to compare on").select_option("dataset:moons")
    expect(page.locator("#models .said:visible")).to_contain_text("must have labels of the training data")
    visit.expect_refusal("/comparison")
    page.get_by_label("Swap A and B").click()
    expect(page.get_by_label("Version A")).to_have_value("garden:2")


def test_versions_that_cannot_be_compared_are_refused_in_the_services_words(visit: Visit, garden: str) -> None:
    page = open_models(visit, f"&compare={garden}:1,nobody:1")
    expect(page.locator("#models .said:visible")).to_contain_text("Model not found")
    visit.expect_refusal("/comparison")


def test_the_tabs_are_reached_by_keyboard_and_only_the_playground_has_its_keys(visit: Visit) -> None:
    page = visit.open()
    before = page.locator("#epoch").inner_text()
    page.get_by_role("tab", name="Playground").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Models")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Models")).to_be_visible()
    expect(page.locator("#playground, #drawer, .transport").filter(visible=True)).to_have_count(0)
    page.get_by_role("heading", name="Models").click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    page.go_back()
    expect(page.locator("#playground")).to_be_visible()
    assert page.locator("#epoch").inner_text() == before


def test_a_tab_that_could_not_be_fetched_opens_once_the_service_answers_again(visit: Visit, garden: str) -> None:
    page = visit.open()
    page.context.set_offline(True)
    page.click("#tab-models")
    expect(page.locator("#notice")).to_contain_text("has not answered since")
    page.context.set_offline(False)
    expect(row(page, garden)).to_be_visible()
    expect(page.locator("#notice")).to_be_hidden()
    visit.complaints.clear()


def test_a_model_that_somebody_has_deleted_is_not_shown_after_going_back_to_it(
    visit: Visit, service: httpx.Client
) -> None:
    train(service, "fleeting")
    page = open_models(visit, "&model=fleeting")
    expect(row(page, "Version 1")).to_be_visible()
    page.click("#tab-playground")
    visit.wait_until_trained()
    service.delete("/models/fleeting").raise_for_status()
    page.go_back()
    expect(page.locator("#models").get_by_role("alert").first).to_contain_text("Model not found")
    expect(row(page, "Version 1")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete model")).to_be_hidden()
    visit.expect_refusal("/models/fleeting")
    train(service, "fleeting")
    page.reload()
    expect(row(page, "Version")).to_be_visible()
