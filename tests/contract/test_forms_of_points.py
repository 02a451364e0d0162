"""The forms in which people send points and labels without names: accepted if there is one reading, else refused."""

import io
from base64 import b64decode
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.contract.job_requests import WAIT
from tests.contract.problems import assert_problem

POINTS = [[0.0, 1.0], [1.0, 0.0], [3.0, 2.0], [0.0, -1.0]]
NPY = "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"


def predict(client: httpx.Client, points: Any, model: str = "plane", name: str = "points") -> httpx.Response:
    return client.post("/predict", json={"model": model, name: points})


def labels(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["labels"]
    return found


def detail(answer: httpx.Response, field: str, **more: Any) -> str:
    assert_problem(answer, 422, "invalid-input", field=field, **more)
    return str(answer.json()["errors"][0]["detail"])


# ---- JSON


def test_one_point_needs_no_list_around_it(client: httpx.Client) -> None:
    assert labels(predict(client, POINTS[2])) == labels(predict(client, POINTS[2:3]))
    assert labels(predict(client, [2], model="line")) == labels(predict(client, [[2]], model="line"))


def test_numbers_that_are_not_one_point_are_refused_with_the_right_form(client: httpx.Client) -> None:
    assert "such as [[0.5], [0.5]]" in detail(predict(client, [1, 2, 3], model="line"), "points")
    said = detail(predict(client, [1, 2, 3]), "points")
    assert said == "must be a list of points of 2 coordinates each, such as [[0.5, 0.5], [0.5, 0.5]], or one such point"


def test_true_and_false_are_1_and_0(client: httpx.Client) -> None:
    assert labels(predict(client, [[True, 1], [3, False]])) == labels(predict(client, [[1, 1], [3, 0]]))
    assert labels(predict(client, [False, True])) == labels(predict(client, [[0, 1]]))


@pytest.mark.parametrize("name", ["points", "instances", "inputs"])
@pytest.mark.parametrize("count", [1, 300])
def test_the_points_may_be_named_as_other_servers_name_them(client: httpx.Client, name: str, count: int) -> None:
    points = POINTS * count
    assert labels(predict(client, points, name=name)) == labels(predict(client, points))
    assert_problem(predict(client, [[0.5, "1"]], name=name), 422, "invalid-input", field=f"{name}.0.1")


def test_points_under_two_names_are_refused(client: httpx.Client) -> None:
    body = {"model": "plane", "points": POINTS, "instances": POINTS}
    assert_problem(client.post("/predict", json=body), 422, "invalid-input", field="instances")


def test_transposed_points_are_refused_with_the_form_that_is_needed(client: httpx.Client) -> None:
    transposed = np.array(POINTS).T
    said = "must have 2 coordinates each, but these have 4. They look transposed: send 4 points of 2 coordinates"
    assert detail(predict(client, transposed.tolist()), "points") == said
    assert detail(post_npy(client, transposed), "points") == said
    assert "transposed" not in detail(predict(client, [[1, 2, 3]]), "points")


# ---- arrays


def post_npy(client: httpx.Client, array: np.ndarray, **query: Any) -> httpx.Response:
    file = io.BytesIO()
    np.save(file, array)
    return client.post(
        "/predict", content=file.getvalue(), params={"model": "plane"} | query, headers={"Content-Type": NPY}
    )


@pytest.mark.parametrize("dtype", ["i1", "<i2", ">i4", "<i8", "u1", "<u4", ">u8", "<f2", ">f2", "<f4", ">f8", "?"])
def test_an_npy_array_may_have_any_type_of_numbers(client: httpx.Client, dtype: str) -> None:
    array = np.abs(np.array(POINTS)).astype(dtype)
    expected = labels(predict(client, array.astype(float).tolist()))
    assert labels(post_npy(client, array)) == expected
    assert labels(post_npy(client, np.asfortranarray(array))) == expected
    assert labels(post_npy(client, array[0])) == expected[:1]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), complex),
        np.zeros((2, 2), "M8[s]"),
        np.zeros(2, [("x", "f8", 2)]),
        np.zeros(2, [("x", "f8"), ("y", "U3")]),
        np.zeros(2, [("x", [("y", "f8")])]),
        np.zeros((2, 2), [("x", "f8"), ("y", "f8")]),
        np.float64(1),
        np.zeros((2, 2, 2)),
    ],
    ids=lambda array: str(array.dtype),
)
def test_other_arrays_are_refused(client: httpx.Client, array: np.ndarray) -> None:
    detail(post_npy(client, array), "body")


