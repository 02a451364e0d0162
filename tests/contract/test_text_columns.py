"""Features that are text: `categorical=one-hot` makes a feature of each value; predictions take the column itself."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

PENGUINS = Path("docs/penguins.csv").read_text()
OPTIONS = {"categorical": "one-hot", "label": "species", "missing": "drop", "drop": "year"}
ROWS = [row for row in csv.DictReader(io.StringIO(PENGUINS)) if "NA" not in row.values()]
ISLANDS, SEXES = ["Biscoe", "Dream", "Torgersen"], ["female", "male"]
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
NAMES = [*(f"island={one}" for one in ISLANDS), *NUMBERS, *(f"sex={one}" for one in SEXES)]
CATEGORIES = {"island": ISLANDS, "sex": SEXES}
KNOWN = [
    [*(row["island"] == one for one in ISLANDS), *(row[one] for one in NUMBERS), *(row["sex"] == one for one in SEXES)]
    for row in ROWS
]
EXPECTED = [[float(value) for value in row] for row in KNOWN]
FEATURES = ["island", *NUMBERS, "sex"]
SOME = slice(0, 333, 24)
JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"


def typed(row: dict[str, str]) -> dict[str, Any]:
    return {
        name: None if value == "NA" else float(value) if name in (*NUMBERS, "year") else value
        for name, value in row.items()
    }


ALL = [typed(row) for row in csv.DictReader(io.StringIO(PENGUINS))]
RECORDS = [{name: typed(row)[name] for name in FEATURES} for row in ROWS][SOME]


def stream(rows: list[dict[str, Any]]) -> bytes:
    table, sink = pa.Table.from_pylist(rows), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return bytes(sink.getvalue())


def parquet(rows: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


def as_csv(rows: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def put(client: httpx.Client, name: str, content: str | bytes, media_type: str = CSV, **query: str) -> httpx.Response:
    return client.post(f"/datasets/{name}", content=content, params=query, headers={"Content-Type": media_type})


@pytest.fixture(scope="module")
def penguins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with the dataset `penguins` and a model of it."""
    with running(tmp_path_factory.mktemp("text")) as client:
        put(client, "penguins", PENGUINS, **OPTIONS)
        train(client, "penguins", data={"dataset": "penguins"}, training={"epochs": 100})
        yield client


def test_each_value_of_a_text_column_becomes_a_feature(penguins: httpx.Client) -> None:
    about = penguins.get("/datasets/penguins").json()
    assert [one["name"] for one in about["features"]] == NAMES
    assert about["categories"] == CATEGORIES
    assert "column 'island' becomes 3 features: island=Biscoe, island=Dream, island=Torgersen" in about["understood"]
    points = penguins.get("/datasets/penguins/points").json()
    np.testing.assert_array_equal(np.float32(points["points"]), np.float32(EXPECTED))
    assert points["labels"] == [row["species"] for row in ROWS]


def test_jobs_and_versions_remember_the_values(penguins: httpx.Client) -> None:
    card = penguins.get("/models/penguins/versions/1").json()["card"]
    assert card["feature_names"] == NAMES
    assert card["data"]["categories"] == CATEGORIES
    assert penguins.get("/jobs").json()["data"][0]["data"]["categories"] == CATEGORIES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (json.dumps(ALL), JSON),
        (json.dumps({name: [row[name] for row in ALL] for name in ALL[0]}), JSON),
        (stream(ALL), ARROW),
        (parquet(ALL), PARQUET),
        (PENGUINS.replace("Torgersen", '" Torgersen "').replace("\n", "\r\n"), CSV),
        (PENGUINS.replace(",", ";").replace(".", ","), CSV),
    ],
    ids=["records", "columns", "arrow", "parquet", "quotes", "decimal-comma"],
)
def test_every_format_gives_the_same_features(penguins: httpx.Client, content: str | bytes, media_type: str) -> None:
    answer = put(penguins, "other", content, media_type, replace="true", **OPTIONS)
    assert answer.status_code in (200, 201), answer.text
    expected = penguins.get("/datasets/penguins").json()
    assert (answer.json()["digest"], answer.json()["features"]) == (expected["digest"], expected["features"])


