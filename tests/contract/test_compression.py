"""Large responses of text are compressed with gzip for clients that accept it."""

import gzip
import http.client
import io
import json
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import numpy as np
import pytest

from tests.serving import DEADLINE_S, train

GRID = "/boundary-grid?model=plane&resolution=150"
LARGE = {"model": "plane", "points": [[x / 1_000, 0.5] for x in range(1_000)]}


class Raw(NamedTuple):
    """A response as it was sent."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def is_gzip(self) -> bool:
        """Whether the response says that it is compressed."""
        return self.headers["content-encoding"] == "gzip"

    @property
    def text(self) -> bytes:
        """The body without compression, by another implementation of gzip."""
        return gzip.decompress(self.body) if self.is_gzip else self.body


class Connection:
    """Sends requests with exactly the given headers and does not decompress responses."""

    def __init__(self, client: httpx.Client) -> None:
        self._connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=DEADLINE_S)

    def __call__(self, method: str, path: str, *, json_body: object = None, **headers: str) -> Raw:
        body = None if json_body is None else json.dumps(json_body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if json_body is not None:
            sent["Content-Type"] = "application/json"
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (sent | ({"Content-Length": str(len(body))} if body is not None else {})).items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body)
        answer = self._connection.getresponse()
        return Raw(answer.status, answer.headers, answer.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def send(client: httpx.Client) -> Iterator[Connection]:
    connection = Connection(client)
    yield connection
    connection.close()


def test_a_large_prediction_is_compressed_on_request_and_says_the_same(send: Connection) -> None:
    plain = send("POST", "/predict", json_body=LARGE)
    small = send("POST", "/predict", json_body=LARGE, accept_encoding="gzip")
    assert (plain.is_gzip, small.is_gzip) == (False, True)
    assert small.text == plain.body
    assert len(small.body) < 0.5 * len(plain.body)
    assert int(small.headers["content-length"]) == len(small.body)
    assert small.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert small.headers["x-request-id"] != plain.headers["x-request-id"]


@pytest.mark.slow
@pytest.mark.parametrize("path", [GRID, f"{GRID}&format=csv", f"{GRID}&format=geojson&levels=0.1,0.9", "/openapi.json"])
def test_other_large_texts_are_compressed_too(send: Connection, path: str) -> None:
    plain, small = (send("GET", path, accept_encoding=encoding) for encoding in ("identity", "gzip"))
    assert plain.status == small.status == 200
    assert small.is_gzip == (len(plain.body) >= 14_600)
    assert small.is_gzip or "geojson" in path
    assert small.text == plain.body


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("identity;q=0.5, gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("deflate, br", False),
        ("gzip;q=wrong", False),
        ("", False),
    ],
)
def test_the_client_decides(send: Connection, accepted: str, is_gzip: bool) -> None:
    answer = send("GET", GRID, accept_encoding=accepted)
    assert (answer.status, answer.is_gzip) == (200, is_gzip)
    assert answer.headers["vary"] == "Accept, Accept-Encoding"


def test_small_responses_and_arrays_and_pictures_are_sent_as_they_are(send: Connection) -> None:
    small = {"model": "plane", "points": [[0.25, 0.5]] * 10}
    for answer in (
        send("POST", "/predict", json_body=small, accept_encoding="gzip"),
        send("GET", "/models", accept_encoding="gzip"),
        send("GET", f"{GRID}&format=npy", accept_encoding="gzip"),
        send("GET", f"{GRID}&format=png", accept_encoding="gzip"),
        send("GET", "/models/plane/versions/1/checkpoint", accept_encoding="gzip"),
        send("GET", "/nowhere", accept_encoding="gzip"),
    ):
        assert not answer.is_gzip
        assert "Accept-Encoding" not in (answer.headers["vary"] or "")


def test_the_two_encodings_share_a_weak_entity_tag(send: Connection) -> None:
    plain, small = (send("GET", GRID, accept_encoding=encoding) for encoding in ("identity", "gzip"))
    strong, weak = plain.headers["etag"], small.headers["etag"]
    assert not strong.startswith("W/")
    assert weak == f"W/{strong}", "the bytes differ, so a strong tag may not be the same"
    for tag in (strong, weak):
        for encoding in ("identity", "gzip"):
            answer = send("GET", GRID, accept_encoding=encoding, if_none_match=tag)
            assert (answer.status, answer.body) == (304, b"")
            assert answer.headers["etag"] == tag, "a cache finds the response that it has by this tag"
            assert answer.headers["vary"] == "Accept, Accept-Encoding"
            assert answer.headers["content-encoding"] is None


def test_head_has_the_headers_of_get(send: Connection) -> None:
    for encoding in ("identity", "gzip"):
        get, head = (send(method, GRID, accept_encoding=encoding) for method in ("GET", "HEAD"))
        assert (head.status, head.body) == (200, b"")
        for name in ("content-encoding", "content-length", "content-type", "etag", "vary"):
            assert head.headers[name] == get.headers[name]


def test_a_cached_response_is_compressed_for_those_who_want_it(send: Connection) -> None:
    path = f"{GRID}&margin=0.25"
    for encoding in ("gzip", "identity", "gzip", "identity"):
        answer = send("GET", path, accept_encoding=encoding)
        assert answer.is_gzip == (encoding == "gzip")
        assert json.loads(answer.text)["shape"] == [150, 150]


@pytest.mark.slow
def test_a_stream_of_events_is_neither_compressed_nor_held_back(client: httpx.Client) -> None:
    job = train(client, "streamed", training={"epochs": 1})
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "gzip"}
    with client.stream("GET", job["links"]["events"], headers=headers) as answer:
        assert "content-encoding" not in answer.headers
        assert b"event:" in b"".join(answer.iter_raw())


@pytest.mark.slow
def test_a_very_large_response_is_compressed_in_a_thread_to_the_same_text(send: Connection) -> None:
    rng = np.random.default_rng(0)
    body = {"model": "trio", "points": rng.normal(size=(50_000, 2)).round(3).tolist()}
    plain, small = (send("POST", "/predict", json_body=body, accept_encoding=one) for one in ("identity", "gzip"))
    assert len(plain.body) > 1_000_000
    assert small.is_gzip
    assert small.text == plain.body
    with gzip.open(io.BytesIO(small.body)) as file:
        assert file.read(1) == b"{"
