"""Request headers and bodies, read strictly: bounded in size, no NaN, no unknown fields, no strings for numbers."""

import codecs
import re
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import move_on_after, to_thread
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from models.limits import MAX_FEATURES, MAX_POINTS
from models.specs import InvalidInput
from service.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType
from service.http.bodies import json_rows
from service.http.bodies.held_bodies import HeldBodies
from service.http.bodies.json_rows import Rows
from service.http.problems import Place
from service.http.schema import Body
from service.json_keys import repeated_key

MAX_MARKS = {
    b"[": ("lists", MAX_POINTS + 1_000),
    b"{": ("objects", MAX_POINTS + 1_000),
    b'"': ("quotes", 620_000),
    b",": ("values", 400_000),
}
"""The largest numbers of brackets, quotes and commas in a JSON body. They bound the number of its values. Those inside
strings count too; marks of points in rows or records of numbers do not, see `json_rows`.

Parsing holds the interpreter lock: for a tenth of a second at these bounds, but for many seconds, and with gigabytes of
memory, if only the number of bytes were bounded.
"""

MAX_FIELDS = MAX_FEATURES
"""Maximum number of fields of one object: as many as a record of a point has. A schema reports every unknown field,
which takes some 10 us and a kilobyte for each."""

LARGE_BYTES = 200_000
"""Maximum length of a body that the event loop parses, in a millisecond or two. Longer ones take up to 0.2 s, in a
thread.

Only one of the bodies with a schema is parsed at a time. Parsing holds the interpreter lock: if several threads did it,
a small request could wait for all of them in turn.
"""

PARSING = Lock()
"""Held while a large body is parsed, and for `PAUSE_S` after that."""

PAUSE_S = 0.005
"""How long no large body is parsed after one, in seconds, so that the event loop can answer small requests."""

JSON = "application/json"

CHARSETS = {"utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be"}
"""Encodings of text that are read. The first bytes show which one it is."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\";\s]+)")

Headers = Mapping[bytes, bytes]
"""The headers of a request by lower-case name."""


AnyBody = TypeVar("AnyBody", bound=Body)

if TYPE_CHECKING:
    Decompressor = zlib._Decompress  # zlib names the type in its stubs only

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""What zlib calls the format of each `Content-Encoding`: it accepts the header of this format only."""


def headers_of(scope: Scope) -> Headers:
    """The headers of a request. The values of a repeated header are joined with commas (RFC 9110, 5.3)."""
    headers = dict(scope["headers"])
    if len(headers) < len(scope["headers"]):
        for name in headers:
            headers[name] = b", ".join(value for other, value in scope["headers"] if other == name)
    return headers


def header(headers: Headers, name: bytes) -> str:
    """The value of a header by its lower-case name; empty if the request does not have it."""
    return headers.get(name, b"").decode("latin-1")


def declared_bytes(headers: Headers) -> int:
    """The length of the body that the client declares; 0 if it does not say."""
    return int(headers.get(b"content-length", 0))  # the server has checked that it is a number


def media_type(headers: Headers) -> str:
    """The media type of the body in lower case, without parameters.

    Raises:
        UnsupportedMediaType: the body is text in another encoding than UTF-8 or UTF-16.
    """
    kind, _, parameters = header(headers, b"content-type").lower().partition(";")
    charset = _CHARSET.search(parameters)
    if charset and kind.startswith("text/") and charset[1] not in CHARSETS:
        raise UnsupportedMediaType("Send text in UTF-8 or UTF-16, and name no other charset in Content-Type.")
    return kind.strip()


async def read(headers: Headers, receive: Receive, schema: type[AnyBody], bodies: HeldBodies) -> AnyBody:
    """The JSON body of a request as `schema`.

    Raises:
        UnsupportedMediaType: the `Content-Type` is not JSON.
        RequestValidationError: the body is not JSON or does not fit the schema.
        InvalidInput: the body holds more values than any request may, or an object has a key several times.
        BodyTooLarge, BodyTooSlow, TooManyBodies, ClientDisconnect: see `content`.
    """
    if media_type(headers) != JSON:
        raise UnsupportedMediaType("Send JSON with Content-Type: application/json.")
    text = await content(headers, receive, bodies)
    if len(text) > LARGE_BYTES:
        return await to_thread.run_sync(validated, text, schema)
    return validated(text, schema)


def validated(text: bytes, schema: type[AnyBody]) -> AnyBody:
    """JSON text as `schema`. Call it in a thread if the text has more than `LARGE_BYTES`.

    Raises:
        RequestValidationError: the text is not JSON or does not fit the schema.
        InvalidInput: the text holds more values than any request may, or an object has a key several times.
    """
    text = without_mark(text)
    rows = Rows.of(text) if len(text) >= json_rows.MIN_BYTES else None
    if rows is not None:
        try:
            found = _validated(rows.rest, schema, rows)
        except RequestValidationError:
            if rows.is_taken:
                raise
        else:
            if rows.is_taken:
                return found
    return _validated(text, schema)


def _validated(text: bytes, schema: type[AnyBody], rows: Rows | None = None) -> AnyBody:
    """JSON text as `schema`, which takes `rows` where the text has `json_rows.MARK`. Raises as `validated`."""
    check_size(text)
    with _alone() if len(text) > LARGE_BYTES else nullcontext():
        if text.count(b":") > MAX_FIELDS:
            _check_objects(text)
        try:
            found = schema.model_validate_json(text, context=rows)
        except ValidationError as error:
            raise request_error(error) from None
        check_keys(text)
        return found


