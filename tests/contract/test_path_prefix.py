"""A service under a path prefix: every URL in its responses begins with the prefix and can be requested."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.http.front.prefix import Link
from service.settings import OWN_PATHS
from tests.contract.problems import assert_problem
from tests.serving import running, train

PREFIX = "/apps/separatrix"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service whose `root_path` is `PREFIX`, and which trusts the proxies of this machine."""
    options: dict[str, Any] = {"root_path": f"{PREFIX}/", "trusted_proxies": "127.0.0.0/8, ::1"}
    with running(tmp_path_factory.mktemp("prefixed"), **options) as client:
        train(client, "m")
        yield client


@pytest.fixture(scope="module")
def wary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service whose proxies are elsewhere."""
    with running(tmp_path_factory.mktemp("wary"), training_processes=0, trusted_proxies=["10.0.0.0/8"]) as client:
        yield client


def links_of(value: Any) -> list[str]:
    """All links in a response."""
    if isinstance(value, dict):
        own = [one for name, part in value.items() if name == "links" for one in part.values()]
        return own + [link for part in value.values() for link in links_of(part)]
    return [link for part in value for link in links_of(part)] if isinstance(value, list) else []


PAGES = [
    *("/jobs", "/models", "/models/m", "/models/m/versions", "/models/m/versions/1", "/datasets", "/datasets/flower"),
    "/datasets/own",
]
"""Responses with links."""


@pytest.mark.slow
@pytest.mark.parametrize("header", [None, "/other", "/team/blue/"])
def test_every_link_begins_with_the_prefix_and_works(service: httpx.Client, header: str | None) -> None:
    headers = {} if header is None else {"X-Forwarded-Prefix": header}
    prefix = PREFIX if header is None else header.rstrip("/")
    body = {"model": "m", "data": {"dataset": "flower"}, "training": {"epochs": 5}}
    submitted = service.post("/train", json=body, headers=headers | {"Prefer": "wait=50"})
    csv = b"x,y,label\n" + b"1,2,a\n3,4,b\n" * 5
    stored = service.post("/datasets/own?label=label", content=csv, headers=headers | {"Content-Type": "text/csv"})
    assert stored.is_success, stored.text
    found = {submitted.headers["location"], stored.headers["location"], *links_of(submitted.json())}
    for path in PAGES:
        links = links_of(service.get(path, headers=headers).json())
        assert links, path
        found.update(links)
    assert {f"{prefix}/models/m", f"{prefix}/models/m/versions/1/checkpoint", f"{prefix}/datasets/own"} <= found
    for link in found:
        assert link.startswith(f"{prefix}/")
        assert service.head(link, headers=headers).status_code == 200, link


def test_a_job_has_another_entity_tag_under_another_prefix(service: httpx.Client) -> None:
    path = service.get("/jobs").json()["data"][0]["links"]["self"]
    own = service.get(path).headers["etag"]
    assert service.get(path, headers={"X-Forwarded-Prefix": "/other"}).status_code == 404
    path = path.removeprefix(PREFIX)
    assert service.get(path, headers={"X-Forwarded-Prefix": "/other"}).headers["etag"] != own
    assert service.get(path, headers={"If-None-Match": own}).status_code == 304


def test_the_paths_of_requests_may_have_the_prefix_or_not(service: httpx.Client) -> None:
    body = {"model": "m", "points": [[0.5, -0.25]]}
    for path in ("/predict", f"{PREFIX}/predict"):
        assert service.post(path, json=body).json()["model"] == "m"
    tags = {service.get(f"{start}/boundary-grid?model=m&resolution=7").headers["etag"] for start in ("", PREFIX)}
    assert len(tags) == 1
    for path in (f"{PREFIX}x/models", f"/x{PREFIX}/models", f"{PREFIX}{PREFIX}/models"):
        assert_problem(service.get(path), 404, "no-such-path")


@pytest.mark.slow
def test_the_documentation_works_under_the_prefix(service: httpx.Client) -> None:
    assert service.get(f"{PREFIX}/openapi.json").json()["servers"][0]["url"] == PREFIX
    other = service.get("/openapi.json", headers={"X-Forwarded-Prefix": "/other"}).json()
    assert other["servers"][0]["url"] == "/other"
    page = service.get(f"{PREFIX}/docs")
    for url in re.findall(r'(?:src|href)="(docs[^"]+)"', page.text):
        assert page.url.join(url).path.startswith(f"{PREFIX}/docs/")
        assert service.get(page.url.join(url)).status_code == 200


def test_the_prefixes_of_several_proxies_are_joined(service: httpx.Client) -> None:
    for values in (["/outer, /inner/"], ["/outer", "/inner"]):
        answer = service.get("/models/m", headers=[("X-Forwarded-Prefix", value) for value in values])
        assert answer.json()["links"]["self"] == "/outer/inner/models/m"


@pytest.mark.parametrize(
    "value",
    [
        "//evil.example.org",
        "https://evil.example.org",
        "/a/../b",
        "/a b",
        "a",
        "/",
        "",
        "/a,",
        "/\u00e9",
        "/a?b",
        "/a" * 21,
    ],
)
def test_a_malformed_forwarded_prefix_is_ignored(service: httpx.Client, value: str) -> None:
    answer = service.get("/models/m", headers=[(b"X-Forwarded-Prefix", value.encode("latin-1"))])
    assert answer.json()["links"]["self"] == f"{PREFIX}/models/m"


def test_the_headers_of_a_proxy_that_is_not_trusted_are_ignored(wary: httpx.Client, client: httpx.Client) -> None:
    for one in (wary, client):
        links = links_of(one.get("/datasets", headers={"X-Forwarded-Prefix": "/other"}).json())
        assert {link.split("/")[1] for link in links} == {"datasets"}


def test_every_field_of_links_writes_the_prefix(client: httpx.Client) -> None:
    assert client.get("/health/live").is_success, "the service has loaded every schema"
    schemas = [one for one in descendants(BaseModel) if one.__module__.startswith("service.")]
    links = [one for one in schemas if one.__name__.endswith("Links")]
    assert len(links) >= 5
    (serializer,) = Link.__metadata__
    for schema in links:
        for name, field in schema.model_fields.items():
            assert serializer in field.metadata or repr(serializer) in repr(field.annotation), f"{schema}.{name}"


def descendants(kind: type[BaseModel]) -> set[type[BaseModel]]:
    """All subclasses."""
    own = set(kind.__subclasses__())
    return own.union(*map(descendants, own))


@pytest.mark.slow
def test_no_prefix_may_begin_like_a_path_of_the_service(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path.split("/")[1] for path in paths} | {"docs", "openapi.json", "page"} == set(OWN_PATHS)
