"""Errors as HTTP responses: one body for all of them (RFC 9457, and an `error` string), one table of their statuses."""

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from models.specs import InvalidInput
from service import errors
from service.errors import ServiceError
from service.http import documentation, messages
from service.records import JobState

MEDIA_TYPE = "application/problem+json"


class ProblemType(NamedTuple):
    """What all problems of one code have in common.

    Attributes:
        meaning: what went wrong.
        advice: what to do.
        retry_after_s: when the same request may succeed; None if a retry does not help.
    """

    status: int
    code: str
    title: str
    meaning: str
    advice: str
    retry_after_s: int | None = None


PROBLEM_TYPES: dict[type[ServiceError], ProblemType] = {
    error: ProblemType(status, error.code, error.title, error.__doc__ or "", error.advice, retry_after_s)
    for error, status, retry_after_s in (
        (errors.ModelNotFound, 404, None),
        (errors.VersionNotFound, 404, None),
        (errors.AliasNotFound, 404, None),
        (errors.AliasReserved, 409, None),
        (errors.VersionInUse, 409, None),
        (errors.LayerNotFound, 404, None),
        (errors.VersionBroken, 503, None),
        (errors.DatasetNotFound, 404, None),
        (errors.DatasetExists, 409, None),
        (errors.DatasetReserved, 409, None),
        (errors.DatasetsFull, 409, None),
        (errors.DataFolderFull, 507, None),
        (errors.DatasetBroken, 503, None),
        (errors.JobNotFound, 404, None),
        (errors.NoCheckpoint, 404, None),
        (errors.TrainingUnknown, 404, None),
        (errors.WrongState, 409, None),
        (errors.KeyReused, 422, None),
        (errors.QueueFull, 429, 1),
        (errors.TooManyRequests, 429, 1),
        (errors.TooManyAtOnce, 429, 1),
        (errors.TooManyBodies, 503, 1),
        (errors.TooManyStreams, 503, 5),
        (errors.NotReady, 503, 1),
        (errors.Unsupported, 501, None),
        (errors.StoreUnavailable, 503, 1),
        (errors.FolderUnavailable, 503, 5),
        (errors.TaskFailed, 422, None),
        (errors.BodyTooLarge, 413, None),
        (errors.BodyTooSlow, 408, None),
        (errors.HeadTooSlow, 408, None),
        (errors.HeadTooLarge, 431, None),
        (errors.TooManyConnections, 503, 1),
        (errors.UnsupportedMediaType, 415, None),
        (errors.NotAcceptable, 406, None),
        (errors.Unauthorized, 401, None),
        (errors.Forbidden, 403, None),
        (errors.HostNotAllowed, 421, None),
        (errors.OriginNotAllowed, 403, None),
    )
}
"""The problem type of each expected failure."""

MALFORMED_JSON = ProblemType(
    400, "malformed-json", "The request body is not JSON", "The request body is not JSON.", "Send valid JSON."
)
INVALID_INPUT = ProblemType(
    422,
    "invalid-input",
    "The request is invalid",
    "A field, a parameter or a header has a value that is not allowed.",
    "`errors` names each invalid field and says what is allowed.",
)
INTERNAL = ProblemType(
    500,
    "internal",
    "Internal error",
    "The service has a fault.",
    "Tell the operator of the service: the log has the reason, under the `X-Request-ID` of the response.",
)

HTTP_ERRORS = {
    400: ProblemType(
        400, "malformed-request", "The request is malformed", "The request is not valid HTTP.", "Send valid HTTP."
    ),
    404: ProblemType(
        404, "no-such-path", "Path not found", "The service does not have this path.", "GET /docs lists all paths."
    ),
    405: ProblemType(
        405,
        "method-not-allowed",
        "Method not allowed",
        "The path exists, but not with this method.",
        "The detail and the `Allow` header list the allowed methods.",
    ),
}
"""The problem types of errors that FastAPI raises itself."""

ALL_TYPES = sorted([*PROBLEM_TYPES.values(), MALFORMED_JSON, INVALID_INPUT, INTERNAL, *HTTP_ERRORS.values()])
"""Every problem type, by status and code."""

