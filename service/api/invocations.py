"""`POST /invocations` and `GET /ping`: the scoring protocol of MLflow, which hosts of model containers speak too."""

import io
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from models.limits import MAX_FEATURES
from models.specs import InvalidInput
from service.api import csv_bodies
from service.api.deps import MAX_VERSION, ServicesDep
from service.api.points import FeatureName, JsonPoints, Points, TableRows, Value, of_table
from service.api.predictions.csv_points import CsvPoints
from service.api.predictions.requests import Threshold
from service.api.predictions.responses import json_labels, json_numbers
from service.api.references import AliasName, reference
from service.api.system import require_ready
from service.api.table_query import TableQuery
from service.errors import UnsupportedMediaType
from service.http import documentation
from service.http.bodies import json_rows, request_body
from service.http.problems import InvalidParameter
from service.http.schema import Body
from service.inference import predictions
from service.inference.predictions import PredictionRequest
from service.records import NAME_PATTERN
from service.registry import refresh
from service.registry.registry import LoadedVersion
from service.render.headers import LEFT_OUT, LEFT_OUT_MEANING, of_left_out
from service.tables.sheet import understand

router = APIRouter(tags=["predictions"])

LARGE_BYTES = 20_000
"""Length of a JSON body from which it is answered in a thread: a millisecond or two."""

_Row = Annotated[list[Value], Field(min_length=1, max_length=MAX_FEATURES, fail_fast=True)]


