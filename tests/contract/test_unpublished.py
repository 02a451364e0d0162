"""`publish: false`: trainings that answer without a version."""

import io
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from tests.contract.problems import assert_problem
from tests.serving import ended, train

LBFGS = {"optimizer": "lbfgs", "epochs": 40}
GIVEN = {"points": [[0, 0], [0, 1], [1, 0], [1, 1], [0.1, 0], [0.9, 1]], "labels": ["a", "b", "b", "a", "a", "a"]}
POINTS = [[0.5, 0.25], [-1.0, 2.0]]


def trained(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """The job of an unpublished training, once it has ended."""
    request = {"publish": False, "data": {"dataset": "flower"}, "training": LBFGS} | body
    answer = client.post("/train", json=request, headers={"Prefer": "wait=50"})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def predicted(client: httpx.Client, **named: Any) -> dict[str, Any]:
    answer = client.post("/predict", json={"points": POINTS, "outputs": ["logits"], **named})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"training": {"epochs": 30, "batch_size": 50, "validation_fraction": 0.2}},
        {"data": GIVEN, "training": {"epochs": 20}},
        {"training": {"epochs": 30, "restarts": 2}},
        {"training": {"epochs": 30, "ensemble": 2}},
    ],
)
def test_an_unpublished_training_has_the_weights_of_a_published_one(client: httpx.Client, body: dict[str, Any]) -> None:
    job = trained(client, **body)
    assert job["status"] == "succeeded", job
    published = train(client, "as-published", **({"training": LBFGS} | body))
    assert job["metrics"] == published["metrics"]
    assert job["recipe_digest"] == published["recipe_digest"]
    of_job = predicted(client, job=job["id"])
    of_version = predicted(client, model="as-published", version=published["version"])
    assert of_job["logits"] == of_version["logits"]
    assert (of_job["model"], of_job["version"], of_job["job_id"]) == (None, None, job["id"])


def test_an_unpublished_training_is_a_job_that_no_list_shows(client: httpx.Client) -> None:
    models = client.get("/models").json()
    job = trained(client, metadata={"who": "me"})
    assert (job["publish"], job["model"], job["version"]) == (False, None, None)
    assert job["expires_at"] > job["finished_at"]
    assert job["metadata"] == {"who": "me"}
    assert client.get("/models").json() == models
    assert job["id"] not in {each["id"] for each in client.get("/jobs", params={"limit": 100}).json()["data"]}
    assert ended(client, f"/jobs/{job['id']}")["metrics"] == job["metrics"]
    events = client.get(f"/jobs/{job['id']}/events").json()["data"]
    assert [event["type"] for event in events] == ["status", "status", "status", "done"]
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert_problem(client.get(f"/jobs/{job['id']}"), 404, "job-not-found")
    assert_problem(client.get("/boundary-grid", params={"job": job["id"]}), 404, "job-not-found")


@pytest.mark.parametrize("form", ["json", "npy", "png", "csv", "geojson", "svg"])
def test_its_boundary_is_that_of_the_version(client: httpx.Client, form: str) -> None:
    data = {"dataset": "gaussians", "n_classes": 3, "n": 90, "seed": 4}
    job = trained(client, data=data)
    version = train(client, "bounded", data=data, training=LBFGS)["version"]
    query = {"format": form, "resolution": "12"} | ({} if form in ("geojson", "svg") else {"response": "label"})
    found = client.get("/boundary-grid", params=query | {"job": job["id"]})
    expected = client.get("/boundary-grid", params=query | {"model": "bounded", "version": version})
    assert found.status_code == expected.status_code == 200, found.text
    assert found.headers["cache-control"] == "no-store"
    if form == "json":
        assert found.json()["values"] == expected.json()["values"]
    elif form in ("npy", "png"):
        assert found.content == expected.content


def test_pictures_show_its_points(client: httpx.Client) -> None:
    job = trained(client, data=GIVEN)
    picture = client.get("/boundary-grid", params={"job": job["id"], "format": "png", "overlay": "points,line"})
    assert picture.headers["separatrix-points"] == "6,6", picture.text


def test_its_checkpoint_loads_in_torch(client: httpx.Client) -> None:
    job = trained(client)
    content = client.get(job["links"]["checkpoint"]).content
    state = torch.load(io.BytesIO(content), weights_only=True)
    hidden = torch.tanh(torch.tensor(POINTS) @ state["0.weight"].T + state["0.bias"])
    logits = hidden @ state["2.weight"].T + state["2.bias"]
    assert np.allclose(logits.numpy(), predicted(client, job=job["id"])["logits"], atol=1e-5)


@pytest.mark.parametrize(
    "training", [LBFGS, {"epochs": 40}, {"epochs": 40, "batch_size": 64, "implementation": "torch"}]
)
def test_kept_weights_are_those_of_a_training_that_ended_there(client: httpx.Client, training: dict[str, Any]) -> None:
    job = trained(client, training=training | {"snapshots": [0, 1, 7, 20]})
    assert job["snapshots"] == [0, 1, 7, 20, job["progress"]["epoch"]]
    repeated = trained(client, training=training)
    for epoch in (0, 1, 7, 20):
        kept = predicted(client, job=job["id"], epoch=epoch)
        assert kept["epoch"] == epoch
        assert kept["logits"] == predicted(client, job=repeated["id"], epoch=epoch)["logits"]


def test_a_number_of_snapshots_is_spaced_logarithmically(client: httpx.Client) -> None:
    job = trained(client, training={"epochs": 100, "snapshots": 7})
    assert job["snapshots"] == [0, 1, 3, 6, 16, 40, 100]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "m"}, "model"),
        ({"promote_to": "best"}, "promote_to"),
        ({"promote_if": {"accuracy": ">=0.9"}}, "promote_if"),
        ({"training": {"snapshots": [3, 21], "epochs": 20}}, "training.snapshots"),
        ({"training": {"snapshots": 3, "restarts": 2}}, "training.snapshots"),
        ({"training": {"snapshots": 3, "temperature": 2}}, "training.snapshots"),
        ({"training": {"snapshots": 3}, "preset": "auto"}, "training.snapshots"),
        ({"publish": True}, "model"),
        ({"publish": True, "model": "m", "training": {"snapshots": 3}}, "training.snapshots"),
    ],
)
def test_fields_that_do_not_apply_are_refused(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    request = {"publish": False, "data": {"dataset": "flower"}} | body
    assert_problem(client.post("/train", json=request), 422, "invalid-input", field=field)
