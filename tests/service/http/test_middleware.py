"""The middleware around a minimal app, without a server."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope

from service.http import problems
from service.http.bodies import request_body
from service.http.bodies.held_bodies import HeldBodies
from service.http.bodies.request_body import Headers
from service.http.front.callers import Callers
from service.http.front.guard import Guard
from service.http.metrics import Metrics
from service.http.middleware import Middleware, RawResponse, ok
from service.settings import Settings

ECHO = ("POST", "/echo")


class OnlyShort:
    """A fast path that answers bodies of less than five bytes, unless the client wants otherwise."""

    def accepts(self, _: Scope, headers: Headers) -> bool:
        return headers.get(b"accept") is None

    def respond(self, _: Scope, __: Headers, body: bytes) -> RawResponse | None:
        if body == b"bad":
            raise ZeroDivisionError
        return ok(b"text/plain", b"fast " + body) if len(body) < 5 else None


async def echo(_: Scope, headers: Headers, receive: Receive) -> RawResponse:
    body = await request_body.content(headers, receive, HeldBodies(Settings()))
    return ok(b"text/plain", b"endpoint " + body)


async def greet(scope: Scope, _: Headers, __: Receive) -> RawResponse:
    return ok(b"text/plain", scope["path_params"]["name"].encode())


ENDPOINTS = {ECHO: echo, ("POST", "/greet/{name}/now"): greet}


def exchange(method: str, path: str, *chunks: bytes, headers: Headers | None = None) -> tuple[list[Message], Metrics]:
    """What the middleware sends for a request whose body arrives in these chunks, and what it counted."""
    app = FastAPI()
    problems.install(app)

    @app.get("/route")
    async def route() -> str:
        return "app"

    metrics, guard = Metrics(), Guard(Settings(), Callers(Settings()), {}, ())
    middleware = Middleware(
        app, fast_paths={ECHO: OnlyShort()}, endpoints=ENDPOINTS, metrics=metrics, guard=guard, max_body_bytes=2**20
    )
    left = list(chunks or [b""])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "1.0", "method": method, "path": path, "query_string": b""}
    scope |= {"raw_path": path.encode(), "headers": [*(headers or {}).items()]}
    asyncio.run(middleware(scope, receive, send))
    return sent, metrics


@pytest.mark.parametrize(
    ("chunks", "headers", "expected"),
    [
        ([b"abcd"], {}, b"fast abcd"),
        ([b"abcde"], {}, b"endpoint abcde"),
        ([b"ab", b"cd"], {}, b"endpoint abcd"),
        ([b"abcd"], {b"accept": b"*/*"}, b"endpoint abcd"),
    ],
    ids=["short", "too long", "in two parts", "not accepted"],
)
def test_a_request_that_the_fast_path_leaves_reaches_the_endpoint_whole(
    chunks: list[bytes], headers: dict[bytes, bytes], expected: bytes
) -> None:
    (start, body), metrics = exchange(*ECHO, *chunks, headers=headers)
    assert (start["status"], body["body"]) == (200, expected)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(expected)
    assert counted(metrics) == {("POST", "/echo", "200"): 1}


def test_a_request_without_an_endpoint_reaches_the_app() -> None:
    sent, metrics = exchange("GET", "/route")
    assert sent[0]["status"] == 200
    assert b"x-request-id" in dict(sent[0]["headers"])
    assert counted(metrics) == {("GET", "/route", "200"): 1}


def test_a_path_with_a_parameter_has_one_endpoint_and_is_counted_as_one_route() -> None:
    (_, body), metrics = exchange("POST", "/greet/you/now")
    assert body["body"] == b"you"
    assert counted(metrics) == {("POST", "/greet/{name}/now", "200"): 1}
    for method, path in (("GET", "/greet/you/now"), ("POST", "/greet/you/and/now"), ("POST", "/greet//now")):
        sent, metrics = exchange(method, path)
        assert sent[0]["status"] == 404


def test_an_unexpected_error_is_a_problem_with_a_request_id_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    (start, body), metrics = exchange(*ECHO, b"bad", headers={b"x-request-id": b"mine"})
    assert start["status"] == 500
    assert dict(start["headers"])[b"x-request-id"] == b"mine"
    assert b"urn:separatrix:problem:internal" in body["body"]
    assert counted(metrics) == {("POST", "/echo", "500"): 1}
    assert [record.getMessage() for record in caplog.records] == ["request mine failed"]


def test_a_head_request_gets_the_head_of_the_get_response() -> None:
    sent, _ = exchange("HEAD", "/route")
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200
    assert sent[1]["body"] == b""


def counted(metrics: Metrics) -> dict[tuple[Any, ...], float]:
    rows = metrics.snapshot({}, {})["durations"]
    return {(method, route, str(status)): sum(counts) for method, route, status, counts, _ in rows}
