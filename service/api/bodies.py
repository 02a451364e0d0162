"""JSON bodies, read strictly: no NaN, no unknown fields, numbers that are numbers."""

from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from models.specs import MAX_POINTS, InvalidInput
from service.errors import BodyTooLarge, UnsupportedMediaType

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


class Body(BaseModel):
    """Base of the schemas of request bodies."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


AnyBody = TypeVar("AnyBody", bound=Body)


async def read(request: Request, schema: type[AnyBody], *, max_bytes: int) -> AnyBody:
    """The request's body as `schema`.

    Raises:
        UnsupportedMediaType: it is not declared as JSON.
        RequestValidationError: it is not JSON, or not of that schema.
        InvalidInput: it holds more values than any request may.
        BodyTooLarge: it is longer than `max_bytes`.
    """
    if media_type(request) != "application/json":
        raise UnsupportedMediaType("Send JSON with Content-Type: application/json.")
    text = await content(request, max_bytes)
    for mark, (name, most) in MAX_MARKS.items():
        if text.count(mark) > most:
            raise InvalidInput("body", f"at most {most:,} {name}: send less at once")
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


def media_type(request: Request) -> str:
    """What the body is declared to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def content(request: Request, max_bytes: int) -> bytes:
    """The body's bytes, of which no more than `max_bytes` and one chunk are read.

    Raises:
        BodyTooLarge: there are more.
    """
    too_large = BodyTooLarge(f"At most {max_bytes:,} bytes are read; send the points in several requests.")
    if int(request.headers.get("content-length", "0")) > max_bytes:  # the server has seen to it that it is a number
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def documented(schema: type[Body], *, also: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads such a body, or one of the media types `also`."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}, **(also or {})}}}
