"""Controls of the page whose effect is checked against the service or another program."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import numpy as np
import onnxruntime
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.serving import wait_until
from tests.web.visits import Visit, plane

pytestmark = pytest.mark.processes

FLOWER = "/datasets/flower/points?n=400&noise=0.2&seed=1"
"""The points of the first visit."""


def test_each_kind_of_network_is_trained_with_the_layers_that_it_can_have(visit: Visit) -> None:
    visit.open()
    for kind, hidden in (("logistic", []), ("two_layer", [4]), ("module", [4]), ("residual", [4]), ("sequential", [4])):
        body = visit.trains(lambda kind=kind: visit.field("network.kind").select_option(kind))  # type: ignore[misc]
        assert (body["network"]["kind"], body["network"]["hidden"]) == (kind, hidden)
        assert visit.field("network.activation").is_disabled() is (kind == "logistic")


def test_the_optimizer_decides_which_settings_there_are(visit: Visit) -> None:
    visit.open("#training.epochs=20")
    for name, value in (("learning_rate", 0.3), ("batch_size", 16)):
        body = visit.trains(lambda name=name, value=value: visit.field(f"training.{name}").select_option(str(value)))  # type: ignore[misc]
        assert body["training"][name] == value
    adam = visit.trains(lambda: visit.field("training.optimizer").select_option("adam"))["training"]
    assert (adam["optimizer"], adam["learning_rate"], "batch_size" in adam) == ("adam", 0.01, False)
    lbfgs = visit.trains(lambda: visit.field("training.optimizer").select_option("lbfgs"))["training"]
    assert "learning_rate" not in lbfgs
    expect(visit.field("training.learning_rate")).to_be_disabled()
    expect(visit.field("training.batch_size")).to_be_disabled()


def test_four_networks_are_compared_and_only_the_logistic_one_fails(visit: Visit) -> None:
    page = visit.open()
    page.click("#drawer-compare")
    figures = page.locator("#drawer-panel-compare figcaption")
    expect(figures).to_have_text([re.compile(r"[0-9.]+ % right, [0-9,]+ ms")] * 4)
    right = [float(text.partition(" %")[0].split()[-1]) for text in figures.locator("p").all_inner_texts()]
    assert right[0] < 70
    assert min(right[1:]) > 85
    for picture in page.locator("#drawer-panel-compare canvas").all():
        assert "%" in (picture.get_attribute("aria-label") or "")
        assert colors_of(picture)[1] > 1_000, "two regions"

    picture = page.locator("#drawer-panel-compare canvas").first
    look = "canvas => canvas.toDataURL()"
    before = picture.evaluate(look)
    page.click("#theme")
    assert picture.evaluate(look) != before
    page.click("#language")
    expect(figures.locator("p").first).to_contain_text("准确率")
    page.click("#language")
    page.click("[data-name=draw]")
    expect(page.locator("#drawer-panel-compare")).to_contain_text("Draw points of at least two classes")
    expect(figures.locator("p")).to_have_text([""] * 4)
    assert len(colors_of(picture)) == 1, "nothing"


COUNT_COLORS = """canvas => {
  const copy = Object.assign(document.createElement("canvas"), { width: canvas.width, height: canvas.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const counts = new Map();
  for (const color of new Uint32Array(context.getImageData(0, 0, copy.width, copy.height).data.buffer))
    counts.set(color, (counts.get(color) ?? 0) + 1);
  return [...counts.values()].sort((one, other) => other - one);
}"""


def colors_of(canvas: Any) -> list[int]:
    """The number of pixels of each color of a canvas, largest first."""
    counts: list[int] = canvas.evaluate(COUNT_COLORS)
    return counts


def test_the_files_of_a_network_are_what_the_page_shows(visit: Visit, service: httpx.Client, tmp_path: Path) -> None:
    page = visit.open()
    page.click("#drawer-code")
    for name in ("ONNX", "PNG", "SVG"):
        with page.expect_download() as download:
            page.get_by_text(name, exact=True).click()
        download.value.save_as(tmp_path / download.value.suggested_filename)

    data = service.get(FLOWER).json()
    network = onnxruntime.InferenceSession(tmp_path / "separatrix.onnx")
    (given,) = network.get_inputs()
    labels = network.run(["labels"], {given.name: np.array(data["points"])})[0]
    assert 100 * np.mean(labels == np.array(data["labels"])) == pytest.approx(visit.accuracy(), abs=0.05)
    with Image.open(tmp_path / "separatrix.png") as picture:
        assert picture.size == (800, 800)
        assert len(picture.convert("RGB").getcolors(2**24) or []) > 10
    assert ElementTree.parse(tmp_path / "separatrix.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_pictures_to_take_away_have_the_boundary_of_the_threshold(visit: Visit) -> None:
    page = visit.open("#training.epochs=300&view.threshold=0.9&view.drawer=code")

    def taken(name: str) -> bytes:
        with page.expect_download() as download:
            page.get_by_text(name, exact=True).click()
        return download.value.path().read_bytes()

    for view in ("probability", "label", "entropy"):
        visit.field("threshold").fill("0.9")
        page.get_by_role("button", name=view, exact=True).click()
        strict = taken("PNG"), taken("SVG")
        page.get_by_role("button", name="probability", exact=True).click()
        visit.field("threshold").fill("0.5")
        page.get_by_role("button", name=view, exact=True).click()
        assert all(one != other for one, other in zip(strict, (taken("PNG"), taken("SVG")), strict=True))
        page.get_by_role("button", name="probability", exact=True).click()


def test_labels_have_two_colors_and_the_threshold_moves_figures_and_roc_curve(visit: Visit) -> None:
    page = visit.page
    with page.expect_response(lambda answer: "/jobs/" in answer.url and "/points" in answer.url) as found:
        visit.open("#training.epochs=30&view.drawer=numbers")
    answers = found.value.json()
    size = plane(visit).evaluate("c => c.width * c.height")
    assert sum(colors_of(plane(visit))[:2]) < 0.5 * size, "probabilities are a gradient"
    page.get_by_role("button", name="label", exact=True).click()
    wait_until(lambda: sum(colors_of(plane(visit))[:2]) > 0.8 * size)

    is_second = np.array(answers["labels"]) == answers["classes"][1]
    roc = page.locator(".roc")
    for threshold in ("0.50", "0.60"):
        visit.field("threshold").fill(threshold)
        chosen = np.array(answers["probabilities"])[:, 1] > float(threshold)
        false, true = 100 * chosen[~is_second].mean(), 100 * chosen[is_second].mean()
        text = f"ROC curve. At the threshold: {false:.1f} % false positives, {true:.1f} % true positives"
        expect(roc).to_have_attribute("aria-label", text)
        assert float(roc.locator(".at").get_attribute("cx") or "") == pytest.approx(1.8 * false)


def test_the_theme_button_names_the_other_theme_and_the_choice_is_kept(visit: Visit) -> None:
    page = visit.open()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Dark theme").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    button = page.get_by_role("button", name="Light theme")
    expect(button).to_be_visible()
    assert page.evaluate(background) == dark
    button.click()
    assert page.evaluate(background) == light
