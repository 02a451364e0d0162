"""`POST /predict` by the names of features: records, columns, Arrow, structured arrays and CSV."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.problems import assert_problem
from tests.serving import running, train

NAMES = ["petal length (cm)", "petal width (cm)", "sepal, length", "Alter"]
RANDOM = np.random.default_rng(11)
POINTS = np.column_stack(
    [
        RANDOM.uniform(1, 7, 30),
        RANDOM.uniform(0, 3, 30),
        RANDOM.normal(1_700_000_030, 40, 30),
        RANDOM.integers(0, 2, 30),
    ]
)
LABELS = ["setosa" if x + y > 5 else "virginica" for x, y, *_ in POINTS.tolist()]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with `iris`, whose four features have names, and `plane`, whose two features have none."""
    with running(tmp_path_factory.mktemp("named")) as client:
        data = {"points": POINTS.tolist(), "labels": LABELS, "feature_names": NAMES}
        train(client, "iris", data=data, training={"epochs": 200})
        train(client, "plane")
        yield client


def as_json(client: httpx.Client, points: Any, model: str = "iris", **more: Any) -> httpx.Response:
    return client.post("/predict", json={"model": model, "points": points} | more)


def as_body(client: httpx.Client, media_type: str, content: bytes, **query: Any) -> httpx.Response:
    return client.post(
        "/predict", content=content, params={"model": "iris"} | query, headers={"Content-Type": media_type}
    )


