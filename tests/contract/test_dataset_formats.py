"""Datasets in every format are read as the same table is read from CSV."""

import io
import json
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from tests.contract.problems import assert_problem
from tests.contract.test_stored_datasets import stored

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(40, 2)), 4)
Y = np.array(["no", "yes"] * 20)
COLUMNS: dict[str, Any] = {"a": X[:, 0].tolist(), "b": X[:, 1].tolist(), "label": Y.tolist()}
RECORDS = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)]
CSV = "a,b,label\n" + "".join(f"{a!r},{b!r},{label}\n" for a, b, label in zip(*COLUMNS.values(), strict=True))

FAR_FUTURE = pa.array([253_402_300_800, 0], pa.timestamp("s"))
"""A time that Python's dates cannot represent."""

JSON = "application/json"
NPY = "application/x-npy"
NPZ = "application/x-npz"
STREAM = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
ANY = "application/octet-stream"


def npy(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_3_0(header: str) -> bytes:
    """A file with this header and no values."""
    return b"\x93NUMPY\x03\x00" + len(header).to_bytes(4, "little") + header.encode()


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def arrow_stream(columns: Any, **options: Any) -> bytes:
    table, sink = pa.table(columns), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def feather(columns: Any) -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(pa.table(columns), file)
    return file.getvalue()


def parquet(columns: Any) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), file)
    return file.getvalue()


