"""The OpenAPI document: FastAPI's own, and the schemas of the bodies that our routes read themselves."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.api.grids import responses
from service.api.grids.schemas import BoundaryLines
from service.api.jobs.requests import TrainRequest
from service.api.predictions.requests import PredictRequest
from service.http.problems import Problem

_REFERENCE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Makes the app describe every request body and the body of problems."""

    @cache
    def document() -> dict[str, Any]:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, definitions = models_json_schema(
            [(schema, "validation") for schema in (PredictRequest, TrainRequest, Problem)]
            + [(BoundaryLines, "serialization")],
            ref_template=_REFERENCE,
        )
        document["components"]["schemas"] |= definitions["$defs"]
        document["components"]["examples"] = responses.EXAMPLES  # not in the routes: FastAPI leaves out nulls there
        for methods in document["paths"].values():
            for operation in methods.values():
                for parameter in operation.get("parameters", []):
                    _simplify(parameter)
        return document

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _simplify(parameter: dict[str, Any]) -> None:
    """Describes a parameter as it is sent: left out instead of null, and a list as one value separated by commas."""
    schema = parameter["schema"]
    if "anyOf" in schema:
        options = [one for one in schema.pop("anyOf") if one != {"type": "null"}]
        schema |= options[0] if len(options) == 1 else {"anyOf": options}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
