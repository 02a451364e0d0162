"""Which line is the heading, and which columns are the label, the features or neither."""

import re

import pytest

from models.specs import InvalidInput
from tests.service.tables.reading import read, refusal, rows, said, sheet

CORNERS = [(0.1, 0.2, 0), (0.9, 0.8, 1), (0.2, 0.1, 0), (0.8, 0.9, 1)]


@pytest.mark.parametrize(
    "content",
    [
        "0,1,y\n0.1,0.2,0\n0.9,0.8,1\n0.2,0.1,0\n0.8,0.9,1\n",
        "0,1,label\n0.1,0.2,0\n0.9,0.8,1\n0.2,0.1,0\n0.8,0.9,1\n",
        ",0,1,y\n0,0.1,0.2,0\n1,0.9,0.8,1\n2,0.2,0.1,0\n3,0.8,0.9,1\n",
        ",0,1,2\n0,0.1,0.2,0\n1,0.9,0.8,1\n2,0.2,0.1,0\n3,0.8,0.9,1\n",
        '"0";"1";"y"\n0,1;0,2;0\n0,9;0,8;1\n0,2;0,1;0\n0,8;0,9;1\n',
        "y,0,1\n0,0.1,0.2\n1,0.9,0.8\n0,0.2,0.1\n1,0.8,0.9\n",
    ],
)
def test_a_heading_made_of_numbers_is_not_a_point(content: str) -> None:
    assert rows(content) == CORNERS


def test_a_long_heading_of_column_numbers_is_not_a_point() -> None:
    heading = ",".join(map(str, range(7)))
    table = read(f"{heading}\n5,6,7,8,9,1,0\n1,2,3,4,5,6,1\n", label="6")
    assert table.xy_ND.shape == (2, 6)
    assert table.feature_names == ("0", "1", "2", "3", "4", "5")


@pytest.mark.parametrize(
    "content",
    [
        "0,1,2\n0.1,0.2,0\n0.9,0.8,1\n0.5,0.5,2\n",
        "0.5,0.7,y\n0.1,0.2,0\n0.9,0.8,1\n",
        "0.5,0.7,label\n0.1,0.2,A\n0.9,0.8,B\n",
        "1,2,3\n0.1,0.2,0\n0.9,0.8,1\n",
        "2019,2020,label\n0.1,0.2,0\n0.9,0.8,1\n",
        "2019,2020,cls\n1,2,ny\n3,4,n\n5,6,ny\n7,8,n\n",
        "2019,2020,cls\n1,2,ny\n3,4,n\n5,6,ny\n",
        "10,20,name\n" + "1,2,a\n3,4,b\n" * 20 + "5,6,c\n7,8,d\n",
        "5.1,3.5,cls\n4.9,3.0,setosa\n6.2,2.8,virginica\n4.7,3.2,setosa\n5.9,3.0,virginica\n",
        "5.1,cls,3.5\n4.9,true,3.0\n6.2,false,2.8\n4.7,true,3.2\n5.9,false,3.0\n",
        "cls;1,5;2,5\na;1,5;2,5\nb;3,5;1\na;0,5;1,5\nb;1;2\n",
    ],
)
def test_a_first_line_that_may_be_a_heading_or_a_point_is_refused_with_the_options_that_decide(content: str) -> None:
    message = refusal(content)
    assert message == "line 1: may be a heading or a point: choose with --header or --no-header"
    body = content.count("\n") - 1
    label = str(1 + content.partition("\n")[0].replace(";", ",").split(",").index("cls")) if "cls" in content else "-1"
    assert len(read(content, header=True, label=label).xy_ND) == body
    assert len(read(content, header=False, label=label).xy_ND) == body + 1


