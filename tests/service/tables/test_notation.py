"""How a file is written: encodings, separators, decimal marks, quotes, comments, line endings."""

import gzip
import io
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.specs import InvalidInput
from service.tables import rows as chunks
from service.tables import text
from service.tables.options import TableOptions
from service.tables.sheet import understand
from tests.service.tables.reading import read, refusal, rows, said, sheet

AB = [(0.1, 0.2, "A"), (0.9, 0.8, "B")]


@pytest.mark.parametrize(
    "content",
    [
        "x,y,label\n0.1,0.2,A\n0.9,0.8,B\n",
        "x;y;label\n0.1;0.2;A\n0.9;0.8;B\n",
        "x\ty\tlabel\n0.1\t0.2\tA\n0.9\t0.8\tB\n",
        "x|y|label\n0.1|0.2|A\n0.9|0.8|B\n",
        "x y label\n0.1 0.2 A\n0.9 0.8 B\n",
        "  x   y label\n0.1   0.2 A  \n 0.9 0.8\tB\n",
        "x, y, label\n0.1, 0.2, A\n0.9, 0.8, B\n",
        "0.1,0.2,A\n0.9,0.8,B",
        "0.1 0.2 A\n0.9 0.8 B",
    ],
)
def test_the_separator_is_found(content: str) -> None:
    assert rows(content) == AB


@pytest.mark.parametrize(
    "content",
    [
        "x;y;label\n0,1;0,2;A\n0,9;0,8;B\n",
        "x\ty\tlabel\n0,1\t0,2\tA\n0,9\t0,8\tB\n",
        "x y label\n0,1 0,2 A\n0,9 0,8 B\n",
        "0,1|0,2|A\n0,9|0,8|B\n",
        "0,1;0,2;A\n0,9;0,8;B\n",
        'x,y,label\n"0,1","0,2",A\n"0,9","0,8",B\n',
        ",1;,2;A\n,9;,8;B\n",
    ],
)
def test_a_decimal_comma_is_found(content: str) -> None:
    assert rows(content) == AB


def test_a_decimal_comma_between_commas_is_named_where_a_heading_shows_it() -> None:
    message = refusal("x,y,label\n0,1,0,2,1\n0,9,0,8,2\n")
    assert message.startswith("line 2: has 5 values, but the heading in line 1 has 3")
    assert "decimal commas?" in message


