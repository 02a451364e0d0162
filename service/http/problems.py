"""Errors as HTTP: one body for all (RFC 9457, with an `error` string beside), and one table of statuses."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from models.specs import InvalidInput
from service import errors
from service.errors import ServiceError
from service.http.patterns import (
    AXES_PATTERN,
    JOB_ID_PATTERN,
    JOB_IDS_PATTERN,
    KEY_PATTERN,
    PARTS_PATTERN,
    RESOLUTION_PATTERN,
    UNIT_PATTERN,
)
from service.records import NAME_PATTERN, NAME_RULE

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[ServiceError], int] = {
    errors.ModelNotFound: 404,
    errors.VersionNotFound: 404,
    errors.VersionBroken: 503,
    errors.DatasetNotFound: 404,
    errors.JobNotFound: 404,
    errors.NothingKept: 404,
    errors.WrongState: 409,
    errors.KeyReused: 422,
    errors.QueueFull: 429,
    errors.TooManyStreams: 503,
    errors.NotReady: 503,
    errors.StoreUnavailable: 503,
    errors.FolderUnavailable: 503,
    errors.BodyTooLarge: 413,
    errors.BodyTooSlow: 408,
    errors.UnsupportedMediaType: 415,
    errors.NotAcceptable: 406,
}

RETRY_AFTER = {
    errors.QueueFull: "1",
    errors.TooManyStreams: "5",
    errors.NotReady: "1",
    errors.StoreUnavailable: "1",
    errors.FolderUnavailable: "5",
}
"""Seconds after which the same request may well succeed."""

PATTERN_RULES = {
    NAME_PATTERN: NAME_RULE,
    JOB_ID_PATTERN: "must be the id of a job, 24 hexadecimal digits",
    JOB_IDS_PATTERN: "must be 1 to 20 ids of jobs, each 24 hexadecimal digits, with commas between",
    KEY_PATTERN: "must be 1 to 255 visible ASCII characters, in quotes or not",
    PARTS_PATTERN: "must be some of labels, probabilities and logits, with commas between",
    AXES_PATTERN: "must be one feature or two, counted from 0, such as 0,2",
    UNIT_PATTERN: "must be layer.index, both counted from 0, such as 0.3",
    RESOLUTION_PATTERN: "must be W or WxH, such as 200 or 320x240",
}
"""What each pattern of our schemas asks for, in words."""

MAX_FIELDS = 10
"""Most fields that one answer names: enough to mend a request by, little enough to read."""

MAX_STEPS = 8
"""Most steps of a field's path that are named; ours have five at most."""

_HTTP_CODES = {
    400: ("malformed-request", "The request cannot be read"),
    404: ("no-such-path", "No such path"),
    405: ("method-not-allowed", "The path does not take this method"),
}

_NO_STEPS = (
    *("body", "query", "path", "header"),  # where in the request a field is
    *("generated", "given", "integer", "string"),  # what the schemas call the alternatives of a field
    "[key]",  # what pydantic adds to a key that is at fault itself
)
"""What is no part of a field's path as the client wrote it."""


class FieldProblem(BaseModel):
    """One field that is not as it should be."""

    field: str = Field(description="Dotted path of the field, such as `points.3.1` or `training.epochs`.")
    detail: str = Field(description="What is wrong with it, or what is allowed.")


class Problem(BaseModel):
    """Why a request was not done (RFC 9457)."""

    type: str = Field(description="`urn:separatrix:problem:` and a code that never changes.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong with this request and what to do about it.")
    error: str = Field(description="Title and detail in one line, for clients that show a string.")
    errors: list[FieldProblem] = Field(description="The fields at fault; empty if it is none of them.")


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in (("4XX", "The request cannot be done as asked."), ("5XX", "The service is at fault."))
}
"""For the OpenAPI document of every route."""


def problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for a request that was not done."""
    body = Problem(
        type=f"urn:separatrix:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        error=f"{title}: {detail}",
        errors=list(fields),
    )
    content = orjson.dumps(body.model_dump())
    return Response(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Has the app answer every error with a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        answer = response(error)
        if answer.status_code == 405:
            path = getattr(request.scope.get("route"), "path", None)
            methods = app.openapi()["paths"].get(path)
            if methods:  # of all routes of the path, where Starlette names those of one
                allowed = [*methods, "head"] if "get" in methods else methods
                answer.headers["Allow"] = ", ".join(method.upper() for method in allowed)
        return answer

    for kind in (*_ANSWERS, Exception):
        app.add_exception_handler(kind, handle)


def response(error: Exception) -> Response:
    """What a request that ended in this error is answered."""
    for kind, answer in _ANSWERS.items():
        if isinstance(error, kind):
            return answer(error)
    detail = "This is a fault of the service, and its log says more."
    return problem(500, "internal", "Something went wrong", detail)


def _service_error(error: ServiceError) -> Response:
    headers = {"Retry-After": RETRY_AFTER[type(error)]} if type(error) in RETRY_AFTER else None
    return problem(STATUS[type(error)], error.code, error.title, str(error), headers=headers)


def _invalid_input(error: InvalidInput) -> Response:
    return _invalid([FieldProblem(field=_path(error.field.split(".")), detail=error.reason)])


def _invalid_request(error: RequestValidationError) -> Response:
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return problem(400, "malformed-json", "The request body is not JSON", _sentence(found[0]))
    return _invalid([FieldProblem(field=_path(one["loc"]), detail=_sentence(one)) for one in found[:MAX_FIELDS]])


def _invalid(fields: list[FieldProblem]) -> Response:
    detail = "; ".join(f"{one.field}: {one.detail}" for one in fields)
    return problem(422, "invalid-input", "The request cannot be done as asked", detail, fields=fields)


def _http_exception(error: HTTPException) -> Response:
    code, title = _HTTP_CODES.get(error.status_code, ("refused", "The request was refused"))
    return problem(error.status_code, code, title, "GET /docs shows what there is.", headers=error.headers)


def _hung_up(_: ClientDisconnect) -> Response:
    """For nobody: the client went away before its request was whole."""
    return Response(status_code=400)


_ANSWERS: dict[type[Exception], Callable[[Any], Response]] = {
    ServiceError: _service_error,
    InvalidInput: _invalid_input,
    RequestValidationError: _invalid_request,
    HTTPException: _http_exception,
    ClientDisconnect: _hung_up,
}


def _path(location: Sequence[int | str]) -> str:
    """The dotted path of a field as the client wrote it; a name that no field of ours could have is not repeated."""
    steps = [str(step) for step in location if step not in _NO_STEPS][:MAX_STEPS]
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", step) else "?" for step in steps) or "body"


def _sentence(error: Mapping[str, Any]) -> str:
    """What is wrong with a field. pydantic's messages tell what is allowed and never repeat a value."""
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_RULES[error["ctx"]["pattern"]]
    return "There is no such field." if error["type"] == "extra_forbidden" else str(error["msg"])
