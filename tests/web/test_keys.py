"""The page of a service that requires keys."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from service.access.keys import KeyFile
from tests.requirements import needs
from tests.serving import running, wait_until
from tests.web.visits import LONG_TRAINING, Visit

pytestmark = pytest.mark.processes


@contextmanager
def service_with_a_key(folder: Path) -> Iterator[tuple[httpx.Client, str]]:
    """A client of a service that requires keys, and a key."""
    with running(folder) as client:
        key = KeyFile(folder / "keys.json").add("teacher", "train")
        wait_until(lambda: client.get("/models").status_code == 401)
        yield client, key


def questions_of(page: Page, answer: Callable[[Dialog], None]) -> list[str]:
    """The questions of the page in dialogs from now on, each of which gets this answer. The list grows."""
    questions: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        questions.append(dialog.message)
        answer(dialog)

    page.on("dialog", on_dialog)
    return questions


def test_the_page_asks_for_a_key_once_and_uses_it_for_all_it_does(browser: Browser, tmp_path: Path) -> None:
    with service_with_a_key(tmp_path) as (client, key):
        page = browser.new_page()
        questions = questions_of(page, lambda dialog: dialog.accept(key))
        visit = Visit(page, str(client.base_url))
        visit.open()
        assert visit.accuracy() > 90
        visit.trains(lambda: page.click("[data-name=moons]"))
        page.click("#drawer-code")
        with page.expect_download() as download:
            page.get_by_text("ONNX", exact=True).click()
        assert download.value.path().stat().st_size > 100
        page.get_by_role("tab", name="Models").click()
        expect(page.locator("#models")).to_contain_text("No models yet")
        page.get_by_placeholder("model name").fill("mine")
        page.keyboard.press("Enter")
        expect(page.locator(".job .status")).to_have_text("succeeded")
        expect(page.locator(".list img")).to_have_attribute("src", re.compile("^blob:"))
        page.locator(".job").get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("dialog")).to_contain_text("admin")
        page.goto("about:blank")
        page.goto(f"{client.base_url}/{LONG_TRAINING}")
        visit.expect_live()
        page.close()
    assert questions == ["This service needs a key. The page keeps it until this tab is closed."]


def test_programs_of_a_service_that_needs_a_key_have_a_place_for_it(browser: Browser, tmp_path: Path) -> None:
    needs("curl", "curl")
    needs("node", "nodejs")
    with service_with_a_key(tmp_path) as (client, key):
        page = browser.new_page()
        questions_of(page, lambda dialog: dialog.accept(key))
        Visit(page, str(client.base_url)).open("#training.epochs=5&view.drawer=code")
        for language, command in (("curl", ["sh"]), ("Python", [sys.executable, "-"]), ("JavaScript", ["node", "-"])):
            page.get_by_role("button", name=language, exact=True).click()
            program = page.locator("#drawer pre").inner_text()
            assert key not in program
            if language == "JavaScript":
                program = f"(async () => {{ {program} }})();"
            run = subprocess.run(
                command, input=program.replace("KEY", key), cwd=tmp_path, capture_output=True, text=True, check=True
            )
            assert "[0" in run.stdout or "red" in run.stdout or "blue" in run.stdout, run.stdout
        headers = {"Authorization": f"Bearer {key}"}
        assert client.get("/models/my-model", headers=headers).json()["version_count"] == 3
        page.close()


def test_a_user_who_enters_no_key_is_asked_once_and_sees_why(browser: Browser, tmp_path: Path) -> None:
    with service_with_a_key(tmp_path) as (client, _):
        page = browser.new_page()
        questions = questions_of(page, lambda dialog: dialog.dismiss())
        page.goto(str(client.base_url))
        notice = page.locator("#notice.bad")
        notice.wait_for()
        assert "key" in notice.inner_text()
        page.close()
    assert len(questions) == 1
