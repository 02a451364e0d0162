"""One impossible point among a thousand: whatever the format, the problem names its index, or its row or line."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.contract.problems import assert_problem
from tests.serving import train

N, AT = 1_000, 731
JSON, NPY, CSV = "application/json", "application/x-npy", "text/csv"
ARROW = "application/vnd.apache.arrow.stream"


@pytest.fixture(scope="module")
def named(client: httpx.Client) -> str:
    """A model whose features have the names a and b."""
    data = {"points": [[0, 0], [1, 1], [2, 2], [3, 4]], "labels": [0, 1, 0, 1], "feature_names": ["a", "b"]}
    train(client, "named-for-index", data=data, training={"epochs": 1})
    return "named-for-index"


@pytest.fixture(scope="module")
def steep(client: httpx.Client) -> str:
    """A model that overflows float32 near 1e30."""
    data = {"points": [[0, 0], [1e-9, 1e-9]] * 5, "labels": [0, 1] * 5}
    network, training = {"hidden": [8, 8], "activation": "relu"}, {"epochs": 200, "learning_rate": 1.0}
    train(client, "steep", data=data, network=network, training=training)
    return "steep"


def rows_with(bad: str, *, good: str = "[0.25,0.5]", count: int = N, at: int = AT) -> str:
    """JSON of points, one of which is `bad`."""
    rows = [good] * count
    rows[at] = bad
    return f"[{','.join(rows)}]"


POINTS = [
    *(
        (f"[0.25,{value}]", ".1")
        for value in ("NaN", "-Infinity", "1e999", "null", '"x"', '"1.5"', "1e31", "{}", "[1]")
    ),
    ("[0.25," + "1" * 400 + "]", ".1"),
    *((row, "") for row in ("[0.25]", "[0.25,0.5,1]", "[]", "1", "null", '"x"', "{}")),
]
"""What is in place of a point, and what follows the index in the path of the field."""


@pytest.mark.parametrize(("bad", "rest"), POINTS)
def test_json_names_the_index_of_an_impossible_point(client: httpx.Client, bad: str, rest: str) -> None:
    headers = {"Content-Type": JSON}
    for count, at in ((9, 7), (N, AT)):  # small and large bodies are read in different ways
        body = f'{{"model": "plane", "points": {rows_with(bad, count=count, at=at)}}}'
        answer = client.post("/predict", content=body, headers=headers)
        assert_problem(answer, 422, "invalid-input", field=f"points.{at}{rest}")
    labels = json.dumps([i % 2 for i in range(N)])
    body = f'{{"model": "m", "data": {{"points": {rows_with(bad)}, "labels": {labels}}}}}'
    answer = client.post("/train?validate_only=true", content=body, headers=headers)
    assert_problem(answer, 422, "invalid-input", field=f"data.points.{AT}{rest}")


@pytest.mark.parametrize("value", ["null", '"x"', "1e31", "NaN"])
def test_records_and_columns_name_the_index_of_an_impossible_point(
    client: httpx.Client, named: str, value: str
) -> None:
    column = rows_with(value, good="1")
    for points in (rows_with(f'{{"a":1,"b":{value}}}', good='{"a":1,"b":2}'), f'{{"a":{[1] * N},"b":{column}}}'):
        body = f'{{"model": "{named}", "points": {points}}}'
        answer = client.post("/predict", content=body, headers={"Content-Type": JSON})
        assert_problem(answer, 422, "invalid-input")
        assert str(AT) in answer.json()["errors"][0]["field"].split(".")


def test_an_impossible_label_is_named_by_its_index(client: httpx.Client) -> None:
    for bad in (None, 1.5, "x", {}, float("nan")):
        labels = [i % 2 if i != AT else bad for i in range(N)]
        body = json.dumps({"model": "m", "data": {"points": [[0.25, 0.5]] * N, "labels": labels}})
        answer = client.post("/train?validate_only=true", content=body, headers={"Content-Type": JSON})
        assert_problem(answer, 422, "invalid-input", field=f"data.labels.{AT}")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e31])
def test_arrays_name_the_index_of_an_impossible_point(client: httpx.Client, named: str, value: float) -> None:
    wide = np.zeros((N, 2))
    wide[AT, 1] = value
    structured = np.zeros(N, [("a", "f8"), ("b", "f8")])
    structured["b"] = wide[:, 1]
    for model, array in (("plane", wide), ("plane", wide.astype(np.float32)), (named, structured)):
        file = io.BytesIO()
        np.save(file, array)
        answer = client.post(f"/predict?model={model}", content=file.getvalue(), headers={"Content-Type": NPY})
        assert_problem(answer, 422, "invalid-input", field=f"points.{AT}.1")


def arrow(columns: dict[str, Any]) -> bytes:
    """A stream of two batches, the second of which has the impossible point."""
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    return sink.getvalue()


@pytest.mark.parametrize(("value", "rest"), [(np.nan, ".1"), (np.inf, ".1"), (1e31, ".1"), (None, "")])
def test_arrow_names_the_index_of_an_impossible_point(
    client: httpx.Client, named: str, value: float | None, rest: str
) -> None:
    y = pa.array([0.0 if i != AT else value for i in range(N)], pa.float64())
    pairs = [[0.0, one] for one in y.to_pylist()]
    for model, columns in (
        ("plane", {"x": np.zeros(N), "y": y}),
        ("plane", {"xy": pa.array(pairs, pa.list_(pa.float64()))}),
        ("plane", {"xy": pa.array(pairs, pa.list_(pa.float64(), 2))}),
        (named, {"p": pa.array([{"a": 0.0, "b": one} for one in y.to_pylist()])}),
    ):
        answer = client.post(f"/predict?model={model}", content=arrow(columns), headers={"Content-Type": ARROW})
        assert_problem(answer, 422, "invalid-input", field=f"points.{AT}{rest}")


@pytest.mark.parametrize("row", [[0.0], [0.0, 1.0, 2.0], [], None])
def test_a_list_of_arrow_of_another_length_is_named_by_its_index(client: httpx.Client, row: list[float] | None) -> None:
    rows = [[0.0, 1.0]] * AT + [row] + [[0.0, 1.0]] * (N - AT - 1)
    content = arrow({"xy": pa.array(rows, pa.list_(pa.float64()))})
    answer = client.post("/predict?model=plane", content=content, headers={"Content-Type": ARROW})
    assert_problem(answer, 422, "invalid-input", field=f"points.{AT}")


def test_the_first_longer_list_of_an_arrow_batch_is_named(client: httpx.Client) -> None:
    rows = [[0.0, 1.0]] * 600 + [[0.0, 1.0, 2.0]] * 400
    content = arrow({"xy": pa.array(rows, pa.list_(pa.float64()))})
    answer = client.post("/predict?model=plane", content=content, headers={"Content-Type": ARROW})
    assert_problem(answer, 422, "invalid-input", field="points.600")


@pytest.mark.parametrize("line", ["1,nan", "1,inf", "1,1e31", "1,", "1,x", "1", "1,2,3", "1,2,3,4"])
def test_csv_names_the_line_of_an_impossible_point(client: httpx.Client, line: str) -> None:
    lines = ["1,2"] * N
    lines[AT] = line
    content = "\n".join(["x,y", *lines, ""])
    answer = client.post("/predict?model=plane", content=content, headers={"Content-Type": CSV})
    assert_problem(answer, 422, "invalid-input", field="body")
    assert f"line {AT + 2}" in answer.json()["detail"]


@pytest.mark.parametrize("value", ["null", '"x"', "1e31", "[1]"])
def test_json_of_a_dataset_names_the_row_of_an_impossible_point(client: httpx.Client, value: str) -> None:
    labels = ["ab"[i % 2] for i in range(N)]
    records = [f'{{"x":1,"y":{2 if i != AT else value},"label":"{label}"}}' for i, label in enumerate(labels)]
    columns = f'{{"x":{[1] * N},"y":{rows_with(value, good="1")},"label":{json.dumps(labels)}}}'
    for content in (f"[{','.join(records)}]", columns):
        answer = client.post("/datasets/one?label=label", content=content, headers={"Content-Type": JSON})
        assert_problem(answer, 422, "invalid-input", field="body")
        assert f"row {AT + 1}" in answer.json()["detail"]


def test_a_number_that_json_does_not_have_is_named_with_its_place(client: httpx.Client) -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        content = f'{{"x": [1, 2,\n{value}], "label": ["a", "b", "a"]}}'
        answer = client.post("/datasets/one?label=label", content=content, headers={"Content-Type": JSON})
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "has NaN or Infinity at line 2, column " in answer.json()["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e31])
def test_arrays_of_a_dataset_name_the_row_of_an_impossible_point(client: httpx.Client, value: float) -> None:
    array = np.zeros((N, 3))
    array[:, 2] = np.arange(N) % 2
    array[AT, 1] = value
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, array)
    np.savez(npz, X=array[:, :2], y=array[:, 2].astype(int))
    columns = arrow({"x": array[:, 0], "y": array[:, 1], "label": array[:, 2].astype(int)})
    for query, kind, content in (
        ("label=3", NPY, npy.getvalue()),
        ("", "application/x-npz", npz.getvalue()),
        ("label=label", ARROW, columns),
    ):
        answer = client.post(f"/datasets/one?{query}", content=content, headers={"Content-Type": kind})
        assert_problem(answer, 422, "invalid-input", field="body")
        assert f"row {AT + 1}" in answer.json()["detail"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [40, N, 40_000])
def test_a_point_that_overflows_the_network_is_named(client: httpx.Client, steep: str, count: int) -> None:
    array = np.zeros((count, 2), np.float32)
    array[31] = 1e30
    file = io.BytesIO()
    np.save(file, array)
    answer = client.post(f"/predict?model={steep}", content=file.getvalue(), headers={"Content-Type": NPY})
    assert_problem(answer, 422, "invalid-input", field="points.31")
    assert "overflows float32" in answer.json()["detail"]
