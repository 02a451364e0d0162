"""`POST /predict`: from the body's bytes to the answer's, with nothing between them and the server but the edge."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from starlette.types import Receive, Scope

from service.api.deps import Services, look_up
from service.api.predictions import requests, responses
from service.api.predictions.requests import ArrayQuery, Asked, PredictRequest
from service.api.predictions.responses import PredictResponse
from service.http import content_negotiation, request_body
from service.http.content_negotiation import Format
from service.http.middleware import Answer
from service.http.request_body import Headers
from service.inference import predictions
from service.registry.registry import LoadedVersion
from service.render import arrow, npy

router = APIRouter(tags=["predictions"])

LARGE_WORK = 500_000
"""Beyond this a prediction is made in a thread: in multiplications and values, a millisecond or two."""

LARGE_BYTES = 500_000
"""Beyond this a body is read in a thread: a millisecond or two, some 12,000 points of JSON."""

_ARRAYS = {npy.MEDIA_TYPE: content_negotiation.BINARY, arrow.MEDIA_TYPE: content_negotiation.BINARY}


class Predict:
    """The endpoint; see `edge.Endpoint`."""

    def __init__(self, app: FastAPI) -> None:
        """For the app whose lifespan makes the services."""
        self._state = app.state

    async def __call__(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        """The answer to one request.

        Raises:
            ServiceError, InvalidInput, RequestValidationError: what `problems` has answers for.
        """
        services: Services = self._state.services
        form = content_negotiation.chosen(("json", "npy", "arrow"), request_body.header(headers, b"accept"))
        body = await request_body.content(headers, receive, services.settings)
        asked = await _asked(services, request_body.media_type(headers), body, scope["query_string"])
        return await _answer(services, form, asked)


async def _asked(services: Services, media_type: str, body: bytes, query: bytes) -> Asked:
    read = partial(requests.read, max_points=services.settings.max_points_per_request)
    if len(body) > LARGE_BYTES or media_type == arrow.MEDIA_TYPE:  # the first of which loads pyarrow
        return await to_thread.run_sync(read, media_type, body, query, limiter=services.heavy)
    return read(media_type, body, query)


async def _answer(services: Services, form: Format, asked: Asked) -> Answer:
    registry, count = services.registry, len(asked.points)
    version = await look_up(registry, lambda: registry.resolve(asked.model, asked.version))
    values = count * (version.plan.features + version.plan.classes)
    if predictions.work(version, count) + 10 * values > LARGE_WORK or asked.prediction.nearest:
        answer = await to_thread.run_sync(_predict, form, version, asked, limiter=services.heavy)
    else:
        answer = _predict(form, version, asked)
    services.metrics.points += count
    return answer


def _predict(form: Format, version: LoadedVersion, asked: Asked) -> Answer:
    return responses.encode(form, version, asked, predictions.predict(version, asked.points, asked.prediction))


@router.post(
    "/predict",
    response_model=PredictResponse,
    openapi_extra=request_body.documented(PredictRequest, also=_ARRAYS),
    responses={200: {"content": _ARRAYS}},
)
async def predict(
    request: Request,
    query: Annotated[ArrayQuery, Query()],  # noqa: ARG001  # for the document
    accept: Annotated[str | None, Header()] = None,  # noqa: ARG001
) -> Response:
    """The class of each point, and the probability of every class."""
    # requests that come by way of the edge are answered before they reach the app
    answer = await Predict(request.app)(request.scope, request_body.headers_of(request.scope), request.receive)
    return Response(answer.body, answer.status, {name.decode(): value.decode() for name, value in answer.headers})
