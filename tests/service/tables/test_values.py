"""Labels, missing values, exact numbers, and warnings."""

import csv
import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tables import rows as rows_module
from tests.service.tables.reading import read, refusal, rows, said


@pytest.mark.parametrize(
    ("spellings", "labels"),
    [
        (["1.000e+00", "0.000e+00"], [1, 0]),
        (["1", "1.0", "01", "0"], [1, 1, 1, 0]),
        (["+1", "-1", "1", "-1.0"], [1, -1, 1, -1]),
        (["2", "10", "2"], [2, 10, 2]),
        (["1", "A", "1.0"], ["1", "A", "1.0"]),
        (["True", "False", "True"], ["True", "False", "True"]),
        ([" yes", "no ", "yes"], ["yes", "no", "yes"]),
        (["none", "some", "none"], ["none", "some", "none"]),
        (["9007199254740991", "1"], [9007199254740991, 1]),
    ],
)
def test_labels_are_integers_if_all_are_whole_numbers_else_text(spellings: list[str], labels: list[object]) -> None:
    content = "x,label\n" + "".join(f"{i}.5,{text}\n" for i, text in enumerate(spellings))
    assert [row[-1] for row in rows(content)] == labels


def test_labels_as_numpy_writes_them_are_integers() -> None:
    stream = io.StringIO()
    np.savetxt(stream, [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]], delimiter=",")
    assert rows(stream.getvalue()) == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]


def test_labels_with_a_decimal_comma_are_integers_too() -> None:
    assert [row[-1] for row in rows("x;label\n0,5;1,0\n1,5;0,0\n")] == [1, 0]


def test_labels_that_are_written_in_several_ways_are_reported() -> None:
    assert "the labels '1', '1.0', '01' are all read as 1" in said("x,label\n1,1\n2,1.0\n3,01\n4,0\n")


@pytest.mark.parametrize(
    ("first", "second"), [("Yes", "yes"), ("New York", "New  York"), ("a_b", "A b"), ("setosa", "Setosa")]
)
def test_almost_equal_labels_are_different_classes_with_a_warning(first: str, second: str) -> None:
    content = f"x,y,label\n0.1,0.2,{first}\n0.9,0.8,{second}\n0.3,0.3, no\n"
    assert [row[-1] for row in rows(content)] == [first, second, "no"]
    assert f"warning: the labels '{first}' and '{second}' are almost equal" in said(content)


def test_labels_that_differ_in_a_letter_or_a_sign_are_not_almost_equal() -> None:
    assert "almost" not in said("x,label\n1,C\n2,C++\n3,C#\n4,D\n")


def test_a_label_that_is_too_long_is_shown_with_its_column() -> None:
    message = refusal(f"x,label\n1,{'long' * 20}\n2,b\n")
    assert message.startswith("column 'label': has a label of 80 characters, which begins with 'longlonglong")


def test_a_column_of_too_many_labels_is_refused() -> None:
    content = "x,label\n" + "".join(f"{i}.5,{i}\n" for i in range(1_200))
    assert "column 'label': cannot be the label" in refusal(content)


@pytest.mark.parametrize(
    "gap", ["", " ", "NaN", "nan", "NA", "N/A", "null", "?", "<NA>", "\\N", "-nan", "NaT", "#REF!"]
)
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("x,y,label\n0.1,0.2,A\n0.9,0.8,{}\n0.5,0.5,B\n", "line 3: has no label"),
        ("x,y,label\n0.1,0.2,A\n0.9,{},B\n0.5,0.5,B\n", "line 3: has no value in column 'y'"),
        ("0.1,0.2,A\n0.9,0.8,B\n{},0.5,B\n", "line 3: has no value in column 1"),
    ],
)
def test_a_missing_value_is_refused_with_its_place_or_its_row_is_left_out(gap: str, content: str, what: str) -> None:
    message = refusal(content.format(gap))
    assert message.startswith(what)
    assert "--missing drop" in message
    assert len(rows(content.format(gap), missing="drop")) == 2
    assert f"1 row is left out for a missing value: {what.replace(': ', ' ')}" in said(
        content.format(gap), missing="drop"
    )


def test_rows_left_out_are_counted_over_the_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "_CHUNK_VALUES", 30)
    content = "x,y,label\n" + "0.5,0.25,A\n1,2,B\n,3,A\n" * 50
    assert len(rows(content, missing="drop")) == 100
    assert "50 rows are left out for a missing value: line 4 has no value in column 'x'" in said(
        content, missing="drop"
    )


