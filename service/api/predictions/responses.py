"""The answers of `POST /predict`, in whichever form is asked for."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, Field

from models.boundary.certified.nearest import Nearest
from models.datasets import DoubleArray, FloatArray, IntArray
from models.specs import InvalidInput
from service.api.predictions.requests import Asked, Part
from service.http import request_body
from service.http.content_negotiation import Format
from service.http.middleware import Answer
from service.inference.predictions import Prediction
from service.registry.registry import LoadedVersion
from service.render import arrow, npy

DEFAULT_PARTS: tuple[Part, ...] = ("labels", "probabilities")

MOST_PADDED = 24
"""Longest label, in bytes with its quotes, to whose length the others are padded, which is faster than to join them."""

CHUNK = 4_096
"""Rows that are written at a time: a fraction of a millisecond, after which other threads may take their turn."""


class NearestChange(BaseModel):
    """Where the label of a point changes."""

    point: list[float] | None = Field(
        description="The nearest that was found of another label; null if none was, as far as the diagonal of the "
        "window of the model's boundary grid."
    )
    distance: float | None = Field(description="To that point, in data units.")
    at_least: float = Field(description="Nearer than this, the label is proven not to change.")


class PredictResponse(BaseModel):
    """The class of each point."""

    model: str
    version: int = Field(description="The version that answered.")
    classes: list[int] | list[str] = Field(description="The K classes, as they were called in the training data.")
    labels: list[int] | list[str] | None = Field(None, description="The class of each of the N points.")
    probabilities: list[list[float]] | None = Field(
        None, description="(N, K), in the order of `classes`; each row sums to 1."
    )
    logits: list[list[float]] | None = Field(
        None, description="(N, K), if asked for; (N, 1) for two classes, that of the second."
    )
    margins: list[float] | None = Field(
        None, description="(N,), if asked for: the probability of the label less that of the likeliest other class."
    )
    nearest: list[NearestChange] | None = Field(None, description="(N,), if asked for: where each label changes.")


def encode(form: Format, version: LoadedVersion, asked: Asked, prediction: Prediction) -> Answer:
    """The answer in one of the forms.

    Raises:
        InvalidInput: that form has no room for what is asked.
    """
    return _ENCODERS[form](version, asked, prediction)


class _Wording(NamedTuple):
    """What is the same in all answers of a version: how they begin, and each label with a comma behind it."""

    beginning: bytes
    labels_K: npt.NDArray[np.bytes_]


@lru_cache(maxsize=1_000)
def _wording(version: LoadedVersion) -> _Wording:
    published, classes = version.published, version.card.classes
    beginning = orjson.dumps({"model": published.model, "version": published.version, "classes": classes})
    labels = [orjson.dumps(label) + b"," for label in classes]
    width = max(map(len, labels))
    return _Wording(beginning[:-1], np.array([label.ljust(width) for label in labels]))  # JSON takes blanks anywhere


def _json(version: LoadedVersion, asked: Asked, prediction: Prediction) -> Answer:
    wording = _wording(version)
    pieces = [wording.beginning]
    for part in asked.parts or DEFAULT_PARTS:
        pieces.append(b',"%s":' % part.encode())
        pieces.append(_PARTS[part](wording, prediction))
    if asked.margin:
        pieces += [b',"margins":', _numbers(prediction.margin_N)]
    if prediction.nearest is not None:
        pieces += [b',"nearest":', _nearest(prediction.nearest)]
    pieces.append(b"}")
    return Answer.of(request_body.JSON.encode(), b"".join(pieces))


def _labels(wording: _Wording, prediction: Prediction) -> bytes:
    labels_K = wording.labels_K
    if labels_K.itemsize > MOST_PADDED:
        return b"[" + b",".join([labels_K[k].rstrip(b" ,") for k in prediction.best_N.tolist()]) + b"]"
    return b"[" + labels_K[prediction.best_N].tobytes().rstrip(b" ,") + b"]"


def _nearest(nearest: Nearest) -> bytes:
    found = zip(nearest.xy_N2.tolist(), nearest.distance_N.tolist(), nearest.bound_N.tolist(), strict=True)
    return orjson.dumps(
        [
            {"point": point if distance < math.inf else None, "distance": distance, "at_least": bound}
            for point, distance, bound in found
        ]
    )


def _numbers(array: FloatArray | None) -> bytes:
    assert array is not None
    if len(array) <= CHUNK:
        return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    chunks = [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]
    return b"[" + b",".join(orjson.dumps(chunk, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for chunk in chunks) + b"]"


_PARTS: dict[Part, Callable[[_Wording, Prediction], bytes]] = {
    "labels": _labels,
    "probabilities": lambda _, prediction: _numbers(prediction.prob_NK),
    "logits": lambda _, prediction: _numbers(prediction.logit_NO),
}


def _npy(version: LoadedVersion, asked: Asked, prediction: Prediction) -> Answer:
    for name, is_asked in (("margin", asked.margin), ("nearest", asked.prediction.nearest)):
        if is_asked:
            raise InvalidInput(name, "is not for an .npy, which holds one array; ask for JSON or Arrow")
    parts = asked.parts or ("probabilities",)
    if len(parts) > 1:
        raise InvalidInput("return", "must be one of labels, probabilities and logits, since an .npy holds one array")
    return Answer.of(npy.MEDIA_TYPE.encode(), npy.encode(_array(parts[0], prediction)), *_about(version))


def _arrow(version: LoadedVersion, asked: Asked, prediction: Prediction) -> Answer:
    columns: dict[str, FloatArray | DoubleArray | IntArray] = {
        part: _array(part, prediction) for part in asked.parts or DEFAULT_PARTS
    }
    if asked.margin:
        columns["margins"] = prediction.margin_N
    if prediction.nearest is not None:
        nearest = prediction.nearest
        columns |= {"nearest": nearest.xy_N2, "distance": nearest.distance_N, "at_least": nearest.bound_N}
    return Answer.of(arrow.MEDIA_TYPE.encode(), arrow.encode(version, columns), *_about(version))


def _array(part: Part, prediction: Prediction) -> FloatArray | IntArray:
    if part == "labels":
        return prediction.best_N
    array = prediction.prob_NK if part == "probabilities" else prediction.logit_NO
    assert array is not None  # logits that were asked for were made
    return array


def _about(version: LoadedVersion) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in npy.headers(version).items()]


_ENCODERS = {"json": _json, "npy": _npy, "arrow": _arrow}
