"""`job=`: the network of a job in place of a version, while it trains and after it has ended."""

import io
from typing import Any

import httpx
import numpy as np
import pytest

from models.datasets import LabelledPoints
from models.specs import NetworkSpec
from tests.contract.job_requests import UNKNOWN_ID, act, cancelled, endless, submit
from tests.contract.manual_worker import LOGISTIC, ManualWorker
from tests.contract.problems import assert_problem
from tests.serving import train, wait_until

POINTS = [[0.5, -0.25], [1.0, 2.0], [-1.5, 0.75]]
SMALL = {"resolution": "9x7"}


def grid(client: httpx.Client, **query: Any) -> httpx.Response:
    return client.get("/boundary-grid", params=SMALL | query)


def predicted(client: httpx.Client, **request: Any) -> Any:
    """A prediction in single precision: without options, a few points are computed in double precision."""
    answer = client.post("/predict", json={"points": POINTS, "outputs": ["labels", "probabilities"]} | request)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def ended(client: httpx.Client) -> dict[str, Any]:
    """A job that has published a version after 40 epochs."""
    return train(client, "of-job", training={"epochs": 40})


def test_a_job_that_has_succeeded_answers_with_its_version_and_last_epoch(
    client: httpx.Client, ended: dict[str, Any]
) -> None:
    version, job = {"model": "of-job", "version": ended["version"]}, {"job": ended["id"]}
    assert predicted(client, **job) == predicted(client, **version) | {"epoch": 40}
    assert grid(client, **job).json() == grid(client, **version).json() | {"epoch": 40}
    for form in ("npy", "png", "csv", "svg"):
        assert grid(client, **job, format=form).content == grid(client, **version, format=form).content
    lines = grid(client, **job, format="geojson").json()
    assert [lines[key] for key in ("model", "version", "epoch")] == ["of-job", ended["version"], 40]


def test_points_as_an_array_name_the_job_in_the_query(client: httpx.Client, ended: dict[str, Any]) -> None:
    array = io.BytesIO()
    np.save(array, np.array(POINTS))
    headers = {"Content-Type": "application/x-npy"}
    answer = client.post("/predict", params={"job": ended["id"]}, content=array.getvalue(), headers=headers)
    assert answer.json()["probabilities"] == predicted(client, job=ended["id"])["probabilities"]


def test_an_epoch_of_a_job_is_that_of_its_version(client: httpx.Client, ended: dict[str, Any]) -> None:
    version = {"model": "of-job", "version": ended["version"]}
    assert predicted(client, job=ended["id"], epoch=7) == predicted(client, **version, epoch=7)
    assert grid(client, job=ended["id"], epoch=7).json() == grid(client, **version, epoch=7).json()


def test_the_response_of_a_job_that_has_ended_is_revalidated(client: httpx.Client, ended: dict[str, Any]) -> None:
    first = grid(client, job=ended["id"])
    assert first.headers["cache-control"] == "no-cache"
    headers = {"If-None-Match": first.headers["etag"]}
    assert client.get("/boundary-grid", params=SMALL | {"job": ended["id"]}, headers=headers).status_code == 304


def expected_probability(body: dict[str, Any], a: float, b: float, c: float) -> np.ndarray:
    x_HW, y_HW = np.meshgrid(body["x"], body["y"])
    return np.asarray(1 / (1 + np.exp(-(a * x_HW + b * y_HW + c))))


