"""`POST /predict`: the endpoint that answers it in place of FastAPI, and the route that documents it."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query
from starlette.types import Receive, Scope

from models.datasets import PointArray
from models.specs import InvalidInput
from service.api import csv_bodies
from service.api.deps import Services
from service.api.predictions import requests
from service.api.predictions.csv_points import CsvPoints
from service.api.predictions.requests import ParsedRequest, PredictQuery, PredictRequest
from service.api.predictions.responses import FORMATS, Answer, Prediction, PredictionFormat
from service.http import content_negotiation, documentation
from service.http.bodies import request_body
from service.http.bodies.request_body import Headers
from service.http.middleware import RawResponse
from service.http.problems import InvalidParameter
from service.inference import predictions
from service.registry.networks import LoadedNetwork
from service.render import arrow
from service.render.headers import LEFT_OUT, LEFT_OUT_MEANING
from service.store.files import Files

router = APIRouter(tags=["predictions"])

_SLOW = (arrow.MEDIA_TYPE, csv_bodies.MEDIA_TYPE)
"""Bodies that are parsed in a thread whatever their length. The first Arrow body loads pyarrow."""

_QUERY = {field.alias or name for name, field in PredictQuery.model_fields.items()}

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
        body = await request_body.content(headers, receive, services.bodies)
        media_type = request_body.media_type(headers)
        try:
            request = await _parsed(services, media_type, body, scope["query_string"], receive)
            version = await services.answering(request.named, request.epoch, receive)
            response, count = await _predicted(services, form, version, request, receive)
        except InvalidInput as error:
            if media_type != request_body.JSON and error.field in _QUERY:
                raise InvalidParameter(error.field, error.reason) from None
            raise
        services.metrics.points += count
        return response


async def _parsed(services: Services, media_type: str, body: bytes, query: bytes, receive: Receive) -> ParsedRequest:
    parse = partial(requests.parse, media_type, body, query, max_points=services.settings.max_points_per_request)
    return (
        await services.heavy(parse, receive) if len(body) > request_body.LARGE_BYTES or media_type in _SLOW else parse()
    )


async def _predicted(
    services: Services, form: PredictionFormat, version: LoadedNetwork, request: ParsedRequest, receive: Receive
) -> tuple[RawResponse, int]:
    """The response, and the number of points."""
    predict = partial(_predict, form, version, request, services.files_of(version))
    return await services.heavy(predict, receive) if _is_large(version, request) else predict()


def _is_large(version: LoadedNetwork, request: ParsedRequest) -> bool:
    if isinstance(request.points, CsvPoints) or request.prediction.nearest or request.prediction.outside:
        return True
    return predictions.is_large(version, request.points.count)


def _predict(
    form: PredictionFormat, version: LoadedNetwork, request: ParsedRequest, files: Files
) -> tuple[RawResponse, int]:
    card = version.card
    place, points, table = (version.plan.features, card.feature_names, card.categories), request.points, None
    if isinstance(points, CsvPoints):
        table = points.read(*place)
        xy_ND: PointArray = table.xy_ND
    else:
        xy_ND = points.placed(*place)
    prediction = predictions.predict(version, xy_ND, request.prediction, files=files)
    return form.encode(Answer(version, xy_ND, request.outputs, prediction, table)), len(xy_ND)


@router.post(
    "/predict",
    response_model=Prediction,
    openapi_extra=request_body.documented(PredictRequest, also=_ARRAYS),
    responses={
        200: {
            "description": "The outputs for each point: as `.npy` one of them, as Arrow a column for each, as CSV "
            "columns after the coordinates of the point.",
            "content": _ARRAYS,
            "headers": {
                "Separatrix-Model": documentation.header("Unless it is JSON: the model that answered."),
                "Separatrix-Version": documentation.header(
                    "Unless it is JSON: the version that answered.", kind="integer"
                ),
                LEFT_OUT: documentation.header(f"Unless it is JSON. {LEFT_OUT_MEANING}", example="3,7"),
            },
        }
    },
)
async def predict(query: Annotated[PredictQuery, Query()]) -> None:
    """Classifies points: the class of each point, and the probability of every class.

    The points are JSON, or an array or a CSV file with the options as query parameters. `Accept` chooses the format of
    the response.
    """
    raise NotImplementedError  # for the OpenAPI document and for 405; the middleware calls `PredictEndpoint` instead