def test_whole_numbers_that_may_be_parts_of_decimal_commas_are_read_with_a_warning() -> None:
    assert rows("0,1,0,2,1\n0,9,0,8,2\n") == [(0, 1, 0, 2, 1), (0, 9, 0, 8, 2)]
    assert "warning: all values are whole numbers: if the file has decimal commas" in said("0,1,0,2,1\n0,9,0,8,2\n")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_is_read_alike_in_all_encodings_and_line_endings(encoding: str, ending: str) -> None:
    content = ending.join(["x,y,Größe", "0.1,0.2,A", "0.9,0.8,B", ""])
    table = read(content.encode(encoding), label="Größe")
    assert (table.xy_ND.tolist(), table.labels) == ([[0.1, 0.2], [0.9, 0.8]], ("A", "B"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_has_its_byte_order_mark(encoding: str) -> None:
    assert rows(("\ufeff" + "0.1;0.2;A\r\n0.9;0.8;B\r\n").encode(encoding)) == AB


@pytest.mark.parametrize(
    "content",
    [
        "sep=,\nx,y,label\n0.1,0.2,A\n0.9,0.8,B\n",
        "sep=;\nx;y;label\n0,1;0,2;A\n0,9;0,8;B\n",
        '"sep=;"\r\n0,1;0,2;A\r\n0,9;0,8;B\r\n',
        "SEP=\t\n0.1\t0.2\tA\n0.9\t0.8\tB\n",
        "\ufeffsep=|\n0.1|0.2|A\n0.9|0.8|B\n",
    ],
)
def test_a_line_that_declares_the_separator_is_not_a_point(content: str) -> None:
    assert rows(content) == AB


@pytest.mark.parametrize(
    ("content", "comments"),
    [
        ("# x,y\n# made by hand\n0.1,0.2,A\n0.9,0.8,B\n", 2),
        ("x,y,label\n0.1,0.2,A\n# a remark, with, commas\n0.9,0.8,B\n", 1),
        ('# he said "hello\n\n  # more\nx;y;label\n0.1;0.2;A\n0.9;0.8;B\n#end', 3),
    ],
)
def test_comment_lines_are_left_out_and_counted(content: str, comments: int) -> None:
    assert rows(content) == AB
    assert f"{comments} comment line" in said(content)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
@pytest.mark.parametrize(
    "first", ["#y,kind,x\n", "# y,kind,x\n", "# made by hand\n# y,kind,x\n", "# y,kind,x\n# 1 2\n"]
)
def test_a_comment_above_the_first_row_that_names_the_columns_is_the_heading(first: str, separator: str) -> None:
    content = f"{first}0.2,0,0.1\n0.8,1,0.9\n".replace(",", separator)
    table = read(content, features="x,y")
    assert (table.feature_names, table.label_name) == (("x", "y"), "kind")
    assert table.xy_ND.tolist() == [[0.1, 0.2], [0.9, 0.8]]
    points = sheet(content, drop="kind").points(2, ["x", "y"])
    assert points.xy_ND.tolist() == [[0.1, 0.2], [0.9, 0.8]]
    with pytest.raises(InvalidInput, match="'z'"):
        sheet(content, drop="kind").points(2, ["x", "z"])
    by_position = sheet(content, header=False, drop="2").points(2, ["x", "y"])
    assert by_position.xy_ND.tolist() == [[0.2, 0.1], [0.8, 0.9]]
    assert sheet(content, drop="2").points(2).xy_ND.tolist() == [[0.2, 0.1], [0.8, 0.9]]


@pytest.mark.parametrize(
    "content", ["# two words,b,c\n0.2,0.1,0\n0.8,0.9,1\n", "# made by hand\n0.2 0.1 0\n0.8 0.9 1\n"]
)
def test_a_comment_that_may_be_the_heading_is_refused_with_the_option_that_decides(content: str) -> None:
    message = refusal(content)
    assert message.startswith("line 1: may be a comment or the heading")
    assert "--header" in message
    assert "--no-header" in message
    assert "heading in line 1" in said(content, header=True)
    assert "1 comment line is left out" in said(content, header=False)


def test_a_comment_above_a_heading_or_a_remark_above_one_column_names_no_column() -> None:
    assert read("# a,b,c\nx,y,label\n0.1,0.2,A\n0.9,0.8,B\n").feature_names == ("x", "y")
    assert sheet("# remark\n0.1\n0.2\n").points(1, ["x"]).xy_ND.tolist() == [[0.1], [0.2]]
    assert "heading in line 1" in "".join(sheet("# x\n0.1\n0.2\n").points(1, ["x"]).understood)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("id,x,label\n#1,1.5,A\n#2,2.5,B\n", 2),
        ("x,y,label\n1.5,2,A\n#2.5,1,B\n2.5,1.5,B\n", 3),
        ("x,label\n" + "1,A\n2,B\n" * 2_100 + "#3,A\n", 4_202),
    ],
    ids=["ids", "a row that is switched off", "after the first lines"],
)
def test_a_line_that_may_be_a_comment_or_a_row_is_refused(content: str, line: int) -> None:
    assert refusal(content).startswith(f"line {line}: may be a comment or a row of the table: write a blank after '#'")


def test_errors_of_a_spreadsheet_at_the_start_of_a_line_are_missing_values() -> None:
    content = "x,y,label\n#N/A,0.2,A\n0.9,0.8,B\n#DIV/0!,0.1,A\n0.1,0.2,A\n"
    assert refusal(content).startswith("line 2: has no value in column 'x'")
    assert rows(content, missing="drop") == [(0.9, 0.8, "B"), (0.1, 0.2, "A")]


