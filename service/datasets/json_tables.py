"""Datasets in JSON: points with labels, columns, or records."""

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import orjson

from models.limits import MAX_FEATURES, MAX_STORED_POINTS
from models.specs import InvalidInput
from service.datasets.json_pages import ONE_OF_SEVERAL, data_of, is_page
from service.json_keys import repeated_key
from service.tables import frame
from service.tables.frame import Rows
from service.tables.options import TableOptions
from service.tables.table import Table

NO_NUMBER = re.compile("NaN|Infinity")
"""What Python writes for numbers that JSON does not have."""

_PART_ROWS = 4_000

_SCALARS = (str, int, float, bool, type(None))


def read(file: IO[bytes], name: str, options: TableOptions, folder: Path) -> Table:
    """The table of a JSON file. The caller bounds its length, because it is held in memory.

    The file is one of `{"points": [[...], ...], "labels": [...], "feature_names": [...]}`, where the names may be left
    out, a page of points as the service returns it, columns `{"a": [...], "b": [...]}`, records
    `[{"a": ..., "b": ...}, ...]` or one record in each line. Tables that pandas writes with `orient="split"` and
    `orient="table"` are read too.

    Raises:
        InvalidInput: the file is none of these, or the table cannot be used.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    match _content(file.read().removeprefix(codecs.BOM_UTF8), name):
        case {"points": list(), "labels": list()} as content:
            return _read_points(content, name, options, folder)
        case {"columns": list(names), "data": [list(), *_] as rows} as content:  # of pandas, orient="split"
            return _read_rows(names, rows, content, name, options, folder)
        case {"schema": {"primaryKey": list(keys)}, "data": [dict(), *_] as records}:  # of pandas, orient="table"
            return _read_records(records, name, options, folder, indices=[key for key in keys if isinstance(key, str)])
        case dict() as columns:
            return _read_columns(columns, name, options, folder)
        case [dict(), *_] as records:
            return _read_records(records, name, options, folder)
    raise InvalidInput(name, f"must be {_ALLOWED}")


def _content(text: bytes, name: str) -> Any:
    """The value of a JSON text; a list of the values of its lines if each line is an object."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
            return _content(b"[%b]" % b",\n".join(lines), name)
        place = f"at line {error.lineno}, column {error.colno}"
        if NO_NUMBER.match(error.doc, error.pos):
            raise InvalidInput(name, f"has NaN or Infinity {place}: write null for a missing value") from None
        if error.msg.startswith("depth limit"):
            raise InvalidInput(name, f"has lists or objects that are nested more than 1,024 deep {place}") from None
        if error.msg.startswith("number is infinity"):
            raise InvalidInput(name, f"has a number that is too large {place}") from None
        raise InvalidInput(name, f"is not valid JSON {place}") from None
    if repeated := repeated_key(text):
        raise InvalidInput(name, f"has an object with several values for '{repeated[:40]}': give each key once")
    return content


def _read_rows(
    names: list[Any], rows: list[Any], content: dict[str, Any], name: str, options: TableOptions, folder: Path
) -> Table:
    for other in content.keys() - {"columns", "data", "index", "index_names", "column_names"}:  # of orient="tight"
        raise InvalidInput(name, f"has '{other[:40]}' beside columns and data, which is unknown; check its spelling")
    _check_width(len(names), f"{name}, columns")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(names):
            raise InvalidInput(f"row {number}", f"must be a list of {len(names)} values, one for each column")

    def parts() -> Iterator[Rows]:
        for start in range(0, len(rows), _PART_ROWS):
            yield [*zip(*rows[start : start + _PART_ROWS], strict=True)]

    titles = [*map(str, names)]
    found = frame.understand(name, titles, _checked(parts()), options, notation="columns and rows in JSON")
    if "index" in content:
        found.notes.append("the index of the table is left out")
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


_ALLOWED = (
    'points and labels as in {"points": [[0, 1], [2, 3]], "labels": ["a", "b"]}, columns as in '
    '{"x": [0, 2], "y": [1, 3], "label": ["a", "b"]}, or records as in [{"x": 0, "y": 1, "label": "a"}]'
)


