"""Responses to GET requests, kept in any format so that a repeated request is not computed again.

A response is found by the path, query and `Accept` header of the request as sent, before any of them is parsed. Once a
client has asked for it with gzip, it is kept compressed as well.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cachetools import LRUCache
from starlette.responses import Response
from starlette.types import Receive, Scope

from service.http import etags
from service.http.bodies.request_body import Headers
from service.http.front import compression
from service.http.middleware import RawResponse

OVERHEAD_BYTES = 2_000
"""Approximate size of an entry without its key and body."""

Key = tuple[str, bytes, bytes]


def key(scope: Scope, headers: Headers) -> Key:
    """What identifies the response to a request: path, query and `Accept`."""
    return scope["path"], scope["query_string"], headers.get(b"accept", b"")


@dataclass(frozen=True)
class CachedResponse:
    """A response to keep.

    Attributes:
        key: identifies its request.
        tag: its entity tag.
        is_current: tells whether the same request would still be answered with the same response.
        not_modified_headers: the headers of its 304 response.
        headers, body: of its 200 response; None and empty if only a 304 has been needed so far.
        compressed: the headers and the body of its 200 response with gzip; None if nobody has asked for that so far.
    """

    key: Key
    tag: str
    is_current: Callable[[], bool]
    not_modified_headers: Sequence[tuple[bytes, bytes]]
    headers: Sequence[tuple[bytes, bytes]] | None = None
    body: bytes = b""
    compressed: tuple[Sequence[tuple[bytes, bytes]], bytes] | None = None


class ResponseCache:
    """The most recently used responses, up to `max_bytes` in total. Only the event loop may use it."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[Key, CachedResponse] = LRUCache(max_bytes, getsizeof=_size)
        self.hits = 0
        self.misses = 0

    @property
    def total_bytes(self) -> int:
        """The size of all responses that are kept."""
        return int(self._entries.currsize)

    def keep(self, response: CachedResponse) -> None:
        """Keeps a response, in place of the least recently used ones; one larger than the whole cache is not kept."""
        with suppress(ValueError):  # raised by cachetools for a value larger than the cache
            self._entries[response.key] = response

    async def respond(self, scope: Scope, headers: Headers, _: Receive) -> RawResponse | None:
        """The kept response to a request, 304 if the client has it; see `middleware.Endpoint`."""
        cached = self._entries.get(key(scope, headers))
        if cached is None or not cached.is_current():
            self.misses += 1
            return None
        self.hits += 1
        if_none_match = headers.get(b"if-none-match")
        if if_none_match is not None and etags.is_known(cached.tag, if_none_match.decode("latin-1")):
            return 304, cached.not_modified_headers, b""
        if cached.headers is None:
            return None
        if not _is_sent_compressed(cached.headers, headers):
            return 200, cached.headers, cached.body
        return 200, *await self._compressed(cached)

    async def _compressed(self, cached: CachedResponse) -> tuple[Sequence[tuple[bytes, bytes]], bytes]:
        """The headers and the body of a kept response with gzip. Compresses it at most once if there is room for it."""
        if cached.compressed is not None:
            return cached.compressed
        assert cached.headers is not None
        made = await compression.compressed(cached.headers, cached.body)
        if self._entries.get(cached.key) is cached:  # still kept, and not replaced meanwhile
            self.keep(replace(cached, compressed=made))
        return made

    async def answer(
        self,
        scope: Scope,
        make: Callable[[], Awaitable[Response]],
        *,
        tag: str,
        cache_control: str,
        if_none_match: str,
        is_current: Callable[[], bool] | None,
    ) -> Response:
        """The response to a request that was not found here: 304 if the client has it, else what `make` returns.

        Keeps it, unless `is_current` is None because nothing can tell that without a query. `make` is not called for a
        304. The format is chosen by `Accept`. For `tag` and `is_current` see `CachedResponse`.
        """
        caching = {"ETag": tag, "Cache-Control": cache_control, "Vary": "Accept"}
        response = Response(status_code=304, headers=caching)
        not_modified_headers = response.raw_headers
        is_known = etags.is_known(tag, if_none_match)
        if not is_known:
            response = await make()
            response.headers.update(caching)
        if is_current is not None:
            headers = dict(scope["headers"])
            kept = CachedResponse(key(scope, headers), tag, is_current, not_modified_headers)
            if not is_known:
                kept = replace(kept, headers=response.raw_headers, body=bytes(response.body))
            self.keep(kept)
            if not is_known and _is_sent_compressed(response.raw_headers, headers):
                fields, response.body = await self._compressed(kept)
                response.raw_headers = [*fields]
        return response


def _is_sent_compressed(fields: Sequence[tuple[bytes, bytes]], request: Headers) -> bool:
    """Whether a 200 response with these headers is compressed for a request."""
    return compression.is_preferred(request.get(b"accept-encoding", b"")) and compression.concerns(200, fields)


def _size(response: CachedResponse) -> int:
    compressed = 0 if response.compressed is None else len(response.compressed[1])
    return OVERHEAD_BYTES + sum(map(len, response.key)) + len(response.body) + compressed
