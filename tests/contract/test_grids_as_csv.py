"""Grids as CSV, read by the csv module and compared with the JSON of the same grid."""

import csv
import io
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train

LABELS = ["plain", "a,b", 'a "quote"', "two\r\nlines", "été"]


@pytest.fixture(scope="module")
def labelled(client: httpx.Client) -> httpx.Client:
    """The client, with `labelled`, whose five labels need quoting or are not ASCII."""
    points = [[x, y] for x in (0.0, 1.0, 2.0, 3.0, 4.0) for y in (0.0, 1.0)]
    data = {"points": points, "labels": [LABELS[int(x)] for x, _ in points]}
    train(client, "labelled", data=data, network={"hidden": [8]}, training={"epochs": 2_000, "learning_rate": 0.5})
    return client


def get(client: httpx.Client, **query: Any) -> httpx.Response:
    answer = client.get("/boundary-grid", params={"model": "plane", "resolution": "14x9"} | query)
    assert answer.status_code == 200, answer.text
    return answer


def rows(client: httpx.Client, **query: Any) -> list[list[str]]:
    answer = get(client, **query, format="csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    text = answer.content.decode()
    assert text.endswith("\n")
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"model": "trio", "response": "probability", "class": "2", "x_min": -1e-7},
        {"response": "logit", "y_min": -1e9},
        {"response": "entropy"},
        {"response": "activation", "layer": 0, "unit": 3},
        {"resolution": "250x190"},
        {"resolution": "400x300", "response": "logit"},
    ],
    ids=str,
)
def test_each_line_has_the_coordinates_and_the_value_of_a_cell_to_the_last_bit(
    client: httpx.Client, query: dict[str, Any]
) -> None:
    body = get(client, **query).json()
    header, *cells = rows(client, **query)
    assert header == ["x", "y", "value"]
    x_N, y_N, value_N = np.array(cells, dtype=object).T
    y_HW, x_HW = np.meshgrid(body["y"], body["x"], indexing="ij")
    np.testing.assert_array_equal(x_N.astype(np.float64), x_HW.ravel())
    np.testing.assert_array_equal(y_N.astype(np.float64), y_HW.ravel())
    expected_N = np.ravel(body["values"]).astype(np.float32)
    np.testing.assert_array_equal(value_N.astype(np.float32), expected_N)
    assert max(map(len, value_N)) <= 15, "no more digits than float32 needs"


@pytest.mark.parametrize("adaptive", [False, True])
def test_labels_are_the_classes_quoted_where_csv_needs_it(labelled: httpx.Client, adaptive: bool) -> None:
    query = {"model": "labelled", "response": "label", "adaptive": adaptive, "resolution": "40x30"}
    body = get(labelled, **query).json()
    header, *cells = rows(labelled, **query)
    assert header == ["x", "y", "value"]
    assert [value for _, _, value in cells] == [body["classes"][k] for row in body["values"] for k in row]
    assert {value for _, _, value in cells} == set(LABELS)
    content = get(labelled, **query, format="csv").content
    assert b',"a,b"\n' in content
    assert b',"a ""quote"""\n' in content
    assert b",plain\n" in content


def test_integer_labels_are_integers(client: httpx.Client) -> None:
    body = get(client, model="trio").json()
    expected = [str(body["classes"][k]) for row in body["values"] for k in row]
    assert [value for _, _, value in rows(client, model="trio")[1:]] == expected


def test_numpy_reads_it(client: httpx.Client) -> None:
    array = np.loadtxt(io.BytesIO(get(client, format="csv").content), delimiter=",", skiprows=1)
    assert array.shape == (14 * 9, 3)
    np.testing.assert_allclose(array[:, 2].reshape(9, 14), get(client).json()["values"], atol=1e-7)


@pytest.mark.parametrize(
    "query", [{}, {"response": "label"}, {"response": "activation", "layer": 0, "unit": 1}], ids=str
)
def test_a_curve_has_no_y(client: httpx.Client, query: dict[str, Any]) -> None:
    query = {"model": "line", "resolution": "30"} | query
    body = get(client, **query).json()
    header, *cells = rows(client, **query)
    assert header == ["x", "value"]
    assert [float(x) for x, _ in cells] == body["x"]
    if body["response"] == "label":
        assert [int(value) for _, value in cells] == [body["classes"][k] for k in body["values"]]
    else:
        assert [np.float32(value) for _, value in cells] == [np.float32(value) for value in body["values"]]


def test_headers_say_which_version_answered_and_where(client: httpx.Client) -> None:
    as_csv, as_array = get(client, format="csv"), get(client, format="npy")
    for name in ("model", "version", "window", "axes", "evaluated"):
        assert as_csv.headers[f"separatrix-{name}"] == as_array.headers[f"separatrix-{name}"]


@pytest.mark.slow
def test_a_million_cells_are_answered(client: httpx.Client) -> None:
    content = get(client, format="csv", resolution="1024").content
    assert content.count(b"\n") == 1 + 1024 * 1024


def test_the_accept_header_selects_it_and_its_tag_is_recognized(client: httpx.Client) -> None:
    query = {"model": "plane", "resolution": "14x9"}
    for accept in ("text/csv", "text/*", "text/csv;q=0.9, application/json;q=0.1"):
        answer = client.get("/boundary-grid", params=query, headers={"Accept": accept})
        assert answer.content == get(client, format="csv").content
        known = {"Accept": accept, "If-None-Match": answer.headers["etag"]}
        assert client.get("/boundary-grid", params=query, headers=known).status_code == 304


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"response": "activation", "layer": 0}, "format"),
        ({"response": "embedding", "layer": 0}, "format"),
        ({"levels": "0.5"}, "levels"),
        ({"overlay": "line"}, "overlay"),
        ({"transparent": "true"}, "transparent"),
        ({"adaptive": "true", "resolution": "2000"}, "resolution"),
        ({"model": "line", "resolution": "20x10"}, "resolution"),
    ],
    ids=str,
)
def test_a_grid_that_csv_cannot_show_is_refused_with_the_parameter_at_fault(
    client: httpx.Client, query: dict[str, Any], field: str
) -> None:
    answer = client.get("/boundary-grid", params={"model": "plane", "format": "csv"} | query)
    assert_problem(answer, 422, "invalid-input", field=field)
