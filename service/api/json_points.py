"""Points out of large JSON bodies without a Python object for each number.

What is well-formed is read here. Of all else the schema says what is wrong, or reads it after all: here nothing is
refused.
"""

from typing import Any

import numpy as np
import simdjson

from models.datasets import FloatArray
from models.specs import MAX_COORDINATE, MAX_FEATURES

WORTHWHILE_BYTES = 4_000
"""Length of a body from which this is the faster way."""

MOST_FIELDS = 10
"""Most fields of an object that is looked at."""

_NO_BRACKETS = bytes(set(range(256)) - set(b"[],{}"))


def read(text: bytes) -> tuple[dict[str, Any], FloatArray] | None:
    """The fields of an object but `points`, and those as float32 (N, D); None if the schema is to decide."""
    try:
        document = simdjson.Parser().parse(text)
        if not isinstance(document, simdjson.Object) or len(document) > MOST_FIELDS:
            return None
        names = list(document)
        fields = {name: _plain(document[name]) for name in names if name != "points"}
        points = document["points"]
        if not isinstance(points, simdjson.Array):
            return None
        flat = np.frombuffer(points.as_buffer(of_type="d"))
    except (ValueError, TypeError, KeyError, RuntimeError):  # the last for lists that are nested too deep
        return None
    features = _features(text, flat.size)
    if len(names) != len(fields) + 1 or features is None:  # a name twice: each parser takes another of the two
        return None
    if not np.abs(flat).max() <= MAX_COORDINATE:
        return None
    return fields, flat.astype(np.float32).reshape(-1, features)


def _features(text: bytes, numbers: int) -> int | None:
    """D, if so many numbers stand in the text's `points` as lists of D; None if they stand there in another way.

    simdjson flattens nested lists without a word about their lengths. They are held against the brackets and commas of
    the text, which must be those of N lists of D numbers.
    """
    start = text.find(b"[", text.find(b'"points"'))
    marks = text[start:].translate(None, _NO_BRACKETS)
    row = marks[1 : marks.find(b"]") + 1]
    features = len(row) - 1  # a comma fewer than numbers, and two brackets
    if not 1 <= features <= MAX_FEATURES or numbers == 0 or numbers % features:
        return None
    if row != b"[" + b"," * (features - 1) + b"]":
        return None
    rows = (row + b",") * (numbers // features)
    return features if marks.startswith(b"[" + rows[:-1] + b"]") else None


def _plain(value: Any) -> Any:
    """A value that outlives the document, of which lists and objects are views."""
    if isinstance(value, simdjson.Array):
        return value.as_list()
    return value.as_dict() if isinstance(value, simdjson.Object) else value