@pytest.mark.slow
def test_a_large_file_is_read_by_a_process_of_its_own_with_the_same_result(penguins: httpx.Client) -> None:
    rng = np.random.default_rng(3)
    city_N, size_N, kind_N = rng.integers(0, 40, 60_000), rng.integers(0, 3, 60_000), rng.integers(0, 2, 60_000)
    lines = [f"Town {c:02},{s}.5,{'ab'[k]},\n" for c, s, k in zip(city_N, size_N, kind_N, strict=True)]
    lines[30_000] = '"Town 07","1.5",a,\n'  # the csv module reads the lines around it
    city_N[30_000], size_N[30_000], kind_N[30_000] = 7, 1, 0
    text = "city,size,kind\n" + "".join(line.replace(",\n", "\n") for line in lines)
    text += "".join(f"{'somewhere else' + ' ' * 40},,a\n" for _ in range(10_000))  # left out, so it is no feature
    answer = put(penguins, "towns", text, label="kind", categorical="one-hot", missing="drop")
    assert answer.status_code == 201, answer.text
    assert answer.json()["categories"] == {"city": [f"Town {c:02}" for c in range(40)]}
    array = penguins.get("/datasets/towns/points", params={"format": "npy"}).content
    found_ND = np.load(io.BytesIO(array))
    np.testing.assert_array_equal(found_ND[:, :40], np.eye(40)[city_N])
    np.testing.assert_array_equal(found_ND[:, 40], size_N + 0.5)


def probabilities(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["probabilities"])


def predict(client: httpx.Client, points: Any, model: str = "penguins") -> httpx.Response:
    return client.post("/predict", json={"model": model, "points": points})


def predict_body(client: httpx.Client, content: str | bytes, media_type: str) -> httpx.Response:
    return client.post("/predict", content=content, params={"model": "penguins"}, headers={"Content-Type": media_type})


def test_predictions_take_the_text_column_or_its_features(penguins: httpx.Client) -> None:
    expected = probabilities(predict(penguins, EXPECTED[SOME]))
    reordered = [dict(reversed(record.items())) for record in RECORDS]
    expanded = [dict(zip(NAMES, row, strict=True)) for row in EXPECTED[SOME]]
    half = [
        {"sex": a["sex"]} | {name: b[name] for name in NAMES if "sex" not in name}
        for a, b in zip(RECORDS, expanded, strict=True)
    ]
    for rows in (RECORDS, reordered, expanded, half):
        np.testing.assert_allclose(probabilities(predict(penguins, rows)), expected, rtol=1e-5)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        np.testing.assert_allclose(probabilities(predict(penguins, columns)), expected, rtol=1e-5)
        for content, media_type in ((as_csv(rows), CSV), (stream(rows), ARROW)):
            found = probabilities(predict_body(penguins, content, media_type))
            np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(probabilities(predict(penguins, RECORDS[0]))[0], expected[0], rtol=1e-5)
    coded = pa.Table.from_pylist(RECORDS)
    for name in ("island", "sex", "bill_length_mm"):
        d = coded.schema.get_field_index(name)
        coded = coded.set_column(d, name, coded[name].dictionary_encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, coded.schema) as writer:
        writer.write_table(coded, max_chunksize=5)
    found = probabilities(predict_body(penguins, bytes(sink.getvalue()), ARROW))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    structs = pa.array(RECORDS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("points", structs.type)])) as writer:
        writer.write_batch(pa.record_batch([structs], ["points"]))
    found = probabilities(predict_body(penguins, bytes(sink.getvalue()), ARROW))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_retry_and_a_deleted_dataset_keep_the_values(penguins: httpx.Client) -> None:
    put(penguins, "brief", PENGUINS, **OPTIONS)
    train(penguins, "brief", data={"dataset": "brief"}, training={"epochs": 5})
    diverging = {"optimizer": "sgd", "learning_rate": 1000, "weight_decay": 100, "epochs": 100}
    failed = train(penguins, "brief", data={"dataset": "brief"}, training=diverging)
    assert failed["status"] == "failed"
    assert penguins.delete("/datasets/brief").status_code == 204
    again = penguins.post(f"/jobs/{failed['id']}/retry")
    assert (again.status_code, again.json()["data"]["categories"]) == (202, CATEGORIES)
    assert len(probabilities(predict(penguins, RECORDS, "brief"))) == len(RECORDS)


