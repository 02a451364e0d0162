"""Responses of `POST /predict`: their schema, and how a prediction is written as JSON, `.npy`, Arrow or CSV."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, Field

from models.boundary.certified.nearest import Nearest
from models.datasets import IntArray, PointArray
from models.specs import InvalidInput
from service.api.predictions.requests import Output
from service.http.bodies import request_body
from service.http.content_negotiation import Format
from service.http.middleware import RawResponse, ok
from service.inference import predictions
from service.registry.networks import LoadedNetwork
from service.render import arrow, csv_predictions, headers, npy
from service.tables.table import Table

DEFAULT_OUTPUTS: tuple[Output, ...] = ("labels", "probabilities")

ARRAY_OUTPUTS: tuple[Output, ...] = (
    "labels",
    "probabilities",
    "logits",
    "margins",
    "spread",
    "outside_training_range",
)
"""Outputs that are one array."""

MAX_PADDED_BYTES = 24
"""Longest label, with quotes and comma, up to which labels are padded to one length; that is faster than joining."""

CHUNK_ROWS = 4_096
"""Rows that are written at a time: a fraction of a millisecond, then other threads may run."""


class NearestChange(BaseModel):
    """Where the label of a point changes."""

    point: list[float] | None = Field(
        description="The nearest point found with another label; null if there is none within the diagonal of the "
        "default window of the model's boundary grid."
    )
    distance: float | None = Field(description="Distance to that point, in data units.")
    at_least: float = Field(description="The label provably does not change within this distance.")


class Prediction(BaseModel):
    """The class of each point."""

    model: str | None = Field(description="The model that answered; null for a job that publishes nothing.")
    version: int | None = Field(description="The version that answered; null for a job without a version.")
    job_id: str | None = Field(None, description="The job that answered, if it has no version.")
    epoch: int | None = Field(None, description="The epoch of its training, if the request names one or a job.")
    classes: list[int] | list[str] = Field(description="The K classes, as named in the training data.")
    understood: list[str] | None = Field(
        None, description="How a CSV body was understood: one line for each thing that was read or left out."
    )
    left_out: list[int] | None = Field(
        None,
        description="With `missing=drop`: the numbers of the lines of a CSV body that have no point in the response, "
        "because a value is missing.",
    )
    labels: list[int] | list[str] | None = Field(None, description="The class of each of the N points.")
    probabilities: list[list[float]] | None = Field(
        None, description="(N, K), in the order of `classes`; each row sums to 1."
    )
    logits: list[list[float]] | None = Field(
        None, description="(N, K), if requested; for two classes (N, 1), the logit of the second."
    )
    margins: list[float] | None = Field(
        None,
        description="(N,), if requested: the probability of the label minus the one of the likeliest other class.",
    )
    nearest: list[NearestChange] | None = Field(None, description="(N,), if requested: where each label changes.")
    spread: list[list[float]] | None = Field(
        None,
        description="(N, K), if requested: the standard deviation of each probability over the networks of an "
        "ensemble.",
    )
    outside_training_range: list[bool] | None = Field(
        None,
        description="(N,), if requested: whether the point is far from all training points.",
    )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a response shows.

    Attributes:
        version: the version that answered.
        xy_ND: the points, in the order of the version's features.
        outputs: what to return for each point; None for the default of the response's format.
        prediction: of the points.
        table: that has the points, if they are CSV.
    """

    version: LoadedNetwork
    xy_ND: PointArray
    outputs: tuple[Output, ...] | None
    prediction: predictions.Prediction
    table: Table | None


class _JsonText(NamedTuple):
    """The text that all JSON responses of a version share.

    Attributes:
        beginning: up to the first output.
        labels_K: each label and a comma, padded to one length with spaces, which JSON allows between values.
    """

    beginning: bytes
    labels_K: npt.NDArray[np.bytes_]


_json_texts: WeakKeyDictionary[LoadedNetwork, _JsonText] = WeakKeyDictionary()


def _json_text(version: LoadedNetwork) -> _JsonText:
    text = _json_texts.get(version)
    if text is None:
        text = _json_texts[version] = _new_json_text(version)
    return text


def _new_json_text(version: LoadedNetwork) -> _JsonText:
    classes = version.card.classes
    beginning = orjson.dumps({**version.answered_by, "classes": classes})
    labels = [orjson.dumps(label) + b"," for label in classes]
    length = max(map(len, labels))
    return _JsonText(beginning[:-1], np.array([label.ljust(length) for label in labels]))


