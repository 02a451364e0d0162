"""`POST /predict` with CSV bodies, and CSV responses."""

import csv
import gzip
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

CSV = "text/csv"
NAMES = ["long, name", "width"]
POINTS = [[0.1, 1_700_000_030.25], [1e-7, 1_700_000_031.0], [-2.0, 1_700_000_090.5], [1 / 3, 1_699_999_999.875]]
LABELS = ["no", "yes, sure", "no", "yes, sure"]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service that takes 1,000 points at a time, with `own`, whose features have names, and `plane`, without."""
    with running(tmp_path_factory.mktemp("csv"), max_points_per_request=1_000) as client:
        data = {"points": POINTS, "labels": LABELS, "feature_names": NAMES}
        train(client, "own", data=data, training={"epochs": 50})
        train(client, "plane")
        yield client


def post(
    client: httpx.Client, text: str | bytes, *, accept: str = "application/json", encoding: str = "", **query: Any
) -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    headers = {"Content-Type": CSV, "Accept": accept} | ({"Content-Encoding": encoding} if encoding else {})
    return client.post("/predict", content=content, params={"model": "own"} | query, headers=headers)


def table(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == CSV
    return list(csv.reader(io.StringIO(answer.text)))


def expected(client: httpx.Client, points: list[list[float]] = POINTS, model: str = "own") -> list[str]:
    found: list[str] = client.post("/predict", json={"model": model, "points": points}).json()["labels"]
    return found


HEADING = '"long, name",width\n'
ROWS = "".join(f"{x!r},{y!r}\n" for x, y in POINTS)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        (HEADING + ROWS, {}),
        (ROWS, {}),
        ("\ufeff" + HEADING + ROWS, {}),
        ((HEADING + ROWS).encode("utf-16"), {}),
        (HEADING + ROWS.replace("\n", "\r\n"), {}),
        ("long, name;width\n" + ROWS.replace(",", ";").replace(".", ","), {}),
        ("width\tlong, name\n" + "".join(f"{y!r}\t{x!r}\n" for x, y in POINTS), {}),
        ("width|art|long, name\n" + "".join(f"{y!r}|a|{x!r}\n" for x, y in POINTS), {}),
        ("width|species|long, name\n" + "".join(f"{y!r}|1|{x!r}\n" for x, y in POINTS), {}),
        ("|width|long, name\n" + "".join(f"{i}|{y!r}|{x!r}\n" for i, (x, y) in enumerate(POINTS)), {}),
        ("b|no|a\n" + "".join(f"{y!r}|7|{x!r}\n" for x, y in POINTS), {"features": "a,b"}),
        ("width|nr|long, name\n" + "".join(f"{y!r}|7|{x!r}\n" for x, y in POINTS), {"drop": "nr"}),
        ("width|nr|long, name\n" + "".join(f"{y!r}|7|{x!r}\n" for x, y in POINTS), {"label": "nr"}),
        (HEADING + ROWS + "?,1\n", {"missing": "drop"}),
        (ROWS, {"header": "false", "separator": "comma", "decimal": "."}),
    ],
)  # fmt: skip
def test_a_csv_body_gets_the_answer_of_the_same_points_in_json(
    named: httpx.Client, text: str | bytes, query: dict[str, str]
) -> None:
    answer = post(named, text, **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["labels"] == expected(named)


def test_a_csv_response_repeats_every_digit_of_the_points(named: httpx.Client) -> None:
    answer = post(named, "width|long, name\n" + "".join(f"{y!r}|{x!r}\n" for x, y in POINTS), accept=CSV)
    heading, *rows = table(answer)
    assert heading == [*NAMES, "label", "p(no)", "p(yes, sure)"]
    assert [[float(cell) for cell in row[:2]] for row in rows] == POINTS
    assert rows[0][:2] == ["0.1", "1700000030.25"]
    assert rows[1][1] == "1700000031"
    as_json = named.post("/predict", json={"model": "own", "points": POINTS}, headers={"Accept": "*/*;q=0.5"}).json()
    assert [row[2] for row in rows] == as_json["labels"]
    np.testing.assert_allclose([[float(p) for p in row[3:]] for row in rows], as_json["probabilities"], atol=1e-6)
    assert answer.headers["separatrix-model"] == "own"


def test_points_of_any_format_can_be_answered_as_csv(named: httpx.Client) -> None:
    as_json = named.post("/predict", json={"model": "own", "points": POINTS}, headers={"Accept": CSV})
    file = io.BytesIO()
    np.save(file, np.array(POINTS, np.float32))
    headers = {"Content-Type": "application/x-npy", "Accept": CSV}
    as_npy = named.post("/predict", content=file.getvalue(), params={"model": "own"}, headers=headers)
    assert (
        [row[0] for row in table(as_npy)][:4]
        == [row[0] for row in table(as_json)][:4]
        == [NAMES[0], "0.1", "1e-7", "-2"]
    )
    assert [np.float32(row[0]) for row in table(as_npy)[1:]] == [np.float32(x) for x, _ in POINTS]


def test_every_output_has_its_columns(named: httpx.Client) -> None:
    outputs = ["labels", "probabilities", "logits", "margins", "nearest"]
    points = [[0.5, -0.25], [2.0, 1.0], [-3.0, 0.5]]
    body = {"model": "plane", "points": points, "outputs": outputs}
    as_json = named.post("/predict", json=body).json()
    rows = list(csv.DictReader(io.StringIO(named.post("/predict", json=body, headers={"Accept": CSV}).text)))
    assert list(rows[0]) == [
        *["x1", "x2", "label", "p(red)", "p(blue)", "logit(blue)", "margin"],
        *["nearest(x1)", "nearest(x2)", "distance", "at_least"],
    ]
    for i, row in enumerate(rows):
        assert row["label"] == as_json["labels"][i]
        assert float(row["logit(blue)"]) == as_json["logits"][i][0]
        assert float(row["margin"]) == as_json["margins"][i]
        nearest = as_json["nearest"][i]
        assert [float(row["nearest(x1)"]), float(row["nearest(x2)"])] == nearest["point"]
        assert float(row["distance"]) == nearest["distance"]
        assert float(row["at_least"]) == nearest["at_least"]


def test_a_feature_named_like_an_output_keeps_its_heading(named: httpx.Client) -> None:
    data = {"points": [[0.0, 1], [1, 0], [2, 2]], "labels": [0, 1, 1], "feature_names": ["label", "p(0)"]}
    train(named, "odd", data=data, training={"epochs": 1})
    answer = named.post("/predict", json={"model": "odd", "points": [[0, 1]]}, headers={"Accept": CSV})
    assert table(answer)[0] == ["label", "p(0)", "predicted label", "predicted p(0)", "p(1)"]


def test_labels_and_names_with_line_breaks_are_quoted(named: httpx.Client) -> None:
    data = {"points": POINTS, "labels": ["a\nb", "c", "a\nb", "c"], "feature_names": ["x", "y"]}
    train(named, "broken", data=data, training={"epochs": 5})
    answer = post(named, "x,y\n0,1\n2,3\n", accept=CSV, model="broken", outputs="labels,probabilities")
    heading, *rows = csv.reader(io.StringIO(answer.text, newline=""), strict=True)
    assert heading == ["x", "y", "label", "p(a\nb)", "p(c)"]
    assert {row[2] for row in rows} <= {"a\nb", "c"}


def test_a_nearest_point_that_is_not_found_is_empty(named: httpx.Client) -> None:
    data = {"points": [[0, 0], [1, 1], [0, 1]], "labels": ["a", "a", "b"]}
    train(named, "settled", data=data, network={"kind": "logistic"}, training={"epochs": 1, "learning_rate": 1e-9})
    body = {"model": "settled", "points": [[0, 0]], "outputs": ["nearest"], "threshold": 0.999999}
    cells = table(named.post("/predict", json=body, headers={"Accept": CSV}))[1]
    assert cells[2:5] == ["", "", ""]
    assert float(cells[5]) > 0


@pytest.mark.slow
def test_the_names_of_the_features_are_a_heading_even_if_some_look_like_numbers(named: httpx.Client) -> None:
    names = ["my width", "length, cm", 'say "hi"', "007", "é"]
    points = [[1.0, 2, 3, 4, 5], [5, 4, 3, 2, 1], [0, 1, 0, 1, 0]]
    data = {"points": points, "labels": ["a", "b", "a"], "feature_names": names}
    train(named, "wild", data=data, training={"epochs": 100})
    answer = named.post("/predict", json={"model": "wild", "points": points}, headers={"Accept": CSV})
    known = table(answer)
    for order, more in (([0, 1, 2, 3, 4], []), ([4, 3, 2, 1, 0], []), ([3, 0, 1, 4, 2], ["label"])):
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow([names[d] for d in order] + more)
        writer.writerows([[point[d] for d in order] + ["a"] * len(more) for point in points])
        assert table(post(named, file.getvalue(), accept=CSV, model="wild")) == known
        one_row = "\n".join(file.getvalue().splitlines()[:2])
        assert table(post(named, one_row, accept=CSV, model="wild")) == known[:2]


@pytest.mark.slow
def test_names_of_features_that_may_be_a_point_are_refused_until_header_decides(named: httpx.Client) -> None:
    data = {"points": [[1.5, 2, 3], [3, 2, 1], [0, 1, 0]], "labels": [0, 1, 1], "feature_names": ["1", "2", "3"]}
    train(named, "numbered", data=data, training={"epochs": 1})
    for text in ("3,2,1\n6,5,4\n", "3,2,1,cls\n6,5,4,7\n", "3,2,1\n"):
        answer = post(named, text, model="numbered")
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "line 1: may be a heading or a point: choose with header=true or header=false" in answer.text
    answer = post(named, "3,2,1\n6,5,4\n", accept=CSV, model="numbered", header="true")
    assert [row[:3] for row in table(answer)[1:]] == [["4", "5", "6"]]
    answer = post(named, "3,2,1\n6,5,4\n", accept=CSV, model="numbered", header="false")
    assert [row[:3] for row in table(answer)[1:]] == [["3", "2", "1"], ["6", "5", "4"]]
    assert post(named, "3,2,2\n6,5,4\n", model="numbered").is_success


def test_lines_that_are_left_out_of_the_answer_are_named_in_every_format(named: httpx.Client) -> None:
    text = HEADING + "0,1\n?,1\n2,3\n4,\n5,6\n"
    answer = post(named, text, missing="drop").json()
    assert (len(answer["labels"]), answer["left_out"]) == (3, [3, 5])
    assert "2 rows are left out for a missing value: line 3 has no value in column 'long, name'" in answer["understood"]
    for accept in (CSV, "application/x-npy", "application/vnd.apache.arrow.stream"):
        assert post(named, text, accept=accept, missing="drop").headers["separatrix-left-out"] == "3,5"
        assert "separatrix-left-out" not in post(named, HEADING + ROWS, accept=accept, missing="drop").headers
    headers = {"Content-Type": CSV}
    answer = named.post("/invocations", content=text, params={"model": "own", "missing": "drop"}, headers=headers)
    assert (len(answer.json()["predictions"]), answer.headers["separatrix-left-out"]) == (3, "3,5")


@pytest.mark.slow
def test_an_empty_row_between_points_lacks_its_values_and_one_after_them_does_not_count(named: httpx.Client) -> None:
    for text, lines in (
        (HEADING + "1,2\n,\n3,4\n", [3]),
        (HEADING + ",\n1,2\n3,4\n,\n", [2]),
        ('long, name;width\n1;2\n"";""\n\n;\n3;4\n', [3, 5]),
        ("1,2\n,\n3,4\n", [2]),
    ):
        answer = post(named, text)
        assert_problem(answer, 422, "invalid-input", field="body")
        assert f"line {lines[0]}: has no value in column " in answer.json()["detail"]
        answer = post(named, text, missing="drop")
        assert (len(answer.json()["labels"]), answer.json()["left_out"]) == (2, lines)
    assert len(post(named, HEADING + "\n1,2\n\n3,4\n,\n,\n").json()["labels"]) == 2


def test_the_header_for_lines_that_are_left_out_is_bounded(named: httpx.Client) -> None:
    answer = post(named, HEADING + "0,1\n" + "?,1\n" * 900, accept=CSV, missing="drop")
    shown = answer.headers["separatrix-left-out"].split(",")
    assert (shown[0], shown[-2:], len(shown)) == ("3", ["502", "..."], 501)


def test_an_answer_to_csv_says_how_the_body_was_understood(named: httpx.Client) -> None:
    answer = post(named, "width|species|long, name\n1|a|2\n3|b|4\n").json()
    assert answer["understood"][0] == "body: 2 rows, separated by '|', decimal mark '.', heading in line 1"
    assert "column 'species' is left out" in answer["understood"]
    assert "left_out" not in answer
    assert "understood" not in named.post("/predict", json={"model": "own", "points": POINTS}).json()


def test_a_compressed_csv_body_is_read(named: httpx.Client) -> None:
    content = gzip.compress((HEADING + ROWS).encode())
    assert post(named, content, encoding="gzip").json()["labels"] == expected(named)


@pytest.mark.parametrize(
    ("text", "query", "field", "place", "said"),
    [
        ("", {}, "body", "body", "has no points"),
        (HEADING, {}, "body", "body", "has no points"),
        (HEADING + ROWS + "?,1\n", {}, "body", "body", "or leave out such rows with missing=drop"),
        (HEADING + ROWS + "a,1\n", {}, "body", "body", "line 6, column 'long, name': 'a' is not a finite number"),
        (HEADING + ROWS + "1,2,3\n", {}, "body", "body", "line 6: has 3 values, but the first line has 2"),
        (HEADING + "a,1\nb,2\n1,2\n", {}, "body", "body", "'long, name': is text, such as 'a', but this feature of"),
        (HEADING + "a,1\nb,2\n1,2\n", {}, "body", "body", "write numbers, or choose other columns with features=A,B"),
        (HEADING + "1,\n2,\n", {"missing": "drop"}, "body", "body", "'width': has no values, but is a feature of the"),
        (HEADING + ROWS + "1,1e39\n", {}, "body", "body", "line 6, column 'width': must be a number between"),
        ("a;b\n1,234;2\n", {}, "body", "body", "choose with decimal=, or decimal=."),
        ("width;longname\n1;2\n3;4\n", {}, "body", "body", "(did you mean 'long, name'?)"),
        ("1;2;3\n4;5;6\n", {}, "body", "body", "choose the columns with features=A,B, or leave out a label"),
        ("width;nr;k;long, name\n1;2;3;4\n", {}, "body", "body", "must not have 'nr', 'k': the features are"),
        ("width;nr;k;long, name\n1;2;3;4\n", {}, "body", "body", "; leave out a column with drop=nr,k"),
        (HEADING + ROWS, {"features": "width"}, "features", "query", "must name 2 columns"),
        (HEADING + ROWS, {"features": "width,size"}, "features", "query", "there is no column 'size'"),
        (HEADING + ROWS, {"features": "1,2", "drop": "2"}, "features", "query", "column 'width' is in drop too"),
        (HEADING + ROWS, {"drop": "size"}, "drop", "query", "there is no column 'size'"),
        (HEADING + ROWS, {"separator": "ab"}, "separator", "query", "must be one character"),
        (HEADING + ROWS, {"decimal": ";"}, "decimal", "query", "must be one of"),
        (HEADING + ROWS, {"header": "perhaps"}, "header", "query", "must be true or false"),
        (HEADING + ROWS, {"missing": "keep"}, "missing", "query", "must be one of"),
        (HEADING + ROWS, {"sep": ","}, "sep", "query", "is unknown"),
        (b"PK\x03\x04" + b"0" * 100, {}, "body", "body", "is an Excel workbook or a zip file"),
        (b"a,b\n1,\xe9\n", {}, "body", "body", "UTF-8"),
        (ROWS * 251, {}, "body", "body", "must have at most 1,000 points"),
    ],
)  # fmt: skip
def test_a_csv_body_that_cannot_be_read_is_refused_with_the_line_and_the_option(
    named: httpx.Client, text: str | bytes, query: dict[str, str], field: str, place: str, said: str
) -> None:
    answer = post(named, text, **query)
    assert_problem(answer, 422, "invalid-input", field=field, place=place)
    assert said in answer.json()["errors"][0]["detail"]


def test_options_of_csv_bodies_are_refused_with_other_bodies(named: httpx.Client) -> None:
    file = io.BytesIO()
    np.save(file, np.array(POINTS))
    query = {"model": "own", "drop": "width"}
    headers = {"Content-Type": "application/x-npy"}
    answer = named.post("/predict", content=file.getvalue(), params=query, headers=headers)
    assert_problem(answer, 422, "invalid-input", field="drop", place="query")
    answer = named.post("/predict", json={"model": "own", "points": POINTS}, params={"header": "true"})
    assert_problem(answer, 422, "invalid-input", field="header", place="query")


def test_the_points_of_csv_bodies_are_counted(named: httpx.Client) -> None:
    def count() -> float:
        lines = named.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("separatrix_points_total")))

    before = count()
    assert post(named, HEADING + ROWS).status_code == 200
    assert count() == before + 4