PROTOCOL_PATH = "/v2"
"""The path of the Open Inference Protocol, whose errors are `{"error": "..."}`."""

PROTOCOL_STATUSES = {422: 400}
"""The statuses of that protocol where they are others: an invalid argument is 400."""

Place = Literal["body", "query", "path", "header"]
"""The parts of a request."""


class InvalidParameter(InvalidInput):
    """A query parameter or a header is invalid, whatever else the request consists of."""

    def __init__(self, field: str, reason: str, *, place: Place = "query") -> None:
        super().__init__(field, reason)
        self.place = place


MAX_FIELDS = 10
"""Maximum number of fields that one response names: enough to correct a request, few enough to read."""

MAX_STEPS = 8
"""Maximum number of steps of a field's path that are shown; no field of this API has more than five."""

_HIDDEN_STEPS = (
    *("generated", "stored", "given", "integer", "string"),  # the alternatives of a field, as the schemas name them
    *("[rows]", "[point]", "[records]", "[record]", "[columns]"),  # the forms of points, as `service.api.points` does
    *("[number]", "[text]", "[null]"),  # the values of named points
    *("[weights]", "[word]"),  # the forms of `class_weight`
    "[list]",  # a form of `snapshots`
    "[key]",  # pydantic's mark for an error of the key itself
)
"""Steps of pydantic's path of a field that are not in the request."""


class FieldProblem(BaseModel):
    """One field that is invalid."""

    model_config = ConfigDict(validate_by_name=True)

    place: Place = Field(alias="in", description="The part of the request that has the field.")
    field: str = Field(description="Dotted path of the field, such as `points.3.1` or `training.epochs`.")
    detail: str = Field(description="What is wrong with the field, or what is allowed.")


class Problem(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(description="`urn:separatrix:problem:` and the code.")
    code: str = Field(
        description="Identifies the kind of problem; never changes.",
        json_schema_extra={"enum": [one.code for one in ALL_TYPES]},
    )
    title: str = Field(description="The code in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What is wrong with this request and what to do about it.")
    error: str = Field(description="Title and detail in one line, for clients that show a string.")
    errors: list[FieldProblem] = Field(description="The invalid fields; empty if no field is invalid.")
    current_status: JobState | SkipJsonSchema[None] = Field(
        None, description="Only with `wrong-state`: the present status of the job."
    )


_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "The request is at fault.",
        "content": _CONTENT,
        "headers": {
            "Retry-After": documentation.header("With 429: after how many seconds to try again.", kind="integer"),
            "Allow": documentation.header("With 405: the methods of the path."),
            "WWW-Authenticate": documentation.header("With 401: how to send a key, `Bearer`."),
        },
    },
    "5XX": {
        "description": "The service is at fault.",
        "content": _CONTENT,
        "headers": {
            "Retry-After": documentation.header(
                "With most codes of 503: after how many seconds to try again.", kind="integer"
            ),
        },
    },
}
"""The error responses of every route, for the OpenAPI document."""


def install(app: FastAPI) -> None:
    """Makes the app answer every error with a problem, and OPTIONS with the methods of the path."""

    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            route = request.scope.get("route")  # some routes do not set it
            allowed = ", ".join(_allowed(app, request.scope["path"] if route is None else route.path))
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": allowed})
            error = HTTPException(405, headers={"Allow": allowed})
        return response(error, request.scope["path"], place="query" if request.method == "GET" else "body")

    for kind in (*_RESPONSES, InvalidInput, Exception):
        app.add_exception_handler(kind, handle)


def _allowed(app: FastAPI, path: str) -> list[str]:
    """The methods of all routes of a path; Starlette names only the methods of one route."""
    methods = {
        method for route in iter_route_contexts(app.routes) if route.path == path for method in route.methods or ()
    }
    return sorted(methods | ({"HEAD", "OPTIONS"} if "GET" in methods else {"OPTIONS"}))


