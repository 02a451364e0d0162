"""Responses to GET requests, kept in any format so that a repeated request is not computed again.

A response is found by the path, query and `Accept` header of the request as sent, before any of them is parsed.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cachetools import LRUCache
from starlette.types import Receive, Scope

from service.http import etags
from service.http.middleware import RawResponse
from service.http.request_body import Headers

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
    """

    key: Key
    tag: str
    is_current: Callable[[], bool]
    not_modified_headers: Sequence[tuple[bytes, bytes]]
    headers: Sequence[tuple[bytes, bytes]] | None = None
    body: bytes = b""


class ResponseCache:
    """The most recently used responses, up to `max_bytes` in total. Only the event loop may use it."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[Key, CachedResponse] = LRUCache(max_bytes, getsizeof=_size)

    def keep(self, response: CachedResponse) -> None:
        """Keeps a response, in place of the least recently used ones; one larger than the whole cache is not kept."""
        with suppress(ValueError):  # raised by cachetools for a value larger than the cache
            self._entries[response.key] = response

    async def respond(self, scope: Scope, headers: Headers, _: Receive) -> RawResponse | None:
        """The kept response to a request, 304 if the client has it; see `middleware.Endpoint`."""
        cached = self._entries.get(key(scope, headers))
        if cached is None or not cached.is_current():
            return None
        if_none_match = headers.get(b"if-none-match")
        if if_none_match is not None and etags.is_known(cached.tag, if_none_match.decode("latin-1")):
            return 304, cached.not_modified_headers, b""
        return None if cached.headers is None else (200, cached.headers, cached.body)


def _size(response: CachedResponse) -> int:
    return OVERHEAD_BYTES + sum(map(len, response.key)) + len(response.body)