def test_a_file_whose_rows_all_lack_a_value_has_no_points() -> None:
    assert "all 2 rows lack a value" in refusal("x,y,label\n,1,A\n2,,B\n", missing="drop")


def test_a_column_without_any_value_is_refused_with_what_to_do() -> None:
    assert refusal("x,y,label\n1,,A\n2,,B\n") == "column 'y': has no values: leave the column out with --drop y"
    assert rows("x,y,label\n1,,A\n2,,B\n", drop="y") == [(1, "A"), (2, "B")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y,label\n1,2,A\n3,4,B\n5,six,A\n", "line 4, column 'y': 'six' is not a finite number"),
        ("x,y,label\n1,2,A\n3,inf,B\n5,6,A\n", "line 3, column 'y': 'inf' is not a finite number"),
        ("x,y,label\n1,2,A\n3,1e999,B\n5,6,A\n", "line 3, column 'y': '1e999' is not a finite number"),
        ("x,y,label\n1,2,A\n3,1_000,B\n5,6,A\n", "line 3, column 'y': '1_000' is not a finite number"),
        ("x,y,label\n1,2,A\n3,\u0661,B\n5,6,A\n", "line 3, column 'y': '\u0661' is not a finite number"),
        ("x,y,label\n1,2,A\n3,0x10,B\n5,6,A\n", "line 3, column 'y': '0x10' is not a finite number"),
        ("x,y,label\n1,2,A\n3,2e30,B\n5,6,A\n", "line 3, column 'y': must be a number between"),
        ("x,y,label\n1.5,true,A\n3,false,B\n5,false,A\n6,true,A\n7,8,A\n", "line 6, column 'y': must be true or false"),
    ],
)
def test_a_value_that_is_not_a_number_is_refused_with_its_line_and_column(content: str, message: str) -> None:
    assert refusal(content).startswith(message)


@pytest.mark.slow
def test_a_decimal_comma_after_the_first_lines_is_refused_with_the_option() -> None:
    content = "x;y;label\n" + "1;2;A\n3;4;B\n" * 6_000 + "0,5;6;A\n"
    message = refusal(content)
    assert message.startswith("line 12002, column 'x': '0,5' has another decimal mark")
    assert "--decimal ," in message
    assert rows(content, decimal=",")[-1] == (0.5, 6, "A")


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        ("t,v,label\n3,1.0,0\n1,1.0,1\n7,1.0,0\n", "column 'v' is constant: all its values are 1"),
        ("n,v,label\n1,0.5,A\n2,0.1,B\n3,0.9,A\n4,0.2,B\n", "column 'n' looks like an id"),
        ("id,v,label\n17,0.5,A\n3,0.1,B\n9,0.9,A\n4,0.2,B\n", "column 'id' looks like an id"),
        ("17,0.5,A\n18,0.1,B\n19,0.9,A\n20,0.2,B\n", "column 1 looks like an id"),
        ("x,y,label\n1,2,A\n1,2,B\n3,4,A\n", "1 point occurs with more than one label"),
        ("x,y,label\n0,2,A\n-0.0,2.0,B\n3,4,A\n3,4,B\n3,4,B\n", "2 points occur with more than one label"),
        ("x,label\n" + "".join(f"{i * i},{int(i == 7)}\n" for i in range(40)), "97.5% of the rows have the class 0"),
        (
            "time,v,label\n" + "".join(f"{60 * (i % 20)},{i * 7 % 5}.5,{'AB'[i % 2]}\n" for i in range(40)),
            "column 'time' looks like a time, not like a feature: it increases from row to row",
        ),
        (
            "day,v,label\n" + "".join(f"{1 + i % 28:02d}.03,{i * 7 % 5}.5,{'AB'[i % 2]}\n" for i in range(40)),
            "column 'day' has numbers such as 01.03, which may be codes, dates or times",
        ),
        (
            "x,v,label\n" + "".join(f"{-9999 if i % 9 == 0 else i % 7},0.{i},{'AB'[i % 2]}\n" for i in range(40)),
            "column 'x' has the value -9999 several times, far from its other values",
        ),
        (
            "x,v,label\n" + "".join(f"{i % 7},0.{i},{'AB'[i % 2]}\n" for i in range(40)) + "120,9,Total\n",
            "the class Total has a single row: it may be a total, a remark or a typing error",
        ),
    ],
)
def test_likely_mistakes_give_warnings(content: str, warning: str) -> None:
    assert f"warning: {warning}" in said(content)