def test_a_number_sign_within_quotes_begins_no_comment() -> None:
    assert read('x,label\n1,"a\n#b\nc"\n2,d\n').labels == ("a\n#b\nc", "d")


@pytest.mark.slow
def test_a_comma_after_the_first_lines_is_refused_if_it_may_separate_thousands_or_decimals() -> None:
    content = "x;label\n" + "".join(f"{i};{i % 2}\n" for i in range(5_000)) + "1,234;0\n"
    assert refusal(content).startswith("line 5002: '1,234' may have a decimal comma or a thousands separator")
    assert read(content, decimal=",").xy_ND[-1] == [1.234]
    assert read(content, decimal=".").xy_ND[-1] == [1234]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("% made by hand\n%\n@RELATION iris\n", "ARFF"),
        ("<table><tr><td>1</td></tr></table>", "HTML"),
        ('[{"x": 1, "label": 0}]', "JSON"),
    ],
)
def test_other_formats_are_named(content: str, what: str) -> None:
    assert what in refusal(content)


def test_line_numbers_count_comments_and_empty_lines() -> None:
    assert refusal("# one\n\nx,y,label\n0,1,A\n\n0,oops,B\n1,1,B\n2,2,A\n").startswith("line 6, column 'y': 'oops'")


@pytest.mark.parametrize(
    "content",
    [
        '"x","y","label"\n"0.1","0.2","A"\n"0.9","0.8","B"\n',
        'x,y,label\n0.1,0.2,"A"\n0.9,0.8,"B"\n',
        '"x" "y" "label"\n0.1 0.2 "A"\n0.9 0.8 "B"\n',
        'x, y, label\n0.1, 0.2, "A"\n0.9, 0.8, "B"\n',
    ],
)
def test_quotes_are_not_part_of_values(content: str) -> None:
    assert rows(content) == AB


def test_quotes_protect_separators_quotes_and_line_ends() -> None:
    content = '"x, in m","y ""raw""",label\n0.1,0.2,"a, b"\n0.9,0.8,"say ""hi"""\n0.3,0.4,"two\nlines"\n'
    table = read(content)
    assert table.feature_names == ("x, in m", 'y "raw"')
    assert table.labels == ("a, b", 'say "hi"', "two\nlines")
    assert rows('a b c\n0.1 0.2 "A 1"\n0.9 0.8 "B 1"\n', label="c") == [(0.1, 0.2, "A 1"), (0.9, 0.8, "B 1")]


def test_a_quote_that_is_not_closed_is_refused_instead_of_swallowing_the_rest() -> None:
    content = 'x,y,label\n0.1,0.2,A\n0.3,0.4,"B\n0.9,0.8,B\n'
    assert refusal(content) == "line 3: is not CSV: a quote is not closed"
    later = "x,y,label\n" + "0.1,0.2,A\n" * 9_000 + '0.3,0.4,"B\n' + "0.9,0.8,B\n" * 90_000
    assert refusal(later).startswith("line 9002: is not CSV: ")


def test_values_of_several_lines_are_read_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "_CHUNK_VALUES", 9)
    content = "x,y,label\n" + '0.1,0.2,"two\nlines"\n0.3,0.4,B\n0.5,0.6,"B"\n' * 20
    assert rows(content) == [(0.1, 0.2, "two\nlines"), (0.3, 0.4, "B"), (0.5, 0.6, "B")] * 20


