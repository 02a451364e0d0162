"""Rows and records of numbers in large JSON bodies, read in pieces, so that other threads run in between.

Nothing is rejected here. Rows that do not have the usual form are left to the schema, which reads them or says what is
wrong with them.
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

MIN_BYTES = 2_000
"""Length of a body from which this is faster than the schema."""

PIECE_BYTES = 2**16
"""Approximate length of the text that is parsed at a time: a fraction of a millisecond, then other threads may run."""

MARK = os.urandom(8).hex()
"""Stands for the rows in the text without them. It is random, so that no client can send it."""

_MARK_JSON = f'"{MARK}"'.encode()
_FIELDS = (b'"points"', b'"instances"', b'"inputs"', b'"data"', b'"dataframe_records"')
_SPACE = rb"[ \t\r\n]{0,99}"
_BEGINNING = re.compile(_SPACE + rb":" + _SPACE + rb"(\[)" + _SPACE + rb"([\[{])")
_CLOSING = {b"[": b"]", b"{": b"}"}
_END = {b"]": re.compile(rb"\](" + _SPACE + rb"\])"), b"}": re.compile(rb"\}(" + _SPACE + rb"\])")}
"""The end of the last row or record, and of the list. Space is bounded, since looking for it holds up other threads."""

_ALL_BUT_MARKS = bytes(set(range(256)) - set(b"[],{}"))

_decoded = msgspec.json.Decoder(list[dict[str, float]]).decode

Parser = Callable[[bytes], DoubleArray]
"""Parses whole rows, each after a comma, as float64 (N, D). Raises ValueError, TypeError, KeyError or RuntimeError for
others."""


class Rows:
    """The rows of a body, as the context of the schema that reads the rest.

    Attributes:
        rest: the text with `MARK` in place of the rows.
        names: those of the columns, if the rows are records.
        is_taken: whether the schema took the rows. If not, they are where it does not expect rows.
    """

    def __init__(self, rest: bytes, names: tuple[str, ...] | None, rows_ND: DoubleArray) -> None:
        """`rows_ND` are the rows, float64 (N, D)."""
        self.rest = rest
        self.names = names
        self.is_taken = False
        self._rows_ND = rows_ND

    @classmethod
    def of(cls, text: bytes) -> Self | None:
        """The rows in the first of `_FIELDS` that is a list of them; None if they do not have the usual form."""
        beginning = _beginning(text)
        if beginning is None:
            return None
        closing, start = _CLOSING[beginning[2]], beginning.start(2)
        rows: list[DoubleArray] = []
        at = start
        try:
            first = text[start : text.index(closing, start) + 1]
            names, parse = _record_parser(first) if closing == b"}" else _row_parser(first)
            for piece in _pieces(text, start, closing):
                rows.append(parse(piece if rows else b"," + piece))
                at += len(piece)
        except (ValueError, TypeError, KeyError, RuntimeError):  # the last by simdjson, for lists nested too deeply
            return None
        after = text.index(b"]", at) + 1
        rest = b"".join([text[: beginning.start(1)], _MARK_JSON, text[after:]])
        return cls(rest, names, np.concatenate(rows))

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
    """What is between the name of a field and its first row."""
    places = sorted(text.find(name) + len(name) for name in _FIELDS if name in text)
    return next(filter(None, (_BEGINNING.match(text, place) for place in places)), None)


def _pieces(text: bytes, start: int, closing: bytes) -> Iterator[bytes]:
    """The text of the rows that begin at `start`, in pieces of whole rows.

    Raises:
        ValueError: the rows have no end.
    """
    end = None
    while end is None:
        stop = text.find(closing, start + PIECE_BYTES) + 1 or len(text)
        end = _END[closing].search(text, start, stop + 100)
        if end is not None:
            stop = end.start(1)
        elif stop == len(text):
            raise ValueError
        yield text[start:stop]
        start = stop


def _list_of(piece: bytes) -> bytes:
    return b"[" + piece.lstrip(b" \t\r\n").removeprefix(b",") + b"]"


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
    parsed = simdjson.Parser().parse(_list_of(piece))
    if not isinstance(parsed, simdjson.Array):
        raise TypeError
    numbers = np.frombuffer(parsed.as_buffer(of_type="d"))
    count, rest = divmod(numbers.size, features)
    if rest or piece.translate(None, _ALL_BUT_MARKS) != (b"," + row) * count:
        raise ValueError
    return numbers.reshape(count, features)


def _record_parser(first: bytes) -> tuple[tuple[str, ...], Parser]:
    """The names of records like the first one, and their parser."""
    (record,) = _decoded(_list_of(first))
    if not 1 <= len(record) <= MAX_FEATURES:
        raise ValueError
    return tuple(record), partial(_values, names=tuple(record))


def _values(piece: bytes, names: tuple[str, ...]) -> DoubleArray:
    """The numbers of records, in the order of the names."""
    records = _decoded(_list_of(piece))
    if any(len(record) != len(names) for record in records):
        raise ValueError
    return np.array([[*map(record.__getitem__, names)] for record in records])
