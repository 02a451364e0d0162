"""Bodies of requests, read strictly: no more than allowed, no NaN, no unknown fields, numbers that are numbers."""

import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

from anyio import move_on_after, to_thread
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from models.limits import MAX_POINTS
from models.specs import InvalidInput
from service.errors import BodyTooLarge, BodyTooSlow, UnsupportedMediaType
from service.http.schema import Body
from service.settings import Settings

MAX_MARKS = {
    b"[": ("lists", 2 * MAX_POINTS + 1_000),
    b"{": ("objects", 1_000),
    b'"': ("quotes", 2 * MAX_POINTS + 1_000),
    b",": ("values", 2_000_000),
}
"""Most brackets, quotes and commas of a body, and so most of what it can hold; in labels they count too.

Parsing holds the interpreter, for less than a second at these bounds. With no bound but that on bytes it would be many
seconds, and gigabytes.
"""

JSON = "application/json"

Headers = Mapping[bytes, bytes]
"""Of a request, by name in lower case."""


AnyBody = TypeVar("AnyBody", bound=Body)


async def read(headers: Headers, receive: Receive, schema: type[AnyBody], settings: Settings) -> AnyBody:
    """The request's body, JSON, as `schema`.

    Raises:
        UnsupportedMediaType: it is not declared as JSON.
        RequestValidationError: it is not JSON, or not of that schema.
        InvalidInput: it holds more values than any request may.
        BodyTooLarge, BodyTooSlow: as `content`.
    """
    if media_type(headers) != JSON:
        raise UnsupportedMediaType("Send JSON with Content-Type: application/json.")
    return validated(await content(headers, receive, settings), schema)


def validated(text: bytes, schema: type[AnyBody]) -> AnyBody:
    """JSON as `schema`.

    Raises:
        RequestValidationError: it is not JSON, or not of that schema.
        InvalidInput: it holds more values than any request may.
    """
    for mark, (name, most) in MAX_MARKS.items():
        if text.count(mark) > most:
            raise InvalidInput("body", f"at most {most:,} {name}: send less at once")
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> RequestValidationError:
    """The error of a schema as one that `problems` answers, without what the client sent."""
    return RequestValidationError(error.errors(include_url=False, include_input=False))


def headers_of(scope: Scope) -> Headers:
    """A request's headers by name; the values of one that stands there several times as one list (RFC 9110, 5.3)."""
    headers = dict(scope["headers"])
    if len(headers) < len(scope["headers"]):
        for name in headers:
            headers[name] = b", ".join(value for other, value in scope["headers"] if other == name)
    return headers


def header(headers: Headers, name: bytes) -> str:
    """The value of a header, by its name in lower case; empty if the request has none."""
    return headers.get(name, b"").decode("latin-1")


def media_type(headers: Headers) -> str:
    """What the body is declared to be, without parameters."""
    return header(headers, b"content-type").partition(";")[0].strip().lower()


async def content(headers: Headers, receive: Receive, settings: Settings) -> bytes:
    """The body's bytes, unpacked if it is gzip.

    No more than `max_body_bytes` and one chunk are read, or unpacked.

    Raises:
        BodyTooLarge: there are more.
        BodyTooSlow: nothing more of it came for `body_timeout_s`.
        UnsupportedMediaType: it is packed in another way.
        InvalidInput: it is declared as gzip, and is not.
    """
    encoding = header(headers, b"content-encoding").strip().lower() if b"content-encoding" in headers else ""
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise UnsupportedMediaType("Send the body as it is, or with Content-Encoding: gzip.")
    body = await _received(headers, receive, settings)
    if encoding in ("", "identity"):
        return body
    return await to_thread.run_sync(_unpacked, body, settings.max_body_bytes)


async def _received(headers: Headers, receive: Receive, settings: Settings) -> bytes:
    max_bytes = settings.max_body_bytes
    if int(headers.get(b"content-length", 0)) > max_bytes:  # the server has seen to it that it is a number
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    length = 0
    message = await receive()  # nearly always all of it, and there already
    while message["type"] != "http.disconnect":
        parts.append(message["body"])
        length += len(message["body"])
        if length > max_bytes:
            raise _too_large(max_bytes)
        if not message["more_body"]:
            return b"".join(parts)
        with move_on_after(settings.body_timeout_s) as silence:
            message = await receive()
        if silence.cancelled_caught:
            raise BodyTooSlow("Send it without long pauses.")
    raise ClientDisconnect


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # gzip's own header, no other
    try:
        unpacked = unpacker.decompress(body, max_bytes + 1)
    except zlib.error:
        raise InvalidInput("body", "must be gzip, as its Content-Encoding says") from None
    if len(unpacked) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidInput("body", "must be one whole gzip stream, and nothing after it")
    return unpacked


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"At most {max_bytes:,} bytes are read; send the points in several requests.")


def documented(schema: type[Body], *, also: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads such a body, or one of the media types `also`."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": reference}, **(also or {})}}}