@pytest.mark.parametrize("size", range(3, 40, 3))
def test_an_inch_mark_beside_values_of_several_lines_does_not_confuse_the_chunks(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(chunks, "_CHUNK_VALUES", size)
    content = 'x,y,label\n0.1,0.2,5" pipe\n0.3,0.4,"two\nlines"\n0.5,0.6,B\n'
    content += '0.1,0.2,5" pipe\n0.3,0.4,"two\nlines"\n0.5,0.6,B\n' * 10
    assert rows(content) == [(0.1, 0.2, '5" pipe'), (0.3, 0.4, "two\nlines"), (0.5, 0.6, "B")] * 11


def test_an_inch_mark_within_a_label_is_part_of_it() -> None:
    assert rows('x,y,label\n1,2,5" pipe\n3,4,6" pipe\n') == [(1, 2, '5" pipe'), (3, 4, '6" pipe')]


@pytest.mark.parametrize(
    "content",
    [
        "x,y,label,\n0.1,0.2,A,\n0.9,0.8,B,\n",
        "x;y;label\n0.1;0.2;A;\n0.9;0.8;B;\n",
        "x,y,label,\n0.1,0.2,A\n0.9,0.8,B\n",
        "0.1,0.2,A,\n0.9,0.8,B,\n",
        "0.1\t0.2\tA\t\n0.9\t0.8\tB\t\n",
        "x,y,label,Unnamed: 3\n0.1,0.2,A,\n0.9,0.8,B,\n",
        "x,y,label,,,\n0.1,0.2,A,,,\n0.9,0.8,B,,,\n,,,,,\n",
    ],
)
def test_a_separator_at_the_end_of_lines_is_not_a_column(content: str) -> None:
    assert rows(content) == AB


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('a,b,label\n"1,234.5",1,A\n"2,000.0",2,B\n', 1234.5),
        ('a,b,label\n"1,234,567",1,A\n2,2,B\n', 1234567),
        ("a;b;label\n1.234,5;1;A\n2;2;B\n", 1234.5),
        ("a;b;label\n1.234.567;1;A\n2;2;B\n", 1234567),
        ("a;b;label\n1 234,5;1;A\n2;2;B\n", 1234.5),
        ("a;b;label\n1\u202f234,5;1;A\n2;2;B\n", 1234.5),
        ("a;b;label\n1\u00a0234;1;A\n2;2;B\n", 1234),
        ("a,b,label\n1'234.5,1,A\n2,2,B\n", 1234.5),
        ("a;b;label\n1.234;0,5;A\n2.000;1,5;B\n", 1234),
        ("a,b,label\n\u22121.5,1,A\n2,2,B\n", -1.5),
    ],
)
def test_thousands_separators_are_read_where_the_file_shows_the_decimal_mark(content: str, value: float) -> None:
    assert rows(content)[0] == (value, 1, "A") or rows(content)[0] == (value, 0.5, "A")


@pytest.mark.parametrize(
    "content",
    ["a;b;label\n1,234;1;A\n2,345;2;B\n", 'a,b,label\n"1,234",1,A\n"2,345",2,B\n', "1,234\t5\tA\n5,678\t6\tB\n"],
)
def test_a_comma_that_may_separate_thousands_or_decimals_is_refused_with_the_option_that_decides(content: str) -> None:
    assert "choose with --decimal , or --decimal ." in refusal(content)
    assert rows(content, decimal=",")[0][0] == 1.234
    assert rows(content, decimal=".")[0][0] == 1234


def test_numbers_that_may_have_a_thousands_point_are_refused_with_the_option_that_decides() -> None:
    content = "a;b;label\n1.234;1;A\n2.345;2;B\n"
    message = refusal(content)
    assert message.startswith("line 2: '1.234' may have a decimal point or a thousands separator")
    assert "choose with --decimal . or --decimal ," in message
    assert rows(content, decimal=".")[0][0] == 1.234
    assert rows(content, decimal=",")[0][0] == 1234


def test_two_decimal_marks_in_one_file_are_refused_with_both_lines() -> None:
    message = refusal("x;y;label\n0,5;1;A\n0.5;2;B\n")
    assert message.startswith("line 3: '0.5' has another decimal mark than '0,5' in line 2")
    assert "--decimal" in message


