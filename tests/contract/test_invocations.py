"""`POST /invocations`, MLflow's scoring protocol, and `GET /ping`."""

import gzip
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, train

POINTS = np.random.default_rng(0).uniform(-4, 4, (60, 2)).round(3).tolist()
RECORDS = [{"width": x, "length": y, "town": "abc"[i % 3]} for i, (x, y) in enumerate(POINTS)]
NAMES = ["width", "length", "town"]
CSV = {"Content-Type": "text/csv"}


@pytest.fixture(scope="module")
def named(service: httpx.Client) -> httpx.Client:
    """A service with the model `towns`, which has named features, one of them text."""
    rows = [",".join([*map(str, one.values()), "near" if one["width"] < 0 else "far"]) for one in RECORDS]
    path = "/datasets/towns?label=kind&categorical=one-hot"
    answer = service.post(path, content="\n".join(["width,length,town,kind", *rows]), headers=CSV)
    assert answer.status_code == 201, answer.text
    train(service, "towns", data={"dataset": "towns"}, training={"epochs": 20}, preset="tutorial")
    return service


def invoke(client: httpx.Client, body: Any, query: str = "model=plane", **headers: str) -> httpx.Response:
    return client.post(f"/invocations?{query}", json=body, headers=headers)


def predictions(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert [*answer.json()] == ["predictions"]
    return answer.json()["predictions"]


def predicted(client: httpx.Client, points: Any, output: str = "labels", model: str = "plane", **more: Any) -> Any:
    return client.post("/predict", json={"model": model, "points": points} | more).json()[output]


@pytest.mark.parametrize("count", [1, 60, 1_200])
@pytest.mark.parametrize(
    "form",
    [
        lambda points: {"instances": points},
        lambda points: {"inputs": points},
        lambda points: {"dataframe_split": {"data": points}},
        lambda points: {"dataframe_split": {"columns": [0, 1], "index": [*range(len(points))], "data": points}},
        lambda points: {"dataframe_split": {"columns": ["x", "y"], "data": points}, "params": {}},
    ],
)
def test_points_by_position_get_the_labels_of_predict(client: httpx.Client, form: Any, count: int) -> None:
    points = (POINTS * 20)[:count]
    assert predictions(invoke(client, form(points))) == predicted(client, points)
    probabilities = predictions(invoke(client, form(points), "model=plane&output=probabilities"))
    assert probabilities == predicted(client, points, "probabilities")


@pytest.mark.parametrize("count", [1, 60, 600])
def test_points_by_name_are_matched_in_any_order(named: httpx.Client, count: int) -> None:
    records = (RECORDS * 10)[:count]
    expected = predicted(named, records, model="towns")
    turned = [{name: one[name] for name in ("town", "length", "width")} for one in records]
    columns = {name: [one[name] for one in turned] for name in turned[0]}
    split = {"columns": [*turned[0]], "data": [[*one.values()] for one in turned]}
    for form in (
        {"dataframe_records": turned},
        {"dataframe_split": split},
        {"instances": turned},
        {"inputs": turned},
        {"inputs": columns},
    ):
        assert predictions(invoke(named, form, "model=towns")) == expected


def test_a_csv_body_is_read_as_by_predict(named: httpx.Client) -> None:
    lines = ["length,width,town", *(f"{one['length']},{one['width']},{one['town']}" for one in RECORDS)]
    content = "\n".join(lines)
    expected = predicted(named, RECORDS, model="towns")
    assert predictions(named.post("/invocations?model=towns", content=content, headers=CSV)) == expected
    charset = {"Content-Type": "text/csv; charset=utf-8", "Content-Encoding": "gzip"}
    packed = gzip.compress(content.encode())
    assert predictions(named.post("/invocations?model=towns", content=packed, headers=charset)) == expected
    semicolons = named.post("/invocations?model=towns&separator=semicolon", content=content, headers=CSV)
    assert_problem(semicolons, 422, "invalid-input", field="body")


def test_integer_labels_stay_integers(client: httpx.Client) -> None:
    assert set(predictions(invoke(client, {"instances": [[0], [3]]}, "model=line"))) <= {7, -1}


def test_a_version_and_a_threshold_are_those_of_predict(service: httpx.Client) -> None:
    for epochs in (5, 200):
        train(service, "versions", training={"epochs": epochs})
    body = {"instances": POINTS}
    for version in (1, 2):
        expected = predicted(service, POINTS, "probabilities", "versions", version=version)
        assert predictions(invoke(service, body, f"model=versions&version={version}&output=probabilities")) == expected
    assert service.put("/models/versions/aliases/stable", json={"version": 1}).is_success
    expected = predicted(service, POINTS, "probabilities", "versions", version=1)
    assert predictions(invoke(service, body, "model=versions&alias=stable&output=probabilities")) == expected
    expected = predicted(service, POINTS, model="versions", threshold=0.9)
    assert predictions(invoke(service, body, "model=versions&threshold=0.9")) == expected


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service with a default model that takes ten points."""
    folder = tmp_path_factory.mktemp("default")
    with running(folder, invocations_model="plane", max_points_per_request=10) as client:
        assert_problem(client.post("/invocations", json={"instances": [[0, 1]]}), 404, "model-not-found")
        train(client, "plane", training={"epochs": 5})
        yield client


def test_a_setting_names_the_model_of_requests_that_name_none(default: httpx.Client, client: httpx.Client) -> None:
    body = {"instances": POINTS[:2]}
    assert predictions(default.post("/invocations", json=body)) == predicted(default, POINTS[:2])
    refused = client.post("/invocations", json=body)
    assert_problem(refused, 422, "invalid-input", field="model", place="query")
    assert "invocations_model" in refused.json()["detail"]


def test_too_many_points_are_refused(default: httpx.Client) -> None:
    for body, field in (
        ({"instances": POINTS}, "instances"),
        ({"dataframe_split": {"data": POINTS}}, "dataframe_split"),
    ):
        assert_problem(default.post("/invocations", json=body), 422, "invalid-input", field=field)
    content = "\n".join("1,2" for _ in range(11))
    assert default.post("/invocations", content=content, headers=CSV).status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"instances": POINTS, "inputs": POINTS}, "body"),
        ({"points": POINTS}, "points"),
        ({"instances": []}, "instances"),
        ({"instances": [[1, 2], [1]]}, "instances.1"),
        ({"instances": [[1, None]]}, "instances.0.1"),
        ({"inputs": [[1, 2, 3]]}, "inputs"),
        ({"dataframe_records": [{"x": 1, "y": 2}]}, "dataframe_records"),
        ({"dataframe_split": {"columns": ["x", "y"]}}, "dataframe_split.data"),
        ({"dataframe_split": {"data": []}}, "dataframe_split.data"),
        ({"dataframe_split": {"columns": ["x", "y", "z"], "data": [[1, 2]]}}, "dataframe_split.data.0"),
        ({"dataframe_split": {"columns": ["x", "x"], "data": [[1, 2]]}}, "dataframe_split.data"),
        ({"dataframe_split": {"columns": ["y", "x"], "data": [[1, 2]]}}, "dataframe_split"),
        ({"dataframe_split": {"columns": [1, 0], "data": [[1, 2]]}}, "dataframe_split.columns"),
        ({"dataframe_split": {"data": [[1, 2], [1]]}}, "dataframe_split.data.1"),
        ({"dataframe_split": {"data": [[1, "2"]]}}, "dataframe_split.data.0"),
        ({"instances": [[1, 2]], "params": {"top": 1}}, "params"),
    ],
)
def test_bodies_that_do_not_fit_are_refused(client: httpx.Client, body: Any, field: str) -> None:
    assert_problem(invoke(client, body), 422, "invalid-input", field=field)


def test_bodies_other_than_json_and_csv_are_refused(client: httpx.Client) -> None:
    nan = json.dumps({"instances": [[math.nan, 1]]})
    headers = {"Content-Type": "application/json"}
    answer = client.post("/invocations?model=plane", content=nan, headers=headers)
    assert_problem(answer, 422, "invalid-input", field="instances.0.0")
    answer = client.post("/invocations?model=plane", content="{", headers=headers)
    assert_problem(answer, 400, "malformed-json")
    answer = client.post("/invocations?model=plane", content=b"1,2", headers={"Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported-media-type")
    assert_problem(invoke(client, {"instances": [[1, 2]]}, "model=nobody"), 404, "model-not-found")
    assert_problem(invoke(client, {"instances": [[1, 2]]}, "model=plane&version=9"), 404, "version-not-found")
    threshold = invoke(client, {"instances": [[0, 1]]}, "model=trio&threshold=0.4")
    assert_problem(threshold, 422, "invalid-input", field="threshold", place="query")
    for query, field in (
        ("alias=1", "alias"),
        ("output=logits", "output"),
        ("mode=1", "mode"),
        ("header=true", "header"),
    ):
        answer = invoke(client, {"instances": [[1, 2]]}, f"model=plane&{query}")
        assert_problem(answer, 422, "invalid-input", field=field, place="query")


def test_ping_answers_when_the_service_is_ready(client: httpx.Client) -> None:
    answer = client.get("/ping")
    assert (answer.status_code, answer.text) == (200, "\n")