@pytest.mark.slow
def test_a_running_job_answers_with_its_newest_weights_and_nothing_keeps_the_response(worker: ManualWorker) -> None:
    client, job = worker.client, worker.new_job(network=LOGISTIC, epochs=50)
    worker.watch(job)
    for epoch, (a, b, c) in enumerate([(1.0, 0.0, 0.0), (-2.0, 0.5, 1.0)], 10):
        worker.leave_snapshot(job, epoch, w=[[a], [b]], b=[c])
        answer = grid(client, job=job.id)
        body = answer.json()
        assert [body[key] for key in ("model", "version", "job_id", "epoch")] == ["by-hand", None, job.id, epoch]
        assert answer.headers["cache-control"] == "no-store"
        assert "etag" not in answer.headers
        assert np.allclose(body["values"], expected_probability(body, a, b, c), atol=1e-6)
        found = predicted(client, job=job.id, outputs=["logits"])
        assert found["logits"] == [[pytest.approx(a * x + b * y + c, rel=1e-6)] for x, y in POINTS]
        assert [found[key] for key in ("model", "version", "job_id", "epoch")] == ["by-hand", None, job.id, epoch]
    for form in ("npy", "png", "csv", "svg"):
        headers = grid(client, job=job.id, format=form).headers
        assert (headers["separatrix-job-id"], headers["separatrix-epoch"]) == (job.id, "11")
        assert "separatrix-version" not in headers
    worker.fail(job)


