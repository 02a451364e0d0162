"""`POST /predict`: the endpoint that answers it in place of FastAPI, and the route that documents it."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Query
from starlette.types import Receive, Scope

from models.specs import InvalidInput
from service.api.deps import Services
from service.api.predictions import requests
from service.api.predictions.requests import ArrayQuery, ParsedRequest, PredictRequest
from service.api.predictions.responses import FORMATS, Prediction, PredictionFormat
from service.http import content_negotiation, documentation, request_body
from service.http.middleware import RawResponse
from service.http.problems import InvalidParameter
from service.http.request_body import Headers
from service.inference import predictions
from service.registry.refresh import resolve_fresh
from service.registry.registry import LoadedVersion
from service.render import arrow

router = APIRouter(tags=["predictions"])

LARGE_WORK = 500_000
"""Multiplications and values from which a prediction is made in a thread: a millisecond or two."""

LARGE_BYTES = 500_000
"""Length from which a body is parsed in a thread: a millisecond or two, about 12,000 points of JSON."""

_QUERY = {field.alias or name for name, field in ArrayQuery.model_fields.items()}

_ARRAYS = {one.media_type: documentation.BINARY for one in FORMATS if one.name != "json"}


class PredictEndpoint:
    """Answers `POST /predict`; see `middleware.Endpoint`."""

    def __init__(self, app: FastAPI) -> None:
        """`app` is the app whose lifespan makes the services."""
        self._state = app.state

    async def __call__(self, scope: Scope, headers: Headers, receive: Receive) -> RawResponse:
        """The response to one request.

        Raises:
            ServiceError, InvalidInput, RequestValidationError, ClientDisconnect: `problems` has a response for each.
        """
        services: Services = self._state.services
        form = content_negotiation.chosen(FORMATS, request_body.header(headers, b"accept"))
        body = await request_body.content(headers, receive, services.settings)
        media_type = request_body.media_type(headers)
        registry = services.registry
        try:
            request = await _parsed(services, media_type, body, scope["query_string"])
            version = await resolve_fresh(registry, lambda: registry.resolve(request.model, request.version))
            response = await _predicted(services, form, version, request)
        except InvalidInput as error:
            if media_type != request_body.JSON and error.field in _QUERY:
                raise InvalidParameter(error.field, error.reason) from None
            raise
        services.metrics.points += len(request.points)
        return response


async def _parsed(services: Services, media_type: str, body: bytes, query: bytes) -> ParsedRequest:
    parse = partial(requests.parse, max_points=services.settings.max_points_per_request)
    if len(body) > LARGE_BYTES or media_type == arrow.MEDIA_TYPE:  # the first Arrow body loads pyarrow
        return await to_thread.run_sync(parse, media_type, body, query, limiter=services.heavy_threads)
    return parse(media_type, body, query)


async def _predicted(
    services: Services, form: PredictionFormat, version: LoadedVersion, request: ParsedRequest
) -> RawResponse:
    count = len(request.points)
    values = count * (version.plan.features + version.plan.classes)
    if predictions.work(version, count) + 10 * values > LARGE_WORK or request.prediction.nearest:
        return await to_thread.run_sync(_predict, form, version, request, limiter=services.heavy_threads)
    return _predict(form, version, request)


def _predict(form: PredictionFormat, version: LoadedVersion, request: ParsedRequest) -> RawResponse:
    prediction = predictions.predict(version, request.points, request.prediction)
    return form.encode(version, request, prediction)


@router.post(
    "/predict",
    response_model=Prediction,
    openapi_extra=request_body.documented(PredictRequest, also=_ARRAYS),
    responses={
        200: {
            "description": "The outputs for each point: as `.npy` one of them, as Arrow a column for each.",
            "content": _ARRAYS,
            "headers": {
                "Separatrix-Model": documentation.header("For `.npy` and Arrow: the model that answered."),
                "Separatrix-Version": documentation.header(
                    "For `.npy` and Arrow: the version that answered.", kind="integer"
                ),
            },
        }
    },
)
async def predict(query: Annotated[ArrayQuery, Query()]) -> None:
    """Classifies points: the class of each point, and the probability of every class.

    The points are JSON, or an array with the options as query parameters. `Accept` chooses the format of the response.
    """
    raise NotImplementedError  # for the OpenAPI document and for 405; the middleware calls `PredictEndpoint` instead
