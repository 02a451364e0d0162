"""Query strings, read as strictly as bodies: no unknown and no repeated parameters."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from service.http.problems import InvalidParameter


def parse(query: bytes) -> dict[str, str]:
    """The parameters of a query string by name.

    Raises:
        InvalidParameter: a parameter is repeated.
    """
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in parameters:
            raise InvalidParameter(name, "must be given only once")
        parameters[name] = value
    return parameters


async def require_known(request: Request) -> None:
    """Rejects parameters that the route does not have, because a misspelt filter would otherwise be ignored.

    Raises:
        InvalidParameter: a parameter is unknown or repeated.
    """
    query = request.scope["query_string"]
    if not query:
        return
    known = set(_names(request.scope["route"].dependant))
    for name in parse(query):
        if name not in known:
            raise InvalidParameter(name, "is unknown; check its spelling")


def _names(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        schema = field.field_info.annotation
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            yield from (part.alias or name for name, part in schema.model_fields.items())
        else:
            yield field.alias
    for dependency in dependant.dependencies:
        yield from _names(dependency)
