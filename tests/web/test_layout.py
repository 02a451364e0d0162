"""The page at the widths of phones, tablets and screens."""

import pytest
from playwright.sync_api import expect

from tests.web.visits import Visit

pytestmark = pytest.mark.processes

WIDTHS = (320, 390, 600, 767, 800, 1024, 1280, 1600)
"""In CSS pixels. 320 is what a screen of 1280 pixels has at a zoom of 400 % (WCAG 1.4.10)."""

OUTSIDE = """() => [...document.querySelectorAll("body *:not(.told)")].filter(element => {
    const { left, right, width } = element.getBoundingClientRect();
    return width > 0 && (right > innerWidth + 0.5 || left < -0.5);
}).map(element => `${element.tagName} ${element.className}`)"""

CUT = """() => [...document.querySelectorAll("button, .heading, .field, .legend, .drawer-tabs, .result, .clock, .tile")]
    .filter(element => element.clientWidth && element.scrollWidth > element.clientWidth + 1)
    .map(element => `${element.tagName} ${element.className} ${element.textContent}`)"""

SIDEWAYS = "element => element.scrollWidth - element.clientWidth"

DISTORTION = """canvas => {
    const pixels = [canvas.width / canvas.clientWidth, canvas.height / canvas.clientHeight];
    return Math.max(...pixels.map(share => Math.abs(share - devicePixelRatio)));
}"""
"""How far a canvas is from one pixel for each pixel of the screen, across and up."""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_fits_all_widths_and_canvases_keep_their_shape(visit: Visit, language: str) -> None:
    page = visit.open()
    if language == "zh":
        page.click("#language")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for canvas in page.locator("canvas.plane, canvas.chart").all():
            expect(canvas).to_have_js_property("width", canvas.evaluate("canvas => canvas.clientWidth"))
            assert canvas.evaluate(DISTORTION) < 0.01, width
        shape = page.locator("canvas.plane").bounding_box()
        assert shape is not None
        assert shape["width"] == shape["height"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(OUTSIDE) == [], width
        assert page.evaluate(CUT) == [], width


def test_each_part_of_the_page_fits_a_width_of_320_pixels(visit: Visit) -> None:
    page = visit.open()
    page.set_viewport_size({"width": 320, "height": 256})
    for part in ("code", "numbers", "layers", "compare", "lessons"):
        page.click(f"#drawer-{part}")
        expect(page.locator(f"#drawer-panel-{part} > *").first).to_be_visible()
        assert page.locator("#drawer").evaluate("drawer => drawer.offsetHeight") <= 200, "the page above is hidden"
        if part != "layers":  # rows of a matrix scroll within the drawer
            assert page.locator("#drawer .panels").evaluate(SIDEWAYS) <= 0, part
    page.evaluate("location.hash = '#tab=models'")
    expect(page.locator(".list")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.get_by_role("link", name="flower-module").click()
    expect(page.locator(".list").get_by_role("button", name="Version 1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.evaluate("location.hash = '#tab=models&compare=flower-module,flower-logistic'")
    expect(page.locator(".flips")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_draw_brings_the_plane_into_view_on_a_phone(visit: Visit) -> None:
    page = visit.open()
    page.set_viewport_size({"width": 390, "height": 700})
    page.locator(".settings").scroll_into_view_if_needed()
    page.click("[data-name=draw]")
    expect(page.locator("canvas.plane")).to_be_in_viewport(ratio=0.9)
    expect(page.locator(".age")).to_contain_text("click on the plane")