@pytest.mark.parametrize(
    "content",
    [
        *("0,1,yes\n0,0,no\n1,1,no\n1,0,yes\n", "0,1,1\n0,0,0\n1,1,0\n1,0,1\n"),
        *("0,1,A\n1,0,B\n", "0.5,1,A\n0.25,0,B\n", "0.5,1,A\n0.25,0,B\n0.75,0,B\n"),
        "5.1,3.5,Z\n" + "1,2,a\n3,4,b\n" * 5 + "5,6,c\n7,8,d\n",
        "5.1,3.5,Z\n1,2,a\n3,4,b\n5,6,c\n",
    ],
)
def test_a_first_line_like_the_others_is_a_point(content: str) -> None:
    assert len(rows(content)) == content.count("\n")


def test_a_first_point_of_truth_values_or_gaps_is_not_a_heading() -> None:
    assert rows("true,A\nfalse,B\n") == [(1, "A"), (0, "B")]
    assert refusal("NA,A\n1.5,B\n2.5,A\n").startswith("line 1: has no value in column 1")
    assert read("Na,K,label\n1.5,2.5,A\n3.5,4.5,B\n").feature_names == ("Na", "K")


def test_years_and_names_together_are_a_heading() -> None:
    table = read("age,height,2019,2020,label\n1.5,2.5,3.5,4.5,A\n2.5,3.5,4.5,5.5,B\n")
    assert table.feature_names == ("age", "height", "2019", "2020")


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("x,y,label\ncm,cm,\n0.1,0.2,A\n0.9,0.8,B\n", ("x", "y")),
        ("x,y,label\n[m],[s],[-]\n0.1,0.2,A\n0.9,0.8,B\n", ("x", "y")),
        ("pos,pos,label\nx,y,\n0.1,0.2,A\n0.9,0.8,B\n", ("pos x", "pos y")),
        ("x\ty\tlabel\n---\t---\t-----\n0.1\t0.2\tA\n0.9\t0.8\tB\n", ("x", "y")),
        ("| x | y | label |\n|---|:-:|---|\n| 0.1 | 0.2 | A |\n| 0.9 | 0.8 | B |\n", ("x", "y")),
    ],
)
def test_a_second_heading_line_is_not_a_point(content: str, names: tuple[str, ...]) -> None:
    table = read(content)
    assert (table.feature_names, table.xy_ND.tolist()) == (names, [[0.1, 0.2], [0.9, 0.8]])
    assert "heading" in "\n".join(table.understood[1:])


def test_a_title_above_the_heading_is_not_a_column_name() -> None:
    content = "Series 2024,,\nx,y,label\n0.1,0.2,A\n0.9,0.8,B\n"
    assert read(content).feature_names == ("x", "y")
    assert "line 1 is a title, which is not read" in said(content)


@pytest.mark.parametrize(
    "content",
    [
        ",x,y,label\n0,0.1,0.9,a\n1,0.9,0.1,b\n2,0.1,0.1,a\n",
        "Unnamed: 0,x,y,label\n0,0.1,0.9,a\n1,0.9,0.1,b\n2,0.1,0.1,a\n",
        ",x,y,label\n17,0.1,0.9,a\n3,0.9,0.1,b\n8,0.1,0.1,a\n",
        '"","x","y","label"\n"1",0.1,0.9,"a"\n"2",0.9,0.1,"b"\n"3",0.1,0.1,"a"\n',
        '"x" "y" "label"\n"1" 0.1 0.9 "a"\n"2" 0.9 0.1 "b"\n"3" 0.1 0.1 "a"\n',
        "x,y,label\nfirst,0.1,0.9,a\nsecond,0.9,0.1,b\nthird,0.1,0.1,a\n",
    ],
)
def test_an_index_without_a_heading_is_left_out_with_a_note(content: str) -> None:
    assert rows(content) == [(0.1, 0.9, "a"), (0.9, 0.1, "b"), (0.1, 0.1, "a")]
    assert "is left out: it has no heading" in said(content)


def test_an_unnamed_first_column_of_measurements_stays_a_feature() -> None:
    assert rows(",y,label\n0.5,0.9,a\n0.5,0.1,b\n") == [(0.5, 0.9, "a"), (0.5, 0.1, "b")]


