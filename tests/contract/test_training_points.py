"""The points of a training, with their split and what its network predicts."""

import csv
import io
from typing import Any

import httpx
import numpy as np
import pytest

from models.datasets import LabelledPoints
from tests.contract.job_requests import UNKNOWN_ID
from tests.contract.manual_worker import LOGISTIC, ManualWorker
from tests.contract.problems import assert_problem
from tests.serving import train

XY = np.random.default_rng(8).normal(size=(40, 2)).round(3)
OWN = {
    "points": XY.tolist(),
    "labels": [("a", "b, c", "d")[int(x > 0.5) + int(y > 0)] for x, y in XY.tolist()],
    "feature_names": ["width", "label"],
}


def page(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"{path}/points", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def array(client: httpx.Client, path: str, name: str) -> Any:
    answer = client.get(f"{path}/points", params={"format": "npy", "array": name})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


@pytest.fixture(scope="module")
def own(client: httpx.Client) -> tuple[str, dict[str, Any]]:
    """The path of a version of three classes that held out a quarter of its points, and its job."""
    job = train(client, "points-own", data=OWN, training={"epochs": 60, "validation_fraction": 0.25, "seed": 4})
    assert job["status"] == "succeeded", job
    return f"/models/points-own/versions/{job['version']}", job


def test_the_points_are_those_that_were_sent_with_what_the_version_predicts(
    client: httpx.Client, own: tuple[str, dict[str, Any]]
) -> None:
    path, job = own
    found = page(client, path)
    assert (found["points"], found["labels"]) == (OWN["points"], OWN["labels"])
    assert (found["feature_names"], found["classes"]) == (["width", "label"], ["a", "b, c", "d"])
    assert (found["n_points"], found["offset"], found["has_more"]) == (40, 0, False)
    request = {"model": "points-own", "version": job["version"], "points": OWN["points"]}
    predicted = client.post("/predict", json=request).json()
    assert found["predicted_labels"] == predicted["labels"]
    assert found["probabilities"] == predicted["probabilities"]
    assert page(client, job["links"]["self"]) == found | {"epoch": 60}


def test_the_split_is_that_of_the_training(client: httpx.Client, own: tuple[str, dict[str, Any]]) -> None:
    path, _ = own
    found = page(client, path)
    card = client.get(path).json()["card"]
    for part, evaluated in (("training", "training"), ("validation", "validation")):
        chosen = [i for i, split in enumerate(found["split"]) if split == part]
        wrong = [found["labels"][i] != found["predicted_labels"][i] for i in chosen]
        confusion = card["evaluation"][evaluated]["confusion"]
        assert len(chosen) == sum(map(sum, confusion))
        assert 1 - sum(wrong) / len(wrong) == pytest.approx(card["evaluation"][evaluated]["accuracy"])
        names = found["classes"]
        pairs = [(names.index(found["labels"][i]), names.index(found["predicted_labels"][i])) for i in chosen]
        assert [[pairs.count((row, column)) for column in range(3)] for row in range(3)] == confusion


def test_separate_validation_points_come_last(client: httpx.Client) -> None:
    rows = "x,y,c\n0.5,1,red\n-1,-0.25,blue\n2,2,red\n"
    stored = client.post("/datasets/points-held?label=c", content=rows, headers={"Content-Type": "text/csv"})
    assert stored.status_code == 201, stored.text
    data = {"dataset": "flower", "n": 50}
    job = train(client, "points-validated", data=data, validation={"dataset": "points-held"}, training={"epochs": 2})
    assert job["status"] == "succeeded", job
    client.delete("/datasets/points-held")
    found = page(client, job["links"]["self"])
    assert found["split"] == ["training"] * 50 + ["validation"] * 3
    assert found["points"][50:] == [[0.5, 1.0], [-1.0, -0.25], [2.0, 2.0]]
    assert found["labels"][50:] == ["red", "blue", "red"]
    generated = client.get("/datasets/flower/points", params={"n": 50}).json()
    assert (found["points"][:50], found["labels"][:50]) == (generated["points"], generated["labels"])


def test_csv_and_arrays_say_the_same_as_json(client: httpx.Client, own: tuple[str, dict[str, Any]]) -> None:
    path, job = own
    found = page(client, path)
    answer = client.get(f"{path}/points", headers={"Accept": "text/csv"})
    heading, *rows = csv.reader(io.StringIO(answer.text))
    assert heading[:5] == ["width", "label", "predicted label", "split", "predicted predicted label"]
    assert heading[5:] == ["p(a)", "p(b, c)", "p(d)"]
    assert [[float(one) for one in row[:2]] for row in rows] == found["points"]
    assert [row[2:5] for row in rows] == [
        list(each) for each in zip(found["labels"], found["split"], found["predicted_labels"], strict=True)
    ]
    assert [[float(one) for one in row[5:]] for row in rows] == found["probabilities"]
    assert answer.headers["separatrix-version"] == str(job["version"])
    classes = found["classes"]
    assert array(client, path, "points").tolist() == pytest.approx(np.array(found["points"], np.float32))
    assert [classes[k] for k in array(client, path, "labels")] == found["labels"]
    assert [classes[k] for k in array(client, path, "predicted_labels")] == found["predicted_labels"]
    assert array(client, path, "probabilities").dtype == np.float32
    assert np.allclose(array(client, path, "probabilities"), found["probabilities"], atol=1e-7)
    assert array(client, path, "validation").tolist() == [split == "validation" for split in found["split"]]


def test_pages_follow_each_other(client: httpx.Client, own: tuple[str, dict[str, Any]]) -> None:
    path, _ = own
    whole = page(client, path)
    first, second = page(client, path, limit=30), page(client, path, limit=30, offset=30)
    assert (first["has_more"], second["has_more"]) == (True, False)
    for name in ("points", "labels", "split", "predicted_labels"):
        assert first[name] + second[name] == whole[name]
    answer = client.get(f"{path}/points", params={"offset": 40})
    assert_problem(answer, 422, "invalid-input", field="offset")
    assert_problem(client.get(f"{path}/points", params={"array": "labels"}), 422, "invalid-input", field="array")


def test_with_an_epoch_the_predictions_are_those_of_that_epoch(
    client: httpx.Client, own: tuple[str, dict[str, Any]]
) -> None:
    path, job = own
    then = page(client, path, epoch=3)
    request = {"model": "points-own", "version": job["version"], "points": OWN["points"], "epoch": 3}
    assert then["probabilities"] == client.post("/predict", json=request).json()["probabilities"]
    assert then["epoch"] == 3
    assert then["probabilities"] != page(client, path)["probabilities"]
    assert_problem(client.get(f"{path}/points", params={"epoch": 61}), 422, "invalid-input", field="epoch")


def test_the_points_of_a_running_job_have_the_predictions_of_its_newest_weights(worker: ManualWorker) -> None:
    points = LabelledPoints(np.array([[0, 1], [1, 0], [-2, 3]], np.float32), np.array([0, 1, 0]), ("a", "b"))
    job = worker.new_job(points, LOGISTIC)
    worker.watch(job)
    worker.leave_snapshot(job, 2, w=[[1.0], [0.0]], b=[0.0])
    answer = worker.client.get(f"/jobs/{job.id}/points")
    found = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert [found[key] for key in ("version", "job_id", "epoch")] == [None, job.id, 2]
    second = [prob_K[1] for prob_K in found["probabilities"]]
    assert second == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(2))], rel=1e-6)
    worker.fail(job)
    assert_problem(worker.client.get(f"/jobs/{job.id}/points"), 409, "wrong-state", current_status="failed")


def test_a_page_of_points_is_revalidated(client: httpx.Client, own: tuple[str, dict[str, Any]]) -> None:
    answer = client.get(f"{own[0]}/points")
    again = client.get(f"{own[0]}/points", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, answer.headers["cache-control"]) == (304, "no-cache")


def test_an_imported_version_has_no_training_points(client: httpx.Client, own: tuple[str, dict[str, Any]]) -> None:
    weights = client.get(f"{own[0]}/checkpoint").content
    imported = client.post(
        "/models/points-imported/versions",
        content=weights,
        params={"activation": "tanh"},
        headers={"Content-Type": "application/octet-stream"},
    )
    assert imported.status_code == 201, imported.text
    assert_problem(client.get("/models/points-imported/versions/1/points"), 404, "training-unknown")
    assert_problem(client.get(f"/jobs/{UNKNOWN_ID}/points"), 404, "job-not-found")
