"""Query strings, read as strictly as bodies: no unknown parameters, and only lists may be repeated."""

from collections.abc import Collection, Iterator
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import AfterValidator, BaseModel, WithJsonSchema

from service.http.problems import InvalidParameter


def _split(items: list[str]) -> list[str]:
    return ",".join(items).split(",")


CommaList = Annotated[list[str], AfterValidator(_split)]
"""A list of texts, sent as one parameter with commas, or as one parameter for each item."""


def list_of(items: dict[str, Any], **bounds: Any) -> WithJsonSchema:
    """The JSON schema of a `CommaList` whose items have the schema `items`."""
    return WithJsonSchema({"type": "array", "items": items, **bounds})


def parse(query: bytes, *, lists: Collection[str] = ()) -> dict[str, str]:
    """The parameters of a query string by name. The items of `lists` are joined by commas.

    Raises:
        InvalidParameter: a parameter that is no list is repeated.
    """
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in parameters:
            parameters[name] = value
        elif name in lists:
            parameters[name] += f",{value}"
        else:
            raise InvalidParameter(name, "must be given only once")
    return parameters


async def require_known(request: Request) -> None:
    """Rejects parameters that the route does not have, because a misspelled filter would otherwise be ignored.

    Raises:
        InvalidParameter: a parameter is unknown or repeated.
    """
    query = request.scope["query_string"]
    if not query:
        return
    known = dict(_annotations(request.scope["route"].dependant))
    for name in parse(query, lists=[name for name, annotation in known.items() if _is_list(annotation)]):
        if name not in known:
            raise InvalidParameter(name, "is unknown; check its spelling")


def _annotations(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """The name and the type of each parameter."""
    for field in dependant.query_params:
        schema = field.field_info.annotation
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            yield from ((part.alias or name, part.annotation) for name, part in schema.model_fields.items())
        else:
            yield field.alias, schema
    for dependency in dependant.dependencies:
        yield from _annotations(dependency)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
