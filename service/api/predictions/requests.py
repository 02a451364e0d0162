"""What `POST /predict` is asked, in whichever form it comes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, FailFast, Field, FiniteFloat, ValidationError

from models.datasets import FloatArray, points_array
from models.limits import MAX_FEATURES
from models.specs import InvalidInput
from service.api.predictions import json_points
from service.errors import UnsupportedMediaType
from service.http import query_parameters, request_body
from service.http.patterns import PARTS_PATTERN
from service.http.schema import Body
from service.inference.predictions import PredictionRequest
from service.records import NAME_PATTERN
from service.render import arrow, npy

Part = Literal["labels", "probabilities", "logits"]

Row = Annotated[list[FiniteFloat], FailFast(), Field(min_length=1, max_length=MAX_FEATURES)]
Rows = Annotated[list[Row], FailFast(), Field(min_length=1)]
Threshold = Annotated[
    float | None,
    Field(
        ge=1e-6,
        le=1 - 1e-6,
        description="Of two classes, the probability of the second above which a point gets its label; else 0.5.",
    ),
]
Margin = Annotated[
    bool, Field(description="Also how much more probable each point's class is than the likeliest other: `margins`.")
]

Nearest = Annotated[
    bool,
    Field(
        description="Of points in the plane, at most 1,000, also `nearest`: for each the nearest point that is given "
        "another label, its distance, and a distance within which there is proven to be none."
    ),
]


class PredictFields(Body):
    """Who is to answer, and what."""

    model: str = Field(pattern=NAME_PATTERN, examples=["flower-sequential"])
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The latest, if not given.")
    threshold: Threshold = None
    parts: list[Part] | None = Field(
        None,
        alias="return",
        min_length=1,
        max_length=3,
        description="What to answer for each point; labels and probabilities if not given.",
    )
    margin: Margin = False
    nearest: Nearest = False


class PredictRequest(PredictFields):
    """Points to put on one side of the line or the other."""

    points: Rows = Field(
        description="N points of as many coordinates as the model was trained on; computed in float32.",
        examples=[[[0.5, -0.25], [2.0, 1.0]]],
    )


class ArrayQuery(BaseModel):
    """The same for a body that is an array, and has no room for it."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, pattern=NAME_PATTERN, description="For a body that is no JSON, and needed there.")
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The same; the latest, if not given.")
    threshold: Threshold = None
    parts: str | None = Field(
        None,
        alias="return",
        pattern=PARTS_PATTERN,
        description="What to answer for each point, with commas between; an `.npy` holds one of them.",
    )
    margin: Margin = False
    nearest: Nearest = False


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        parts: what to answer for each point; None leaves it to the form of the answer.
        margin: whether the margins are wanted too.
    """

    model: str
    version: int | None
    points: FloatArray
    prediction: PredictionRequest
    parts: tuple[Part, ...] | None
    margin: bool


def read(media_type: str, body: bytes, query: bytes, *, max_points: int) -> Asked:
    """The request that a body and a query make.

    Raises:
        UnsupportedMediaType: it is a body of another kind.
        RequestValidationError, InvalidInput: something in it is not as it should be.
    """
    reader = _READERS.get(media_type)
    if reader is None:
        raise UnsupportedMediaType(f"Send the points with one of Content-Type: {', '.join(_READERS)}.")
    return reader(body, query, max_points)


def _json(body: bytes, query: bytes, max_points: int) -> Asked:
    for name in query_parameters.parameters(query) if query else ():
        raise InvalidInput(name, "belongs into the body, when that is JSON")
    fields, points = _fields_and_points(body)
    if len(points) > max_points:
        raise InvalidInput("points", f"at most {max_points:,} points in one request")
    points = points_array(points) if isinstance(points, list) else points
    return _asked(fields, fields.model, points, fields.parts)


def _fields_and_points(body: bytes) -> tuple[PredictFields, FloatArray | list[list[float]]]:
    if len(body) >= json_points.WORTHWHILE_BYTES:
        found = json_points.read(body)
        if found is not None:
            with suppress(ValidationError):  # of which the whole schema says all
                return PredictFields.model_validate(found[0]), found[1]
    request = request_body.validated(body, PredictRequest)
    return request, request.points


def _array(decode: Callable[..., FloatArray]) -> Callable[[bytes, bytes, int], Asked]:
    def reader(body: bytes, query: bytes, max_points: int) -> Asked:
        try:
            asked = ArrayQuery.model_validate(query_parameters.parameters(query))
        except ValidationError as error:
            raise request_body.invalid(error) from None
        if asked.model is None:
            raise InvalidInput("model", "must be given as ?model= when the body is an array")
        parts = asked.parts.split(",") if asked.parts else None
        points = decode(body, max_points=max_points)
        return _asked(asked, asked.model, points, parts)

    return reader


def _asked(fields: PredictFields | ArrayQuery, model: str, points: FloatArray, parts: Sequence[str] | None) -> Asked:
    prediction = PredictionRequest(
        threshold=fields.threshold, logits=parts is not None and "logits" in parts, nearest=fields.nearest
    )
    chosen = cast(tuple[Part, ...], tuple(parts)) if parts else None
    return Asked(model, fields.version, points, prediction, chosen, fields.margin)


_READERS: dict[str, Callable[[bytes, bytes, int], Asked]] = {
    request_body.JSON: _json,
    npy.MEDIA_TYPE: _array(npy.decode_points),
    arrow.MEDIA_TYPE: _array(arrow.decode_points),
}
