"""Text columns as features: one for each value of a column, which is 1 where the column has the value, else 0.

This is one-hot encoding. The features of a column `island` with the values `Biscoe` and `Dream` are named
`island=Biscoe` and `island=Dream`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from models import feature_names
from models.datasets import Categories, DoubleArray, IntArray
from models.specs import InvalidInput


def from_json(found: Mapping[str, Sequence[str]] | None) -> Categories:
    """The categories from their form in rows and cards; empty without text columns."""
    return {column: tuple(values) for column, values in (found or {}).items()}


def to_json(categories: Categories) -> dict[str, Any]:
    """The field `categories` of rows and cards; no field if there are no text columns."""
    return {"categories": {column: list(values) for column, values in categories.items()}} if categories else {}


def cleaned(text: str) -> str:
    """A value in one line, without blanks around it, in Unicode normalization form C."""
    return feature_names.composed(" ".join(text.split()))


def names(column: str, values: Sequence[str]) -> list[str]:
    """The names of the features of a text column."""
    return [f"{column}={value}" for value in values]


def columns(wanted: Sequence[str], categories: Categories, given: Collection[str]) -> list[str]:
    """The columns that have the wanted features, in their order.

    A text column stands in place of its features, unless some of these are given and the column is not.
    """
    column_of: dict[str, str] = {}
    for column, values in categories.items():
        features = names(column, values)
        if column in given or not set(features) & set(given):
            column_of |= dict.fromkeys(features, column)
    return list(dict.fromkeys(column_of.get(name, name) for name in wanted))


def code(text: str, column: str, values: Sequence[str], *, field: str) -> int:
    """The index of a value of a text column.

    Raises:
        InvalidInput: the column had no such value in the training data.
    """
    (value,) = feature_names.spelled_like([cleaned(text)], values)
    if value not in values:
        known, one = feature_names.quoted(values), feature_names.quoted([value])
        raise InvalidInput(field, f"must have one of {known} in {feature_names.quoted([column])}, not {one}")
    return values.index(value)


def indicators(code_N: DoubleArray | IntArray, code_K: Sequence[int]) -> DoubleArray:
    """1 where a code is the one of the column, else 0: float64 (N, K)."""
    found_NK: DoubleArray = (code_N[:, np.newaxis] == np.asarray(code_K)).astype(np.float64)
    return found_NK
