"""Reads rows and records of numbers from large JSON bodies, in pieces, so that other threads can run in between.

This module rejects nothing. It leaves rows that do not have the usual form to the schema, which reads them or says what
is wrong with them.
"""

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import msgspec
import numpy as np
import simdjson

from models.datasets import DoubleArray
from models.limits import MAX_FEATURES
from service.json_keys import repeated_key

MIN_BYTES = 300
"""Length of a body from which this is faster than the schema, in bytes."""

PIECE_BYTES = 2**16
"""Approximate length of the text that is parsed at a time: a fraction of a millisecond, then other threads may run."""

MARK = os.urandom(8).hex()
"""Stands for the rows in the text without them. It is random, so that no client can send it."""

_MARK_JSON = f'"{MARK}"'.encode()
_FIELDS = (b'"points"', b'"instances"', b'"inputs"', b'"data"', b'"dataframe_records"')
_MAX_PLACES = 3
"""Maximum number of occurrences of a name that are examined."""

_SPACE = rb"[ \t\r\n]{0,99}"
_BEGINNING = re.compile(_SPACE + rb":" + _SPACE + rb"(\[)" + _SPACE + rb"([\[{])")
_CLOSING = {b"[": b"]", b"{": b"}"}
_COMMA = re.compile(_SPACE + rb"," + _SPACE)
_END = {b"]": re.compile(rb"\](" + _SPACE + rb"\])"), b"}": re.compile(rb"\}(" + _SPACE + rb"\])")}
"""What ends the last row and the list, by what closes a row. The patterns bound white space, because a search holds the
interpreter lock."""

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b"[],{}"))

_decoded = msgspec.json.Decoder(list[dict[str, float]]).decode

Parser = Callable[[bytes], DoubleArray]
"""Parses the text of whole rows with commas between them, as float64 (N, D). Raises ValueError, TypeError, KeyError or
RuntimeError if the rows do not have the usual form."""


class Rows:
    """The rows of a body. They are the context of the schema that reads the rest of it.

    Attributes:
        rest: the text with `MARK` in place of the rows.
        names: the names of the columns if the rows are records; None if they are lists.
        is_taken: whether the schema has taken the rows. It does not if it expects something else in their place.
    """

    def __init__(self, rest: bytes, names: tuple[str, ...] | None, rows_ND: DoubleArray) -> None:
        """`rows_ND` are the rows, float64 (N, D)."""
        self.rest = rest
        self.names = names
        self.is_taken = False
        self._rows_ND = rows_ND

    @classmethod
    def of(cls, text: bytes) -> Self | None:
        """Reads the rows of the first field in `_FIELDS` that has some; None if they do not have the usual form."""
        beginning = _beginning(text)
        if beginning is None:
            return None
        start, closing = beginning.start(2), _CLOSING[beginning[2]]
        arrays: list[DoubleArray] = []
        try:
            first = text[start : text.index(closing, start) + 1]
            names, parse = _record_parser(first) if closing == b"}" else _row_parser(first)
            for begin, stop in _pieces(text, start, closing):
                arrays.append(parse(text[begin:stop]))
        except (ValueError, TypeError, KeyError, RuntimeError):  # simdjson: RuntimeError for deep nesting
            return None
        rest = b"".join([text[: beginning.start(1)], _MARK_JSON, text[text.index(b"]", stop) + 1 :]])
        return cls(rest, names, np.concatenate(arrays))

    def take(self) -> DoubleArray:
        """The rows, float64 (N, D)."""
        self.is_taken = True
        return self._rows_ND


def rows_for(value: Any, context: Any) -> Rows | None:
    """The rows that `value` stands for in the text of a body, by the context of its schema; None for any other value.

    Schemas whose fields may be rows call this before they look at the value.
    """
    return context if isinstance(context, Rows) and value == MARK else None


def _beginning(text: bytes) -> re.Match[bytes] | None:
    """The text between the name of a field and its first row; None if no field has rows."""
    found = [match for name in _FIELDS if (match := _beginning_of(text, name))]
    return min(found, key=re.Match.start, default=None)


def _beginning_of(text: bytes, name: bytes) -> re.Match[bytes] | None:
    """The text between a field's name and its first row. The name may also be an earlier value, as in a page."""
    place = text.find(name)
    match = None
    for _ in range(_MAX_PLACES):
        if place < 0 or (match := _BEGINNING.match(text, place + len(name))):
            return match
        place = text.find(name, place + 1)
    return match


def _pieces(text: bytes, start: int, closing: bytes) -> Iterator[tuple[int, int]]:
    """Where each piece of whole rows begins and stops. The first one begins at `start`.

    Raises:
        ValueError: no comma follows a piece, and the list does not end there.
    """
    while True:
        stop = text.find(closing, start + PIECE_BYTES) + 1 or len(text)
        end = _END[closing].search(text, start, stop + 100)
        if end is not None:
            yield start, end.start(1)
            return
        comma = _COMMA.match(text, stop)
        if comma is None:
            raise ValueError
        yield start, stop
        start = comma.end()


def _row_parser(first: bytes) -> tuple[None, Parser]:
    """The parser of rows like the first one. They have no names."""
    row = first.translate(None, _ALL_BUT_MARKS)
    features = len(row) - 1  # the brackets and commas of a row: one comma less than numbers, and two brackets
    if row != b"[" + b"," * (features - 1) + b"]" or features > MAX_FEATURES:
        raise ValueError
    return None, partial(_numbers, row=row, features=features)


def _numbers(piece: bytes, row: bytes, features: int) -> DoubleArray:
    """The numbers of rows. `row` is the brackets and commas of each.

    simdjson flattens nested lists without checking their lengths, so the brackets and commas of the text are checked.
    """
    parsed = simdjson.Parser().parse(b"[" + piece + b"]")
    if not isinstance(parsed, simdjson.Array):
        raise TypeError
    numbers = np.frombuffer(parsed.as_buffer(of_type="d"))
    count, rest = divmod(numbers.size, features)
    if rest or piece.translate(None, _ALL_BUT_MARKS) + b"," != (row + b",") * count:
        raise ValueError
    return numbers.reshape(count, features)


def _record_parser(first: bytes) -> tuple[tuple[str, ...], Parser]:
    """The names of records like the first one, and their parser."""
    (record,) = _decoded(b"[" + first + b"]")
    if not 1 <= len(record) <= MAX_FEATURES or repeated_key(first) is not None:
        raise ValueError
    return tuple(record), partial(_values, names=tuple(record), colons=first.count(b":"))


def _values(piece: bytes, names: tuple[str, ...], colons: int) -> DoubleArray:
    """The numbers of records, in the order of the names. `colons` is the number of them in a record."""
    records = _decoded(b"[" + piece + b"]")
    found = np.count_nonzero(np.frombuffer(piece, np.uint8) == ord(":"))  # faster than `bytes.count`
    if found != colons * len(records) or any(len(record) != len(names) for record in records):
        raise ValueError
    return np.array([[*map(record.__getitem__, names)] for record in records])
