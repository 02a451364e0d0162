"""`POST /predict`."""

from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, FailFast, Field, FiniteFloat

from models.datasets import points_array
from models.specs import MAX_FEATURES, InvalidInput
from service import predictor
from service.api import bodies
from service.api.bodies import Body
from service.api.deps import ServicesDep, look_up
from service.records import NAME_PATTERN
from service.registry import LoadedVersion

router = APIRouter(tags=["predictions"])

LARGE_WORK = 500_000
"""Beyond this a prediction is made in a thread: in multiplications and values, a millisecond or two."""

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


@router.post("/predict", response_model=PredictResponse, openapi_extra=bodies.documented(PredictRequest))
async def predict(request: Request, services: ServicesDep) -> Response:
    """The class of each point, and the probability of every class."""
    body = await bodies.read(request, PredictRequest, max_bytes=services.settings.max_body_bytes)
    limit = services.settings.max_points_per_request
    if len(body.points) > limit:
        raise InvalidInput("points", f"at most {limit:,} points in one request")
    version = await look_up(services.registry, lambda: services.registry.resolve(body.model, body.version))
    values = len(body.points) * (len(body.points[0]) + version.plan.classes)
    if predictor.work(version, len(body.points)) + 10 * values > LARGE_WORK:
        return await to_thread.run_sync(_answer, version, body.points, limiter=services.heavy)
    return _answer(version, body.points)


def _answer(version: LoadedVersion, points: Rows) -> Response:
    prediction = predictor.predict(version, points_array(points))
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
