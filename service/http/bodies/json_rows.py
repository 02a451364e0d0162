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
_ROWS = re.compile(rb'"(?:points|instances|inputs|data|dataframe_records)"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*([\[{])')
_CLOSINGS = {b"[": (b"]", re.compile(rb"\][ \t\r\n]+\]")), b"{": (b"}", re.compile(rb"\}[ \t\r\n]+\]"))}
"""How rows and records end, by how they begin: each of them, and the last one with the list, if there is space between.
"""

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
        """The first rows of a text that have a name of `_ROWS`; None if they do not have the usual form."""
        found = _ROWS.search(text)
        if found is None:
            return None
        closing, spaced = _CLOSINGS[found[1]]
        start = found.start(1)
        try:
            end = _end(text, start, closing, spaced)
            first = text[start : text.index(closing, start, end) + 1]
            names, parse = _record_parser(first) if closing == b"}" else _row_parser(first)
            rows_ND = np.concatenate([parse(piece) for piece in _pieces(text, start, end, closing)])
        except (ValueError, TypeError, KeyError, RuntimeError):  # the last by simdjson, for lists nested too deeply
            return None
        opening = text.rindex(b"[", 0, start)
        after = text.index(b"]", end) + 1
        return cls(b"".join([text[:opening], _MARK_JSON, text[after:]]), names, rows_ND)

    def take(self) -> DoubleArray:
        """The rows, float64 (N, D)."""
        self.is_taken = True
        return self._rows_ND


def rows_for(value: Any, context: Any) -> Rows | None:
    """The rows that `value` stands for in the text of a body, by the context of its schema; None for any other value.

    Schemas whose fields may be rows call this before they look at the value.
    """
    return context if isinstance(context, Rows) and value == MARK else None


def _end(text: bytes, start: int, closing: bytes, spaced: re.Pattern[bytes]) -> int:
    """The end of the last of the rows that begin at `start`.

    Raises:
        ValueError: there is none.
    """
    end = text.find(closing + b"]", start)
    if end < 0:
        found = spaced.search(text, start)
        if found is None:
            raise ValueError
        end = found.start()
    return end + 1


def _pieces(text: bytes, start: int, end: int, closing: bytes) -> Iterator[bytes]:
    """The text of the rows between `start` and `end` in pieces of whole rows, each of which begins with a comma."""
    at = start
    while at < end:
        stop = text.find(closing, at + PIECE_BYTES, end) + 1 or end
        yield text[at:stop] if at > start else b"," + text[at:stop]
        at = stop


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
