"""Requests of `POST /predict`: their schemas, and how JSON, `.npy`, Arrow and CSV bodies are read into one form."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from models.limits import MAX_MARGIN
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.api import csv_bodies
from service.api.epochs import Epoch
from service.api.points import Points
from service.api.predictions.csv_points import CsvPoints
from service.api.references import AliasName, JobName, Named, named
from service.api.table_query import TableQuery
from service.errors import UnsupportedMediaType
from service.http import query_parameters
from service.http.bodies import request_body
from service.http.problems import InvalidParameter
from service.http.schema import WHOLE, Body
from service.inference.predictions import PredictionRequest
from service.records import NAME_PATTERN
from service.render import arrow, npy
from service.tables.sheet import understand

Output = Literal["labels", "probabilities", "logits", "margins", "nearest", "spread", "outside_training_range"]

Threshold = Annotated[
    float | None,
    Field(
        ge=1e-6,
        le=1 - 1e-6,
        description="For two classes: a point gets the second label if its probability is above the threshold. "
        "By default 0.5.",
    ),
]
Outputs = Annotated[
    list[Output], Field(min_length=1, max_length=len(get_args(Output)), json_schema_extra={"uniqueItems": True})
]
Margin = Annotated[
    float | None,
    Field(
        ge=0,
        le=MAX_MARGIN,
        allow_inf_nan=False,
        description="For `nearest`: the search ends at the length of the diagonal of a grid's default window with this "
        "margin, as in `GET /boundary-grid`.",
    ),
]
OUTPUTS = (
    "What to return for each point. By default labels and probabilities; as `.npy` one of them, the probabilities."
)


class PredictOptions(Body):
    """Which version answers, and with what."""

    model: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="The model to ask. Required without `job`.",
        examples=["flower-sequential"],
    )
    version: Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE] | None = Field(
        None, description="By default the version that the alias `latest` names."
    )
    alias: AliasName = None
    job: JobName = None
    epoch: Annotated[Epoch, WHOLE] = None
    threshold: Threshold = None
    outputs: Outputs | None = Field(None, description=OUTPUTS)
    margin: Margin = None


class PredictRequest(PredictOptions):
    """The points to classify, and how."""

    points: Points = Field(
        validation_alias=AliasChoices("points", "instances", "inputs"),  # of TensorFlow Serving, KServe and MLflow
        description="N points with as many coordinates as the model was trained on: a list of points or one point, by "
        "position or by the names of the features. Computed in float32.",
        examples=[[[0.5, -0.25], [2.0, 1.0]]],
    )


def _split(names: str) -> list[str]:
    return names.split(",")


class PredictQuery(TableQuery):
    """The options of a request whose body is not JSON, as query parameters."""

    model: str | None = Field(
        None, pattern=NAME_PATTERN, description="Required if the body is not JSON and there is no `job`."
    )
    version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="If the body is not JSON. By default the version that `latest` names."
    )
    alias: AliasName = None
    job: JobName = None
    epoch: Epoch = None
    threshold: Threshold = None
    outputs: Annotated[Outputs, BeforeValidator(_split)] | None = Field(None, description=OUTPUTS)
    margin: Margin = None


@dataclass(frozen=True)
class ParsedRequest:
    """A request, in whichever format it came.

    Attributes:
        named: what answers.
        epoch: of its training; None for its newest weights.
        points: as they came; their columns are matched to the features of the model once it is known.
        prediction: what to compute.
        outputs: what to return for each point; None for the default of the response's format.
    """

    named: Named
    epoch: int | None
    points: SentPoints | CsvPoints
    prediction: PredictionRequest
    outputs: tuple[Output, ...] | None


def parse(media_type: str, body: bytes, query: bytes, *, max_points: int) -> ParsedRequest:
    """Reads a request from its body and its query.

    Raises:
        UnsupportedMediaType: no request has a body of this type.
        RequestValidationError, InvalidInput: a part of the request is invalid.
    """
    parse_body = _PARSERS.get(media_type)
    if parse_body is None:
        raise UnsupportedMediaType(f"Send the points with Content-Type: {' or '.join(_PARSERS)}.")
    return parse_body(body, query, max_points)


def _parse_json(body: bytes, query: bytes, max_points: int) -> ParsedRequest:
    for name in query_parameters.parse(query) if query else ():
        raise InvalidParameter(name, "must be in the JSON body")
    request = request_body.validated(body, PredictRequest)
    points = request.points.sent()
    if points.count > max_points:
        raise InvalidInput("points", f"must contain at most {max_points:,} points in one request")
    return _parsed(request, points)


def _array_parser(decode: Callable[..., SentPoints]) -> Callable[[bytes, bytes, int], ParsedRequest]:
    def parse_array(body: bytes, query: bytes, max_points: int) -> ParsedRequest:
        options = _options(query)
        for name in options.model_fields_set & TableQuery.model_fields.keys():
            raise InvalidParameter(name, "must be left out: it says how to read a CSV body, but the body is an array")
        return _parsed(options, decode(body, max_points=max_points))

    return parse_array


def _parse_csv(body: bytes, query: bytes, max_points: int) -> ParsedRequest:
    options = _options(query)
    with csv_bodies.table_errors():
        sheet = understand(io.BytesIO(body), csv_bodies.BODY, options.options())
    return _parsed(options, CsvPoints(sheet, max_points))


def _options(query: bytes) -> PredictQuery:
    """The options of a query, which names what answers."""
    try:
        options = PredictQuery.model_validate(query_parameters.parse(query, lists=("outputs",)))
    except ValidationError as error:
        raise request_body.request_error(error, place="query") from None
    if options.model is None and options.job is None:
        raise InvalidParameter("model", "is required in the query, as ?model=NAME, when the body is not JSON")
    return options


def _parsed(options: PredictOptions | PredictQuery, points: SentPoints | CsvPoints) -> ParsedRequest:
    outputs = options.outputs or ()
    if len(set(outputs)) < len(outputs):
        raise InvalidInput("outputs", "must name each output only once")
    if options.margin is not None and "nearest" not in outputs:
        raise InvalidInput("margin", "needs nearest in outputs")
    prediction = PredictionRequest(
        threshold=options.threshold,
        logits="logits" in outputs,
        nearest="nearest" in outputs,
        spread="spread" in outputs,
        outside="outside_training_range" in outputs,
        margin=options.margin,
    )
    asked = named(options.model, options.version, options.alias, options.job)
    return ParsedRequest(asked, options.epoch, points, prediction, tuple(outputs) or None)


_PARSERS: dict[str, Callable[[bytes, bytes, int], ParsedRequest]] = {
    request_body.JSON: _parse_json,
    npy.MEDIA_TYPE: _array_parser(npy.decode_points),
    arrow.MEDIA_TYPE: _array_parser(arrow.decode_points),
    csv_bodies.MEDIA_TYPE: _parse_csv,
}
