"""`POST /predict`."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat

from models.datasets import FloatArray, points_array
from models.specs import MAX_FEATURES, InvalidInput
from service import predictor
from service.api import bodies, formats, npy
from service.api.bodies import Body
from service.api.deps import Services, ServicesDep, look_up
from service.predictor import Prediction
from service.records import NAME_PATTERN
from service.registry import LoadedVersion

router = APIRouter(tags=["predictions"])

LARGE_WORK = 500_000
"""Beyond this a prediction is made in a thread: in multiplications and values, a millisecond or two."""

LARGE_BYTES = 500_000
"""Beyond this an array is read in a thread: a fraction of a millisecond."""

Row = Annotated[list[FiniteFloat], FailFast(), Field(min_length=1, max_length=MAX_FEATURES)]
Rows = Annotated[list[Row], FailFast(), Field(min_length=1)]


class PredictRequest(Body):
    """Points to put on one side of the line or the other."""

    model: str = Field(pattern=NAME_PATTERN, examples=["flower-sequential"])
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The latest, if not given.")
    points: Rows = Field(
        description="N points of as many coordinates as the model was trained on; computed in float32.",
        examples=[[[0.5, -0.25], [2.0, 1.0]]],
    )


class PredictResponse(BaseModel):
    """The class of each point."""

    model: str
    version: int = Field(description="The version that answered.")
    classes: list[int] | list[str] = Field(description="The K classes, as they were called in the training data.")
    labels: list[int] | list[str] = Field(description="The most probable class of each of the N points.")
    probabilities: list[list[float]] = Field(description="(N, K), in the order of `classes`; each row sums to 1.")


class ArrayQuery(BaseModel):
    """Who is to answer when the body is an array, which cannot say it."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, pattern=NAME_PATTERN, description="For a body in `application/x-npy` only.")
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The same; the latest, if not given.")


@router.post(
    "/predict",
    response_model=PredictResponse,
    openapi_extra=bodies.documented(PredictRequest, also={npy.MEDIA_TYPE: formats.BINARY}),
    responses={200: {"content": {npy.MEDIA_TYPE: formats.BINARY}}},
)
async def predict(
    request: Request,
    services: ServicesDep,
    query: Annotated[ArrayQuery, Query()],
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The class of each point, and the probability of every class."""
    form = formats.chosen(("json", "npy"), accept)
    asked = await _asked(request, services, query)
    version = await look_up(services.registry, lambda: services.registry.resolve(asked.model, asked.version))
    answer = _npy if form == "npy" else _json
    values = len(asked.points) * (len(asked.points[0]) + version.plan.classes)
    if predictor.work(version, len(asked.points)) + 10 * values > LARGE_WORK:
        return await to_thread.run_sync(answer, version, asked.points, limiter=services.heavy)
    return answer(version, asked.points)


@dataclass(frozen=True)
class _Asked:
    """A request, whatever its body was; the points are yet to be made an array if they came as lists."""

    model: str
    version: int | None
    points: list[list[float]] | FloatArray


async def _asked(request: Request, services: Services, query: ArrayQuery) -> _Asked:
    limits = services.settings
    if bodies.media_type(request) != npy.MEDIA_TYPE:
        body = await bodies.read(request, PredictRequest, max_bytes=limits.max_body_bytes)
        for name in query.model_fields_set:
            raise InvalidInput(name, "belongs into the body, when that is JSON")
        if len(body.points) > limits.max_points_per_request:
            raise InvalidInput("points", f"at most {limits.max_points_per_request:,} points in one request")
        return _Asked(body.model, body.version, body.points)
    if query.model is None:
        raise InvalidInput("model", "must be given as ?model= when the body is an array")
    content = await bodies.content(request, limits.max_body_bytes)
    decode = partial(npy.decode_points, content, max_points=limits.max_points_per_request)
    large = len(content) > LARGE_BYTES
    points = await to_thread.run_sync(decode, limiter=services.heavy) if large else decode()
    return _Asked(query.model, query.version, points)


def _predict(version: LoadedVersion, points: list[list[float]] | FloatArray) -> Prediction:
    return predictor.predict(version, points_array(points) if isinstance(points, list) else points)


def _npy(version: LoadedVersion, points: list[list[float]] | FloatArray) -> Response:
    content = npy.encode(_predict(version, points).prob_NK)
    return Response(content, media_type=npy.MEDIA_TYPE, headers=npy.headers(version))


def _json(version: LoadedVersion, points: list[list[float]] | FloatArray) -> Response:
    prediction = _predict(version, points)
    classes = version.card.classes
    content = orjson.dumps(
        {
            "model": version.published.model,
            "version": version.published.version,
            "classes": classes,
            "labels": [classes[k] for k in prediction.best_N.tolist()],
            "probabilities": prediction.prob_NK,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Response(content, media_type="application/json")