def put(client: httpx.Client, name: str, content: Any, media_type: str, **query: str) -> httpx.Response:
    """The response to a request that stores a dataset; content that is not bytes is sent as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content)
    headers = {"Content-Type": media_type}
    return client.post(f"/datasets/{name}", content=body, params=query | {"replace": "true"}, headers=headers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (COLUMNS, JSON),
        (RECORDS, JSON),
        ({"points": X.tolist(), "labels": Y.tolist(), "feature_names": ["a", "b"]}, JSON),
        ({"points": X.tolist(), "labels": Y.reshape(-1, 1).tolist(), "feature_names": ["a", "b"]}, JSON),
        (npz(X=X, y=Y, feature_names=np.array(["a", "b"])), NPZ),
        (npy(np.array([*zip(*COLUMNS.values(), strict=True)], [("a", "f8"), ("b", "f8"), ("label", "U3")])), NPY),
        (npz(x=np.asfortranarray(X), labels=Y.reshape(-1, 1).astype("S"), feature_names=np.array(["a", "b"])), NPZ),
        (b"\xef\xbb\xbf" + json.dumps(RECORDS).encode(), JSON),
        ("\n".join(map(json.dumps, RECORDS)).encode(), JSON),
        ({"columns": [*COLUMNS], "index": [*range(40)], "data": [*zip(*COLUMNS.values(), strict=True)]}, JSON),
        ({"schema": {"primaryKey": ["index"]}, "data": [{"index": 7} | record for record in RECORDS]}, JSON),
        (arrow_stream(COLUMNS), STREAM),
        (
            arrow_stream(
                COLUMNS | {"label": pa.array(Y).dictionary_encode()},
                options=pa.ipc.IpcWriteOptions(compression="zstd"),
            ),
            STREAM,
        ),
        (parquet(COLUMNS), PARQUET),
        (feather(COLUMNS), ANY),
        (npz(X=X, y=Y, feature_names=np.array(["a", "b"])), ANY),
    ],
)
def test_a_format_gives_the_same_dataset_as_csv(service: httpx.Client, content: Any, media_type: str) -> None:
    expected = stored(service, "as-csv", CSV)
    answer = put(service, "other", content, media_type)
    assert answer.status_code in (200, 201), answer.text
    body = answer.json()
    for field in ("digest", "features", "classes", "n_points", "warnings", "size_bytes"):
        assert body[field] == expected[field]
    assert len(body["understood"]) >= 4


@pytest.mark.parametrize("label", [-1, 1])
@pytest.mark.parametrize("kind", ["<f8", ">f8", "<i4", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_takes_its_labels_from_the_column_that_is_named(
    service: httpx.Client, label: int, kind: str, order: Any
) -> None:
    points, labels = RNG.integers(0, 9, (30, 3)), np.array([3, 7] * 15)
    table = np.column_stack([points, labels] if label == -1 else [labels, points]).astype(kind, order=order)
    answer = put(service, "array", npy(table), NPY, label=str(label))
    given = put(service, "given", {"points": points.tolist(), "labels": labels.tolist()}, JSON)
    assert answer.json()["digest"] == given.json()["digest"]
    assert [one["label"] for one in answer.json()["classes"]] == [3, 7]


def test_labels_of_any_type_are_what_they_are_in_csv(service: httpx.Client) -> None:
    for labels, expected in (
        (np.array([1.0, 2.0] * 20), [1, 2]),
        (np.array([True, False] * 20), [0, 1]),
        (np.array(["0.5", "1.0"] * 20), ["0.5", "1.0"]),
        (np.array(["1", "2"] * 20), ["1", "2"]),
    ):
        body = put(service, "labels", npz(X=X, y=labels), NPZ).json()
        assert [one["label"] for one in body["classes"]] == expected


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["NA", "EU", "EU", "US"], None),
        (["EU", " null ", "EU", "US"], None),
        (["EU", "", "EU", "US"], None),
        (["EU", None, "EU", "US"], None),
        ([0.5, 1.5, 0.5, 1], None),
        ([1, "a", 1, "a"], None),
        (["0.5", "1.5", "0.5", "1.5"], ["0.5", "1.5"]),
        (["none", "some", "none", "some"], ["none", "some"]),
        ([" a", "a\n", "b", "b "], ["a", "b"]),
        ([True, 0, 1.0, False], None),
        ([True, False, True, False], [0, 1]),
        (["true", "false", "true", "false"], ["false", "true"]),
        ([COMPOSED, DECOMPOSED, "tea", "tea"], [COMPOSED, "tea"]),
    ],
)
def test_labels_are_read_alike_in_datasets_and_trainings(service: httpx.Client, labels: Any, expected: Any) -> None:
    data = {"points": [[0, 1], [1, 0], [2, 2], [3, 1]], "labels": labels}
    dataset = put(service, "alike", data, JSON, replace="true")
    training = service.post("/train?validate_only=true", json={"model": "m", "data": data})
    if expected is None:
        assert_problem(dataset, 422, "invalid-input")
        assert_problem(training, 422, "invalid-input")
        return
    assert [one["label"] for one in dataset.json()["classes"]] == expected
    assert training.json()["data_digest"] == dataset.json()["digest"]


def test_numbers_with_fractions_as_labels_are_refused_unless_an_option_confirms_them(service: httpx.Client) -> None:
    labels = np.array([0.5, 1.0] * 20)
    for content, media_type in ((npz(X=X, y=labels), NPZ), ({"points": X.tolist(), "labels": labels.tolist()}, JSON)):
        answer = put(service, "fractions", content, media_type)
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "write a number with a fraction as text" in answer.json()["detail"]
    columns = COLUMNS | {"label": labels.tolist()}
    assert "confirm this one with label=label" in put(service, "fractions", columns, JSON).json()["detail"]
    confirmed = put(service, "fractions", columns, JSON, label="label").json()
    assert [one["label"] for one in confirmed["classes"]] == ["0.5", "1.0"]


@pytest.mark.slow
def test_accented_labels_are_equal_in_composed_and_decomposed_form(service: httpx.Client) -> None:
    rows = "".join(f"{i % 3},{text}\n" for i, text in enumerate([COMPOSED, DECOMPOSED, "tea"] * 4))
    for content, media_type in (
        (f"x,label\n{rows}".encode(), "text/csv"),
        (f'x,label\n"0",{DECOMPOSED}\n{rows}'.encode(), "text/csv"),
        ({"x": [0, 1, 2] * 4, "label": [COMPOSED, DECOMPOSED, "tea"] * 4}, JSON),
        (arrow_stream({"x": [0, 1, 2] * 4, "label": [COMPOSED, DECOMPOSED, "tea"] * 4}), STREAM),
    ):
        body = put(service, "accents", content, media_type, replace="true").json()
        assert [one["label"] for one in body["classes"]] == [COMPOSED, "tea"]
        assert body["warnings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("character", ["\x1b", "\x00", "\x07", "\x7f", "\x9b", "\r"])
def test_labels_with_control_characters_are_refused_in_every_format(service: httpx.Client, character: str) -> None:
    columns = COLUMNS | {"label": [f"a{character}b", "c"] * 20}
    labels = np.array(columns["label"])
    for content, media_type in (
        (columns, JSON),
        ({"points": X.tolist(), "labels": columns["label"]}, JSON),
        (arrow_stream(columns), STREAM),
        (parquet(columns), PARQUET),
        (npz(X=X, y=labels), NPZ),
        (f'x,label\n1,"a{character}b"\n2,c\n3,c\n'.encode(), "text/csv"),
    ):
        if media_type == "text/csv" and character in "\0\r":  # is no text; is a line break
            continue
        answer = put(service, "controlled", content, media_type)
        assert_problem(answer, 422, "invalid-input")
        assert "without control characters, but one has" in answer.json()["detail"]
    body = {"model": "controlled", "data": {"points": X.tolist(), "labels": columns["label"]}}
    answer = service.post("/train", json=body)
    assert_problem(answer, 422, "invalid-input", field="data.labels")


@pytest.mark.slow
def test_blanks_around_labels_are_left_out_and_reported(service: httpx.Client) -> None:
    labels = ["a", " a", "b", "b\t"] * 10
    for content, media_type in (
        (COLUMNS | {"label": labels}, JSON),
        (arrow_stream(COLUMNS | {"label": labels}), STREAM),
        (npz(X=X, y=np.array(labels)), NPZ),
    ):
        body = put(service, "padded", content, media_type).json()
        assert [one["label"] for one in body["classes"]] == ["a", "b"]
        assert "blanks around labels are left out, as in ' a'" in body["understood"]
    assert "blanks" not in str(put(service, "padded", COLUMNS, JSON).json()["understood"])


def test_labels_may_have_tabs_and_line_breaks(service: httpx.Client) -> None:
    for labels in (["a\tb", "c\nd"], ["a\r\nb", "c"]):
        body = put(service, "broken", {"points": X.tolist(), "labels": labels * 20}, JSON).json()
        assert [one["label"] for one in body["classes"]] == labels


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels",
    [
        pa.array(Y).cast(pa.binary()),
        pa.array(Y).cast(pa.string_view()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1] * 20), pa.array(["no", "yes"]).cast(pa.string_view())),
    ],
    ids=["binary", "string_view", "dictionary of string_view"],
)
def test_labels_of_any_arrow_type_of_text_are_text(service: httpx.Client, labels: Any) -> None:
    body = put(service, "texts", arrow_stream(COLUMNS | {"label": labels}), STREAM).json()
    assert [one["label"] for one in body["classes"]] == ["no", "yes"]


@pytest.mark.slow
def test_columns_that_are_left_out_may_have_any_values(service: httpx.Client) -> None:
    for values in (pa.array([253_402_300_800] * 40, pa.timestamp("s")), pa.array([[1.5]] * 40)):
        content = arrow_stream({"other": values} | COLUMNS)
        assert_problem(put(service, "left-out", content, STREAM), 422, "invalid-input", field="body")
        for query in ({"drop": "other"}, {"features": "a,b", "label": "label"}):
            body = put(service, "left-out", content, STREAM, **query).json()
            assert [one["name"] for one in body["features"]] == ["a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("index", ["__index_level_0__", "when"])
def test_the_index_of_a_pandas_table_is_left_out(service: httpx.Client, index: str) -> None:
    about = {"pandas": json.dumps({"index_columns": [index]})}
    table = pa.table(COLUMNS | {index: list(range(40, 0, -1))}).replace_schema_metadata(about)
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    body = put(service, f"indexed-{len(index)}", file.getvalue(), PARQUET).json()
    assert [one["name"] for one in body["features"]] == ["a", "b"]
    assert f"column '{index}' is left out: it is the index of the table" in body["understood"]


@pytest.mark.slow
def test_only_a_csv_file_of_one_column_is_asked_for_another_separator(service: httpx.Client) -> None:
    one = {"label": ["no", "yes"]}
    for content, media_type, query, asked in (
        (b"label\nno\nyes\n", "text/csv", {}, True),
        (CSV.encode(), "text/csv", {"drop": "a,b"}, False),
        (one, JSON, {}, False),
        (parquet(one), PARQUET, {}, False),
    ):
        detail = put(service, "one-column", content, media_type, **query).json()["detail"]
        assert "at least one of features, but has 1" in detail
        assert ("separator=" in detail, "besides those that are left out" in detail) == (asked, bool(query))


@pytest.mark.slow
def test_a_table_without_rows_is_refused_for_that_and_not_for_empty_columns(service: httpx.Client) -> None:
    no_rows: dict[str, Any] = {"a": [], "b": [], "label": []}
    for content, media_type in ((no_rows, JSON), (parquet(no_rows), PARQUET), (arrow_stream(no_rows), STREAM)):
        answer = put(service, "no-rows", content, media_type)
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "body: has no points" in answer.json()["detail"]


def test_of_what_pandas_writes_as_columns_and_rows_the_index_is_reported_and_nothing_else_left_out(
    service: httpx.Client,
) -> None:
    table = {"columns": [*COLUMNS], "data": [*zip(*COLUMNS.values(), strict=True)]}
    indexed = table | {"index": X[:, 0].tolist()}
    for content in (indexed, indexed | {"index_names": ["a"], "column_names": [None]}):
        assert "the index of the table is left out" in put(service, "split", content, JSON).json()["understood"]
    answer = put(service, "split", table | {"labels": Y.tolist()}, JSON)
    assert_problem(answer, 422, "invalid-input", field="body")
    assert "has 'labels' beside columns and data" in answer.json()["detail"]


def test_labels_that_stand_apart_from_the_points_are_not_reported_as_a_column(service: httpx.Client) -> None:
    for content, media_type, notation in (
        ({"points": X.tolist(), "labels": Y.tolist()}, JSON, "points and labels in JSON"),
        (npz(X=X, y=Y), NPZ, "the arrays X (float64) and y (<U3)"),
    ):
        assert put(service, f"apart-{media_type[-3:]}", content, media_type).json()["understood"] == [
            f"body: 40 rows, {notation}",
            "features (2): column 1, column 2",
            "classes (2): no (20), yes (20)",
        ]
    many = {"points": X.tolist(), "labels": [*range(40)]}
    (warning,) = put(service, "apart-many", many, JSON).json()["warnings"]
    assert warning.startswith("the list of labels looks like a quantity")


def test_columns_named_columns_and_data_are_columns(service: httpx.Client) -> None:
    body = put(service, "odd-names", {"columns": [1.5, 2, 3], "data": ["x", "y", "x"]}, JSON).json()
    assert [one["name"] for one in body["features"]] == ["columns"]


@pytest.mark.slow
def test_a_heading_with_line_breaks_is_one_line_in_reports_and_in_options(service: httpx.Client) -> None:
    columns = {"a\n(cm)": COLUMNS["a"], "b,\r\n of\tall": COLUMNS["b"], "my\nlabel": COLUMNS["label"]}
    table = '"' + '","'.join(columns) + '"\n' + CSV.partition("\n")[2]
    for content, media_type in ((table.encode(), "text/csv"), (parquet(columns), PARQUET)):
        body = put(service, "broken-headings", content, media_type).json()
        assert [one["name"] for one in body["features"]] == ["a (cm)", "b, of all"]
        assert body["understood"][1:3] == [
            "features (2): a (cm), b, of all",
            "label: column 'my label', the only column of text",
        ]
        for left_out in ("a (cm)", "a\n(cm)", '"a\n(cm)"'):
            body = put(service, "broken-headings", content, media_type, drop=left_out, label="my\nlabel").json()
            assert [one["name"] for one in body["features"]] == ["b, of all"]
        chosen = put(service, "broken-headings", content, media_type, features='"b,\n of all"', label="my label")
        assert [one["name"] for one in chosen.json()["features"]] == ["b, of all"]


def test_text_in_another_encoding_than_unicode_is_refused(service: httpx.Client) -> None:
    content = "x,label\n1,café\n2,tea\n"
    answer = put(service, "encoded", content.encode("latin-1"), "text/csv; charset=ISO-8859-1")
    assert_problem(answer, 415, "unsupported-media-type")
    assert "UTF-8" in answer.json()["detail"]
    for charset in ("utf-8", "UTF-16"):
        assert put(service, "encoded", content.encode(charset), f'text/csv; charset="{charset}"').is_success


@pytest.mark.slow
def test_missing_values_are_refused_or_dropped_in_every_format(service: httpx.Client) -> None:
    gaps = COLUMNS | {"a": [None, *COLUMNS["a"][1:]], "label": [*COLUMNS["label"][:-1], None]}
    nan = X.copy()
    nan[0, 0] = np.nan
    for content, media_type, rows in (
        (gaps, JSON, 38),
        (arrow_stream(gaps), STREAM, 38),
        (npz(X=nan, y=Y), NPZ, 39),
    ):
        answer = put(service, "gaps", content, media_type)
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "row 1: has no value in column" in answer.json()["detail"]
        assert "missing=drop" in answer.json()["detail"]
        body = put(service, "gaps", content, media_type, missing="drop").json()
        assert body["n_points"] == rows


@pytest.mark.slow
def test_truth_values_and_integers_are_features(service: httpx.Client) -> None:
    columns = {"flag": [True, False] * 20, "count": list(range(0, 120, 3)), "label": Y.tolist()}
    ours = "flag,count,label\n" + "".join(
        f"{str(f).lower()},{c},{k}\n" for f, c, k in zip(*columns.values(), strict=True)
    )
    expected = stored(service, "flags", ours)
    for content, media_type in ((columns, JSON), (parquet(columns), PARQUET)):
        body = put(service, "flags-too", content, media_type).json()
        assert (body["digest"], body["understood"][1:]) == (expected["digest"], expected["understood"][1:])


@pytest.mark.slow
def test_columns_are_chosen_and_warned_of_in_every_format(service: httpx.Client) -> None:
    columns = {"id": list(range(40)), "text": ["a", "b"] * 20, **COLUMNS, "same": [1.5] * 40}
    for content, media_type in ((columns, JSON), (parquet(columns), PARQUET)):
        answer = put(service, "chosen", content, media_type)
        assert_problem(answer, 422, "invalid-input", field="body")
        assert "drop=text" in answer.json()["detail"]
        body = put(service, "chosen", content, media_type, drop="text", features="b,a,id,same", label="label").json()
        assert [one["name"] for one in body["features"]] == ["b", "a", "id", "same"]
        assert len(body["warnings"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "media_type", "query", "field", "told"),
    [
        (b"{", JSON, {}, "body", "not valid JSON at line 1"),
        ({}, JSON, {}, "body", '{"points"'),
        ([1, 2], JSON, {}, "body", '{"points"'),
        ([{}, {"a": 1}], JSON, {}, "body", "has no columns"),
        (b'[{"a": 1, "a": 2, "label": 1}]', JSON, {}, "body", "several values for 'a'"),
        (b'{"a": [1, 2], "b": [1, 2], "a": [3, 4], "label": [0, 1]}', JSON, {}, "body", "several values for 'a'"),
        (b"[" * 900 + b"]" * 900, JSON, {}, "body", '{"points"'),
        (b"[" * 2_000 + b"]" * 2_000, JSON, {}, "body", "nested more than 1,024 deep at line 1"),
        (b'{"a": [' + b"7" * 5_000 + b', 1], "label": [1, 2]}', JSON, {}, "body", "number that is too large"),
        (b'[{"a": 1, "a": ' + b"[" * 900 + b"]" * 900 + b"}]", JSON, {}, "body", "several values for"),
        ({"a": {"0": 1}, "label": {"0": 2}}, JSON, {}, "body", 'add orient="records"'),
        ({"columns": ["a", "label"], "data": [[1, 0], [2]]}, JSON, {}, "body", "row 2: must be a list of 2 values"),
        ({"columns": ["a", "a", "label"], "data": [[1, 2, 0], [3, 4, 1]]}, JSON, {}, "body", "occurs twice"),
        ({"a": [1, 2, 3], "label": ["x", " ", "y"]}, JSON, {}, "body", "row 2: has no label"),
        ([{"a": 1, "label": 1}, 7], JSON, {}, "body", "row 2"),
        ([{"a": 1, "label": 1}, {"a": 1, "label": 2, "c": 3}], JSON, {}, "body", "row 2: has 'c'"),
        ({"a": [1, 2], "label": [1]}, JSON, {}, "body", "same length"),
        ({"a": [1, [2]], "label": [1, 2]}, JSON, {}, "body", "row 2"),
        ({"a": [1, "2"], "label": [1, 2]}, JSON, {"label": "label"}, "body", "is text"),
        ({"points": [[1], [2]], "labels": [1]}, JSON, {}, "body", "labels"),
        ({"points": [[1], [2, 3]], "labels": [1, 2]}, JSON, {}, "body", "points.1"),
        ({"points": [[1], [2]], "labels": [1, 2], "label": 1}, JSON, {}, "body", "unknown"),
        ({"points": [[1], [2]], "labels": [1, "a"]}, JSON, {}, "body", "all integers or all strings"),
        ({"points": [[1], [2], [3]], "labels": [1, 0, True]}, JSON, {}, "body", "labels.2: must be a number or text"),
        ({"points": [[1], [2], [3]], "labels": [True, None, 0]}, JSON, {}, "body", "labels.2: must be true or false"),
        ({"points": [[1e31], [2]], "labels": [1, 2]}, JSON, {}, "body", "must be a number between"),
        (COLUMNS, JSON, {"separator": ";"}, "separator", "CSV"),
        (COLUMNS, JSON, {"features": "a,b", "drop": "a"}, "features", "column 'a' is in drop too"),
        (arrow_stream(COLUMNS), STREAM, {"features": "a,b", "drop": "a"}, "features", "column 'a' is in drop too"),
        (npy(X), NPY, {}, "body", "label=-1"),
        (npy(X[:, 0]), NPY, {"label": "1"}, "body", "(N, D)"),
        (npy(X.astype(complex)), NPY, {"label": "1"}, "body", "numbers"),
        (npy(X)[:-1], NPY, {"label": "1"}, "body", "as long as"),
        (npy(np.zeros((0, 3))), NPY, {"label": "1"}, "body", "no points"),
        (npy(np.zeros(3, [])), NPY, {}, "body", "structured array"),
        (npy_3_0("{'descr': '<f8', 'fortran_order': False, 'shape': 3}"), NPY, {}, "body", "numpy.save"),
        (npy_3_0("{'descr': '<f8', 'shape': (3,)}"), NPY, {}, "body", "numpy.save"),
        (npy_3_0("(" * 9_000), NPY, {}, "body", "numpy.save"),
        (npy(np.zeros(4, [("x", "f8", 3), ("label", "i4")])), NPY, {}, "body", "arrays of the shape (3,)"),
        (npy(np.array([[1, "a"]], dtype=object), allow_pickle=True), NPY, {"label": "1"}, "body", "Python objects"),
        (b"nonsense", NPY, {"label": "1"}, "body", "numpy.save"),
        (npz(X=X.T, y=Y), NPZ, {}, "body", "save X.T"),
        (npz(X=X), NPZ, {}, "body", "no array of labels"),
        (npz(X=X, x=X, y=Y), NPZ, {}, "body", "several arrays of points"),
        (npz(X=X, y=np.eye(40)), NPZ, {}, "body", "one label for each point"),
        (npz(X=X, y=Y)[:-30], NPZ, {}, "body", "numpy.savez"),
        (npz(X=X, y=Y, feature_names=np.array(["a"])), NPZ, {}, "body", "one name for each"),
        (b"nonsense", STREAM, {}, "body", "Arrow IPC stream"),
        (arrow_stream(COLUMNS)[:300], STREAM, {}, "body", "Arrow IPC stream"),
        (arrow_stream({"a": [[1.0, 2.0]], "label": [1]}), STREAM, {}, "body", "a separate column"),
        (arrow_stream({}), STREAM, {}, "body", "has no columns"),
        (arrow_stream({"t": FAR_FUTURE, "label": [0, 1]}), STREAM, {}, "body", "leave the column out with drop=t"),
        (arrow_stream({"a": [1, 2], "label": [b"\xff", b"x"]}), STREAM, {}, "body", "UTF-8 text"),
        (parquet(COLUMNS)[:-20], PARQUET, {}, "body", "Parquet file"),
        (b"PK\x03\x04 a workbook", ANY, {}, "body", "Excel workbook"),
    ],
)
def test_what_is_not_a_dataset_is_refused_with_what_to_do(
    service: httpx.Client, content: Any, media_type: str, query: dict[str, str], field: str, told: str
) -> None:
    answer = put(service, "refused", content, media_type, **query)
    place = "body" if field == "body" else "query"
    assert_problem(answer, 422, "invalid-input", field=field, place=place)
    assert told in answer.json()["detail"], answer.json()["detail"]


@pytest.mark.slow
def test_a_small_file_that_claims_enormous_content_is_refused(service: httpx.Client) -> None:
    columns = {"a": np.zeros(10_000), "label": np.zeros(10_000, np.int8)}
    content = arrow_stream(columns, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    length, claimed = (8 * 10_000).to_bytes(8, "little"), (3 * 2**30).to_bytes(8, "little")
    assert content.count(length) == 1
    answer = put(service, "bomb", content.replace(length, claimed), STREAM)
    assert_problem(answer, 422, "invalid-input", field="body")
    assert "needs too much memory" in answer.json()["detail"]