@pytest.mark.parametrize(
    ("content", "label", "reason"),
    [
        ("label,x,y\n0,0.1,0.2\n1,0.9,0.8\n0,0.3,0.1\n1,0.7,0.7\n", "label", "by its heading"),
        ("Class,x,y\n0,0.1,0.2\n1,0.9,0.8\n", "Class", "by its heading"),
        ("x1,target,x2\n0.1,0,0.2\n0.9,1,0.8\n", "target", "by its heading"),
        ("y,x1,x2\n0,0.1,0.2\n1,0.9,0.8\n", "y", "by its heading"),
        ("sepal,Species\n0.1,2\n0.9,3\n", "Species", "by its heading"),
        ("x,y,colour\n0.1,0.2,red\n0.9,0.8,blue\n", "colour", "the only column of text"),
        ("colour,x,y\nred,0.1,0.2\nblue,0.9,0.8\n", "colour", "the only column of text"),
        ("x,y,group\n0.1,0.2,1\n0.9,0.8,2\n", "group", "the last column"),
        ("x,y,smoker\n0.1,0.2,True\n0.9,0.8,False\n", "smoker", "the only column of truth values"),
    ],
)
def test_a_certain_label_column_is_inferred_and_reported(content: str, label: str, reason: str) -> None:
    assert f"label: column '{label}', {reason}" in said(content)


@pytest.mark.parametrize(
    "content",
    [
        "0,0.1,0.2\n1,0.9,0.8\n0,0.3,0.1\n1,0.7,0.7\n",  # label first, without a heading
        "a,b,c\n0,0.1,0.2\n1,0.9,0.8\n0,0.3,0.1\n",
        "0,0.1,3\n1,0.9,3\n0,0.3,4\n1,0.7,4\n",
        "x,class,label\n0.1,0,1\n0.9,1,2\n",
        "city,colour,x\nParis,red,0.1\nRome,blue,0.9\n",
        "x,y,z\n0.1,0.2,0.3\n0.4,0.5,0.6\n",
        "x,y\n0.1,0.2\n0.4,0.5\n",
        "name,x\n" + "".join(f"n{i},{i / 7}\n" for i in range(12)),
        "y,city\n0,Paris\n1,Rome\n",
    ],
)
def test_an_ambiguous_label_column_is_refused_with_the_option_that_decides(content: str) -> None:
    assert "--label NAME" in refusal(content)


def test_a_label_of_fractions_is_read_only_if_it_is_confirmed() -> None:
    content = "x,y_true\n1,0.5\n2,0.50\n3,1.5\n4,1.5\n"
    assert "--label y_true" in refusal(content)
    assert [row[-1] for row in rows(content, label="y_true")] == ["0.5", "0.5", "1.5", "1.5"]


@pytest.mark.parametrize("label", ["kind", "KIND", "1", "-3"])
def test_the_label_may_be_given_by_name_or_number(label: str) -> None:
    assert rows("kind,a,b\n0,1.5,2.5\n1,3.5,4.5\n", label=label) == [(1.5, 2.5, 0), (3.5, 4.5, 1)]


def test_a_name_comes_before_a_number() -> None:
    content = "1,2,0\n0.5,1,7\n0.25,0,8\n"
    assert rows(content, header=True, label="2") == [(0.5, 7, 1), (0.25, 8, 0)]
    assert rows(content, header=True, label="3") == [(0.5, 1, 7), (0.25, 0, 8)]


def test_features_are_read_in_the_order_in_which_they_are_given() -> None:
    content = "a,b,c,label\n1.5,2.5,3.5,x\n4.5,5.5,6.5,y\n"
    assert rows(content, features="c,a") == [(3.5, 1.5, "x"), (6.5, 4.5, "y")]
    assert rows(content, features="3, 1") == [(3.5, 1.5, "x"), (6.5, 4.5, "y")]
    assert read(content, features="c,a").feature_names == ("c", "a")
    assert "column 'b' is left out" in said(content, features="c,a")