def _read_points(content: dict[str, Any], name: str, options: TableOptions, folder: Path) -> Table:
    for option in ("label", "features", "drop"):
        if getattr(options, option) is not None:
            raise InvalidInput(option, "is for tables: points and labels are told apart by their names")
    if is_page(content):
        data = data_of(content)
        if data is None:
            raise InvalidInput(name, ONE_OF_SEVERAL)
        content = data
    for other in content.keys() - {"points", "labels", "feature_names"}:
        raise InvalidInput(name, f"has '{other[:40]}' beside points and labels, which is unknown; check its spelling")
    points, labels, names = content["points"], content["labels"], content.get("feature_names")
    if len(points) != len(labels):
        raise InvalidInput(
            "labels",
            f"must have one label for each point, but there are {len(labels)} labels for {len(points)} points",
        )
    if not points or not isinstance(points[0], list) or not points[0]:
        raise InvalidInput("points", "must be a list of points, each a list of numbers")
    width = len(points[0])
    _check_width(width, "points.0")
    for i, point in enumerate(points):
        if not isinstance(point, list) or len(point) != width:
            raise InvalidInput(f"points.{i}", f"must be a list of {width} numbers, as the first point")
    if names is not None and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        raise InvalidInput("feature_names", "must be a list of strings")
    if names is not None and len(names) != width:
        raise InvalidInput("feature_names", f"must have one name for each of the {width} coordinates")
    if all(isinstance(label, list) and len(label) == 1 for label in labels):
        labels = [label[0] for label in labels]
    _check_truth_values(labels)
    titles = [*(names or [None] * width), None]

    def parts() -> Iterator[Rows]:
        for start in range(0, len(points), _PART_ROWS):
            part = points[start : start + _PART_ROWS]
            yield [*zip(*part, strict=True), labels[start : start + _PART_ROWS]]

    options = replace(options, label="-1")
    found = frame.understand(name, titles, _checked(parts()), options, notation="points and labels in JSON")
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder, are_apart=True)


def _check_truth_values(labels: list[Any]) -> None:
    """Checks that truth values, which become 1 and 0, are not among other labels."""
    is_truth_value = [isinstance(label, bool) for label in labels if label is not None]
    if len(set(is_truth_value)) > 1:
        first = is_truth_value[0]
        i = next(i for i, label in enumerate(labels) if label is not None and isinstance(label, bool) != first)
        kind = "true or false" if first else "a number or text"
        raise InvalidInput(f"labels.{i}", f"must be {kind}, as the first label is")


def _read_columns(content: dict[str, Any], name: str, options: TableOptions, folder: Path) -> Table:
    if content and all(isinstance(value, dict) for value in content.values()):
        raise InvalidInput(name, 'is an object of objects, as DataFrame.to_json() writes it: add orient="records"')
    columns = {key: value for key, value in content.items() if isinstance(value, list)}
    if not columns or len(columns) < len(content):
        raise InvalidInput(name, f"must be {_ALLOWED}")
    _check_width(len(columns), name)
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise InvalidInput(
            name, f"must have columns of the same length, but these have {min(lengths)} to {max(lengths)} values"
        )
    (length,) = lengths

    def parts() -> Iterator[Rows]:
        for start in range(0, length, _PART_ROWS):
            yield [values[start : start + _PART_ROWS] for values in columns.values()]

    found = frame.understand(name, [*columns], _checked(parts()), options, notation="columns in JSON")
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def _read_records(
    content: list[Any], name: str, options: TableOptions, folder: Path, *, indices: Collection[str] = ()
) -> Table:
    names = [*content[0]]
    _check_width(len(names), f"{name}, row 1")

    def parts() -> Iterator[Rows]:
        for start in range(0, len(content), _PART_ROWS):
            part = content[start : start + _PART_ROWS]
            for row, record in enumerate(part, start + 1):
                if not isinstance(record, dict):
                    raise InvalidInput(f"row {row}", "must be an object, as the first row")
                for other in record.keys() - set(names):
                    raise InvalidInput(f"row {row}", f"has '{other[:40]}', which the first row does not have")
            yield [[record.get(key) for record in part] for key in names]

    found = frame.understand(name, names, _checked(parts()), options, notation="records in JSON", indices=indices)
    return found.labelled(max_rows=MAX_STORED_POINTS, folder=folder)


def _check_width(width: int, field: str) -> None:
    if width > MAX_FEATURES + 1:
        raise InvalidInput(field, f"must have at most {MAX_FEATURES:,} features and a label")


def _checked(parts: Iterator[Rows]) -> Iterator[Rows]:
    """The parts, after a check that no value is a list or an object."""
    first = 1
    for part in parts:
        for column in part:
            if not set(map(type, column)) <= set(_SCALARS):
                row = next(i for i, value in enumerate(column, first) if not isinstance(value, _SCALARS))
                raise InvalidInput(
                    f"row {row}", "must have numbers, strings, truth values and nulls, not lists or objects"
                )
        yield part
        first += len(part[0])
