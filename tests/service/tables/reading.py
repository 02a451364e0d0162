"""Reads tables from bytes, for the tests."""

import io
from typing import Any

import pytest

from models.specs import InvalidInput
from service.tables.options import TableOptions
from service.tables.sheet import Sheet, understand
from service.tables.table import Table


def sheet(content: str | bytes, **options: Any) -> Sheet:
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return understand(stream, "points.csv", TableOptions(**options))


def read(content: str | bytes, **options: Any) -> Table:
    return sheet(content, **options).labelled()


def rows(content: str | bytes, **options: Any) -> list[tuple[Any, ...]]:
    """The coordinates and the label of each row."""
    table = read(content, **options)
    return [(*xy, table.labels[code]) for xy, code in zip(table.xy_ND.tolist(), table.code_N, strict=True)]


def refusal(content: str | bytes, **options: Any) -> str:
    with pytest.raises(InvalidInput) as refused:
        read(content, **options)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def said(content: str | bytes, **options: Any) -> str:
    table = read(content, **options)
    return "\n".join([*table.understood, *(f"warning: {line}" for line in table.warnings)])