def test_dropped_columns_are_left_out_even_if_they_are_text() -> None:
    content = 'id,"city, country",a,b,kind\n1,Paris,0.5,1.5,x\n2,Rome,2.5,3.5,y\n'
    assert rows(content, drop='id,"city, country"') == [(0.5, 1.5, "x"), (2.5, 3.5, "y")]
    assert rows(content, drop="1,2") == [(0.5, 1.5, "x"), (2.5, 3.5, "y")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "c"}, "label: there is no column 'c': the columns are 'a', 'b', 'kind'"),
        ({"label": "9"}, "label: there is no column '9'"),
        ({"label": "0"}, "label: there is no column '0'"),
        ({"features": "a,c"}, "features: there is no column 'c'"),
        ({"drop": "c"}, "drop: there is no column 'c'"),
        ({"features": "a,a"}, "features: must name each column once"),
        ({"features": "a,kind", "label": "kind"}, "label: column 'kind' is the label"),
        ({"drop": "a,b"}, "points.csv: needs a column of labels and at least one of features"),
    ],
)
def test_options_that_do_not_fit_the_columns_are_refused(options: dict[str, str], message: str) -> None:
    assert refusal("a,b,kind\n1.5,2.5,x\n4.5,5.5,y\n", **options).startswith(message)


def test_two_columns_of_one_name_are_refused_unless_one_is_dropped() -> None:
    content = "a,a,label\n1,2,x\n3,4,y\n"
    assert refusal(content).startswith("column 'a': occurs twice, as column 1 and 2")
    assert rows(content, drop="2") == [(1, "x"), (3, "y")]
    assert "several columns are named 'a'" in refusal(content, drop="a")


@pytest.mark.parametrize(
    ("content", "said_of"),
    [
        ("city,x,label\nParis,1,a\nRome,2,b\n", "column 'city': is text, such as 'Paris'"),
        ("x,when,label\n1,2024-01-01,a\n2,2024-01-02,b\n", "column 'when': is text, such as '2024-01-01'"),
        ("x,price,label\n1,5 kg,a\n2,7 g,b\n", "column 'price': is text, such as '5 kg'"),
        ("x,code,label\n1,A5,a\n2,A7,b\n", "column 'code': is text, such as 'A5'"),
    ],
)
def test_a_feature_of_text_is_refused_with_what_to_do(content: str, said_of: str) -> None:
    message = refusal(content)
    assert message.startswith(said_of)
    assert "--drop" in message


@pytest.mark.parametrize(
    ("first", "second", "unit"),
    [
        ("3,13 €", "0,99 €", "€"),
        ("€3,13", "€0,99", "€"),
        ("12 %", "7 %", "%"),
        ("5%", "7%", "%"),
        ("$5.00", "$0.99", "$"),
        ("-$5.00", "$0.99", "$"),
        ("US$ 5", "US$ -6", "US$"),
        ("1 234 kg", "1 235 kg", "kg"),
        ("5kg", "6kg", "kg"),
        ("1.5e3 m", "2 m", "m"),
        ("-4°C", "5°C", "°C"),
        ("1.5 km/h", "", "km/h"),
    ],
)
def test_a_column_of_numbers_with_a_unit_is_refused_and_the_message_names_the_unit(
    first: str, second: str, unit: str
) -> None:
    content = f"price;n;kind\n{first};1;a\n{second};2;b\n"
    message = refusal(content)
    assert message.startswith(f"column 'price': has '{unit}' beside its numbers, such as '")
    assert "write the numbers alone, or leave the column out with --drop price" in message
    assert rows(content, drop="price") == [(1, "a"), (2, "b")]
    with pytest.raises(InvalidInput, match=f"column 'price': has '{re.escape(unit)}' beside its numbers"):
        sheet(content).points(2, ["price", "n"])


def test_a_single_number_with_a_unit_is_refused_and_the_message_names_the_unit() -> None:
    message = refusal("mass,n,kind\n1,1,a\n2,2,b\n3 kg,3,a\n")
    assert message == "line 4, column 'mass': '3 kg' has 'kg' beside the number: write the number alone"


