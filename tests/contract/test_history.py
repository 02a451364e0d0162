"""The history of a training, of versions and of jobs."""

from typing import Any

import httpx
import pytest

from tests.contract.job_requests import UNKNOWN_ID, act, endless
from tests.contract.problems import assert_problem
from tests.serving import train, wait_until

COLUMNS = ["epoch", "training_loss", "training_accuracy", "validation_loss", "validation_accuracy"]


def history(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"{path}/history", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture(scope="module")
def trained(client: httpx.Client) -> dict[str, Any]:
    """A job that has trained 300 epochs, with validation points."""
    return train(client, "histories", training={"epochs": 300, "validation_fraction": 0.25})


def test_a_version_and_its_job_have_the_same_history(client: httpx.Client, trained: dict[str, Any]) -> None:
    of_version = history(client, f"/models/histories/versions/{trained['version']}")
    assert of_version == history(client, f"/jobs/{trained['id']}")
    names = [of_version[key] for key in ("model", "version", "job_id")]
    assert names == ["histories", trained["version"], trained["id"]]
    assert len({len(of_version[name]) for name in COLUMNS}) == 1
    epochs = of_version["epoch"]
    assert epochs == sorted(set(epochs))
    assert (epochs[0], epochs[-1]) == (1, 300)
    assert 80 <= len(epochs) <= 128
    assert of_version["training_loss"][0] > of_version["training_loss"][-1]


def test_the_history_agrees_with_trainings_that_ended_at_its_epochs(
    client: httpx.Client, trained: dict[str, Any]
) -> None:
    whole = history(client, f"/jobs/{trained['id']}")
    for epoch in (1, 20):
        job = train(client, "histories", training={"epochs": epoch, "validation_fraction": 0.25})
        metrics, i = job["metrics"], whole["epoch"].index(epoch)
        assert whole["validation_loss"][i] == pytest.approx(metrics["validation_loss"], rel=1e-6)
        assert whole["validation_accuracy"][i] == metrics["validation_accuracy"]
        assert history(client, f"/jobs/{job['id']}")["training_loss"] == whole["training_loss"][: i + 1]


def test_an_equal_recipe_has_an_equal_history(client: httpx.Client, trained: dict[str, Any]) -> None:
    again = train(client, "histories-again", training={"epochs": 300, "validation_fraction": 0.25})
    one, other = (history(client, f"/jobs/{job['id']}") for job in (trained, again))
    assert [one[name] for name in COLUMNS] == [other[name] for name in COLUMNS]


def test_without_validation_points_there_are_no_validation_figures(client: httpx.Client) -> None:
    job = train(client, "histories-plain", training={"epochs": 3})
    found = history(client, f"/jobs/{job['id']}")
    assert (found["epoch"], found["validation_loss"], found["validation_accuracy"]) == ([1, 2, 3], None, None)


def test_each_network_of_an_ensemble_has_a_history(client: httpx.Client) -> None:
    job = train(client, "histories-many", training={"epochs": 5, "ensemble": 2})
    path = f"/models/histories-many/versions/{job['version']}"
    first, second = (history(client, path, member=k) for k in range(2))
    assert (first["n_networks"], first["member"], second["member"]) == (2, 0, 1)
    assert first["epoch"] == second["epoch"] == [1, 2, 3, 4, 5]
    assert first["training_loss"] != second["training_loss"]
    assert_problem(client.get(f"{path}/history", params={"member": 2}), 422, "invalid-input", field="member")


def test_of_several_restarts_it_is_the_history_of_the_published_one(client: httpx.Client) -> None:
    job = train(client, "histories-best", training={"epochs": 40, "restarts": 3})
    results = job["restart_results"]
    best = min(results, key=lambda one: one["metrics"]["training_loss"])
    alone = train(client, "histories-best", training={"epochs": 40, "seed": best["seed"]})
    one, other = (history(client, f"/jobs/{each['id']}") for each in (job, alone))
    assert one["training_loss"] == other["training_loss"]
    assert one["n_networks"] == 1


@pytest.mark.slow
def test_the_history_of_a_running_job_grows_and_stays_after_it_was_cancelled(client: httpx.Client) -> None:
    with endless(client, model="histories-running") as job:
        path = job["links"]["self"]
        wait_until(lambda: bool(history(client, path)["epoch"]))
        first = history(client, path)
        wait_until(lambda: len(history(client, path)["epoch"]) > len(first["epoch"]))
        act(client, job, "cancel", Prefer="wait=50")
    last = history(client, path)
    assert last["version"] is None
    assert last["training_loss"][: len(first["epoch"]) - 1] == first["training_loss"][:-1]


def test_a_failed_training_has_a_history_up_to_its_end(client: httpx.Client) -> None:
    job = train(client, "histories-diverged", training={"epochs": 400, "learning_rate": 1e3, "weight_decay": 1})
    assert job["problem"]["code"] == "diverged", job
    found = history(client, f"/jobs/{job['id']}")
    assert 0 < found["epoch"][-1] <= job["progress"]["epoch"] < 400


def test_a_history_is_revalidated(client: httpx.Client, trained: dict[str, Any]) -> None:
    for path in (f"/jobs/{trained['id']}/history", f"/models/histories/versions/{trained['version']}/history"):
        answer = client.get(path)
        assert answer.headers["cache-control"] == "no-cache"
        again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_what_has_no_training_has_no_history(client: httpx.Client, trained: dict[str, Any]) -> None:
    assert_problem(client.get(f"/jobs/{UNKNOWN_ID}/history"), 404, "job-not-found")
    assert_problem(client.get("/models/histories/versions/99/history"), 404, "version-not-found")
    weights = client.get(f"/models/histories/versions/{trained['version']}/checkpoint").content
    imported = client.post(
        "/models/histories-imported/versions",
        content=weights,
        params={"activation": "tanh"},
        headers={"Content-Type": "application/octet-stream"},
    )
    assert imported.status_code == 201, imported.text
    assert_problem(client.get("/models/histories-imported/versions/1/history"), 404, "training-unknown")