def test_a_separator_is_refused_as_ambiguous_only_where_two_fit() -> None:
    content = "1;x|2\n3;y|4\n"
    assert rows("1|2|3;x\n5|6|7;y\n") == [(1, 2, "3;x"), (5, 6, "7;y")]
    assert "--separator" in refusal(content)
    assert "--separator" in refusal("1,2,a;b\n3,4,c;d\n")
    assert rows("1,2,a;b\n3,4,c;d\n", separator=",") == [(1, 2, "a;b"), (3, 4, "c;d")]


@pytest.mark.parametrize("second", ["3 kg", "3,5 kg", "3.5 kg"])
def test_units_after_numbers_do_not_make_blanks_or_commas_separators(second: str) -> None:
    message = refusal(f"x;y;label\n1,5 kg;2;a\n{second};4;b\n")
    assert message.startswith("column 'x': has 'kg' beside its numbers, such as '1,5 kg'")


@pytest.mark.parametrize("name", ["semicolon", ";", "Semicolon"])
def test_the_separator_may_be_given_by_name(name: str) -> None:
    assert rows("a;b;c\n1;2;x,1\n3;4;y,2\n", separator=name) == [(1, 2, "x,1"), (3, 4, "y,2")]


@pytest.mark.parametrize("separator", ["ab", "1", ".", '"', ""])
def test_a_separator_that_is_part_of_numbers_is_refused(separator: str) -> None:
    assert refusal("1,2,a\n", separator=separator).startswith("separator: must be one character")


def test_another_separator_may_be_given() -> None:
    assert rows("0.1:0.2:A\n0.9:0.8:B\n", separator=":") == AB


def test_messages_name_options_as_flags_of_a_command_or_parameters_of_a_query() -> None:
    assert "decimal=," in refusal("a;b;label\n1,234;1;A\n2,345;2;B\n", is_query=True)
    assert "header=true" in refusal("0,1,2\n0.1,0.2,0\n0.3,0.4,1\n", is_query=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no points"),
        (b"\n\n", "has no points"),
        (b"x,y,label\n", "has no points, only a heading"),
        (b"# nothing\n", "has no points"),
        (b",,\n,,\n", "has no points"),
        (b"\xff\xfe\x00", "is not a UTF-16 CSV file"),
        ("x,y,label\n1,2,für\n".encode("cp1252"), "is not a UTF-8 CSV file"),
        (b"1,2,a\n3,4,\x00\n", "zero byte"),
        (b"PK\x03\x04....", "is an Excel workbook"),
        (gzip.compress(b"1,2,a\n", mtime=0), "is compressed"),
        (b"PAR1....", "is a Parquet file"),
        (b"\x93NUMPY\x01\x00", "numpy.savetxt"),
        (b'{"points": []}', "is JSON"),
        (b"@RELATION iris\n", "is an ARFF file"),
        (b"1,2,a\n3,4\n", "line 2: has 2 values, but the first line has 3"),
        (b"1,2,a\n3,4,b,5\n", "line 2: has 4 values, but the first line has 3"),
        (b"My results\n\nx,y,label\n1,2,a\n", "has 3 values, but the heading in line 1 has 1"),
    ],
)
def test_a_file_that_is_not_a_table_is_refused_in_one_line(content: bytes, message: str) -> None:
    assert message in refusal(content)


def test_lines_above_and_below_a_table_are_refused_with_what_to_do() -> None:
    rows = "x,y,label\n" + "1.5,2,a\n3.5,4,b\n" * 3
    message = refusal(f"Table 1\nOffice of Statistics\n\n{rows}")
    assert message == "line 4: has 3 values, but the first line has 1. Remove lines above the table, if there are any"
    message = refusal(f"{rows}\nSource: Office of Statistics\n")
    assert message.endswith("line 9: has 1 value, but the first line has 3. Remove it if it is not part of the table")


