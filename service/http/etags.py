"""Validators and lifetimes for HTTP caches: entity tags and `If-None-Match` (RFC 9110, 8.8.3 and 13.1.2)."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Response

from service.http.documentation import header

FOR_EVER = "max-age=31536000, immutable"
"""`Cache-Control` of a response that never changes, such as a grid of a numbered version: one year."""

REVALIDATE = "no-cache"
"""`Cache-Control` of a response that may change: a cache may store it but must revalidate it before each use."""

NO_STORE = "no-store"
"""`Cache-Control` of a response that is outdated a moment later, such as a grid of a running training."""

IfNoneMatch = Annotated[str, Header(alias="If-None-Match", description="The `ETag`s of responses that the client has.")]
"""The header as an argument of a route."""


def documented(lifetime: str = "Revalidate before each use.", *, is_negotiated: bool = True) -> dict[str, Any]:
    """The headers of a response with a tag, for the OpenAPI document.

    Args:
        lifetime: what `Cache-Control` says.
        is_negotiated: whether `Accept` may choose the format.
    """
    headers = {
        "ETag": header("Identifies the response, for `If-None-Match`.", example='"3f6c1d"'),
        "Cache-Control": header(lifetime, example=REVALIDATE),
    }
    if is_negotiated:
        headers["Vary"] = header("The request header that chooses the format.", example="Accept")
    return headers


def not_modified(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The response 304 with these headers, for the OpenAPI document."""
    return {"description": "The client has this response: its `If-None-Match` names the `ETag`.", "headers": headers}


def entity_tag(*parts: Any) -> str:
    """A strong entity tag. `parts` is everything that decides the bytes of the response, as JSON values."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f'"{digest[:32]}"'


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether `If-None-Match` names the tag. Tags are compared weakly; `*` names no tag."""
    return tag in (one.strip().removeprefix("W/") for one in if_none_match.split(","))


def respond(
    body: str | bytes, tag: str, if_none_match: str, *, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The body with its tag, to be revalidated before each use; 304 without it if `If-None-Match` names the tag."""
    all_headers = {**(headers or {}), "ETag": tag, "Cache-Control": REVALIDATE}
    if is_known(tag, if_none_match):
        return Response(status_code=304, headers=all_headers)
    return Response(body, headers=all_headers, media_type=media_type)
