"""JSON bodies, read strictly: no NaN, no unknown fields, numbers that are numbers."""

from typing import Any, TypeVar

from anyio import to_thread
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import UnsupportedMediaType

LARGE_BYTES = 64 * 1024
"""A body beyond this is parsed in a thread, so that it keeps nobody else waiting."""


class Body(BaseModel):
    """Base of the schemas of request bodies."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


AnyBody = TypeVar("AnyBody", bound=Body)


async def read(request: Request, schema: type[AnyBody]) -> AnyBody:
    """The request's body as `schema`.

    Raises:
        UnsupportedMediaType: it is not declared as JSON.
        RequestValidationError: it is not JSON, or not of that schema.
        HTTPException: it is larger than the app allows (status 413).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send JSON with Content-Type: application/json.")
    content = await request.body()
    if len(content) > LARGE_BYTES:
        return await to_thread.run_sync(_parse, content, schema)
    return _parse(content, schema)


def _parse(content: bytes, schema: type[AnyBody]) -> AnyBody:
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        raise RequestValidationError(
            error.errors(include_url=False, include_context=False, include_input=False)
        ) from None


def documented(schema: type[Body]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads such a body."""
    reference = {"$ref": f"#/components/schemas/{schema.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}