def test_the_message_about_text_columns_names_units_too() -> None:
    message = refusal("name,x,mass,kind\nAda,1,5 kg,a\nBob,2,6 kg,b\n", label="kind")
    assert message.startswith("columns 'name' and 'mass': are text, such as 'Ada'")
    assert message.endswith("or write numbers in place of the text, without 'kg' in column 'mass'")


def test_a_column_with_a_unit_is_not_taken_for_the_label_beside_other_text() -> None:
    assert refusal("mass,n,sort\n5kg,1,a\n6kg,2,b\n6kg,3,b\n").startswith("column 'mass': has 'kg'")
    assert rows("x,n,dose\n5,1,5mg\n6,2,8mg\n6,3,8mg\n") == [(5, 1, "5mg"), (6, 2, "8mg"), (6, 3, "8mg")]


ONE_HOT = {"categorical": "one-hot", "label": "label"}


def test_with_one_hot_a_column_of_text_may_be_a_feature_so_the_label_is_not_guessed() -> None:
    content = "city,x,won\nRome,1,0\nOslo,2,1\nRome,3,1\nOslo,4,0\n"
    assert refusal(content, categorical="one-hot").startswith("points.csv: column 'city' may be the label or a feature")
    table = read(content, categorical="one-hot", label="won")
    assert table.feature_names == ("city=Oslo", "city=Rome", "x")
    assert read(content.replace("won", "class"), categorical="one-hot").labels == (0, 1)
    assert refusal(content).startswith("points.csv: column 'city' and column 'won' may both be the label")


@pytest.mark.slow
def test_values_are_counted_in_all_rows_that_are_used_and_sorted() -> None:
    late = "".join(f"a,{i},{i % 2}\n" for i in range(6_000)) + "c,1,0\nb,2,1\nlost,,1\nNA,3,0\n none ,4,1\n"
    table = read("kind,x,label\n" + late, **ONE_HOT, missing="drop")
    assert table.categories == {"kind": ("a", "b", "c", "none")}
    assert table.xy_ND[-3:].tolist() == [[0, 0, 1, 0, 1], [0, 1, 0, 0, 2], [0, 0, 0, 1, 4]]
    assert "line 6004 has no value in column 'x'" in said("kind,x,label\n" + late, **ONE_HOT, missing="drop")
    gap = refusal("kind,x,label\na,1,0\nNA,2,1\na,3,0\n", **ONE_HOT)
    assert gap.startswith("line 3: has no value in column 'kind'")


def test_values_of_text_are_one_line_and_numbers_among_them_are_texts() -> None:
    content = 'size,x,label\n"very\nlarge",1,0\nvery  large,2,1\n10,3,0\n"a,b",4,1\n'
    assert read(content, **ONE_HOT).categories == {"size": ("10", "a,b", "very large")}
    content = "size;x;label\n1.5,b;1,5;0\n1.5,b;2,5;1\nL,M;3,5;0\n"
    assert read(content, **ONE_HOT).categories == {"size": ("1.5,b", "L,M")}
    content = "size;x;label\nS,b;1,5;0\nS,b;2,5;1\nL,M;3,5;0\n"  # all commas, so that NumPy reads the lines
    table = read(content, **ONE_HOT)
    assert (table.categories, table.xy_ND.tolist()) == (
        {"size": ("L,M", "S,b")},
        [[0, 1, 1.5], [0, 1, 2.5], [1, 0, 3.5]],
    )


def test_a_text_column_without_a_heading_is_named_by_its_number() -> None:
    table = read("1,Rome,0\n2,Oslo,1\n3,Rome,1\n", categorical="one-hot", label="-1")
    assert table.feature_names == ("x1", "x2=Oslo", "x2=Rome")


