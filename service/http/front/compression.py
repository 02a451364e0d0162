"""Compresses large responses of text with gzip for clients that accept it (RFC 9110, 8.4.1 and 12.5.3)."""

import re
from collections.abc import Sequence
from functools import lru_cache

from anyio import to_thread
from isal import isal_zlib

from service.http.bodies.request_body import Headers

MIN_BYTES = 14_600
"""Minimum length of a compressed response: ten TCP segments, the initial congestion window. Compression would not make
a shorter response arrive sooner."""

THREAD_BYTES = 200_000
"""Minimum length of a response that is compressed in a thread: about a millisecond of work."""

LEVEL = 1
"""Compression level of isal: 2.7 times shorter, at 200 MB/s. zlib needs ten times as long for the same."""

MEDIA_TYPES = frozenset(
    {
        *(b"application/json", b"application/geo+json", b"application/problem+json", b"image/svg+xml"),
        *(b"text/css", b"text/csv", b"text/html", b"text/javascript", b"text/plain"),
    }
)
"""What is compressed. Arrays hardly become shorter, and pictures are compressed already."""

Fields = Sequence[tuple[bytes, bytes]]


def concerns(status: int, fields: Fields) -> bool:
    """Whether `negotiated` may change a response with these headers."""
    if status == 304:
        return True
    headers = dict(fields)
    return (
        int(headers.get(b"content-length", 0)) >= MIN_BYTES
        and headers.get(b"content-type", b"").partition(b";")[0] in MEDIA_TYPES
        and b"content-encoding" not in headers
    )


async def negotiated(status: int, fields: Fields, body: bytes, request: Headers) -> tuple[Fields, bytes]:
    """The headers and the body of a response that this module concerns, in the encoding that the request prefers.

    Its `Vary` names `Accept-Encoding` in any case. A 304 response has the entity tag in the form in which the client
    has it.
    """
    if status == 304:
        fields = _varying(fields)
        return _with_weak_tag(fields) if b"W/" in request.get(b"if-none-match", b"") else fields, body
    if not is_preferred(request.get(b"accept-encoding", b"")):
        return _varying(fields), body
    return await compressed(fields, body)


async def compressed(fields: Fields, body: bytes) -> tuple[Fields, bytes]:
    """The headers and the body of a response that this module concerns, compressed.

    Its entity tag is weak, because the other encoding has the same tag and other bytes.
    """
    body = _gzip(body) if len(body) < THREAD_BYTES else await to_thread.run_sync(_gzip, body)
    kept = [field for field in _with_weak_tag(_varying(fields)) if field[0] != b"content-length"]
    return [*kept, (b"content-length", b"%d" % len(body)), (b"content-encoding", b"gzip")], body


@lru_cache(maxsize=100)
def is_preferred(accept_encoding: bytes) -> bool:
    """Whether a client accepts gzip, and does not prefer the content as it is."""
    quality: dict[bytes, float] = {}
    for part in accept_encoding.lower().split(b","):
        coding, _, parameters = part.strip().partition(b";")
        found = re.fullmatch(rb"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", parameters) if parameters else None
        if not parameters or found:
            quality[coding.strip().removeprefix(b"x-")] = float(found[1]) if found else 1.0
    gzip = quality.get(b"gzip", quality.get(b"*", 0.0))
    return gzip > 0 and gzip >= quality.get(b"identity", 0.0)


def _varying(fields: Fields) -> Fields:
    given = [value for name, value in fields if name == b"vary" and value != b"Accept-Encoding"]
    vary = b", ".join([*given, b"Accept-Encoding"])
    return [*(field for field in fields if field[0] != b"vary"), (b"vary", vary)]


def _with_weak_tag(fields: Fields) -> Fields:
    return [
        (name, b"W/" + value) if name == b"etag" and not value.startswith(b"W/") else (name, value)
        for name, value in fields
    ]


def _gzip(body: bytes) -> bytes:
    compressor = isal_zlib.compressobj(LEVEL, wbits=16 + isal_zlib.MAX_WBITS)  # with the header of gzip
    compressed: bytes = compressor.compress(body) + compressor.flush()
    return compressed
