"""axe-core finds nothing serious on the page, and screen readers are told what matters."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.clients.tools import tool
from tests.serving import wait_until
from tests.web.visits import Visit

pytestmark = pytest.mark.processes


def serious(visit: Visit, part: str = "html") -> list[str]:
    """The serious and critical findings of axe-core in a part of the page."""
    if not visit.page.evaluate("'axe' in window"):
        visit.page.evaluate(tool("node_modules", "axe-core", "axe.min.js").read_text())
    found: dict[str, Any] = visit.page.evaluate("part => axe.run(part, { resultTypes: ['violations'] })", part)
    return [
        f"{one['id']}: {node['target']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible(visit: Visit, theme: str) -> None:
    page = visit.page
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    visit.open()
    assert serious(visit) == []
    page.click("#language")
    assert serious(visit) == []
    for part in ("code", "numbers", "layers", "compare", "lessons"):
        page.click(f"#drawer-{part}")
        expect(page.locator(f"#drawer-panel-{part} > *").first).to_be_visible()
        assert serious(visit, "#drawer") == []
    page.click("#help-button")
    assert serious(visit, "#help") == []
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 800})
    assert serious(visit) == []


def test_screen_readers_are_told_the_end_of_a_training_that_is_played_and_not_each_epoch(visit: Visit) -> None:
    page = visit.open()
    page.evaluate(
        """() => {
            window.told = [];
            const live = "output:not([aria-live=off]), [role=status]";
            const watch = { childList: true, characterData: true, subtree: true };
            for (const one of document.querySelectorAll(live)) {
                new MutationObserver(() => window.told.push(one.textContent)).observe(one, watch);
            }
        }"""
    )
    page.click("#play")
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("^Pause"))
    page.evaluate("window.told = []")  # without what the page says of its first training
    expect(page.locator("#play")).to_have_attribute("aria-label", re.compile("^Play"))
    wait_until(lambda: page.evaluate("window.told.length"))
    visit.wait_until_settled()
    told = page.evaluate("window.told")
    assert len(told) == 1, told
    assert "Accuracy 96.5 %" in told[0]


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_the_tab_of_models_is_accessible(visit: Visit, service: httpx.Client, theme: str, width: int) -> None:
    page = visit.page
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{service.base_url}/#tab=models")
    page.get_by_role("button", name="Compare").first.click()
    expect(page.locator(".job").first).to_be_visible()
    assert serious(visit) == []
    page.click("#language")
    page.get_by_role("link", name="flower-module").click()
    page.locator(".list").get_by_role("button", name="第 1 版").click()
    expect(page.locator(".details:visible")).to_be_visible()
    assert serious(visit) == []
    page.get_by_role("button", name="删除模型").click()
    assert serious(visit) == []
    page.keyboard.press("Escape")
    page.evaluate("location.hash = '#tab=models&compare=flower-module,flower-logistic'")
    expect(page.locator(".flips")).to_be_visible()
    assert serious(visit) == []