@contextmanager
def _alone() -> Iterator[None]:
    """Lets one thread at a time run the block."""
    with PARSING:
        try:
            yield
        finally:
            time.sleep(PAUSE_S)


def check_keys(text: bytes) -> None:
    """Checks that no object of a JSON text repeats a key.

    Raises:
        InvalidInput: one does; the field is the key.
    """
    if (key := repeated_key(text)) is not None:
        raise InvalidInput(key, "has several values in one object: give it once")


def check_size(text: bytes) -> None:
    """Checks that JSON text holds no more values than any request may, see `MAX_MARKS`.

    Raises:
        InvalidInput: it holds more.
    """
    for mark, (name, most) in MAX_MARKS.items():
        if text.count(mark) > most:
            reason = f"must have at most {most:,} {name}, apart from points that are records or rows of equal length"
            raise InvalidInput("body", f"{reason}; send less in one request")


def _check_objects(text: bytes) -> None:
    try:
        waiting = [from_json(text)]
    except ValueError:  # not JSON, as the schema will say
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if len(value) > MAX_FIELDS:
                raise InvalidInput("body", f"must have at most {MAX_FIELDS:,} fields in each object")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(one for one in value if isinstance(one, dict | list))


def without_mark(text: bytes) -> bytes:
    """The text without a byte order mark, which some programs on Windows put before it."""
    return text.removeprefix(codecs.BOM_UTF8)


def request_error(error: ValidationError, *, place: Place = "body") -> RequestValidationError:
    """The error that `problems` answers for an error of a schema, without what the client sent."""
    found = error.errors(include_url=False, include_input=False)
    return RequestValidationError([{**one, "loc": (place, *one["loc"])} for one in found])


async def content(headers: Headers, receive: Receive, bodies: HeldBodies) -> bytes:
    """The bytes of the body, decompressed if it is gzip or deflate.

    Receives and decompresses at most `max_body_bytes` and one chunk. The body counts in `bodies` until the end.

    Raises:
        BodyTooLarge: the body is longer.
        BodyTooSlow: the next part of the body did not arrive within `body_timeout_s`.
        TooManyBodies: the bodies of all requests together would exceed the limit.
        UnsupportedMediaType: the body has another `Content-Encoding`.
        InvalidInput: the body is not the stream that its `Content-Encoding` declares.
        ClientDisconnect: the client went away before the end of the body.
    """
    decompressor, most = decompressor_of(headers), bodies.max_body_bytes
    held, length = bodies.hold(), 0
    chunks: list[bytes] = []
    async for chunk in received(headers, receive, max_bytes=most, timeout_s=bodies.body_timeout_s):
        length += len(chunk)
        held.resize(length)
        chunks.append(chunk)
    body = b"".join(chunks)
    if decompressor is None:
        return body
    held.resize(most)  # the most that it can become
    found = await to_thread.run_sync(_decompressed, decompressor, body, most)
    held.resize(len(found))
    return found


def decompressor_of(headers: Headers) -> "Decompressor | None":
    """What decompresses the body by its `Content-Encoding`; None if it is not compressed. `deflate` is zlib's format.

    Raises:
        UnsupportedMediaType: the body has another `Content-Encoding`.
    """
    encoding = header(headers, b"content-encoding").strip().lower() if b"content-encoding" in headers else ""
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOWS:
        raise UnsupportedMediaType("Send the body without Content-Encoding, or with Content-Encoding: gzip or deflate.")
    return zlib.decompressobj(wbits=_WINDOWS[encoding])


async def received(headers: Headers, receive: Receive, *, max_bytes: int, timeout_s: float) -> AsyncIterator[bytes]:
    """The parts of the body as they arrive.

    Raises:
        BodyTooLarge: the body is longer than `max_bytes`.
        BodyTooSlow: the next part of the body did not arrive within `timeout_s`.
        ClientDisconnect: the client went away before the end of the body.
    """
    if declared_bytes(headers) > max_bytes:
        raise too_large(max_bytes)
    length = 0
    message = await receive()  # the whole body in most cases, already received by the server
    while message["type"] != "http.disconnect":
        length += len(message["body"])
        if length > max_bytes:
            raise too_large(max_bytes)
        yield message["body"]
        if not message["more_body"]:
            return
        with move_on_after(timeout_s) as timeout:
            message = await receive()
        if timeout.cancelled_caught:
            raise BodyTooSlow(f"Send the body without pauses of more than {timeout_s:g} seconds.")
    raise ClientDisconnect


def _decompressed(decompressor: "Decompressor", body: bytes, max_bytes: int) -> bytes:
    try:
        content = decompressor.decompress(body, max_bytes + 1)
    except zlib.error:
        raise not_as_declared() from None
    if len(content) > max_bytes:
        raise too_large(max_bytes)
    if not decompressor.eof or decompressor.unused_data:
        raise incomplete()
    return content


def not_as_declared() -> InvalidInput:
    """The error for a body that is not compressed as its header says."""
    return InvalidInput("body", "must be gzip or deflate, as its Content-Encoding says")


def incomplete() -> InvalidInput:
    """The error for a compressed body that ends too early or too late."""
    return InvalidInput("body", "must be exactly one complete gzip or deflate stream")


def too_large(max_bytes: int) -> BodyTooLarge:
    """The error for a body of more than `max_bytes`."""
    return BodyTooLarge(f"Send at most {max_bytes:,} bytes. Split the points over several requests.")


def documented(
    schema: type[BaseModel], *, also: Mapping[str, Any] | None = None, required: bool = True
) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads `schema` as JSON, or a body of one of the media types `also`."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": required, "content": {JSON: {"schema": reference}, **(also or {})}}}
