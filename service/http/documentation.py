"""Parts of the OpenAPI document that FastAPI cannot derive, for the `responses` of several routes."""

from typing import Any, Literal

BINARY = {"schema": {"type": "string", "format": "binary"}}
"""The media type object of a body that is not text."""


def header(
    description: str, *, kind: Literal["string", "integer"] = "string", example: str | int | None = None
) -> dict[str, Any]:
    """The header object of a response header."""
    documented = {"description": description, "schema": {"type": kind}}
    return documented if example is None else {**documented, "example": example}
