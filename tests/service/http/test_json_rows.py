"""Rows and records of numbers, read in pieces, against the standard library's reader."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.bodies import json_rows
from service.http.bodies.json_rows import MARK, Rows

NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False, width=32)
STYLES: list[dict[str, Any]] = [{}, {"separators": (",", ":")}, {"indent": 1}, {"separators": (" ,\t", " :\n")}]

ENDS = [b"[", b"[[1, 2", b"[[1, 2]", b'[{"x": 1', b'[{"x": 1}']
FIELDS = ["points", "instances", "inputs", "data"]


def rows_of(body: dict[str, Any], **style: Any) -> Rows | None:
    return Rows.of(json.dumps(body, **style).encode())


def check(found: Rows | None, body: dict[str, Any], field: str, expected: Any) -> None:
    assert found is not None
    rows_ND = found.take()
    assert rows_ND.dtype == np.float64
    assert np.array_equal(rows_ND, np.array(expected, np.float64))
    assert json.loads(found.rest) == body | {field: MARK}


@pytest.mark.slow
@given(st.data(), st.integers(1, 4), st.sampled_from(STYLES), st.sampled_from(FIELDS))
@settings(max_examples=100)
def test_rows_equal_those_of_the_text(data: st.DataObject, features: int, style: dict[str, Any], field: str) -> None:
    rows = data.draw(st.lists(st.lists(NUMBERS, min_size=features, max_size=features), min_size=1, max_size=6))
    body = {"model": "plane", field: rows, "threshold": 0.5}
    check(rows_of(body, **style), body, field, rows)


@pytest.mark.slow
@given(st.data(), st.lists(st.text("xyé .,:_'", min_size=1, max_size=4), min_size=1, max_size=4, unique=True))
@settings(max_examples=100)
def test_records_equal_those_of_the_text_in_any_order_of_names(data: st.DataObject, names: list[str]) -> None:
    style = data.draw(st.sampled_from(STYLES))
    records = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, NUMBERS)), min_size=1, max_size=6))
    shuffled = [dict(data.draw(st.permutations([*record.items()]))) for record in records]
    body = {"points": shuffled, "model": "plane"}
    found = rows_of(body, **style)
    assert found is not None
    order = found.names
    assert order == tuple(shuffled[0])
    check(found, body, "points", [[record[name] for name in order] for record in records])


@pytest.mark.slow
def test_several_pieces_make_one_array() -> None:
    rows = [[i / 3, -i, i * 1e20] for i in range(20_000)]
    body = {"points": rows}
    assert len(json.dumps(body)) > 10 * json_rows.PIECE_BYTES
    check(rows_of(body), body, "points", rows)
    records = [{"a": a, "b": b} for a, b, _ in rows]
    check(rows_of({"points": records}), {"points": records}, "points", [row[:2] for row in rows])


def test_lists_that_follow_are_left_to_the_schema() -> None:
    body = {"points": [[1, 2], [3, 4]], "labels": [[0], [1]]}
    check(rows_of(body), body, "points", body["points"])


@pytest.mark.parametrize(
    "points",
    [
        [],
        [1, 2],
        [[]],
        [[1, 2], [3]],
        [[1, 2], [3, "4"]],
        [[1, 2], [3, None]],
        [[1, 2], [3, True]],
        [[1, 2], [3, [4]]],
        [[1, 2], {"x": 1}],
        [[0.0] * 1_001],
        [{}],
        [{"x": 1}, {}],
        [{"x": 1}, {"y": 1}],
        [{"x": 1}, {"x": 1, "y": 2}],
        [{"x": 1}, {"x": "1"}],
        [{"x": 1}, {"x": True}],
        [{"x": 1}, {"x": None}],
        [{"x": 1}, [1]],
        [{"x": {"y": 1}}],
        {"x": [1, 2]},
        "[[1, 2]]",
        None,
    ],
)
def test_anything_else_is_left_to_the_schema(points: Any) -> None:
    assert rows_of({"points": points, "labels": [[0], [1]]}) is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "01", "1.", "+1", "0x1", "", "1 2"])
def test_numbers_that_are_not_json_are_left_to_the_schema(number: str) -> None:
    assert Rows.of(f'{{"points": [[1, 2], [3, {number}]]}}'.encode()) is None
    assert Rows.of(f'{{"points": [{{"x": 1}}, {{"x": {number}}}]}}'.encode()) is None


@pytest.mark.parametrize("name", ['a"b', "a}b", "a}]b", "a]b", "[a", "{a", "a\\b", "\n", "é"])
def test_names_with_marks_of_json_are_read_or_left_to_the_schema(name: str) -> None:
    records = [{name: i, "other": -i} for i in range(3)]
    body = {"points": records}
    found = rows_of(body)
    if found is not None:
        check(found, body, "points", [[record[name], record["other"]] for record in records])


@pytest.mark.parametrize("text", [b"", b"{", b'"points": [', *(b'{"points": ' + end for end in ENDS)])
def test_text_that_ends_too_early_is_left_to_the_schema(text: bytes) -> None:
    assert Rows.of(text) is None


def test_only_the_mark_stands_for_rows() -> None:
    found = rows_of({"points": [[1, 2]]})
    assert found is not None
    assert json_rows.rows_for("points", found) is None
    assert json_rows.rows_for(MARK, None) is None
    assert json_rows.rows_for(MARK, found) is found


@pytest.mark.parametrize("row", [b"[1, 2]", b'{"x": 1}'])
def test_rows_without_a_comma_between_two_pieces_are_left_to_the_schema(row: bytes) -> None:
    text = b'{"points": [' + b", ".join([row] * 20_000) + b"]}"
    between_pieces = text.find(row[-1:], text.find(row) + json_rows.PIECE_BYTES) + 1
    assert Rows.of(text) is not None
    assert Rows.of(text[:between_pieces] + b" " + text[between_pieces + 1 :]) is None
