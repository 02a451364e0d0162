"""`/`: the page and its files, as a browser receives them."""

import gzip
import re
from pathlib import Path

import httpx
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running

FILES = Path(__file__).parent.parent.parent / "service" / "web"


def referred(page: str) -> list[str]:
    """The files that the page names."""
    return re.findall(r'(?:href|src)="([^"]+)"', page)


def test_the_page_and_every_file_that_it_names_are_served(client: httpx.Client) -> None:
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path in referred(answer.text):
        file = client.get(f"/{path}")
        assert file.status_code == 200, path
        assert file.content == (FILES / path.split("/", 2)[2]).read_bytes()
        assert file.headers["cache-control"] == "max-age=31536000, immutable"
        assert file.headers["x-content-type-options"] == "nosniff"


def test_every_module_that_a_module_imports_is_served(client: httpx.Client) -> None:
    script = next(path for path in referred(client.get("/").text) if path.endswith("js/main.js"))
    waiting, seen = [httpx.URL(script)], set()
    while waiting:
        url = waiting.pop()
        if url not in seen:
            seen.add(url)
            answer = client.get(f"/{url}")
            assert answer.status_code == 200, url
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            waiting += [url.join(name) for name in re.findall(r'from "(\.[^"]+)"', answer.text)]
    assert len(seen) > 20


def test_the_page_allows_nothing_but_its_own_scripts_and_this_service(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in str(policy)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script>|<style|\sstyle=|\son[a-z]+=", answer.text)
    assert not re.search(r"(?:href|src)=\"(?:https?:)?//", answer.text)


def test_the_page_is_revalidated_and_its_files_are_kept(client: httpx.Client) -> None:
    tag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/").headers["cache-control"] == "no-cache"


@pytest.mark.slow
def test_files_are_compressed_however_small_they_are(client: httpx.Client) -> None:
    for path in ("", *referred(client.get("/").text)):
        plain = client.get(f"/{path}", headers={"Accept-Encoding": "identity"})
        with client.stream("GET", f"/{path}", headers={"Accept-Encoding": "gzip"}) as answer:
            content = b"".join(answer.iter_raw())
        assert "content-encoding" not in plain.headers
        assert answer.headers["content-encoding"] == "gzip"
        assert gzip.decompress(content) == plain.content
        assert answer.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.slow
def test_a_first_visit_takes_less_than_100_kb_for_the_page_itself(client: httpx.Client) -> None:
    total = 0
    for path in ("", *referred(client.get("/").text)):
        with client.stream("GET", f"/{path}", headers={"Accept-Encoding": "gzip"}) as answer:
            total += len(b"".join(answer.iter_raw())) + sum(len(a) + len(b) + 4 for a, b in answer.headers.raw)
    assert total < 100_000


def test_head_returns_the_headers_of_the_page_and_of_its_files(client: httpx.Client) -> None:
    for path in ("", referred(client.get("/").text)[0]):
        head = client.head(f"/{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == client.get(f"/{path}").headers["content-type"]


@pytest.mark.parametrize(
    "name", ["index.html", "package.json", "jsconfig.json", "js", "", "../app.py", "%2e%2e/app.py", "js/../../app.py"]
)
def test_nothing_but_the_files_of_the_page_is_served(client: httpx.Client, name: str) -> None:
    folder = referred(client.get("/").text)[0].rpartition("/")[0]
    assert_problem(client.get(f"/{folder}/{name}"), 404, "no-such-path")
    assert_problem(client.get("/page/0000000000000000/style.css"), 404, "no-such-path")


@pytest.mark.slow
def test_the_page_works_below_a_path_prefix(tmp_path: Path) -> None:
    with running(tmp_path, root_path="/separatrix") as client:
        page = client.get("/separatrix/")
        assert page.status_code == 200
        for path in referred(page.text)[:3]:
            assert client.get(f"/separatrix/{path}").status_code == 200
