"""Hundreds of bad requests to every route. The service refuses each in the usual form and repeats no part of it."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import httpx
import pytest

from service.api import roles
from tests.serving import DEADLINE_S

CANARY = "canary7351"
"""A text that is in every bad request and must be in no error response."""

MAX_BYTES = 64 * 1024
UNKNOWN = "nobody"
"""A valid name that does not exist. Errors may repeat it."""

FILLED = {"{name}": UNKNOWN, "{model}": UNKNOWN, "{version}": "7351", "{alias}": UNKNOWN, "{layer}": "7351"}
FILLED |= {"{job_id}": CANARY, "{folder}": CANARY, "{digest}": CANARY, "{path:path}": CANARY}
LEAKS = re.compile(
    r"Traceback|site-packages|File \\?\"|\.py\b|/tmp/|/dev/shm|sqlalchemy|pydantic|0x[0-9a-f]{6}", re.IGNORECASE
)
JSON = {"Content-Type": "application/json"}


def paths() -> Iterator[tuple[str, set[str]]]:
    """Each path, with values for its parameters, and its methods."""
    for pattern, routes in groupby(sorted(roles.by_route(), key=lambda route: route[1]), key=lambda route: route[1]):
        methods, path = {method for method, _ in routes}, pattern
        for name, value in FILLED.items():
            path = path.replace(name, value)
        yield path, methods | ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"})


PATHS = dict(paths())
READS = sorted(path for path, methods in PATHS.items() if "GET" in methods)
WRITES = sorted((method, path) for path, methods in PATHS.items() for method in methods & {"POST", "PUT", "DELETE"})


def assert_tidy(answer: httpx.Response, what: object) -> None:
    """Asserts that a response is a success, or a refusal in the usual form that repeats no part of the request."""
    request = answer.request
    shown = f"{request.method} {request.url.path[:80]}, {what!s:.80}: {answer.status_code} {answer.text[:300]}"
    is_protocol = answer.request.url.path.startswith("/v2")
    assert answer.status_code < 500 or (answer.status_code == 501 and is_protocol), shown
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return
    assert answer.headers["content-type"] == ("application/json" if is_protocol else "application/problem+json"), shown
    assert len(answer.content) <= MAX_BYTES, shown
    body = answer.json()
    assert (body.keys() == {"error"}) if is_protocol else (body["status"] == answer.status_code), shown
    assert CANARY not in answer.text, shown
    assert not LEAKS.search(answer.text), shown
    assert answer.headers["x-request-id"], shown


def assert_refused(answer: httpx.Response, what: object) -> None:
    """Asserts that a response refuses a body. The index of models has no required field and ignores unknown ones."""
    assert_tidy(answer, what)
    assert answer.is_error or answer.request.url.path == "/v2/repository/index", (what, answer.text[:300])


BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"canary7351": ',
    "text": b"canary7351",
    "a string": b'"canary7351"',
    "a list": b'["canary7351"]',
    "null": b"null",
    "not a number": b'{"model": "canary7351", "points": [[NaN, Infinity]]}',
    "a huge number": b'{"model": "canary7351", "points": [[1e999, -1e999]]}',
    "a number of 5,000 digits": b'{"points": [[' + b"7" * 5_000 + b']], "model": "canary7351"}',
    "an unknown field": b'{"<canary7351>": 1}',
    "wrong types": b'{"model": {"<canary7351>": 1}, "points": "canary7351", "data": [], "training": 5, "version": "x"}',
    "a repeated field": b'{"model": "canary7351", "model": 5, "points": [[1, 2]], "points": 7}',
    "deep lists": b'{"points": ' + b"[" * 20_000 + b'"canary7351"' + b"]" * 20_000 + b"}",
    "deep objects": b'{"data":' * 20_000 + b'"canary7351"' + b"}" * 20_000,
    "a lone surrogate": b'{"model": "\\ud800canary7351", "points": [[1, 2]]}',
    "no UTF-8": b'{"model": "\xff\xfecanary7351"}',
    "UTF-16": '{"model": "canary7351"}'.encode("utf-16"),
    "zero bytes": b"\x00" * 100 + b"canary7351",
    "3,000 unknown fields": json.dumps({f"<canary7351-{number}>": number for number in range(3_000)}).encode(),
    "an array of NumPy, cut off": b"\x93NUMPY\x01\x00v\x00{'descr': 'canary7351'",
    "a pickle": b"\x80\x04\x95canary7351.",
    "a zip archive, cut off": b"PK\x03\x04canary7351",
}

BODY_HEADERS: list[dict[str, str]] = [
    {"Content-Type": "text/html"},
    {"Content-Type": "canary7351"},
    {"Content-Type": f"multipart/form-data; boundary={CANARY}"},
    {"Content-Type": "application/json; charset=canary7351"},
    {"Content-Type": "application/x-npy"},
    {"Content-Type": "application/vnd.apache.arrow.stream"},
    {"Content-Type": "application/octet-stream"},
    JSON | {"Content-Encoding": "canary7351"},
    JSON | {"Content-Encoding": "gzip"},
    JSON | {"Content-Encoding": "gzip, gzip"},
    JSON | {"Idempotency-Key": CANARY * 1_000, "Prefer": "wait=canary7351"},
    JSON | {"Inference-Header-Content-Length": CANARY},
    JSON | {"Inference-Header-Content-Length": "99999999999999999999"},
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), WRITES, ids=[f"{method} {path}" for method, path in WRITES])
def test_bad_bodies_are_refused_by_every_route_that_reads_one(client: httpx.Client, method: str, path: str) -> None:
    is_import = path.endswith("/versions")  # each file starts a process; tests/contract/test_importing.py sends many
    for name, body in BODIES.items():
        if not is_import or name == "a pickle":
            assert_refused(client.request(method, path, content=body, headers=JSON), name)
    for headers in BODY_HEADERS:
        if not is_import or headers["Content-Type"] not in ("application/octet-stream", "application/json"):
            assert_refused(client.request(method, path, content=BODIES["wrong types"], headers=headers), headers)


NAME = "%3Ccanary7351%3E"
"""An unknown name. The service would repeat it, to show people their mistake, if names could have its characters."""

QUERIES = (
    *(f"{NAME}=1", NAME, "%00=canary7351", "limit=canary7351", "limit=-1", "limit=1e999", "model=%ff%fe"),
    *("version=canary7351", "version=0", "version=99999999999999999999"),
    *("model=a&model=canary7351", "&&&=&=canary7351"),
    *("resolution=canary7351", "x_min=nan&x_max=inf", "after=canary7351", "format=canary7351", "epoch=-1"),
    "&".join(f"{NAME}{number}=1" for number in range(1_500)),
)
READ_HEADERS: list[dict[str, str]] = [
    {"Accept": "canary/canary7351"},
    {"Accept": ", ".join(["canary/canary7351;q=0.5"] * 500)},
    {"Accept": "application/json;q=canary7351"},
    {"Range": "bytes=0-canary7351"},
    {"Range": "bytes=5-1"},
    {"If-None-Match": '"canary7351",' * 500},
    {"If-Match": CANARY, "If-Modified-Since": CANARY},
    {"Prefer": "wait=-1, wait=canary7351"},
    {"Last-Event-ID": CANARY, "Accept": "text/event-stream"},
    {"Authorization": f"Bearer {CANARY}"},
    {"X-Request-ID": "a" * 5_000},
    {"Expect": CANARY, "Upgrade": CANARY, "Connection": "upgrade"},
    {"Traceparent": CANARY, "Cookie": CANARY * 500, "X-Forwarded-For": CANARY, "Forwarded": CANARY},
]


@pytest.mark.slow
@pytest.mark.parametrize("path", READS)
def test_bad_parameters_and_headers_are_refused_or_ignored_by_every_route(client: httpx.Client, path: str) -> None:
    for query in QUERIES:
        assert_tidy(client.get(f"{path}?{query}"), query)
    for headers in READ_HEADERS:
        assert_tidy(client.get(path, headers=headers), headers)


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(PATHS))
def test_every_path_lists_its_methods_and_refuses_others(client: httpx.Client, path: str) -> None:
    options = client.options(path)
    assert options.status_code == 204, options.text
    allowed = {one.strip() for one in options.headers["allow"].split(",")}
    assert allowed >= PATHS[path]
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "PURGE"} - allowed:
        answer = client.request(method, path)
        assert_tidy(answer, method)
        assert answer.status_code == 405, (method, answer.text)
        assert {one.strip() for one in answer.headers["allow"].split(",")} == allowed
    if "GET" in allowed:
        assert client.head(path).status_code == client.get(path).status_code


BAD_PATHS = (
    *(
        "/canary7351",
        "//",
        "/models//canary7351",
        "/models/../canary7351",
        "/models/%2e%2e%2fcanary7351",
        "/%00canary7351",
    ),
    *("/predict/", "/jobs/" + CANARY * 500, "/models/CANARY7351", "/models/canary7351/versions/1e3", "/;canary7351"),
    *("/models/canary7351%0d%0aX-Canary:1", "/models/%f0%28%8c%28", "/page/../../canary7351", "/docs/..%2f/canary7351"),
    *("/v2/models/canary7351/versions/-1", "/v2/canary7351", "/v2/models/canary7351/versions/1/canary7351"),
)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_paths_that_do_not_exist_are_refused(client: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = raw(client, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert answer["status"] in (404, 405), answer
        assert_raw_is_tidy(answer, is_protocol=path.startswith("/v2/"))


def raw(client: httpx.Client, sent: bytes) -> dict[str, Any]:
    """The response to bytes that an HTTP client would not send."""
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=DEADLINE_S) as connection:
        connection.sendall(sent)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return {"status": answer.status, "type": answer.headers["content-type"], "body": answer.read().decode()}


def assert_raw_is_tidy(answer: dict[str, Any], *, is_protocol: bool = False) -> None:
    assert answer["status"] < 500, answer
    if answer["status"] >= 400:
        assert answer["type"] == ("application/json" if is_protocol else "application/problem+json")
        assert len(answer["body"]) <= MAX_BYTES
        assert CANARY not in answer["body"].lower()
        assert not LEAKS.search(answer["body"]), answer


def post(*headers: str, body: bytes = b"{}", start: str = "POST /predict HTTP/1.1") -> bytes:
    lines = [start, "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post("Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
        (post("Transfer-Encoding: chunked", "Content-Length: 2", body=b"0\r\n\r\n"), 400),
        (post("Content-Length: 2", "Content-Length: 3"), 400),
        (post("Content-Length: -1"), 400),
        (post("Content-Length: canary7351"), 400),
        (post("Content-Length: 99999999999999999999999"), 400),
        (post("Content-Length: 9999999999"), 413),
        (post("Transfer-Encoding: canary7351"), 400),
        (post("Transfer-Encoding: chunked", body=b"canary7351\r\n"), 400),
        (post("Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n"), 400),
        (post("Content-Length: 2", "canary7351 : x"), 400),
        (post("Content-Length: 2", "canary7351"), 400),
        (post("Content-Length: 2", "X-Canary: a\rcanary7351: b"), 400),
        (post("Content-Length: 2", "X-Canary: a\x00canary7351"), 400),
        (post("Content-Length: 2", *[f"X-{number}: canary7351" for number in range(2_000)]), 422),
        (post("Content-Length: 2", "X-Canary: " + "a" * 60_000), 422),
        (post("Content-Length: 2", "X-Canary: " + "a" * 80_000), 431),
        (post("Content-Length: 2", "X-Canary: \xff\xfe"), 422),
        (post(start="POST /predict HTTP/9.9"), 400),
        (post(start="POST /predict"), 400),
        (post(start="CANARY7351 /predict HTTP/1.1"), 400),
        (post(start="POST  HTTP/1.1"), 400),
        (post(start="PRI * HTTP/2.0"), 400),
        (post(start="POST canary7351 HTTP/1.1"), 400),
        (b"\x16\x03\x01canary7351\r\n\r\n", 400),
        (b"canary7351\r\n\r\n", 400),
        (b"GET /models HTTP/1.1\r\n\r\n", 400),
        (b"GET /models HTTP/1.0\r\n\r\n", 200),
        (b"GET http://canary7351/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"get /models HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"CONNECT canary7351:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /models HTTP/1.1\r\nHost: canary7351\r\n\r\n", 421),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: canary7351\r\n\r\n", 400),
        (b"GET /models HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ],
)
def test_malformed_http_is_refused(client: httpx.Client, sent: bytes, status: int) -> None:
    answer = raw(client, sent)
    assert_raw_is_tidy(answer)
    assert answer["status"] == status, answer