def response(error: Exception, path: str, *, place: Place = "body") -> Response:
    """The response to a request that raised this error. Also clears the variables of the calls in its traceback.

    Some libraries keep an error in a variable of a call that it ended. The error and the variables then refer to each
    other, and the body of the request would stay in memory until the garbage collector runs, which may be thousands of
    requests later.

    Args:
        error: any error.
        path: of the request. It decides the form of the response: below `PROTOCOL_PATH`, the form of the protocol.
        place: the part of the request that an `InvalidInput` is about, unless the error says so itself.
    """
    found = _problem_response(error, place)
    traceback.clear_frames(error.__traceback__)
    is_protocol = path == PROTOCOL_PATH or path.startswith(f"{PROTOCOL_PATH}/")
    return _protocol_response(found) if is_protocol and found.body else found


def _protocol_response(found: Response) -> Response:
    """A problem as the Open Inference Protocol sends it. Its clients show the text only if the type is exactly JSON."""
    status = PROTOCOL_STATUSES.get(found.status_code, found.status_code)
    headers = {
        name: found.headers[name] for name in ("Allow", "Retry-After", "WWW-Authenticate") if name in found.headers
    }
    content = orjson.dumps({"error": orjson.loads(found.body)["error"]})
    return Response(content, status, headers=headers, media_type="application/json")


def _problem_response(error: Exception, place: Place) -> Response:
    if isinstance(error, InvalidInput):
        return _invalid_input(error, place)
    for kind, respond in _RESPONSES.items():
        if isinstance(error, kind):
            return respond(error)
    return _response(INTERNAL, "The operator of the service finds the reason in its log.")


def _response(
    problem: ProblemType,
    detail: str,
    *,
    fields: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    current_status: str | None = None,
) -> Response:
    body = Problem(
        type=f"urn:separatrix:problem:{problem.code}",
        code=problem.code,
        title=problem.title,
        status=problem.status,
        detail=detail,
        error=f"{problem.title}: {detail}",
        errors=list(fields),
        current_status=JobState(current_status) if current_status is not None else None,
    )
    content = orjson.dumps(body.model_dump(by_alias=True, exclude_none=True))
    return Response(content, problem.status, headers=headers, media_type=MEDIA_TYPE)


def _service_error(error: ServiceError) -> Response:
    problem = PROBLEM_TYPES[type(error)]
    retry_after_s = error.retry_after_s if isinstance(error, errors.TooManyRequests) else problem.retry_after_s
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    state = error.state if isinstance(error, errors.WrongState) else None
    return _response(problem, str(error), headers=headers, current_status=state)


def _invalid_input(error: InvalidInput, place: Place) -> Response:
    place = error.place if isinstance(error, InvalidParameter) else place
    return _invalid([FieldProblem(place=place, field=_path(error.field.split(".")), detail=error.reason)])


def _invalid_request(error: RequestValidationError) -> Response:
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        if (limit := messages.exceeded(found[0])) is not None:
            return _invalid([FieldProblem(place=found[0]["loc"][0], field="body", detail=limit)])
        return _response(MALFORMED_JSON, messages.syntax(found[0]))
    return _invalid(
        [
            FieldProblem(place=one["loc"][0], field=_path(one["loc"][1:]), detail=messages.sentence(one))
            for one in found[:MAX_FIELDS]
        ]
    )


def _invalid(fields: list[FieldProblem]) -> Response:
    return _response(INVALID_INPUT, "; ".join(f"{one.field}: {one.detail}" for one in fields), fields=fields)


def _http_exception(error: HTTPException) -> Response:
    problem = HTTP_ERRORS.get(error.status_code, HTTP_ERRORS[400])
    allowed = (error.headers or {}).get("Allow")
    detail = f"This path allows {allowed}." if allowed else problem.advice
    return _response(problem, detail, headers=error.headers)


_RESPONSES: dict[type[Exception], Callable[[Any], Response]] = {
    ServiceError: _service_error,
    RequestValidationError: _invalid_request,
    HTTPException: _http_exception,
    ClientDisconnect: lambda _: Response(status_code=400),  # nobody receives it: the client went away
}


def _path(location: Sequence[int | str]) -> str:
    """The dotted path of a field as the client wrote it. Steps that cannot be a name of this API are not repeated."""
    steps = [str(step) for step in location if step not in _HIDDEN_STEPS][:MAX_STEPS]
    return ".".join(step if re.fullmatch(r"[A-Za-z0-9_ ().%/-]{1,64}", step) else "?" for step in steps) or "body"