def test_weights_that_were_not_requested_recently_are_replaced_before_they_answer(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    worker.leave_snapshot(job, 3, w=[[1.0], [1.0]], b=[0.0])
    with worker.leaving_snapshots(job, 4, w=[[2.0], [1.0]], b=[0.0]):
        assert predicted(worker.client, job=job.id)["epoch"] == 4
    worker.fail(job)


@pytest.mark.slow
def test_a_running_job_without_weights_is_not_ready(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    answer = grid(worker.client, job=job.id)
    assert_problem(answer, 503, "not-ready")
    assert answer.headers["retry-after"]
    worker.leave_snapshot(job, 1, w=[[np.nan], [1.0]], b=[0.0])
    assert_problem(grid(worker.client, job=job.id), 503, "not-ready")
    worker.fail(job)
    assert_problem(grid(worker.client, job=job.id), 409, "wrong-state", current_status="failed")


def test_pictures_of_a_running_job_show_its_points_and_its_hidden_units(worker: ManualWorker) -> None:
    points = LabelledPoints(np.array([[0, 1], [1, 0], [2, 3]], np.float32), np.array([0, 1, 0]), ("a", "b"))
    job = worker.new_job(points, NetworkSpec(hidden=(3,)))
    worker.watch(job)
    first = {"0.weight": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], "0.bias": [0.0, 0.0, 1.0]}
    worker.leave_snapshot(job, 2, **first, **{"2.weight": [[1.0, 1.0, 1.0]], "2.bias": [0.0]})
    picture = grid(worker.client, job=job.id, format="png", overlay="points,line")
    assert picture.headers["separatrix-points"] == "3,3", picture.text
    unit = grid(worker.client, job=job.id, response="activation", layer=0, unit=2).json()
    x_HW, y_HW = np.meshgrid(unit["x"], unit["y"])
    assert np.allclose(unit["values"], np.tanh(0.5 * x_HW + 0.5 * y_HW + 1), atol=1e-6)
    refused = grid(worker.client, job=job.id, response="outside_training_range")
    assert_problem(refused, 422, "invalid-input", field="response")
    worker.fail(job)


def test_the_layers_of_a_job_are_those_of_its_version(client: httpx.Client, ended: dict[str, Any]) -> None:
    version, job = f"/models/of-job/versions/{ended['version']}/layers", f"/jobs/{ended['id']}/layers"
    assert client.get(job).json() == client.get(version).json() | {"epoch": 40}
    assert client.get(job, params={"format": "text"}).text == client.get(version, params={"format": "text"}).text
    then = client.get(job, params={"epoch": 7}).json()
    assert then == client.get(version, params={"epoch": 7}).json()
    assert then["layers"] != client.get(version).json()["layers"]
    answer = client.get(job)
    assert client.get(job, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.get(f"{version}?epoch=7", headers={"If-None-Match": answer.headers["etag"]}).status_code == 200


def test_the_layers_of_a_running_job_have_its_newest_weights(worker: ManualWorker) -> None:
    job = worker.new_job(network=LOGISTIC)
    worker.watch(job)
    worker.leave_snapshot(job, 5, w=[[1.5], [-0.5]], b=[0.25])
    answer = worker.client.get(f"/jobs/{job.id}/layers")
    body = answer.json()
    assert [body[key] for key in ("model", "version", "job_id", "epoch")] == ["by-hand", None, job.id, 5]
    (layer,) = body["layers"]
    assert (layer["weight"]["values"], layer["bias"]["values"]) == ([[1.5], [-0.5]], [0.25])
    assert answer.headers["cache-control"] == "no-store"
    worker.fail(job)
    assert_problem(worker.client.get(f"/jobs/{job.id}/layers"), 409, "wrong-state", current_status="failed")


@pytest.mark.slow
def test_epochs_of_a_running_job_are_those_of_a_training_that_ended_there(client: httpx.Client) -> None:
    training = {"epochs": 1_000_000, "seed": 3}
    with endless(client, model="of-running", network={"hidden": [5]}, training=training) as job:
        first = predicted(client, job=job["id"])
        assert (first["version"], first["job_id"]) == (None, job["id"])
        assert first["epoch"] > 20
        past = predicted(client, job=job["id"], epoch=20)
        assert past["epoch"] == 20
        answer = client.post("/predict", json={"points": POINTS, "job": job["id"], "epoch": 1_000_000})
        assert_problem(answer, 422, "invalid-input", field="epoch")
        wait_until(lambda: predicted(client, job=job["id"])["epoch"] > first["epoch"])
        act(client, job, "cancel")
    train(client, "of-running", network={"hidden": [5]}, training=training | {"epochs": 20})
    assert past["probabilities"] == predicted(client, model="of-running")["probabilities"]


@pytest.mark.slow
def test_a_job_that_does_not_train_has_no_weights(client: httpx.Client) -> None:
    with endless(client):
        queued = submit(client, {"model": "of-queued", "data": {"dataset": "flower"}}).json()
        assert_problem(grid(client, job=queued["id"]), 409, "wrong-state", current_status="queued")
        cancelled(client, queued)
    assert_problem(grid(client, job=queued["id"]), 409, "wrong-state", current_status="cancelled")
    assert_problem(grid(client, job=UNKNOWN_ID), 404, "job-not-found")
    assert_problem(grid(client, job="nonsense"), 404, "job-not-found")
    assert_problem(client.post("/predict", json={"job": "x", "points": POINTS}), 404, "job-not-found")


@pytest.mark.slow
def test_a_paused_job_says_that_its_network_answers_only_while_it_is_trained(client: httpx.Client) -> None:
    with endless(client, model="of-paused") as job:
        act(client, job, "pause")
        wait_until(lambda: client.get(f"/jobs/{job['id']}").json()["status"] == "paused")
        answer = grid(client, job=job["id"])
    assert_problem(answer, 409, "wrong-state", current_status="paused")
    assert "answers only while it is trained" in answer.json()["detail"]


@pytest.mark.parametrize("also", [{"model": "of-job"}, {"version": 1}, {"alias": "latest"}])
def test_a_job_is_named_instead_of_a_version(client: httpx.Client, ended: dict[str, Any], also: dict[str, Any]) -> None:
    field = next(iter(also))
    assert_problem(grid(client, job=ended["id"], **also), 422, "invalid-input", field=field)
    answer = client.post("/predict", json={"job": ended["id"], "points": POINTS} | also)
    assert_problem(answer, 422, "invalid-input", field=field)


def test_either_a_model_or_a_job_is_required(client: httpx.Client) -> None:
    assert_problem(client.get("/boundary-grid"), 422, "invalid-input", field="model")
    assert_problem(client.post("/predict", json={"points": POINTS}), 422, "invalid-input", field="model")
