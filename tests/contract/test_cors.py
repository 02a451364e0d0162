"""Pages of other origins: what a browser asks and what it lets a page read, by the Fetch standard."""

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.job_requests import QUICK
from tests.serving import running, train
from tests.streams import events_of

PAGE = "https://app.example.org"
LOCAL_PAGE = "http://localhost:5173"
OTHER_PAGE = "https://evil.example.org"
POINT = {"model": "m", "points": [[0.5, -0.25]]}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service for the pages of two origins."""
    with running(tmp_path_factory.mktemp("shared"), cors_origins=[PAGE, LOCAL_PAGE]) as client:
        train(client, "m")
        yield client


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service for every page."""
    with running(tmp_path_factory.mktemp("public"), training_processes=0, cors_origins="*") as client:
        yield client


def preflight(client: httpx.Client, path: str, method: str, *, origin: str = PAGE, names: str = "") -> httpx.Response:
    """What a browser asks before a request that a form could not send, such as one with headers of these names."""
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return client.options(path, headers=headers | ({"Access-Control-Request-Headers": names} if names else {}))


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("GET", "/boundary-grid?model=m"), ("DELETE", "/jobs/x"), ("PUT", "/models/m/aliases/a")],
)
def test_a_preflight_of_any_path_is_answered(shared: httpx.Client, method: str, path: str) -> None:
    answer = preflight(shared, path, method, names="content-type,idempotency-key,if-none-match,prefer")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert {"content-type", "prefer"} <= set(answer.headers["access-control-allow-headers"].split(","))
    assert answer.headers["access-control-max-age"] == "7200"
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in varies_by(answer)


def test_a_preflight_of_another_origin_is_refused(shared: httpx.Client) -> None:
    for origin in (OTHER_PAGE, "null", f"{PAGE}.evil.example", PAGE.replace("https", "http")):
        answer = preflight(shared, "/predict", "POST", origin=origin)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


def requests(client: httpx.Client) -> list[httpx.Request]:
    """Requests of each stage of the service: fast path, endpoint, cache, route, stream; and some that fail."""
    array = {"Content-Type": "application/x-npy"}
    grid = "/boundary-grid?model=m&resolution=8"
    tag = client.get(grid).headers["etag"]
    job = client.get("/jobs").json()["data"][0]["links"]["self"]
    build = client.build_request
    return [
        build("POST", "/predict", json=POINT),
        build("POST", "/predict", json=POINT | {"outputs": ["logits"]}),
        build("POST", "/predict?model=m", content=b"no array", headers=array),
        build("GET", grid),
        build("GET", grid, headers={"If-None-Match": tag}),
        build("HEAD", grid),
        build("GET", job),
        build("GET", f"{job}/events", headers={"Accept": "text/event-stream"}),
        build("POST", "/train", json=QUICK | {"model": "?"}),
        build("GET", "/nowhere"),
        build("DELETE", "/predict"),
        build("OPTIONS", "/predict"),
        build("POST", "/predict", content=b"{", headers={"Content-Type": "application/json"}),
    ]


def test_every_response_may_be_read_by_the_pages_of_the_listed_origins_only(shared: httpx.Client) -> None:
    statuses = set()
    for request in requests(shared):
        for origin, allowed in ((PAGE, PAGE), (LOCAL_PAGE, LOCAL_PAGE), (OTHER_PAGE, None), (None, None)):
            request.headers.pop("Origin", None)
            if origin is not None:
                request.headers["Origin"] = origin
            answer = shared.send(request)
            statuses.add(answer.status_code)
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert varies_by(answer).count("Origin") == 1, "a cache must not give one page the response to another"
            assert ("Accept" in varies_by(answer)) == request.url.path.endswith(("-grid", "/events"))
            assert "x-request-id" in answer.headers
    assert statuses == {200, 204, 304, 400, 403, 404, 405, 422}, "403: the other page may not write"


def varies_by(answer: httpx.Response) -> list[str]:
    """The parts of `Vary`."""
    return re.split(", *", answer.headers.get("vary", ""))


@pytest.mark.slow
def test_a_page_may_read_every_header_that_is_documented(shared: httpx.Client) -> None:
    answer = shared.post("/predict", json=POINT, headers={"Origin": PAGE})
    exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
    document = shared.get("/openapi.json").json()
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    headers = {name.lower() for one in operations for each in one["responses"].values() for name in each["headers"]}
    readable_anyway = {"cache-control"}  # by the Fetch standard
    assert headers - readable_anyway - {"vary"} <= exposed
    assert {"etag", "location", "retry-after", "link", "separatrix-version", "x-request-id"} <= exposed


def test_an_event_stream_may_be_followed_by_a_page(shared: httpx.Client) -> None:
    job = train(shared, "followed", training={"epochs": 1})
    headers = {"Origin": PAGE, "Accept": "text/event-stream"}
    with shared.stream("GET", job["links"]["events"], headers=headers) as answer:
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert len(list(events_of(answer.iter_lines()))) > 0


def test_every_page_may_use_the_service_if_all_origins_are_allowed(public: httpx.Client) -> None:
    assert preflight(public, "/train", "POST").headers["access-control-allow-origin"] == "*"
    answer = public.get("/models", headers={"Origin": "null"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_no_page_may_use_the_service_by_default(client: httpx.Client) -> None:
    for answer in (preflight(client, "/predict", "POST"), client.get("/models", headers={"Origin": PAGE})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "origin" not in answer.headers.get("vary", "").lower()
