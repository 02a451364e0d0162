"""`publish: false`: trainings that answer without a version."""

import base64
import io
import json
import time
from typing import Any

import httpx
import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.contract.problems import assert_problem
from tests.serving import ended, train, wait_until

LBFGS = {"optimizer": "lbfgs", "epochs": 40}
GIVEN = {"points": [[0, 0], [0, 1], [1, 0], [1, 1], [0.1, 0], [0.9, 1]], "labels": ["a", "b", "b", "a", "a", "a"]}
STORED = b"x,y,label\n0,0,a\n0,1,b\n1,0,b\n1,1,a\n0.2,0.1,a\n0.8,0.2,b\n"
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def assert_is_revalidated(client: httpx.Client, found: httpx.Response) -> None:
    """Asserts that a client that already has this response gets 304 when it asks again."""
    assert found.headers["cache-control"] == "no-cache"
    again = client.get(found.request.url, headers={"If-None-Match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["points", "layers"])
def test_points_and_layers_of_an_unpublished_training_are_revalidated(client: httpx.Client, path: str) -> None:
    job = trained(client)
    found = client.get(f"/jobs/{job['id']}/{path}")
    assert_is_revalidated(client, found)
    other = client.get(f"/jobs/{trained(client)['id']}/{path}")
    assert other.headers["etag"] != found.headers["etag"]
    then = client.get(f"/jobs/{job['id']}/{path}", params={"epoch": 3})
    assert then.headers["etag"] != found.headers["etag"]
    client.delete(f"/jobs/{job['id']}")
    gone = client.get(found.request.url, headers={"If-None-Match": found.headers["etag"]})
    assert_problem(gone, 404, "job-not-found")


@pytest.mark.slow
def test_epochs_of_several_restarts_are_epochs_of_the_best_one(client: httpx.Client) -> None:
    training = {"epochs": 30, "restarts": 3}
    job = trained(client, training=training)
    published = train(client, "best-of-three", training=training)
    of_job = predicted(client, job=job["id"], epoch=10)
    of_version = predicted(client, model="best-of-three", version=published["version"], epoch=10)
    assert of_job["logits"] == of_version["logits"] != predicted(client, job=job["id"])["logits"]


@pytest.mark.parametrize("form", ["json", "npy", "png", "csv", "geojson", "svg"])
def test_the_boundary_of_an_unpublished_training_equals_the_published_one(client: httpx.Client, form: str) -> None:
    data = {"dataset": "gaussians", "n_classes": 3, "n": 90, "seed": 4}
    job = trained(client, data=data)
    version = train(client, "bounded", data=data, training=LBFGS)["version"]
    query = {"format": form, "resolution": "12"} | ({} if form in ("geojson", "svg") else {"response": "label"})
    found = client.get("/boundary-grid", params=query | {"job": job["id"]})
    expected = client.get("/boundary-grid", params=query | {"model": "bounded", "version": version})
    assert found.status_code == expected.status_code == 200, found.text
    assert_is_revalidated(client, found)
    if form == "json":
        assert found.json()["values"] == expected.json()["values"]
    elif form in ("npy", "png"):
        assert found.content == expected.content


def test_pictures_show_the_points_of_an_unpublished_training(client: httpx.Client) -> None:
    job = trained(client, data=GIVEN)
    picture = client.get("/boundary-grid", params={"job": job["id"], "format": "png", "overlay": "points,line"})
    assert picture.headers["separatrix-points"] == "6,6", picture.text


def test_the_checkpoint_of_an_unpublished_training_loads_in_torch(client: httpx.Client) -> None:
    job = trained(client)
    content = client.get(job["links"]["checkpoint"]).content
    state = torch.load(io.BytesIO(content), weights_only=True)
    hidden = torch.tanh(torch.tensor(POINTS) @ state["0.weight"].T + state["0.bias"])
    logits = hidden @ state["2.weight"].T + state["2.bias"]
    assert np.allclose(logits.numpy(), predicted(client, job=job["id"])["logits"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "training", [LBFGS, {"epochs": 40}, {"epochs": 40, "batch_size": 64, "implementation": "torch"}]
)
def test_kept_weights_equal_the_weights_of_a_training_that_ended_there(
    client: httpx.Client, training: dict[str, Any]
) -> None:
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
        ({"training": {"snapshots": [3, -1]}}, "training.snapshots.1"),
        ({"training": {"snapshots": 0}}, "training.snapshots"),
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


@pytest.mark.slow
@pytest.mark.parametrize("form", ["safetensors", "json", "onnx", "py"])
def test_an_unpublished_training_is_exported_in_the_formats_of_versions(client: httpx.Client, form: str) -> None:
    job = trained(client)
    file = client.get(f"/jobs/{job['id']}/checkpoint", params={"format": form})
    assert file.status_code == 200, file.text
    if form == "safetensors":
        state = safetensors.numpy.load(file.content)
        hidden = np.tanh(np.array(POINTS) @ state["0.weight"].T + state["0.bias"])
        assert np.allclose(
            hidden @ state["2.weight"].T + state["2.bias"], predicted(client, job=job["id"])["logits"], atol=1e-5
        )


def test_an_unpublished_training_has_a_history_and_points_like_other_jobs(client: httpx.Client) -> None:
    job = trained(client, data=GIVEN, training={"epochs": 30})
    history = client.get(f"/jobs/{job['id']}/history").json()
    assert (history["model"], history["epoch"][-1]) == (None, 30)
    points = client.get(f"/jobs/{job['id']}/points").json()
    assert points["labels"] == GIVEN["labels"]
    assert np.allclose(points["points"], GIVEN["points"])


def test_a_stream_ends_with_the_boundary_of_the_trained_network(client: httpx.Client) -> None:
    request = {"publish": False, "data": {"dataset": "flower"}, "training": {"epochs": 20_000}}
    job = client.post("/train", json=request).json()
    headers = {"Accept": "text/event-stream"}
    frames, kinds = [], []
    with client.stream("GET", f"/jobs/{job['id']}/events", params={"boundary": 16}, headers=headers) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                kinds.append(line.removeprefix("event: "))
            if line.startswith("data: ") and kinds[-1] == "boundary":
                frames.append(json.loads(line.removeprefix("data: "))["data"])
    assert kinds[-2:] == ["boundary", "done"]
    assert frames[-1]["epoch"] == 20_000
    query = {"job": job["id"], "resolution": 16, "response": "probability"}
    expected = client.get("/boundary-grid", params=query).json()
    shown = np.frombuffer(base64.b64decode(frames[-1]["values_base64"]), np.uint8).reshape(16, 16) / 255
    assert np.allclose(shown, expected["values"], atol=1 / 255)


def endless(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """A running training that does not end by itself."""
    request = {"publish": False, "data": {"dataset": "flower"}, "training": {"epochs": 1_000_000}} | body
    job: dict[str, Any] = client.post("/train", json=request).json()
    wait_until(lambda: client.get(f"/jobs/{job['id']}").json()["status"] == "running")
    return job


@pytest.mark.slow
def test_a_running_training_answers_and_is_cancelled_at_once(client: httpx.Client) -> None:
    job = endless(client)
    assert predicted(client, job=job["id"])["epoch"] > 0
    began = time.monotonic()
    answer = client.post(f"/jobs/{job['id']}/cancel", headers={"Prefer": "wait=20"})
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert time.monotonic() - began < 5
    assert_problem(client.get("/boundary-grid", params={"job": job["id"]}), 409, "wrong-state")


@pytest.mark.slow
@pytest.mark.parametrize("publish", [False, True])
def test_only_the_newest_training_of_a_group_waits_and_the_running_one_goes_on(
    client: httpx.Client, publish: bool
) -> None:
    named: dict[str, Any] = {"supersede": f"group-{publish:d}"} | (
        {"publish": False} if not publish else {"model": "grouped"}
    )
    request = {"data": {"dataset": "flower"}, "training": {"epochs": 1_000_000}} | named
    running = client.post("/train", json=request).json()
    wait_until(lambda: client.get(f"/jobs/{running['id']}").json()["status"] == "running")
    later = [client.post("/train", json=request | {"training": LBFGS}).json() for _ in range(3)]
    unrelated = {"publish": False} if not publish else {"model": "grouped"}
    other = client.post("/train", json={"data": {"dataset": "flower"}, "training": LBFGS} | unrelated).json()
    found = [client.get(f"/jobs/{job['id']}").json() for job in [running, *later, other]]
    assert [job["status"] for job in found] == ["running", "cancelled", "cancelled", "queued", "queued"]
    assert [job["superseded_by"] for job in found] == [None, later[1]["id"], later[2]["id"], None, None]
    done = client.get(f"/jobs/{later[0]['id']}/events").json()["data"][-1]
    assert (done["type"], done["data"]["superseded_by"]) == ("done", later[1]["id"])
    client.post(f"/jobs/{running['id']}/cancel", headers={"Prefer": "wait=20"})
    assert ended(client, f"/jobs/{later[2]['id']}")["status"] == "succeeded"
    assert ended(client, f"/jobs/{other['id']}")["status"] == "succeeded"


def test_stored_points_and_separate_validation_points_are_used(client: httpx.Client) -> None:
    for name in ("kept-apart", "kept-apart-too"):
        stored = client.post(f"/datasets/{name}", content=STORED, headers={"Content-Type": "text/csv"})
        assert stored.status_code == 201, stored.text
    job = trained(client, data={"dataset": "kept-apart"}, validation={"dataset": "kept-apart-too"})
    assert job["metrics"]["validation_loss"] == pytest.approx(job["metrics"]["training_loss"])
    for name in ("kept-apart", "kept-apart-too"):
        assert client.delete(f"/datasets/{name}").status_code == 204
    points = client.get(f"/jobs/{job['id']}/points").json()
    assert (len(points["points"]), points["split"].count("validation")) == (12, 6)


@pytest.mark.slow
def test_the_preset_auto_chooses_the_settings_of_an_unpublished_training(client: httpx.Client) -> None:
    points = [[i % 7, i % 5] for i in range(40)]
    labels = [int(x > y) for x, y in points]
    job = trained(client, data={"points": points, "labels": labels}, training={}, preset="auto")
    assert (job["status"], job["preset"]) == ("succeeded", "auto")
    assert job["training"]["epochs"]
    layers = client.get(f"/jobs/{job['id']}/layers").json()
    assert layers["job_id"] == job["id"]
