"""Points in JSON, in each form in which people send them.

N points of D coordinates may be a list of points, or one point without a list around it. With the names of the
features they may be a list of records, one record, or an object of columns. `true` and `false` are read as 1 and 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, cast

import numpy as np
from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    GetPydanticSchema,
    Tag,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from models import feature_names
from models.datasets import DoubleArray, PointArray, bounded, points_array
from models.limits import MAX_FEATURES, MAX_NAME_LENGTH
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.http.bodies import json_rows
from service.http.schema import Coordinate, Row

FeatureName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]

_Rows = Annotated[list[Row], Field(min_length=1, fail_fast=True)]
_Text = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]


def _kind(value: Any) -> str:
    if value is None:
        return "[null]"
    return "[text]" if isinstance(value, str) else "[number]"


def _refuse_null(_: None) -> None:
    raise PydanticCustomError("null", "must be a number or text, not null")  # whether the feature is text is not known


_Null = Annotated[float, BeforeValidator(_refuse_null), SkipJsonSchema()]

Value = Annotated[
    Annotated[Coordinate, Tag("[number]")] | Annotated[_Text, Tag("[text]")] | Annotated[_Null, Tag("[null]")],
    Discriminator(_kind),
]
"""A coordinate, or a value of a text column."""

_Record = Annotated[dict[FeatureName, Value], Field(min_length=1, max_length=MAX_FEATURES)]
_Records = Annotated[list[_Record], Field(min_length=1, fail_fast=True)]
_Column = Annotated[list[Value], Field(min_length=1, fail_fast=True)]
_Columns = Annotated[dict[FeatureName, _Column], Field(min_length=1, max_length=MAX_FEATURES)]


def _form(value: Any) -> str:
    """The tag of the form that points seem to have; their schema then says what is wrong with them."""
    if isinstance(value, dict):
        return "[columns]" if any(isinstance(one, list) for one in value.values()) else "[record]"
    if not isinstance(value, list) or not value or isinstance(value[0], list):
        return "[rows]"
    if not isinstance(value[0], dict):
        return "[point]"
    if value[0].keys() >= {"datatype", "data"}:
        raise PydanticCustomError("tensors", "must be lists of numbers or records, not tensors")
    return "[records]"


_Forms = Annotated[
    Annotated[_Rows, Tag("[rows]")]
    | Annotated[Row, Tag("[point]")]
    | Annotated[_Records, Tag("[records]")]
    | Annotated[_Record, Tag("[record]")]
    | Annotated[_Columns, Tag("[columns]")],
    Discriminator(_form),
]


TableRows = Sequence[Sequence[float | str]] | DoubleArray
"""Rows of a table: float64 (N, D) if they were read from a large body by `json_rows`, else lists."""


@dataclass(frozen=True, eq=False)
class JsonPoints:
    """Points of a JSON body that fit the schema.

    Attributes:
        form: a key of `_READERS`.
        value: for the form `array` a pair: the names of the columns or None, and float64 (N, D). For other forms the
            values as they came, with 1 and 0 in place of truth values.
    """

    form: str
    value: Any

    def sent(self, *, field: str = "points") -> SentPoints:
        """The points as arrays. `field` is how error messages name them.

        Raises:
            InvalidInput: rows, records or columns differ, or a number is out of bounds.
        """
        return _READERS[self.form](self.value, field)


def _of_array(named: tuple[tuple[str, ...] | None, DoubleArray], field: str) -> SentPoints:
    names, xy_ND = named
    return SentPoints(bounded(xy_ND, field=field), names, have_order=names is None)


def _of_rows(rows: Sequence[Sequence[float]], field: str) -> SentPoints:
    return SentPoints(points_array(rows, field=field))


def _of_point(point: Sequence[float], field: str) -> SentPoints:
    return SentPoints(points_array([point], field=field)[0])


def _of_record(record: Mapping[str, float | str], field: str) -> SentPoints:
    return _of_records([record], field)


def _of_records(records: Sequence[Mapping[str, float | str]], field: str) -> SentPoints:
    names = tuple(records[0])
    for i, record in enumerate(records):
        if record.keys() != records[0].keys():
            raise InvalidInput(f"{field}.{i}", _unlike_the_first([*record], names))
    return _named(names, [[*map(record.__getitem__, names)] for record in records], field)


def of_table(names: Sequence[str] | None, rows: TableRows, field: str) -> SentPoints:
    """Points in rows, of columns with these names, or by position. Columns may be text if they have names.

    Raises:
        InvalidInput: rows and names differ in length, names repeat, or a column has numbers and text.
    """
    width = len(rows[0]) if names is None else len(names)
    for i, found in enumerate([rows.shape[1]] if isinstance(rows, np.ndarray) else map(len, rows)):
        if found != width:
            wanted = f"{width:,} values, {'as the first row' if names is None else 'one for each column'}"
            raise InvalidInput(f"{field}.{i}", f"must have {wanted}, not {found:,}")
    if names is None:
        return SentPoints(_numbers(rows, [str(d) for d in range(width)], field))
    if len(set(names)) < len(names):
        raise InvalidInput(field, "must have columns with different names")
    return replace(_named(names, rows, field), have_order=True)


def _named(names: Sequence[str], rows: TableRows, field: str) -> SentPoints:
    """Points of columns with these names, each of numbers or of text."""
    texts = {d for d, value in enumerate(rows[0]) if isinstance(value, str)}
    if not texts:
        return SentPoints(_numbers(rows, names, field), tuple(names), have_order=False)
    found = {}
    for d in texts:
        found[names[d]] = [_text(row[d], names[d], f"{field}.{i}") for i, row in enumerate(rows)]
    others = [d for d in range(len(names)) if d not in texts]
    names = [names[d] for d in others]
    array = _numbers([[row[d] for d in others] for row in rows], names, field) if others else np.empty((len(rows), 0))
    return SentPoints(array, tuple(names), have_order=False, texts=found)


def _numbers(rows: TableRows, names: Sequence[str], field: str) -> PointArray:
    if isinstance(rows, np.ndarray):
        return bounded(rows, field=field)
    for i, row in enumerate(rows):
        for d, value in enumerate(row):
            if isinstance(value, str):
                raise InvalidInput(
                    f"{field}.{i}", f"must have a number in {feature_names.quoted([names[d]])}, not text"
                )
    return points_array(cast("Sequence[Sequence[float]]", rows), field=field)


def _text(value: float | str, name: str, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, f"must have text in {feature_names.quoted([name])}, as the first point has")
    return value


def _unlike_the_first(given: Sequence[str], first: Sequence[str]) -> str:
    missing, more = [name for name in first if name not in given], [name for name in given if name not in first]
    lacks = f"it lacks {feature_names.quoted(missing)}" if missing else ""
    has = f"it has {feature_names.quoted(more)} in addition" if more else ""
    return f"must have the same names as the first point: {' and '.join(filter(None, [lacks, has]))}"


def _of_columns(columns: Mapping[str, Sequence[float | str]], field: str) -> SentPoints:
    lengths = {name: len(column) for name, column in columns.items()}
    first, length = next(iter(lengths.items()))
    for name, other in lengths.items():
        if other != length:
            raise InvalidInput(
                field,
                f"must have columns of the same length, but {feature_names.quoted([first])} has {length} values and "
                f"{feature_names.quoted([name])} has {other}",
            )
    return _named([*columns], [*zip(*columns.values(), strict=True)], field)


_READERS: dict[str, Callable[[Any, str], SentPoints]] = {
    "array": _of_array,
    "[rows]": _of_rows,
    "[point]": _of_point,
    "[records]": _of_records,
    "[record]": _of_record,
    "[columns]": _of_columns,
}


def _read(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> JsonPoints:
    rows = json_rows.rows_for(value, info.context)
    if rows is not None:
        return JsonPoints("array", (rows.names, rows.take()))
    array = _plain_rows(value)
    if array is not None:
        return JsonPoints("array", (None, array))
    return JsonPoints(_form(value), handler(_without_booleans(value)))


def _plain_rows(value: Any) -> DoubleArray | None:
    """Lists of the same number of numbers as an array, which is faster than the schema; None for anything else."""
    if type(value) is not list or set(map(type, value)) != {list}:
        return None
    lengths = set(map(len, value))
    if len(lengths) > 1 or not 1 <= len(value[0]) <= MAX_FEATURES:
        return None
    if not set(map(type, chain.from_iterable(value))) <= {int, float}:
        return None
    try:
        return np.array(value, dtype=np.float64)
    except OverflowError:  # an integer of hundreds of digits
        return None


def _without_booleans(value: Any, depth: int = 3) -> Any:
    """Points with 1 and 0 in place of true and false."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, list) and depth:
        return [_without_booleans(one, depth - 1) for one in value]
    if isinstance(value, dict) and depth:
        return {name: _without_booleans(one, depth - 1) for name, one in value.items()}
    return value


Points = Annotated[
    JsonPoints,
    GetPydanticSchema(
        lambda _, handler: core_schema.with_info_wrap_validator_function(_read, handler.generate_schema(_Forms))
    ),
]
"""The points of a request."""