def records(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    return as_json(client, [dict(zip(names, row, strict=True)) for row in columns.tolist()])


def columns_of_json(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    return as_json(client, dict(zip(names, columns.T.tolist(), strict=True)))


def stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


ARROW = "application/vnd.apache.arrow.stream"


def arrow_columns(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    return as_body(client, ARROW, stream(pa.record_batch(list(map(pa.array, columns.T.copy())), names)))


def arrow_structs(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    structs = pa.StructArray.from_arrays(list(map(pa.array, columns.T.copy())), names)
    return as_body(client, ARROW, stream(pa.record_batch([structs], ["points"])))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def structured(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    array = np.array([*map(tuple, columns.tolist())], dtype=[(name, "<f8") for name in names])
    return as_body(client, "application/x-npy", npy(array))


def csv_text(names: list[str], columns: np.ndarray) -> str:
    heading = ",".join(f'"{name}"' for name in names)
    return "\n".join([heading, *(",".join(map(repr, row)) for row in columns.tolist())])


def csv(client: httpx.Client, names: list[str], columns: np.ndarray) -> httpx.Response:
    return as_body(client, "text/csv", csv_text(names, columns).encode())


Send = Callable[[httpx.Client, list[str], np.ndarray], httpx.Response]
FORMS: list[Send] = [records, columns_of_json, arrow_columns, arrow_structs, structured, csv]


@pytest.mark.parametrize("send", FORMS)
def test_predictions_by_name_in_any_order_equal_those_by_position(named: httpx.Client, send: Send) -> None:
    @settings(max_examples=12)
    @given(st.permutations(range(4)), st.integers(1, 30))
    def check(order: list[int], count: int) -> None:
        by_position = as_json(named, POINTS[:count].tolist(), outputs=["labels", "probabilities"]).json()
        by_name = send(named, [NAMES[d] for d in order], POINTS[:count, order])
        assert by_name.status_code == 200, by_name.text
        assert by_name.json()["labels"] == by_position["labels"]
        np.testing.assert_allclose(by_name.json()["probabilities"], by_position["probabilities"], atol=1e-6)

    check()


def test_a_single_record_needs_no_list_around_it(named: httpx.Client) -> None:
    record = dict(zip(reversed(NAMES), reversed(POINTS[0].tolist()), strict=True))
    expected = as_json(named, POINTS[:1].tolist()).json()["labels"]
    assert as_json(named, record).json()["labels"] == expected
    assert as_json(named, record | {"Alter": bool(POINTS[0, 3])}).json()["labels"] == expected


@pytest.mark.parametrize("send", FORMS)
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            [*NAMES[:3], "alter"],
            "must have 'Alter', and must not have 'alter' (did you mean 'Alter'?): the features are 'petal length",
        ),
        (["petal_length_cm", *NAMES[1:]], "must not have 'petal_length_cm' (did you mean 'petal length (cm)'?)"),
        (NAMES[:3], "must have 'Alter': the features are"),
        ([*NAMES, "weight"], "must not have 'weight': the features are"),
    ],
)
def test_missing_and_unknown_names_are_refused_with_the_names_of_the_model(
    named: httpx.Client, send: Send, names: list[str], said: str
) -> None:
    answer = send(named, names, np.resize(POINTS, (12, len(names))))
    assert_problem(answer, 422, "invalid-input", field="body" if send is csv else "points")
    assert said in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("points", "field", "said"),
    [
        ([{"a": 1}, {"a": 1, "b": 2}], "points.1", "the same names as the first point: it has 'b' in addition"),
        ([{"a": 1, "b": 2}, {"a": 1}], "points.1", "the same names as the first point: it lacks 'b'"),
        ([{"a": 1}, [1]], "points.1", "must be an object"),
        ([{"a": None}], "points.0.a", "must be a number or text, not null"),
        ({"a": [1, None]}, "points.a.1", "must be a number or text, not null"),
        ([{"sepal (cm)": "1"}], "points", "must not have 'sepal (cm)'"),
        ([dict.fromkeys(NAMES, 1) | {"Alter": "1"}], "points", "must have numbers in 'Alter', not '1'"),
        ([dict.fromkeys(NAMES, 1) | {"label": "yes"}], "points", "must not have 'label': the features are"),
        ([{"a": 1}, {"a": "1"}], "points.1", "must have a number in 'a', not text"),
        ({"a": ["1", 1]}, "points.1", "must have text in 'a', as the first point has"),
        ([{"a<b>": None}], "points.0.?", "must be a number"),
        ([{}], "points.0", "must have 1 or more items"),
        ({"a": [1, 2], "b": [1]}, "points", "columns of the same length, but 'a' has 2 values and 'b' has 1"),
        ({"a": [1], "b": 1}, "points.b", "must be a list"),
        ({"a": []}, "points.a", "must have 1 or more items"),
        ([{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}], "points", "not tensors"),
    ],
)
def test_malformed_records_and_columns_are_refused(named: httpx.Client, points: Any, field: str, said: str) -> None:
    answer = as_json(named, points)
    assert_problem(answer, 422, "invalid-input", field=field)
    assert said in answer.json()["errors"][0]["detail"]


def test_points_without_names_are_taken_by_position(named: httpx.Client) -> None:
    expected = as_json(named, POINTS.tolist()).json()["labels"]
    assert as_body(named, "application/x-npy", npy(POINTS)).json()["labels"] == expected
    lists = pa.FixedSizeListArray.from_arrays(pa.array(POINTS.ravel()), 4)
    assert as_body(named, ARROW, stream(pa.record_batch([lists], ["points"]))).json()["labels"] == expected
    headless = csv_text(NAMES, POINTS).partition("\n")[2].encode()
    assert as_body(named, "text/csv", headless).json()["labels"] == expected


def test_arrow_columns_have_the_types_that_datasets_may_have(named: httpx.Client) -> None:
    expected = as_json(named, POINTS.tolist(), outputs=["labels", "probabilities"]).json()
    numbers = list(map(pa.array, POINTS.T.copy()))
    for d, other in (
        (1, numbers[1].cast(pa.decimal128(38, 20), safe=False)),
        (3, numbers[3].dictionary_encode()),
        (3, numbers[3].cast(pa.decimal256(10, 2)).dictionary_encode()),
    ):
        columns = [*numbers[:d], other, *numbers[d + 1 :]]
        structs = pa.StructArray.from_arrays(columns, NAMES)
        for batch in (pa.record_batch(columns, NAMES), pa.record_batch([structs], ["points"])):
            answer = as_body(named, ARROW, stream(batch), outputs="labels,probabilities")
            assert answer.json()["labels"] == expected["labels"]
            np.testing.assert_allclose(answer.json()["probabilities"], expected["probabilities"], atol=1e-6)
    with_null = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 15), pa.array([1.0, None]))
    answer = as_body(named, ARROW, stream(pa.record_batch([*numbers[:3], with_null], NAMES)))
    assert_problem(answer, 422, "invalid-input", field="points.1")