def test_a_file_and_its_lines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_TABLE_BYTES", 10_000)
    monkeypatch.setattr(text, "MAX_LINE_LENGTH", 500)
    assert "must have at most 10,000 bytes" in refusal("0.5,0.5,A\n" * 1_001)
    assert len(rows("0.5,0.5,A\n" * 1_000)) == 1_000
    assert refusal("1,2,A\n3,4," + "x" * 500 + "\n").startswith("line 2: must have less than 500 characters")


@pytest.mark.slow
def test_too_many_points_or_features_are_refused() -> None:
    wide = ",".join(map(str, range(5, 1_007)))
    assert "at most 1,000 columns" in refusal(f"{wide},A\n{wide},B\n")
    with pytest.raises(InvalidInput, match="at most 100 points"):
        understand(io.BytesIO(b"0.5,1.5,A\n" * 101), "points.csv", TableOptions()).labelled(max_rows=100)


def test_a_stream_that_cannot_seek_and_returns_few_bytes_is_read() -> None:
    class Slow(io.RawIOBase):
        def __init__(self, content: bytes) -> None:
            self._rest = content

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            part, self._rest = self._rest[: min(size, 7)], self._rest[min(size, 7) :]
            return part

    content = "x;y;label\n" + "0,25;1,5;A\n0,75;2,5;B\n" * 500
    table = understand(Slow(content.encode()), "points.csv", TableOptions()).labelled()  # type: ignore[arg-type]
    assert np.array_equal(table.xy_ND, [[0.25, 1.5], [0.75, 2.5]] * 500)


@pytest.mark.slow
@given(
    content=st.text(st.sampled_from("0123456789.,;|\t \"'#-+eEabxyNn\n\r=%é"), max_size=120)
    | st.lists(st.lists(st.sampled_from(["1", "0.5", "a", "", '"x"', "true", "1,5", "label", "NA"])), max_size=6).map(
        lambda table: "\n".join(",".join(row) for row in table)
    ),
    missing=st.sampled_from(["refuse", "drop"]),
)
def test_any_text_is_read_or_refused(content: str, missing: str) -> None:
    for use in (lambda one: one.labelled(), lambda one: one.points(2)):
        with suppress(InvalidInput):
            table = use(sheet(content, missing=missing))
            assert len(table.xy_ND) == len(table.code_N) > 0
            assert np.isfinite(table.xy_ND).all()


@given(content=st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(InvalidInput):
        read(content)


@pytest.mark.parametrize("separator", ["\t", " ", ";", ","])
def test_single_quotes_around_values_are_quotes(separator: str) -> None:
    lines = ["'a' 'b' 'kind'", "1.5 2.5 'yes'", "3.5 1.5 'no'"]
    table = read("\n".join(line.replace(" ", separator) for line in lines))
    assert (table.feature_names, table.label_name, table.labels) == (("a", "b"), "kind", ("yes", "no"))
    assert "single quotes around values are left out" in table.understood


def test_single_quotes_protect_separators_and_quotes() -> None:
    content = "'x, metres','kind'\n1.5,'it''s, \"so\"'\n2.5,'no'\n"
    assert rows(content.replace('"so"', "so")) == [(1.5, "it's, so"), (2.5, "no")]
    assert refusal(content).startswith("line ")  # two kinds of quotes: nothing is guessed


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("x,y,label\n1,2,O'Brien\n3,4,'t Hooft\n", ("O'Brien", "'t Hooft")),
        ("x,y,label\n1'000,2,the 'big' one\n2'000,4,small\n", ("the 'big' one", "small")),
        ("x,y,label\n1,2,\"a\"\n3,4,'b'\n", ("a", "'b'")),
    ],
)
def test_other_apostrophes_are_part_of_values(content: str, labels: tuple[str, ...]) -> None:
    assert read(content).labels == labels


def test_single_quotes_go_on_after_the_lines_that_were_inspected() -> None:
    head = "'x','kind'\n" + "1.5,'yes'\n" * 5_000
    assert read(head + "2.5,'no'\n").labels == ("yes", "no")
    assert read(head + "2.5,O'Brien\n").labels == ("yes", "O'Brien")