def post_arrow(client: httpx.Client, *batches: pa.RecordBatch, **query: Any) -> httpx.Response:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    content = bytes(sink.getvalue())
    return client.post("/predict", content=content, params={"model": "plane"} | query, headers={"Content-Type": ARROW})


LISTS = [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.int64()), pa.list_(pa.float16(), 2)]
LISTS += [pa.list_(pa.uint8(), 2), pa.large_list(pa.bool_())]


@pytest.mark.parametrize("kind", LISTS, ids=str)
def test_an_arrow_column_may_hold_lists_of_any_numbers(client: httpx.Client, kind: pa.DataType) -> None:
    values = np.array(POINTS)[:, ::-1].clip(0, 1)
    column = pa.array([[*map(bool, row)] for row in values] if "bool" in str(kind) else values.tolist(), kind)
    batch = pa.record_batch([column], ["points"])
    assert labels(post_arrow(client, batch)) == labels(predict(client, values.tolist()))
    assert labels(post_arrow(client, batch.slice(0, 1), batch.slice(1))) == labels(predict(client, values.tolist()))


@pytest.mark.parametrize("kind", [pa.int8(), pa.int64(), pa.float16(), pa.bool_()], ids=str)
def test_arrow_columns_may_have_any_type_of_numbers(client: httpx.Client, kind: pa.DataType) -> None:
    values = np.array(POINTS).clip(0, 1)
    columns = [pa.array(column).cast(pa.int8()).cast(kind) for column in values.T.copy()]
    assert labels(post_arrow(client, pa.record_batch(columns, ["x", "y"]))) == labels(predict(client, values.tolist()))


@pytest.mark.parametrize(
    ("column", "field"),
    [
        (pa.array([[0.0, 1.0], [1.0]]), "points.1"),
        (pa.array([[0.0, 1.0], None]), "points.1"),
        (pa.array([[0.0, None], [0.0, 1.0]]), "points.0"),
        (pa.array([[], []], pa.list_(pa.float64())), "body"),
        (pa.array([["a", "b"]]), "body"),
        (pa.array([[[1.0], [2.0]]]), "body"),
        (pa.array([{"x": 1.0, "y": None}]), "body"),
        (pa.array([{"x": 1.0, "y": [2.0]}]), "body"),
        (pa.array([None, {"x": 1.0, "y": 1.0}]), "points.0"),
    ],
    ids=lambda value: str(value.to_pylist()) if isinstance(value, pa.Array) else value,
)
def test_lists_and_structs_that_are_not_points_are_refused(client: httpx.Client, column: pa.Array, field: str) -> None:
    detail(post_arrow(client, pa.record_batch([column], ["points"])), field)


def test_text_in_place_of_numbers_is_refused_with_the_name_of_its_column(client: httpx.Client) -> None:
    for column in (pa.array([{"x": 1.0, "y": "a"}]), pa.array([{"x": "b", "y": "a"}])):
        assert "must have numbers in" in detail(post_arrow(client, pa.record_batch([column], ["points"])), "points")
    batch = pa.record_batch([pa.array([1.0]), pa.array(["a"])], ["x", "x"])
    assert "each name only once" in detail(post_arrow(client, batch), "body")


def test_batches_whose_lists_have_different_lengths_are_refused(client: httpx.Client) -> None:
    batches = [pa.record_batch([pa.array([row])], ["points"]) for row in ([0.0, 1.0], [0.0, 1.0, 2.0])]
    assert "the same number of coordinates" in detail(post_arrow(client, *batches), "points.1")


# ---- training data


def trained(service: httpx.Client, points: Any, given_labels: Any, **more: Any) -> httpx.Response:
    body = {"model": "forms", "data": {"points": points, "labels": given_labels} | more, "training": {"epochs": 1}}
    return service.post("/train", json=body, headers=WAIT)