def test_features_of_text_are_axes_like_others(penguins: httpx.Client) -> None:
    query = {"model": "penguins", "axes": "bill_length_mm,island=Dream", "at": "sex=male=1", "resolution": 4}
    answer = penguins.get("/boundary-grid", params=query)
    assert answer.status_code == 200, answer.text


def test_strings_in_a_structured_array_become_features(penguins: httpx.Client) -> None:
    rows = [("red", 1.5, 0), ("blue", 2.5, 1), ("red", 3.5, 1)]
    file = io.BytesIO()
    np.save(file, np.array(rows, dtype=[("color", "U8"), ("x", "f8"), ("label", "i8")]))
    answer = put(penguins, "colors", file.getvalue(), "application/x-npy", label="label", categorical="one-hot")
    assert answer.status_code == 201, answer.text
    assert answer.json()["categories"] == {"color": ["blue", "red"]}
    assert [one["mean"] for one in answer.json()["features"]] == pytest.approx([1 / 3, 2 / 3, 2.5])


def test_points_may_be_text_alone(penguins: httpx.Client) -> None:
    content = "color,shape,kind\n" + "red,round,a\nblue,square,b\nred,square,a\nblue,round,b\n" * 3
    put(penguins, "toys", content, label="kind", categorical="one-hot")
    train(penguins, "toys", data={"dataset": "toys"}, training={"epochs": 100})
    points = [{"color": "blue", "shape": "round"}, {"color": "red", "shape": "square"}]
    expected = probabilities(predict(penguins, [[1, 0, 1, 0], [0, 1, 0, 1]], "toys"))
    np.testing.assert_allclose(probabilities(predict(penguins, points, "toys")), expected, rtol=1e-5)
    assert predict(penguins, points, "toys").json()["labels"] == ["b", "a"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"island": "Atlantis"}, "one of 'Biscoe', 'Dream', 'Torgersen'"),
        ({"island": "dream"}, "one of 'Biscoe', 'Dream', 'Torgersen'"),
        ({"island": None}, ""),
        ({"body_mass_g": "heavy"}, ""),
        ({"island=Dream": 1.0}, "must not have 'island=Dream'"),
        ({"islands": 1}, "must not have 'islands'"),
    ],
)
def test_values_that_the_model_does_not_know_are_refused(
    penguins: httpx.Client, changed: dict[str, Any], said: str
) -> None:
    rows = [RECORDS[0], RECORDS[1] | changed]
    if len(rows[1]) > len(rows[0]):
        rows[0] = rows[0] | changed
    for answer in (
        predict(penguins, rows),
        predict(penguins, {name: [row[name] for row in rows] for name in rows[0]}),
        predict_body(penguins, as_csv(rows), CSV),
    ):
        assert_problem(answer, 422, "invalid-input")
        assert said in answer.json()["detail"]
    if "heavy" not in changed.values():
        assert_problem(predict_body(penguins, stream(rows), ARROW), 422, "invalid-input")


def test_a_missing_text_column_is_named_and_numbers_in_its_place_are_refused(penguins: httpx.Client) -> None:
    without = {name: value for name, value in RECORDS[0].items() if name != "island"}
    assert "must have 'island': the features are 'island', 'bill_length_mm'" in predict(penguins, without).text
    answer = predict(penguins, RECORDS[0] | {"island": 1})
    assert "must have text in 'island': one of 'Biscoe'" in answer.json()["detail"]
    assert_problem(predict_body(penguins, as_csv([without]), CSV), 422, "invalid-input", field="body")


def test_a_line_with_an_unknown_value_is_named(penguins: httpx.Client) -> None:
    rows = [*RECORDS, RECORDS[0] | {"sex": "unknown"}]
    answer = predict_body(penguins, as_csv(rows), CSV)
    assert f"line {len(rows) + 1}, column 'sex': must be one of 'female', 'male', not 'unknown'" in answer.text


def test_text_is_refused_with_the_option_that_takes_it(penguins: httpx.Client) -> None:
    options = {"label": "species", "missing": "drop"}
    answer = put(penguins, "refused", PENGUINS, **options)
    assert_problem(answer, 422, "invalid-input", field="body")
    assert "columns 'island' and 'sex': are text" in answer.json()["detail"]
    assert "drop=island" in answer.json()["detail"]
    assert "categorical=one-hot" in answer.json()["detail"]
    assert put(penguins, "refused", PENGUINS, categorical="refuse", **options).json() == answer.json()
    assert_problem(
        put(penguins, "refused", PENGUINS, categorical="ordinal"),
        422,
        "invalid-input",
        field="categorical",
        place="query",
    )


