"""Points out of large JSON bodies, without a Python object for each number and without holding others up.

What is well-formed is read here. Of all else the schema says what is wrong, or reads it after all: here nothing is
refused.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import simdjson

from models.datasets import DoubleArray, FloatArray
from models.limits import MAX_COORDINATE, MAX_FEATURES

WORTHWHILE_BYTES = 2_000
"""Length of a body from which this is the faster way."""

PIECE_BYTES = 2**16
"""About what is parsed at a time, in a fraction of a millisecond, after which other threads may take their turn."""

MOST_FIELD_BYTES = 2_000
"""Most bytes beside the points: other fields are short, and what else stands there is for the schema to count."""

_MARK = orjson.dumps(os.urandom(8).hex())  # stands for the points in the text without them; nobody can guess it
_POINTS = re.compile(rb'"points"[ \t\r\n]*:[ \t\r\n]*\[')
_CLOSING = re.compile(rb"\][ \t\r\n]+\]")
_ALL_BUT_MARKS = bytes(set(range(256)) - set(b"[],{}"))


def read(text: bytes) -> tuple[dict[str, Any], FloatArray] | None:
    """The fields of an object but `points`, and those as float32 (N, D); None if the schema is to decide."""
    found = _POINTS.search(text)
    if found is None:
        return None
    start = found.end() - 1
    end = _end(text, start)
    if end < 0 or len(text) - (end - start) > MOST_FIELD_BYTES:
        return None
    try:
        fields = orjson.loads(_MARK.join([text[:start], text[end + 1 :]]))
        if type(fields) is not dict or fields.pop("points", None) != orjson.loads(_MARK):  # they stand somewhere else
            return None
        rows = text[start + 1 : end].rstrip(b" \t\r\n")
        row = rows[: rows.find(b"]") + 1].translate(None, _ALL_BUT_MARKS)
        features = len(row) - 1  # a comma fewer than numbers, and two brackets
        if row != b"[" + b"," * (features - 1) + b"]" or features > MAX_FEATURES:
            return None
        flat = np.concatenate([_numbers(piece, row, features) for piece in _pieces(rows)])
    except (ValueError, TypeError, RuntimeError):  # the last by simdjson, for lists that are nested too deep
        return None
    if not np.abs(flat).max() <= MAX_COORDINATE:
        return None
    return fields, flat.astype(np.float32).reshape(-1, features)


def _end(text: bytes, start: int) -> int:
    """Where the list of rows that begins at `start` has its last bracket, or -1."""
    end = text.rfind(b"]]", start)  # from behind, where it mostly is
    if end >= 0:
        return end + 1
    spaced = _CLOSING.search(text, start)
    return spaced.end() - 1 if spaced else -1


def _pieces(rows: bytes) -> Iterator[bytes]:
    """The text of rows in pieces of whole rows, each ending in a bracket; all but the first begin with a comma."""
    start = 0
    while start < len(rows):
        end = rows.find(b"]", start + PIECE_BYTES) + 1 or len(rows)
        yield rows[start:end] if start else b"," + rows[:end]
        start = end


def _numbers(piece: bytes, row: bytes, features: int) -> DoubleArray:
    """The numbers of a piece. `row` is what each row has of brackets and commas.

    simdjson flattens lists without a word about their lengths; the brackets and commas of the text tell them.

    Raises:
        ValueError, TypeError, RuntimeError: it is not made of such rows of numbers.
    """
    parsed = simdjson.Parser().parse(b"[" + piece.lstrip(b" \t\r\n").removeprefix(b",") + b"]")
    if not isinstance(parsed, simdjson.Array):
        raise TypeError
    numbers = np.frombuffer(parsed.as_buffer(of_type="d"))
    count, rest = divmod(numbers.size, features)
    if rest or piece.translate(None, _ALL_BUT_MARKS) != (b"," + row) * count:
        raise ValueError
    return numbers