@pytest.mark.parametrize("index", ["__index_level_0__", "when"])
@pytest.mark.parametrize("kind", ["numbers", "texts", "times"])
def test_the_index_of_a_pandas_table_is_left_out(named: httpx.Client, index: str, kind: str) -> None:
    rows = pa.array(range(30), pa.timestamp("s") if kind == "times" else pa.int64())
    about = {"pandas": json.dumps({"index_columns": [index]})}
    for model, names, count in (("iris", NAMES, 4), ("plane", ["x1", "x2"], 2)):
        columns = [*map(pa.array, POINTS.T.copy()[:count]), rows.cast(pa.string()) if kind == "texts" else rows]
        batch = pa.record_batch(columns, [*names, index]).replace_schema_metadata(about)
        expected = as_json(named, POINTS[:, :count].tolist(), model=model).json()["labels"]
        assert as_body(named, ARROW, stream(batch), model=model).json()["labels"] == expected


def test_an_index_with_the_name_of_a_feature_is_the_feature(named: httpx.Client) -> None:
    about = {"pandas": json.dumps({"index_columns": [NAMES[3]]})}
    batch = pa.record_batch(list(map(pa.array, POINTS.T.copy())), NAMES).replace_schema_metadata(about)
    assert as_body(named, ARROW, stream(batch)).json()["labels"] == as_json(named, POINTS.tolist()).json()["labels"]


COMPOSED, DECOMPOSED = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"


@pytest.mark.parametrize(("own", "other"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_names_may_be_composed_in_another_way(named: httpx.Client, own: str, other: str) -> None:
    model = f"accents-{len(own)}"
    data = {"points": POINTS[:, :2].tolist(), "labels": LABELS, "feature_names": [own, "b"]}
    train(named, model, data=data, training={"epochs": 5})
    expected = as_json(named, POINTS[:, :2].tolist(), model=model).json()["labels"]
    points = POINTS[:, 1::-1]
    batch = pa.record_batch(list(map(pa.array, points.T.copy())), ["b", other])
    csv_body = csv_text(["b", other], points).encode()
    for answer in (
        as_json(named, [{"b": b, other: a} for b, a in points.tolist()], model=model),
        as_json(named, {"b": points[:, 0].tolist(), other: points[:, 1].tolist()}, model=model),
        as_body(named, ARROW, stream(batch), model=model),
        as_body(named, "text/csv", csv_body, model=model),
        as_body(named, "text/csv", csv_body, model=model, features=f"{own},b"),
        as_body(named, "text/csv", csv_body, model=model, features=f"{other},b"),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.json()["labels"] == expected
    answer = as_json(named, {own: 1, other: 1, "b": 2}, model=model)
    assert_problem(answer, 422, "invalid-input", field="points")


def test_a_repeated_arrow_column_is_refused(named: httpx.Client) -> None:
    answer = arrow_columns(named, [*NAMES[:3], NAMES[0]], POINTS)
    assert_problem(answer, 422, "invalid-input", field="points")
    assert "must have 'petal length (cm)' only once" in answer.json()["detail"]


def test_a_model_without_names_takes_tables_by_position_and_refuses_records(named: httpx.Client) -> None:
    points = np.array([[0.5, -0.25], [2.0, 1.0]])
    expected = as_json(named, points.tolist(), model="plane").json()["labels"]

    def post(names: list[str], columns: np.ndarray) -> list[httpx.Response]:
        batch = pa.record_batch(list(map(pa.array, columns.T.copy())), names)
        array = np.array([*map(tuple, columns.tolist())], dtype=[(name, "<f8") for name in names])
        return [
            as_body(named, ARROW, stream(batch), model="plane"),
            as_body(named, "application/x-npy", npy(array), model="plane"),
            as_body(named, "text/csv", csv_text(names, columns).encode(), model="plane"),
        ]

    for names in (["x", "y"], ["a", "b"], ["x1", "x2"], ["width", "X2"]):
        assert [answer.json()["labels"] for answer in post(names, points)] == [expected] * 3
    for names in (["y", "x"], ["Y", "X"], ["x2", "x1"], ["feature_1", "feature_0"]):
        for answer in post(names, points):
            assert answer.status_code == 422, names
            assert "the features of the model have no names" in answer.json()["detail"]
    answer = as_json(named, [{"x": 1, "y": 2}], model="plane")
    assert_problem(answer, 422, "invalid-input", field="points")
    assert "must be lists of numbers, in the order of the training data" in answer.json()["detail"]


@pytest.mark.slow
def test_many_records_are_read(named: httpx.Client) -> None:
    many = np.resize(POINTS, (20_000, 4))
    assert records(named, NAMES, many).json()["labels"] == as_json(named, many.tolist()).json()["labels"]