def table(*columns: list[Any]) -> str:
    names = [f"c{i}" for i in range(len(columns))]
    rows = zip(*columns, strict=True)
    return as_csv([dict(zip(names, row, strict=True)) | {"label": "ab"[i % 2]} for i, row in enumerate(rows)])


@pytest.mark.parametrize(
    ("content", "media_type", "said"),
    [
        (table([f"name {i}" for i in range(40)]), CSV, "column 'c0': seems to name or number the rows"),
        (table([f"name {i // 2}" for i in range(200)]), CSV, "column 'c0': has more than 50 different values"),
        (table(["x" * 254, "y"] * 2), CSV, "column 'c0': has a value of 254 characters"),
        (table(*[[f"v{i % 50}" for i in range(100)]] * 21), CSV, "at most 1,000 features, but has 1,050"),
        (json.dumps([{"a": one, "label": 1} for one in ["x", "x", 3]]), JSON, "row 3, column 'a': must be text"),
        ("a,a=x,label\nx,1,p\nx,2,q\ny,3,p\n", CSV, "must differ from the other names"),
    ],
    ids=["id", "many", "long", "features", "mixed", "names"],
)
def test_columns_that_cannot_become_features_are_refused(
    penguins: httpx.Client, content: str, media_type: str, said: str
) -> None:
    answer = put(penguins, "refused", content, media_type, label="label", categorical="one-hot")
    assert_problem(answer, 422, "invalid-input", field="body")
    assert said in answer.json()["detail"]


def test_values_that_are_almost_equal_are_reported(penguins: httpx.Client) -> None:
    content = "answer,x,label\n" + "Yes,1,a\nyes,2,b\nno,3,a\nYes ,4,b\nyes,6,b\nno,5,a\n"
    warnings = put(penguins, "alike", content, label="label", categorical="one-hot").json()["warnings"]
    assert "'Yes' and 'yes' in column 'answer' are almost equal, but are different features" in warnings


def test_the_same_points_without_the_text_column_are_other_content(penguins: httpx.Client) -> None:
    rows = [dict(zip(NAMES, values, strict=True)) for values in EXPECTED]
    expanded = as_csv([row | {"species": other["species"]} for row, other in zip(rows, ROWS, strict=True)])
    assert_problem(put(penguins, "penguins", expanded, label="species"), 409, "dataset-exists")
    assert put(penguins, "penguins", PENGUINS, **OPTIONS).status_code == 200


def test_a_dataset_copied_from_its_points_keeps_the_features_and_loses_the_text_columns(penguins: httpx.Client) -> None:
    page = penguins.get("/datasets/penguins/points").json()
    copy = penguins.post("/datasets/copy-of-penguins", json=page).json()
    assert copy["categories"] is None
    assert [feature["name"] for feature in copy["features"]] == NAMES


def test_a_training_on_points_in_its_body_takes_no_text(penguins: httpx.Client) -> None:
    data = {"points": RECORDS, "labels": [row["species"] for row in ROWS[SOME]]}
    answer = penguins.post("/train", json={"model": "own", "data": data})
    assert_problem(answer, 422, "invalid-input", field="data.points")
    assert "POST /datasets/NAME?categorical=one-hot" in answer.json()["detail"]


def test_accented_values_are_equal_in_composed_and_decomposed_form(penguins: httpx.Client) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    rows = "".join(f"{i % 3},{text},{text[0]}\n" for i, text in enumerate([composed, decomposed, "tea"] * 8))
    body = put(penguins, "drinks", f"x,drink,kind\n{rows}", categorical="one-hot", label="kind").json()
    assert body["categories"] == {"drink": [composed, "tea"]}
    train(penguins, "drinks", data={"dataset": "drinks"}, training={"epochs": 1})
    answers = [
        penguins.post("/predict", json={"model": "drinks", "points": [{"x": 0, "drink": text}]}).json()
        for text in (composed, decomposed)
    ]
    assert answers[0]["probabilities"] == answers[1]["probabilities"]
    table = f"x,drink\n0,{decomposed}\n"
    answer = penguins.post("/predict?model=drinks", content=table, headers={"Content-Type": CSV})
    assert answer.json()["labels"] == answers[0]["labels"]
