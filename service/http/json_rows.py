"""Points of large JSON bodies, read without a Python object per number and without holding up other threads.

Nothing is rejected here. A body that does not have the usual form is left to the schema, which reads it or says what is
wrong with it.
"""

import os
import re
from collections.abc import Iterator

import numpy as np
import simdjson

from models.datasets import DoubleArray
from models.limits import MAX_COORDINATE, MAX_FEATURES

MIN_BYTES = 2_000
"""Length of a body from which this is faster than the schema."""

PIECE_BYTES = 2**16
"""Approximate length of the text that is parsed at a time: a fraction of a millisecond, then other threads may run."""

MAX_OTHER_BYTES = 2_000
"""Most bytes besides the points. Other fields are short; longer text is left to the schema, which bounds its values."""

MARK = os.urandom(8).hex()
"""Stands for the points in the text without them. It is random, so that no client can send it."""

_MARK_JSON = f'"{MARK}"'.encode()
_POINTS = re.compile(rb'"points"[ \t\r\n]*:[ \t\r\n]*\[')
_CLOSING = re.compile(rb"\][ \t\r\n]+\]")
_ALL_BUT_MARKS = bytes(set(range(256)) - set(b"[],{}"))


def split(text: bytes) -> tuple[bytes, DoubleArray] | None:
    """The text with `MARK` in place of its points, and the points as float64 (N, D); None to leave it to the schema.

    The caller checks that the text is an object whose field `points` is `MARK`: the points may be in another value.
    """
    found = _POINTS.search(text)
    if found is None:
        return None
    start = found.end() - 1
    end = _end(text, start)
    if end < 0 or len(text) - (end - start) > MAX_OTHER_BYTES:
        return None
    rows = text[start + 1 : end].rstrip(b" \t\r\n")
    row = rows[: rows.find(b"]") + 1].translate(None, _ALL_BUT_MARKS)
    features = len(row) - 1  # the brackets and commas of a row: one comma less than numbers, and two brackets
    if row != b"[" + b"," * (features - 1) + b"]" or features > MAX_FEATURES:
        return None
    try:
        flat = np.concatenate([_numbers(piece, row, features) for piece in _pieces(rows)])
    except (ValueError, TypeError, RuntimeError):  # simdjson raises RuntimeError for lists that are nested too deeply
        return None
    if not np.abs(flat).max() <= MAX_COORDINATE:
        return None
    return _MARK_JSON.join([text[:start], text[end + 1 :]]), flat.reshape(-1, features)


def _end(text: bytes, start: int) -> int:
    """The position of the last bracket of the list of rows that begins at `start`, or -1."""
    end = text.rfind(b"]]", start)  # searched from the end of the text, where it is in most bodies
    if end >= 0:
        return end + 1
    spaced = _CLOSING.search(text, start)
    return spaced.end() - 1 if spaced else -1


def _pieces(rows: bytes) -> Iterator[bytes]:
    """The text of the rows in pieces of whole rows. Each piece begins with a comma and ends with a bracket."""
    start = 0
    while start < len(rows):
        end = rows.find(b"]", start + PIECE_BYTES) + 1 or len(rows)
        yield rows[start:end] if start else b"," + rows[:end]
        start = end


def _numbers(piece: bytes, row: bytes, features: int) -> DoubleArray:
    """The numbers of a piece. `row` is the brackets and commas of each row.

    simdjson flattens nested lists without checking their lengths, so the brackets and commas of the text are checked.

    Raises:
        ValueError, TypeError, RuntimeError: the piece is not made of such rows of numbers.
    """
    parsed = simdjson.Parser().parse(b"[" + piece.lstrip(b" \t\r\n").removeprefix(b",") + b"]")
    if not isinstance(parsed, simdjson.Array):
        raise TypeError
    numbers = np.frombuffer(parsed.as_buffer(of_type="d"))
    count, rest = divmod(numbers.size, features)
    if rest or piece.translate(None, _ALL_BUT_MARKS) != (b"," + row) * count:
        raise ValueError
    return numbers
