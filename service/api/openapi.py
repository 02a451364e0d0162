"""The OpenAPI document: FastAPI's own, the schemas that it does not know, and what client generators need."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from service.access.keys import Role
from service.api import roles
from service.api.examples import EXAMPLES
from service.api.grids import responses
from service.api.grids.schemas import BoundaryLines
from service.api.inference_protocol.schemas import IndexRequest, InferRequest, ProtocolError, RepositoryRequest
from service.api.invocations import InvocationsRequest
from service.api.jobs.event_schemas import StreamEvent
from service.api.jobs.requests import TrainRequest
from service.api.models.aliases import AliasTarget
from service.api.models.corrections import CorrectionsRequest
from service.api.models.network_document import EnsembleDocument, NetworkDocument
from service.api.models.schemas import ModelSettings
from service.api.predictions.requests import PredictRequest
from service.http import documentation
from service.http.front.prefix import prefixed
from service.http.problems import Problem

_REFERENCE = "#/components/schemas/{model}"

_REQUESTS: tuple[type[BaseModel], ...] = (
    *(PredictRequest, InvocationsRequest, TrainRequest, AliasTarget, CorrectionsRequest, ModelSettings),
    *(InferRequest, IndexRequest, RepositoryRequest),
)
"""The schemas of the bodies that our routes read themselves."""

_RESPONSES: tuple[type[BaseModel], ...] = (
    *(Problem, BoundaryLines, StreamEvent, ProtocolError),
    *(NetworkDocument, EnsembleDocument),
)
"""The schemas of responses that no route names."""

SERVER = "The service that serves this document."

LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}

TAGS = [
    {"name": "predictions", "description": "The classes of points, by a published version of a model."},
    {"name": "boundary", "description": "A model's response on a grid, and its decision boundary as lines."},
    {"name": "inference protocol", "description": "The Open Inference Protocol v2, as `tritonclient` speaks it."},
    {"name": "training", "description": "Training jobs: submit, follow, pause, resume, cancel and retry them."},
    {"name": "models", "description": "Published models. Every training publishes an immutable version of one."},
    {"name": "data sets", "description": "Labeled points to train on: generators, and your own points under a name."},
    {"name": "operation", "description": "For the operators of the service: health checks and metrics."},
]

_REQUEST_ID = documentation.header(
    "Names the request in the log of the service. It is the client's own, if it sent a valid one."
)


SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that the operator has added. A service without keys ignores it.",
}


def operation_id(route: APIRoute) -> str:
    """The id of an operation: the name of its function, such as `getModel`."""
    return to_camel(route.name)


def install(app: FastAPI) -> None:
    """Makes the app describe its requests and responses as client generators need them."""

    @cache
    def document() -> dict[str, Any]:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            license_info=LICENSE,
            tags=TAGS,
        )
        document["components"]["securitySchemes"] = {"key": SECURITY_SCHEME}
        document["security"] = [{"key": []}, {}]  # a service without keys needs none
        for (method, path), role in roles.by_route().items():
            if role is Role.PUBLIC and path in document["paths"]:
                document["paths"][path][method.lower()]["security"] = []
        document["components"]["headers"] = {"X-Request-ID": _REQUEST_ID}
        document["components"]["examples"] = responses.EXAMPLES
        schemas = document["components"]["schemas"]
        schemas |= _definitions(_RESPONSES, "serialization")
        requests = _definitions(_REQUESTS, "validation")
        for name, schema in schemas.items():
            if name not in requests:
                _describe_response(schema)
        schemas |= requests
        for schema in schemas.values():
            _drop_titles(schema)
            _drop_defaults(schema)
        for kind, example in EXAMPLES.items():
            schemas[kind.__name__]["examples"] = [example]
        for operation in [one for methods in document["paths"].values() for one in methods.values()]:
            for parameter in operation.get("parameters", []):
                _simplify(parameter)
            for response in operation["responses"].values():
                _complete(response, operation, schemas)
        return document

    def document_of_request() -> dict[str, Any]:
        return document() | {"servers": [{"url": prefixed("") or "/", "description": SERVER}]}

    app.openapi = document_of_request  # type: ignore[method-assign]  # FastAPI's documented way


def _definitions(schemas: tuple[type[BaseModel], ...], mode: Any) -> dict[str, Any]:
    """The definitions of some schemas, and of those that they refer to, by name."""
    _, definitions = models_json_schema([(schema, mode) for schema in schemas], ref_template=_REFERENCE)
    found: dict[str, Any] = definitions["$defs"]
    return found


def _describe_response(schema: dict[str, Any]) -> None:
    """A constant is always there. A field that may be left out is never null instead."""
    properties = schema.get("properties", {})
    constants = [name for name, part in properties.items() if "const" in part]
    required = [name for name in properties if name in constants or name in schema.get("required", [])]
    if required:
        schema["required"] = required
    for name, part in properties.items():
        if name not in required:
            _drop_null(part)


def _drop_null(schema: dict[str, Any]) -> None:
    if "anyOf" in schema:
        options = [one for one in schema.pop("anyOf") if one != {"type": "null"}]
        schema |= options[0] if len(options) == 1 else {"anyOf": options}


def _drop_titles(part: Any) -> None:
    """Removes the titles, which only repeat the names of fields."""
    if isinstance(part, dict):
        if isinstance(part.get("title"), str):
            del part["title"]
        for key, value in part.items():
            if key not in ("examples", "default"):
                _drop_titles(value)
    elif isinstance(part, list):
        for value in part:
            _drop_titles(value)


def _drop_defaults(schema: dict[str, Any]) -> None:
    """Moves each default into the description, because client generators make fields with a default required."""
    for part in schema.get("properties", {}).values():
        default = part.pop("default", None)
        if isinstance(default, int | float | str) and "const" not in part:
            part["description"] = f"{part.get('description', '')} By default {default}.".strip()


def _simplify(parameter: dict[str, Any]) -> None:
    """Describes a parameter as it is sent: left out instead of null, and a list as one value separated by commas."""
    schema = parameter["schema"]
    _drop_null(schema)
    _drop_titles(schema)
    schema.pop("description", None)  # the parameter has the same
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}


def _complete(response: dict[str, Any], operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Adds the header of every response, and a description in place of FastAPI's, which says nothing."""
    headers = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    response["headers"] = response.get("headers", {}) | headers
    for content in response.get("content", {}).values():
        _drop_titles(content)
    if response["description"] == "Successful Response":
        reference = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
        schema = schemas.get(reference.rpartition("/")[2], {})
        response["description"] = schema.get("description") or operation["description"]
