"""Queries of URLs, read as strictly as bodies: no unknown parameters, and none that stands there twice."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from models.specs import InvalidInput


def parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query by name.

    Raises:
        InvalidInput: one of them stands there more than once.
    """
    found: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in found:
            raise InvalidInput(name, "must be given once")
        found[name] = value
    return found


async def require_known(request: Request) -> None:
    """Refuses what the route has no parameter for: a filter with a misspelt name would go unnoticed.

    Raises:
        InvalidInput: there is an unknown parameter, or one that stands there more than once.
    """
    query = request.scope["query_string"]
    if not query:
        return
    known = set(_names(request.scope["route"].dependant))
    for name in parameters(query):
        if name not in known:
            raise InvalidInput(name, "There is no such parameter.")


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        schema = field.field_info.annotation
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            yield from (part.alias or name for name, part in schema.model_fields.items())
        else:
            yield field.alias
    for dependency in dependant.dependencies:
        yield from _names(dependency)
