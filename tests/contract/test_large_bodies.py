"""The responses to large JSON bodies, whose points are read in pieces, equal those to small ones."""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.job_requests import WAIT
from tests.contract.problems import assert_problem

COUNT = 400
XY = np.random.default_rng(5).uniform(-3, 3, (COUNT, 2)).round(3).tolist()
LABELS = [int(x > y) for x, y in XY]
RECORDS = [{"width": x, "height": y} for x, y in XY]
REORDERED = [{"height": y, "width": x} for x, y in XY]


@pytest.fixture(scope="module")
def named(service: httpx.Client) -> str:
    body = {
        "model": "of-large-bodies",
        "data": {"points": RECORDS, "labels": LABELS},
        "training": {"optimizer": "lbfgs", "epochs": 20},
    }
    job = service.post("/train", json=body, headers=WAIT).json()
    assert job["status"] == "succeeded", job
    return "of-large-bodies"


def labels(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json().get("labels") or answer.json()["predictions"]
    return found


def test_rows_and_records_in_any_order_of_names_get_the_same_labels(service: httpx.Client, named: str) -> None:
    expected = [
        labels(service.post("/predict", json={"model": named, "points": [point]}))[0] for point in XY[:20] + XY[-20:]
    ]
    for points in (XY, RECORDS, REORDERED, [*REORDERED[:200], *RECORDS[200:]]):
        found = labels(service.post("/predict", json={"model": named, "points": points}))
        assert found[:20] + found[-20:] == expected


def test_every_form_of_mlflow_gets_the_labels_of_predict(service: httpx.Client, named: str) -> None:
    expected = labels(service.post("/predict", json={"model": named, "points": XY}))
    split = {"columns": ["height", "width"], "data": [[y, x] for x, y in XY]}
    numbered = {"columns": [0, 1], "data": XY}
    forms = ({"instances": XY}, {"inputs": RECORDS}, {"dataframe_records": REORDERED}, {"dataframe_split": split})
    for body in (*forms, {"dataframe_split": numbered}):
        assert labels(service.post("/invocations", params={"model": named}, json=body)) == expected


def test_columns_that_do_not_fit_the_rows_are_refused(service: httpx.Client, named: str) -> None:
    split = {"columns": ["width"], "data": XY}
    answer = service.post("/invocations", params={"model": named}, json={"dataframe_split": split})
    assert_problem(answer, 422, "invalid-input", field="dataframe_split.data.0")
    records = {"columns": ["width", "height"], "data": RECORDS}
    answer = service.post("/invocations", params={"model": named}, json={"dataframe_split": records})
    assert_problem(answer, 422, "invalid-input")


@pytest.mark.slow
def test_trainings_on_rows_records_and_lists_of_labels_have_the_same_data(service: httpx.Client) -> None:
    names = ["width", "height"]
    forms: list[dict[str, Any]] = [
        {"points": XY, "labels": LABELS},
        {"labels": [[label] for label in LABELS], "points": XY, "feature_names": names},
        {"points": RECORDS, "labels": LABELS},
        {"points": {"width": [x for x, _ in XY], "height": [y for _, y in XY]}, "labels": LABELS},
    ]
    digests = set()
    for data in forms:
        body = {"data": data, "publish": False, "training": {"epochs": 1}}
        answer = service.post("/train", json=body, headers=WAIT)
        assert answer.status_code < 300, answer.text
        digests.add(answer.json()["data_digest"])
    assert len(digests) == 1


@pytest.mark.parametrize("points", [XY, RECORDS])
def test_errors_in_other_fields_name_these_fields(service: httpx.Client, points: Any) -> None:
    body = {"model": "plane", "points": points, "threshold": 2, "unknown": 1}
    answer = service.post("/predict", json=body)
    assert_problem(answer, 422, "invalid-input")
    assert {error["field"] for error in answer.json()["errors"]} == {"threshold", "unknown"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"points": [*XY, ["a", 1]]}, "points.400.0"),
        ({"points": [*XY, [1]]}, "points.400"),
        ({"points": [*XY, [1e31, 1]]}, "points.400.0"),
        ({"points": [*RECORDS, {"width": 1}]}, "points.400"),
        ({"points": [*RECORDS, {"width": 1, "height": "a"}]}, "points.400"),
    ],
)
def test_errors_in_the_points_name_the_point(
    service: httpx.Client, named: str, change: dict[str, Any], field: str
) -> None:
    answer = service.post("/predict", json={"model": named} | change)
    assert_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize("rows", [XY, RECORDS])
def test_rows_in_another_field_are_refused(service: httpx.Client, rows: Any) -> None:
    """The reader finds rows by the name of their field, but the schema decides whether the field may have them."""
    data = {"points": XY[:2], "labels": [0, 1]}
    answer = service.post("/train", json={"metadata": {"points": rows}, "model": "refused", "data": data})
    assert_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"][0]["field"] == "metadata.points"
    answer = service.post("/predict", json={"data": rows, "model": "plane", "points": [[0, 1]]})
    assert_problem(answer, 422, "invalid-input")
    assert answer.json()["errors"][0]["field"] == "data"


def test_points_that_are_given_twice_are_refused(service: httpx.Client, named: str) -> None:
    for points in (f'"points": {XY}, "points": {XY[:1]}', f'"points": {XY[:1]}, "points": {XY}'):
        text = f'{{"model": "{named}", {points}}}'
        answer = service.post("/predict", content=text, headers={"Content-Type": "application/json"})
        assert_problem(answer, 422, "invalid-input", field="points")