def test_a_text_column_with_one_value_is_reported_as_constant() -> None:
    report = said("city,x,label\nRome,1,0\nRome,2,1\nRome,4,0\n", **ONE_HOT)
    assert "column 'city' becomes 1 feature: city=Rome" in report
    assert "warning: column 'city=Rome' is constant" in report
    assert "constant" not in said("city,x,label\nRome,1,0\nOslo,2,1\nRome,4,0\n", **ONE_HOT)


def test_columns_that_differ_only_in_blanks_are_refused() -> None:
    message = refusal("a b,a  b,label\nu,1,0\nv,2,1\nu,3,0\n", **ONE_HOT)
    assert "occurs twice, as column 1 and 2" in message


def test_points_of_a_model_with_text_columns_are_read_by_their_heading() -> None:
    names, known = ("city=Oslo", "city=Rome", "x"), {"city": ("Oslo", "Rome")}
    for content in ("x,city\n1,Rome\n2,Oslo\n", "city=Rome,x,city=Oslo\n1,1,0\n0,2,1\n", "0,1,1\n1,0,2\n"):
        assert sheet(content).points(3, names, known).xy_ND.tolist() == [[0, 1, 1], [1, 0, 2]], content
    chosen = sheet("x,city,z\n1,Rome,0\n", features="city,x").points(3, names, known)
    assert chosen.xy_ND.tolist() == [[0, 1, 1]]
    numbered = sheet("x,city\n1,10\n2,20\n").points(3, ("city=10", "city=20", "x"), {"city": ("10", "20")})
    assert numbered.xy_ND.tolist() == [[1, 0, 1], [0, 1, 2]]


def test_a_feature_of_truth_values_is_read_as_0_and_1_and_reported() -> None:
    content = "x,smoker,label\n0.5,True,a\n1.5,False,b\n2.5,TRUE,a\n"
    assert rows(content) == [(0.5, 1, "a"), (1.5, 0, "b"), (2.5, 1, "a")]
    assert "column 'smoker' is read as 1 for true and 0 for false" in said(content)


def test_a_file_of_points_is_read_in_the_order_of_its_columns() -> None:
    assert sheet("0.1,0.2\n0.3,0.4\n").points(2).xy_ND.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert sheet("a,b\n0.1,0.2\n").points(2).feature_names == ("a", "b")
    assert sheet("0.5\n0.25\n").points(1).xy_ND.tolist() == [[0.5], [0.25]]
    assert sheet("x,y\n0.1,0.2\n").points(2).xy_ND.tolist() == [[0.1, 0.2]]