def _json(answer: Answer) -> RawResponse:
    text = _json_text(answer.version)
    pieces = [text.beginning, _json_about(answer.table)]
    for output in answer.outputs or DEFAULT_OUTPUTS:
        pieces.append(b',"%s":' % output.encode())
        pieces.append(_json_output(answer.version, output, answer.prediction))
    pieces.append(b"}")
    return ok(request_body.JSON.encode(), b"".join(pieces))


def _json_about(table: Table | None) -> bytes:
    """How a table was understood, as further fields of an object."""
    if table is None:
        return b""
    about = {"understood": table.understood} | ({"left_out": table.left_out} if table.left_out else {})
    return b"," + orjson.dumps(about)[1:-1]


def _json_output(version: LoadedNetwork, output: Output, prediction: predictions.Prediction) -> bytes:
    if output == "labels":
        return json_labels(version, prediction.best_N)
    column = _column(output, prediction)
    return _json_nearest(column) if isinstance(column, Nearest) else json_numbers(column)


def json_labels(version: LoadedNetwork, best_N: IntArray) -> bytes:
    """The labels of N points as a JSON list, from the index of the class of each."""
    labels_K = _json_text(version).labels_K
    if labels_K.itemsize > MAX_PADDED_BYTES:
        return b"[" + b",".join([labels_K[k].rstrip(b" ,") for k in best_N.tolist()]) + b"]"
    return b"[" + labels_K[best_N].tobytes().rstrip(b" ,") + b"]"


def _json_nearest(nearest: Nearest) -> bytes:
    found = zip(nearest.xy_N2.tolist(), nearest.distance_N.tolist(), nearest.bound_N.tolist(), strict=True)
    return orjson.dumps(
        [
            {"point": point if distance < math.inf else None, "distance": distance, "at_least": bound}
            for point, distance, bound in found
        ]
    )


def json_numbers(array: npt.NDArray[np.generic]) -> bytes:
    """The numbers of an array as JSON lists, written in pieces."""
    if len(array) <= CHUNK_ROWS:
        return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    chunks = [array[start : start + CHUNK_ROWS] for start in range(0, len(array), CHUNK_ROWS)]
    return b"[" + b",".join(orjson.dumps(chunk, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for chunk in chunks) + b"]"


def _npy(answer: Answer) -> RawResponse:
    output, *others = answer.outputs or ("probabilities",)
    column = None if others else _column(output, answer.prediction)
    if not isinstance(column, np.ndarray):
        raise InvalidInput("outputs", f"must be one of {', '.join(ARRAY_OUTPUTS)}: an .npy response holds one array")
    return ok(npy.MEDIA_TYPE.encode(), npy.encode(column), *_headers(answer))


def _arrow(answer: Answer) -> RawResponse:
    content = arrow.encode(answer.version, _columns(answer))
    return ok(arrow.MEDIA_TYPE.encode(), content, *_headers(answer))


def _csv(answer: Answer) -> RawResponse:
    content = csv_predictions.encode(answer.version.card, answer.xy_ND, _columns(answer))
    return ok(csv_predictions.MEDIA_TYPE.encode(), content, *_headers(answer))


def _columns(answer: Answer) -> dict[str, csv_predictions.Column]:
    return {output: _column(output, answer.prediction) for output in answer.outputs or DEFAULT_OUTPUTS}


def _column(output: Output, prediction: predictions.Prediction) -> csv_predictions.Column:
    column: csv_predictions.Column | None
    match output:
        case "labels":
            column = prediction.best_N.astype(np.uint8)  # `MAX_CLASSES` is less than 256
        case "probabilities":
            column = prediction.prob_NK
        case "logits":
            column = prediction.logit_NO
        case "margins":
            column = prediction.margin_N
        case "nearest":
            column = prediction.nearest
        case "spread":
            column = prediction.spread_NK
        case "outside_training_range":
            column = prediction.outside_N
    assert column is not None  # a requested output is computed
    return column


def _headers(answer: Answer) -> list[tuple[bytes, bytes]]:
    found = headers.of_version(answer.version) | headers.of_left_out(answer.table.left_out if answer.table else ())
    return [(name.lower().encode(), value.encode()) for name, value in found.items()]


@dataclass(frozen=True, eq=False)
class PredictionFormat(Format):
    """A format of predictions. Its encoder raises InvalidInput if the format cannot hold what the request wants."""

    encode: Callable[[Answer], RawResponse]


FORMATS = (
    PredictionFormat("json", request_body.JSON, _json),
    PredictionFormat("npy", npy.MEDIA_TYPE, _npy),
    PredictionFormat("arrow", arrow.MEDIA_TYPE, _arrow),
    PredictionFormat("csv", csv_predictions.MEDIA_TYPE, _csv),
)