def test_plain_data_give_no_warning() -> None:
    assert read("x,y,label\n0.1,0.2,A\n0.9,0.8,B\n0.9,0.8,B\n0.3,0.1,A\n").warnings == ()
    ages = "".join(f"{20 + 7 * i % 80},{i * 7 % 5},{'AB'[i % 2]}\n" for i in range(80))
    assert "99," in ages
    assert read(f"age,time,label\n{ages}").warnings == ()


def test_how_a_file_was_understood_is_reported() -> None:
    assert said("x;y;label\n0,1;0,2;A\n0,9;0,8;B\n0,7;0,8;B\n").splitlines() == [
        "points.csv: 3 rows, separated by ';', decimal mark ',', heading in line 1",
        "features (2): x, y",
        "label: column 'label', by its heading",
        "classes (2): A (1), B (2)",
    ]


def test_large_numbers_stay_apart() -> None:
    assert [row[0] for row in rows("t,v,label\n1700000000,1.0,0\n1700000030,1.5,1\n5334000.25,1.0,0\n")] == [
        1700000000,
        1700000030,
        5334000.25,
    ]


def _by_csv(table: list[list[float]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows([*map(repr, row), f"c{i % 2}"] for i, row in enumerate(table))
    return stream.getvalue()


def _by_numpy(table: list[list[float]]) -> str:
    stream = io.StringIO()
    np.savetxt(stream, np.column_stack([table, np.arange(len(table)) % 2]), fmt="%.17g", header="made by numpy")
    return stream.getvalue()


def _by_a_spreadsheet(table: list[list[float]]) -> str:
    lines = [";".join([*(repr(x).replace(".", ",") for x in row), f"c{i % 2}"]) for i, row in enumerate(table)]
    heading = ";".join([*(f"v{d}" for d in range(len(table[0]))), "label"])
    return "\ufeff" + "\r\n".join([heading, *lines, ""])


def _quoted(table: list[list[float]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL, delimiter="\t")
    writer.writerow([*(f"v{d}" for d in range(len(table[0]))), "label"])
    writer.writerows([*map(repr, row), f"c, {i % 2}"] for i, row in enumerate(table))
    return stream.getvalue()


NUMBERS = st.floats(-1e29, 1e29)


@pytest.mark.slow
@given(table=st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(NUMBERS, min_size=d, max_size=d), min_size=2)))
@pytest.mark.parametrize("write", [_by_csv, _by_numpy, _by_a_spreadsheet, _quoted])
def test_numbers_are_read_back_exactly(write: Callable[[list[list[float]]], str], table: list[list[float]]) -> None:
    has_heading = write in (_by_a_spreadsheet, _quoted)
    found = read(write(table), decimal="," if write is _by_a_spreadsheet else ".", header=has_heading, label="-1")
    assert np.array_equal(found.xy_ND, table)
    assert found.code_N.tolist() == [i % 2 for i in range(len(table))]


CELL = st.sampled_from(
    ["1", "0.5", "-2e3", " 7 ", "", "nan", "A", " a,b ", '"q"', '"q;r"', '"a\nb"', '5" a', '"a""b"', "1 234", "1'000"]
)


@pytest.mark.slow
@given(
    cells=st.lists(st.tuples(CELL, CELL, CELL).map(lambda row: ["0.5", "1.5", *row]), min_size=1, max_size=12),
    size=st.integers(1, 40),
    decimal=st.sampled_from([".", ","]),
)
def test_numpy_and_the_csv_module_read_the_same(cells: list[list[str]], size: int, decimal: str) -> None:
    content = "f;g;h;i;label\n0.5;1.5;2.5;3.5;A\n" + "0.25;1;2;3;B\n" * 30
    content += "".join(";".join(row) + "\n" for row in cells)
    if decimal == ",":
        content = content.replace(".", ",")
    outcomes = []
    for plain in (rows_module._Reader.plain, lambda *_: None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rows_module._Reader, "plain", plain)
            patch.setattr(rows_module, "_CHUNK_VALUES", size)
            try:
                outcomes.append(str(rows(content, missing="drop", decimal=decimal)))
            except ValueError as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


def test_labels_that_look_like_codes_are_read_as_numbers_and_reported() -> None:
    assert "the label '01234' is read as the number 1234" in said("x,label\n1,01234\n2,05678\n3,01234\n")
    assert "the label '1E5' is read as the number 100000" in said("x,label\n1,1E5\n2,2E5\n3,1E5\n")
    assert "is read as the number" not in said("x,label\n1,1.0\n2,2.0\n3,0\n")


def test_labels_that_differ_only_in_characters_without_width_are_reported() -> None:
    assert "'yes' and 'yes\\u200b' are almost equal" in said("x,label\n1,yes\n2,yes\u200b\n3,no\n")