@pytest.mark.parametrize(
    "content",
    [
        "x,y,label\n0.1,0.2,A\n0.3,0.4,B\n",
        "label,x,y\n1,0.1,0.2\n0,0.3,0.4\n",
        "0.1,0.2,A\n0.3,0.4,B\n",
        ",x,y\n0,0.1,0.2\n1,0.3,0.4\n",
        ",x,y,label\n0,0.1,0.2,1\n1,0.3,0.4,0\n",
    ],
)
def test_a_certain_label_or_index_is_left_out_of_points(content: str) -> None:
    table = sheet(content).points(2)
    assert table.xy_ND.tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert "is left out" in "\n".join(table.understood)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0.1,0.2,0.3\n0.4,0.5,0.6\n", "has 3 columns, but the model has 2 features"),
        ("0.1\n0.4\n", "has 1 column, but the model has 2 features"),
        ("x,label\n0.1,1\n0.4,0\n", "column 'label' looks like a label"),
        ("a,b,c\n0.1,0.2,1\n0.4,0.5,0\n", "has 3 columns, but the model has 2 features"),
    ],
)
def test_points_with_ambiguous_columns_are_refused(content: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        sheet(content).points(2)
    assert message in str(refused.value)
    assert "--features" in str(refused.value)


def test_the_columns_of_points_may_be_given() -> None:
    assert sheet("a,b,c\n0.1,0.2,1\n0.4,0.5,0\n", features="b,a").points(2).xy_ND.tolist() == [[0.2, 0.1], [0.5, 0.4]]
    assert sheet("a,b,c\n0.1,0.2,1\n0.4,0.5,0\n", drop="a").points(2).xy_ND.tolist() == [[0.2, 1], [0.5, 0]]
    assert sheet("a,b,c\n0.1,0.2,1\n0.4,0.5,0\n", label="c").points(2).xy_ND.tolist() == [[0.1, 0.2], [0.4, 0.5]]
    with pytest.raises(InvalidInput, match="features: must name 2 columns"):
        sheet("a,b,c\n0.1,0.2,1\n", features="a").points(2)


def test_several_text_columns_are_named_together_with_the_option_that_leaves_them_out() -> None:
    content = "name,x,city,kind\nAda,1,Rome,a\nBob,2,Rome,b\n"
    message = refusal(content, label="kind")
    assert message.startswith("columns 'name' and 'city': are text, such as 'Ada'")
    assert "leave them out with --drop name,city, let each value become a feature with --categorical one-hot" in message
    assert rows(content, label="kind", drop="name,city") == [(1, "a"), (2, "b")]


def test_a_text_column_with_too_many_values_is_not_offered_as_features() -> None:
    days = "".join(f"2024-{month:02}-{day:02},{day},a\n" for month in range(1, 4) for day in range(1, 28))
    message = refusal(f"date,x,label\n{days}")
    assert "--drop date" in message
    assert "one-hot" not in message


def test_a_heading_with_numbers_among_its_names_is_reported() -> None:
    described = "150,4,setosa,versicolor,virginica\n" + "5.1,3.5,1.4,0.2,0\n6.2,2.9,4.3,1.3,1\n" * 3
    assert "warning: line 1 names columns by numbers (150, 4): remove the line if it is not the heading" in said(
        described
    )
    assert "names columns by numbers" not in said("age,size,2019,2020,label\n1,1.5,2.5,3.5,a\n2,2.5,3.5,4.5,b\n")
    assert "names columns by numbers" not in said("0,1,label\n0.1,0.2,0\n0.9,0.8,1\n0.2,0.1,0\n")


def test_a_line_before_the_points_that_is_shorter_than_these_is_refused_with_advice() -> None:
    message = refusal("178,13,class_0,class_1\n14.2,1.7,2.4,15.6,127,0\n13.2,1.8,2.1,11.2,100,1\n")
    assert message == (
        "line 2: has 6 values, but the heading in line 1 has 4. Remove line 1 if it does not name the columns"
    )


def test_a_label_of_fractions_is_reported_as_a_quantity() -> None:
    content = "x,hours\n1,0.5\n2,1.25\n3,0.5\n4,2\n"
    expected = "column 'hours' looks like a quantity, not like a label: each of its 3 values becomes a class of its own"
    assert f"warning: {expected}" in said(content, label="hours")
    assert "quantity" not in said("x,kind\n1,0.0\n2,1.0\n", label="kind")


def test_a_label_that_is_not_clear_is_asked_for_with_the_names_of_the_columns() -> None:
    assert refusal("a,b,c\n1,2.5,0.5\n2,3.5,0.25\n") == (
        "points.csv: it is not clear which of the columns 'a', 'b', 'c' is the label: choose the label with --label "
        "NAME or its number"
    )


@pytest.mark.parametrize(
    "content",
    [
        "x,label\n0,5,A\n1,7,B\n2,3,A\n3,9,B\n",
        "income,label\n1,234,A\n2,345,B\n3,456,A\n4,100,B\n",
        "age,height,label\n30,1,75,A\n41,1,80,B\n25,1,62,A\n37,2,01,B\n",
    ],
)
def test_decimal_commas_in_a_file_separated_by_commas_are_not_taken_for_row_names(content: str) -> None:
    message = refusal(content)
    assert "if these have decimal commas, write another separator" in message
    assert "confirm it with --decimal ." in message
    assert len(read(content, decimal=".").xy_ND) == 4


@pytest.mark.parametrize(
    "content",
    [
        '"x","label"\n"1",5,"A"\n"2",7,"B"\n"3",5,"A"\n',
        "x,label\n1,5.5,A\n2,7.5,B\n3,5.5,A\n",
        "x;label\n1;5;A\n2;7;B\n3;5;A\n",
    ],
    ids=["quoted", "fractions", "another separator"],
)
def test_row_names_without_a_heading_are_left_out(content: str) -> None:
    table = read(content)
    assert table.feature_names == ("x",)
    assert table.xy_ND[0] == table.xy_ND[2]


def test_an_index_that_pandas_read_as_a_column_is_left_out_wherever_it_is() -> None:
    table = read(",Unnamed: 0,x,label\n0,3,1.5,a\n1,0,2.5,b\n2,2,3.5,a\n3,1,1.5,b\n")
    assert table.feature_names == ("x",)
    table = read("x,Unnamed: 0,label\n1.5,3,a\n2.5,3,b\n")
    assert table.feature_names == ("x", "Unnamed: 0")


@pytest.mark.parametrize(
    "content",
    [
        "sbp,family,chd\n1.5,Present,0\n2.5,Absent,1\n3.5,Present,1\n4.5,Absent,0\n",
        "city,x,won\nParis,1.5,true\nRome,2,false\nParis,1,true\nRome,3,false\n",
        "x,sort,level\n1.5,a,1\n2.5,b,2\n3.5,a,3\n4.5,b,1\n5.5,b,2\n6.5,b,3\n",
    ],
)
def test_the_only_column_of_text_is_not_taken_for_the_label_if_the_last_column_looks_like_one(content: str) -> None:
    assert "may both be the label: choose the label with --label NAME" in refusal(content)


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ("flag,x,sort\n0,1.5,a\n1,2.5,b\n0,3.5,a\n1,4.5,b\n", "sort"),
        ("letter,x,y\nT,2,8\nI,5,12\nT,4,11\nI,7,11\nT,2,8\nI,4,11\n", "letter"),
    ],
    ids=["last", "first"],
)
def test_the_only_column_of_text_at_an_end_is_the_label(content: str, label: str) -> None:
    assert read(content).label_name == label


