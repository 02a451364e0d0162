"""The OpenAPI document: FastAPI's own, and the schemas of the bodies that our routes read themselves."""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

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
            [(schema, "validation") for schema in (PredictRequest, TrainRequest, Problem)], ref_template=_REFERENCE
        )
        document["components"]["schemas"] |= definitions["$defs"]
        return document

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way