def _rows(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """The rows of a large body as an array. The schema validates everything else, and refuses records."""
    rows = json_rows.rows_for(value, info.context)
    return handler(value) if rows is None or rows.names is not None else rows.take()


class SplitFrame(Body):
    """A data frame as `DataFrame.to_dict(orient="split")` writes it."""

    columns: list[FeatureName] | list[int] | None = Field(
        None, description="The names of the columns. Numbers are positions from 0, not names."
    )
    data: Annotated[list[_Row], Field(min_length=1, fail_fast=True), WrapValidator(_rows)] = Field(
        description="The rows."
    )
    index: list[Any] | None = Field(None, description="Not used.")


class InvocationsRequest(Body):
    """Points in one of the forms of MLflow; exactly one field has them."""

    dataframe_split: SplitFrame | None = Field(None, description="A data frame of columns and rows.")
    dataframe_records: Points | None = Field(None, description="Records by the names of the features.")
    instances: Points | None = Field(None, description="Points in any form that `POST /predict` reads.")
    inputs: Points | None = Field(None, description="Points in any form that `POST /predict` reads.")
    params: dict[str, Any] | None = Field(None, description="Must be empty: options are query parameters.")


FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class InvocationsQuery(TableQuery):
    """Which version answers, and with what. The others say how to read a CSV body."""

    model: str | None = Field(
        None, pattern=NAME_PATTERN, description="By default the model of the setting `invocations_model`."
    )
    version: int | None = Field(None, ge=1, le=MAX_VERSION, description="By default the version that `latest` names.")
    alias: AliasName = None
    output: Literal["labels", "probabilities"] = Field(
        "labels", description="What the predictions are: the class of each point, or its probabilities."
    )
    threshold: Threshold = None


class Predictions(BaseModel):
    """A prediction for each point."""

    predictions: list[int] | list[str] | list[list[float]] = Field(
        description="The class of each point, or with `output=probabilities` the probability of each class."
    )


class _Answer(NamedTuple):
    body: bytes
    points: int
    left_out: tuple[int, ...]


@router.post(
    "/invocations",
    response_model=Predictions,
    openapi_extra=request_body.documented(InvocationsRequest, also={csv_bodies.MEDIA_TYPE: documentation.BINARY}),
    responses={200: {"headers": {LEFT_OUT: documentation.header(LEFT_OUT_MEANING, example="3,7")}}},
)
async def invoke(query: Annotated[InvocationsQuery, Query()], request: Request, services: ServicesDep) -> Response:
    """Classifies points by the scoring protocol of MLflow, as `mlflow models serve` does.

    The answers are the same as from `POST /predict`.
    """
    headers = request_body.headers_of(request.scope)
    body = await request_body.content(headers, request.receive, services.bodies)
    model = query.model or services.settings.invocations_model
    if model is None:
        raise InvalidParameter(
            "model", "is required in the query, as ?model=NAME, unless the setting invocations_model names a model"
        )
    media_type = request_body.media_type(headers)
    try:
        version = await refresh.resolve(services.registry, model, reference(query.version, query.alias))
        answer = partial(_answer, version, media_type, body, query, services.settings.max_points_per_request)
        if len(body) > LARGE_BYTES or media_type != request_body.JSON:
            found = await services.heavy(answer, request.receive)
        else:
            found = answer()
    except InvalidInput as error:
        if error.field in InvocationsQuery.model_fields:
            raise InvalidParameter(error.field, error.reason) from None
        raise
    services.metrics.points += found.points
    return Response(found.body, headers=of_left_out(found.left_out), media_type=request_body.JSON)


@router.get(
    "/ping",
    response_class=Response,
    responses={
        200: {"description": "The service is ready.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
)
async def ping(services: ServicesDep) -> Response:
    """Whether to send requests here, for platforms that host model containers; the same as `GET /health/ready`."""
    require_ready(services)
    return Response("\n", media_type="text/plain")


def _answer(version: LoadedVersion, media_type: str, body: bytes, query: InvocationsQuery, max_points: int) -> _Answer:
    card, features = version.card, version.plan.features
    left_out: tuple[int, ...] = ()
    if media_type == request_body.JSON:
        for name in query.model_fields_set & TableQuery.model_fields.keys():
            raise InvalidParameter(name, "must be left out: it says how to read a CSV body, but the body is JSON")
        field, points = _json_points(body)
        sent = points.sent(field=field) if isinstance(points, JsonPoints) else of_table(*points, field=f"{field}.data")
        if sent.count > max_points:
            raise InvalidInput(field, f"must contain at most {max_points:,} points in one request")
        xy_ND = sent.placed(features, card.feature_names, card.categories, field=field)
    elif media_type == csv_bodies.MEDIA_TYPE:
        with csv_bodies.table_errors():
            sheet = understand(io.BytesIO(body), csv_bodies.BODY, query.options())
        table = CsvPoints(sheet, max_points).read(features, card.feature_names, card.categories)
        xy_ND, left_out = table.xy_ND, table.left_out
    else:
        raise UnsupportedMediaType(
            f"Send the points with Content-Type: {request_body.JSON} or {csv_bodies.MEDIA_TYPE}."
        )
    prediction = predictions.predict_like_json(version, xy_ND, PredictionRequest(threshold=query.threshold))
    if query.output == "probabilities":
        values = json_numbers(prediction.prob_NK)
    else:
        values = json_labels(version, prediction.best_N)
    return _Answer(orjson.dumps({"predictions": orjson.Fragment(values)}), len(xy_ND), left_out)


def _json_points(body: bytes) -> tuple[str, JsonPoints | tuple[list[str] | None, TableRows]]:
    """The field that has the points, and the points, or the names and the rows of a data frame."""
    request = request_body.validated(body, InvocationsRequest)
    given = [name for name in FORMS if getattr(request, name) is not None]
    if len(given) != 1:
        raise InvalidInput("body", f"must have exactly one of {', '.join(FORMS)}")
    if request.params:
        raise InvalidInput("params", "must be empty: send output and threshold as query parameters")
    if request.dataframe_split is None:
        return given[0], getattr(request, given[0])
    columns, data = request.dataframe_split.columns, request.dataframe_split.data
    if columns is None or all(isinstance(name, int) for name in columns):
        if columns is not None and columns != [*range(len(data[0]))]:
            raise InvalidInput("dataframe_split.columns", "must be names, or the numbers of all columns from 0")
        return given[0], (None, data)
    return given[0], ([str(name) for name in columns], data)
