"""The response cache by itself: what it keeps of a response in each encoding, and within how many bytes."""

import asyncio
import gzip
from typing import Any

from starlette.responses import PlainTextResponse, Response
from starlette.types import Message

from service.http.bodies.request_body import Headers
from service.http.middleware import RawResponse
from service.http.response_cache import OVERHEAD_BYTES, ResponseCache

TEXT = ",".join(map(str, range(10_000)))
GZIP: Headers = {b"accept-encoding": b"gzip"}


class Client:
    """Requests to a cache, which asks `make` for what it does not have."""

    def __init__(self, max_bytes: int, *, media_type: str = "text/csv") -> None:
        self._cache = ResponseCache(max_bytes)
        self._media_type = media_type
        self.made = 0

    def get(self, path: str, headers: Headers | None = None) -> RawResponse:
        scope: dict[str, Any] = {"path": path, "query_string": b"", "headers": [*(headers or {}).items()]}
        return asyncio.run(self._get(scope, headers or {}))

    async def _get(self, scope: dict[str, Any], headers: Headers) -> RawResponse:
        kept = await self._cache.respond(scope, headers, _nothing)
        if kept is not None:
            return kept
        answer = await self._cache.answer(
            scope, self._make, tag='"1"', cache_control="no-cache", if_none_match="", is_current=lambda: True
        )
        return answer.status_code, answer.raw_headers, bytes(answer.body)

    async def _make(self) -> Response:
        self.made += 1
        return PlainTextResponse(TEXT, media_type=self._media_type)


async def _nothing() -> Message:
    raise AssertionError("a request to the cache has no body")


def test_a_response_is_compressed_once_for_all_clients_that_want_gzip() -> None:
    client = Client(1_000_000)
    first, second, plain, third = (client.get("/a", headers) for headers in (GZIP, GZIP, None, GZIP))
    assert client.made == 1
    assert first[2] is second[2] is third[2], "the same bytes object: nothing was compressed again"
    assert gzip.decompress(first[2]) == plain[2] == TEXT.encode()
    headers, plain_headers = dict(second[1]), dict(plain[1])
    assert second[1] == first[1] == third[1]
    assert (headers[b"content-encoding"], headers[b"vary"], headers[b"etag"]) == (
        b"gzip",
        b"Accept, Accept-Encoding",
        b'W/"1"',
    )
    assert int(headers[b"content-length"]) == len(second[2])
    assert b"content-encoding" not in plain_headers
    assert (plain_headers[b"etag"], int(plain_headers[b"content-length"])) == (b'"1"', len(TEXT))


def test_a_response_first_sent_without_gzip_is_compressed_once_for_later_clients() -> None:
    client = Client(1_000_000)
    plain, first, second = (client.get("/a", headers) for headers in (None, GZIP, GZIP))
    assert client.made == 1
    assert first[2] is second[2]
    assert gzip.decompress(first[2]) == plain[2]


def test_a_response_that_is_not_compressed_is_kept_once() -> None:
    client = Client(1_000_000, media_type="image/png")
    first, second = (client.get("/a", GZIP) for _ in range(2))
    assert b"content-encoding" not in dict(first[1])
    assert first[2] is second[2]


def test_the_compressed_bodies_count_in_the_memory_of_the_cache() -> None:
    compressed = len(Client(1_000_000).get("/a", GZIP)[2])
    both = 2 * (OVERHEAD_BYTES + len("/a") + len(TEXT)) + compressed
    for max_bytes, computed in ((both, 2), (both - 1, 3)):
        client = Client(max_bytes)
        for path, headers in (("/a", None), ("/b", None), ("/b", GZIP), ("/a", None)):
            assert client.get(path, headers)[0] == 200
        assert client.made == computed, "one byte less, and the older response has left the cache"


def test_a_response_that_fits_only_without_its_compressed_form_stays_in_the_cache() -> None:
    client = Client(OVERHEAD_BYTES + len("/a") + len(TEXT))
    bodies = [gzip.decompress(client.get("/a", GZIP)[2]) for _ in range(2)]
    assert bodies == [TEXT.encode()] * 2
    assert client.made == 1


def test_a_cache_without_memory_compresses_all_the_same() -> None:
    client = Client(0)
    bodies = [gzip.decompress(client.get("/a", GZIP)[2]) for _ in range(2)]
    assert bodies == [TEXT.encode()] * 2
    assert client.made == 2