def test_many_whole_numbers_as_labels_are_reported_as_a_quantity() -> None:
    content = "x,y,progress\n" + "".join(f"{i / 7},{i / 3},{i % 40}\n" for i in range(400))
    assert "column 'progress' looks like a quantity" in said(content)
    assert "quantity" not in said(content.replace("progress", "label").replace(",3", ",2"))


def test_a_first_line_that_counts_the_rows_and_features_is_left_out() -> None:
    rows_of_two = "".join(f"{i / 7},{i / 3},{i % 2}\n" for i in range(12))
    table = read("12,2,setosa,virginica\n" + rows_of_two)
    assert (len(table.xy_ND), table.labels) == (12, (0, 1))
    assert "line 1 says how many rows and features follow" in said("12,2,setosa,virginica\n" + rows_of_two)
    assert refusal("11,2,setosa\n" + rows_of_two).startswith("line 1: may be a heading or a point")


def test_a_heading_that_is_only_a_number_sign_names_a_column() -> None:
    assert read("#,x,label\n1,1.5,a\n2,2.5,b\n5,2.5,b\n").feature_names == ("#", "x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "x,y", "drop": "y"}, "features: column 'y' is in drop too: remove it from one of the two"),
        ({"features": "1", "drop": "x"}, "features: column 'x' is in drop too: remove it from one of the two"),
        ({"label": "label", "drop": "label"}, "label: column 'label' is the label, so it cannot be left out with drop"),
    ],
)
def test_a_column_that_is_both_chosen_and_left_out_is_refused(options: dict[str, str], message: str) -> None:
    content = "x,y,label\n1.5,2,a\n3,4.5,b\n"
    assert refusal(content, **options) == message
    if "features" in options:
        with pytest.raises(InvalidInput, match="in drop too"):
            sheet(content, **options).points(1)