def digest(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["data_digest"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "given_labels",
    [[0.0, 0.0, 1.0, 1.0], [[0], [0], [1], [1]], [[0.0], [0.0], [1.0], [1.0]], [False, False, True, True]],
    ids=str,
)
def test_labels_as_floats_as_truth_values_or_in_lists_are_integers(service: httpx.Client, given_labels: Any) -> None:
    answer = trained(service, POINTS, given_labels)
    assert digest(answer) == digest(trained(service, POINTS, [0, 0, 1, 1]))
    card = service.get(answer.json()["links"]["version"]).json()["card"]
    assert card["classes"] == [0, 1]


@pytest.mark.slow
def test_labels_in_lists_may_be_strings(service: httpx.Client) -> None:
    in_lists = trained(service, POINTS, [["a"], ["a"], ["b"], ["b"]])
    assert digest(in_lists) == digest(trained(service, POINTS, ["a", "a", "b", "b"]))


@pytest.mark.slow
def test_points_of_one_coordinate_need_no_lists_if_there_are_as_many_labels(service: httpx.Client) -> None:
    flat = trained(service, [0, 1, True, 3], [0, 0, 1, 1])
    assert digest(flat) == digest(trained(service, [[0], [1], [1], [3]], [0, 0, 1, 1]))


@pytest.mark.slow
def test_records_and_columns_name_the_features(service: httpx.Client) -> None:
    records = [{"b": y, "a": x} for x, y in POINTS]
    columns = {"b": [y for _, y in POINTS], "a": [x for x, _ in POINTS]}
    swapped = [[y, x] for x, y in POINTS]
    for points in (records, columns):
        answer = trained(service, points, [0, 0, 1, 1])
        assert answer.json()["data"]["feature_names"] == ["b", "a"]
        assert digest(answer) == digest(trained(service, swapped, [0, 0, 1, 1]))
        ordered = trained(service, points, [0, 0, 1, 1], feature_names=["a", "b"])
        assert ordered.json()["data"]["feature_names"] == ["a", "b"]
        assert digest(ordered) == digest(trained(service, POINTS, [0, 0, 1, 1]))


@pytest.mark.parametrize(
    ("points", "given_labels", "more", "field", "said"),
    [
        (
            np.array(POINTS).T.tolist(),
            [0, 0, 1, 1],
            {},
            "data.labels",
            "If the points are transposed, send 4 points of 2",
        ),
        ([1, 2, 3], [0, 1], {}, "data.labels", "2 labels for 1 points"),
        (POINTS, [[0, 1], [0, 1], [1, 0], [1, 0]], {}, "data.labels.0", "must be a whole number"),
        (POINTS, [[0], [0], [1], []], {}, "data.labels.0", "must be a whole number"),
        (POINTS, [True, False, 1, 0], {}, "data.labels.0", "must be a whole number"),
        (POINTS, [True, False, "a", "b"], {}, "data.labels.0", "must be a whole number"),
        ([{"a": 1, "b": 1}] * 4, [0, 0, 1, 1], {"feature_names": ["a", "c"]}, "data.points", "must have 'c'"),
        ([{"a": 1, "b": 1}, {"a": 1}], [0, 1], {}, "data.points.1", "it lacks 'b'"),
        ([{"a\n": 1}, {"a\n": 2}], [0, 1], {}, "data.feature_names.0", "printable"),
    ],
)
def test_training_data_that_can_be_read_in_several_ways_are_refused(
    service: httpx.Client, points: Any, given_labels: Any, more: dict[str, Any], field: str, said: str
) -> None:
    assert said in detail(trained(service, points, given_labels, **more), field)


NO_SCHEMA = b64decode(
    "/////6gAAAAQAAAAAAAKAAwABgAFAAgACgAAAACFBAAMAAAACMgIAAAABAAIAAAABAAAAAEAAAAEAAAA0P///wAAAQwUAAAAIAAA"
    "AAQAAAABAAAAKAAAAAYAAABwb2ludHMAAAQABAAEAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEDEAAAABwAAAAEAAAAAAAAAAQA"
    "AABpdGVtAAAGAAgABgAGAAAAAAACAAAAAAA="
)
"""A stream whose first message has an unknown type. pyarrow would abort the process if it read this as a schema."""


def test_an_arrow_stream_that_does_not_begin_with_a_schema_is_refused(client: httpx.Client) -> None:
    answer = client.post("/predict?model=plane", content=NO_SCHEMA, headers={"content-type": ARROW})
    assert "must be an Arrow IPC stream" in detail(answer, "body")
