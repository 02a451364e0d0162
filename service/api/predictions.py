"""`POST /predict`: from the body's bytes to the answer's, with nothing between them and the server but the edge."""

from functools import lru_cache, partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from starlette.types import Receive, Scope

from service import predictor
from service.api import arrow, bodies, brief, formats, npy, prediction_answers, prediction_requests
from service.api.bodies import Headers
from service.api.deps import Services, look_up
from service.api.edge import Answer
from service.api.formats import Format
from service.api.prediction_answers import PredictResponse
from service.api.prediction_requests import ArrayQuery, Asked, PredictRequest
from service.registry import LoadedVersion

router = APIRouter(tags=["predictions"])

LARGE_WORK = 500_000
"""Beyond this a prediction is made in a thread: in multiplications and values, a millisecond or two."""

LARGE_BYTES = 500_000
"""Beyond this a body is read in a thread: a millisecond or two, some 12,000 points of JSON."""

_ARRAYS = {npy.MEDIA_TYPE: formats.BINARY, arrow.MEDIA_TYPE: formats.BINARY}


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
        form, media_type, is_packed = _forms(*map(headers.get, _DECISIVE))
        query = scope["query_string"]
        message = await receive()
        if form == "json" and media_type == bodies.JSON and not (is_packed or query or message.get("more_body", True)):
            answer = brief.answer(services, message["body"])
            if answer is not None:
                return answer
        body = await bodies.content(headers, message, receive, services.settings.max_body_bytes)
        return await _answer(services, form, await _asked(services, media_type, body, query))


_DECISIVE = (b"content-type", b"accept", b"content-encoding")


@lru_cache(maxsize=100)
def _forms(content_type: bytes | None, accept: bytes | None, encoding: bytes | None) -> tuple[Format, str, bool]:
    """In which format to answer, in which the points are, and whether they are packed."""
    form = formats.chosen(("json", "npy", "arrow"), (accept or b"").decode("latin-1"))
    return form, bodies.media_type({b"content-type": content_type or b""}), encoding is not None


async def _asked(services: Services, media_type: str, body: bytes, query: bytes) -> Asked:
    read = partial(prediction_requests.read, max_points=services.settings.max_points_per_request)
    if len(body) > LARGE_BYTES:
        return await to_thread.run_sync(read, media_type, body, query, limiter=services.heavy)
    return read(media_type, body, query)


async def _answer(services: Services, form: Format, asked: Asked) -> Answer:
    registry, count = services.registry, len(asked.points)
    version = await look_up(registry, lambda: registry.resolve(asked.model, asked.version))
    services.metrics.points += count
    values = count * (version.plan.features + version.plan.classes)
    if predictor.work(version, count) + 10 * values > LARGE_WORK or asked.prediction.nearest:
        return await to_thread.run_sync(_predict, form, version, asked, limiter=services.heavy)
    return _predict(form, version, asked)


def _predict(form: Format, version: LoadedVersion, asked: Asked) -> Answer:
    return prediction_answers.encode(form, version, asked, predictor.predict(version, asked.points, asked.prediction))


@router.post(
    "/predict",
    response_model=PredictResponse,
    openapi_extra=bodies.documented(PredictRequest, also=_ARRAYS),
    responses={200: {"content": _ARRAYS}},
)
async def predict(
    request: Request,
    query: Annotated[ArrayQuery, Query()],  # noqa: ARG001  # for the document
    accept: Annotated[str | None, Header()] = None,  # noqa: ARG001
) -> Response:
    """The class of each point, and the probability of every class."""
    # requests that come by way of the edge are answered before they reach the app
    answer = await Predict(request.app)(request.scope, bodies.headers_of(request.scope), request.receive)
    return Response(answer.body, answer.status, {name.decode(): value.decode() for name, value in answer.headers})
