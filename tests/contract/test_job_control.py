"""Actions on a job: cancel, pause, resume, retry, delete."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.contract.job_requests import QUICK, WAIT, act, cancelled, endless, newest_job_id, show, submit
from tests.contract.problems import assert_problem
from tests.serving import ended, train, wait_until


@pytest.mark.slow
def test_a_cancelled_training_stops_midway_and_publishes_nothing(client: httpx.Client) -> None:
    with endless(client) as job:
        answer = act(client, job, "cancel")
        assert answer.status_code in (200, 202)
        assert answer.json()["status"] == ("cancelling" if answer.status_code == 202 else "cancelled")
        assert act(client, job, "cancel").status_code in (200, 202)

        done = ended(client, job["links"]["self"])
        assert done["status"] == "cancelled"
        assert 0 < done["progress"]["epoch"] < done["progress"]["epochs"]
        assert done["version"] is None
        assert done["problem"] is None
        assert datetime.fromisoformat(done["finished_at"]) > datetime.fromisoformat(done["started_at"])
        assert_problem(client.get("/models/endless"), 404, "model-not-found")
        again = act(client, job, "cancel")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")
        assert "retry-after" not in again.headers


@pytest.mark.slow
def test_a_queued_job_is_paused_resumed_and_cancelled_at_once(client: httpx.Client) -> None:
    with endless(client):
        job = submit(client, QUICK).json()
        for action, status in {"pause": "paused", "resume": "queued", "cancel": "cancelled"}.items():
            answer = act(client, job, action)
            assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert show(client, job)["attempt"] == 0


@pytest.mark.slow
def test_a_wait_for_a_job_ends_when_another_client_cancels_it(client: httpx.Client) -> None:
    with endless(client), ThreadPoolExecutor(1) as threads:
        job = submit(client, QUICK).json()
        waiting = threads.submit(client.get, job["links"]["self"], headers=WAIT)
        cancelled(client, job)
        assert waiting.result().json()["status"] == "cancelled"


@pytest.mark.slow
def test_a_paused_training_lets_others_run_and_resumes_where_it_stopped(client: httpx.Client) -> None:
    with endless(client) as job:
        answer = act(client, job, "pause", **WAIT)
        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "wait=50"
        paused = answer.json()
        assert paused["status"] == "paused"
        assert paused["finished_at"] is None
        assert "checkpoint" in paused["links"]
        assert act(client, job, "pause").json()["status"] == "paused"
        assert train(client, "meanwhile")["status"] == "succeeded"

        assert act(client, job, "resume").json()["status"] in ("queued", "running")
        wait_until(lambda: show(client, job)["progress"]["epoch"] > paused["progress"]["epoch"])
        resumed = show(client, job)
        assert resumed["status"] == "running"
        assert resumed["attempt"] == 2
        assert resumed["started_at"] == paused["started_at"]
        assert act(client, job, "resume").json()["status"] == "running"


@pytest.mark.slow
def test_a_client_can_poll_until_a_job_is_paused(client: httpx.Client) -> None:
    with endless(client) as job:
        answer = act(client, job, "pause")
        assert (answer.status_code, answer.json()["status"]) in [(202, "pausing"), (200, "paused")]
        wait_until(lambda: show(client, job)["status"] == "paused")
        assert act(client, job, "cancel").json()["status"] == "cancelled", "no worker holds the job"


@pytest.mark.slow
def test_a_paused_and_resumed_training_gives_the_same_weights_as_an_uninterrupted_one(client: httpx.Client) -> None:
    long = {"network": {"hidden": [32, 32]}, "training": {"epochs": 20_000}}
    job = submit(client, QUICK | long).json()
    wait_until(lambda: show(client, job)["status"] == "running")
    assert act(client, job, "pause", **WAIT).json()["status"] == "paused"
    act(client, job, "resume")
    jobs = [ended(client, job["links"]["self"]), train(client, "straight", **long)]
    assert [job["attempt"] for job in jobs] == [2, 1]
    cards = [client.get(job["links"]["version"]).json()["card"] for job in jobs]
    assert cards[0]["files"]["network.safetensors"] == cards[1]["files"]["network.safetensors"]
    assert jobs[0]["metrics"] == jobs[1]["metrics"]


@pytest.mark.slow
def test_an_action_that_the_state_of_a_job_does_not_allow_is_refused(client: httpx.Client) -> None:
    succeeded = train(client, "done")
    for action in ("cancel", "pause", "resume", "retry"):
        assert_problem(act(client, succeeded, action), 409, "wrong-state", current_status="succeeded")
    assert show(client, succeeded) == succeeded
    with endless(client) as job:
        assert_problem(act(client, job, "retry"), 409, "wrong-state", current_status="running")
        assert_problem(client.delete(job["links"]["self"]), 409, "wrong-state", current_status="running")
        assert act(client, job, "pause", **WAIT).status_code == 200
        assert_problem(act(client, job, "retry"), 409, "wrong-state", current_status="paused")
        assert_problem(client.delete(job["links"]["self"]), 409, "wrong-state", current_status="paused")
        cancelled(client, job)
        for action in ("pause", "resume"):
            assert_problem(act(client, job, action), 409, "wrong-state", current_status="cancelled")


@pytest.mark.slow
def test_the_body_of_an_action_is_ignored(client: httpx.Client) -> None:
    with endless(client) as job:
        path = f"{job['links']['self']}/cancel"
        answer = client.post(path, content=b"{not json", headers={"Content-Type": "application/json"})
        assert answer.status_code in (200, 202)
        assert client.post(path, json={"reason": "x" * 100_000}).status_code in (200, 202)


@pytest.mark.slow
def test_a_failed_or_cancelled_job_is_retried_as_a_new_job(client: httpx.Client) -> None:
    diverging = {
        "network": {"hidden": [4, 4], "activation": "identity"},
        "training": {"epochs": 500, "learning_rate": 1_000},
    }
    failed = train(client, "diverging", metadata={"try": "me"}, **diverging)
    answer = act(client, failed, "retry")
    assert answer.status_code == 202
    again = ended(client, answer.headers["location"])
    assert answer.headers["location"] == again["links"]["self"] != failed["links"]["self"]
    assert again["retry_of"] == failed["id"]
    assert failed["retry_of"] is None
    asked = ("model", "data", "data_digest", "network", "training", "recipe_digest", "metadata")
    same = (*asked, "status", "problem", "metrics")
    assert {key: again[key] for key in same} == {key: failed[key] for key in same}
    assert show(client, failed) == failed

    with endless(client):
        never_started = cancelled(client, submit(client, QUICK | {"model": "never-started"}).json())
        answer = client.get(f"{never_started['links']['self']}/checkpoint")
        assert_problem(answer, 404, "nothing-kept")
        assert "ended before" in answer.json()["detail"]
    retried = act(client, never_started, "retry")
    assert ended(client, retried.headers["location"])["status"] == "succeeded"


@pytest.mark.slow
def test_a_retry_repeated_with_the_same_idempotency_key_is_the_same_job(client: httpx.Client) -> None:
    with endless(client):
        first, other = (cancelled(client, submit(client, QUICK).json()) for _ in range(2))
        again = act(client, first, "retry", Idempotency_Key="retried")
        replayed = act(client, first, "retry", Idempotency_Key="retried")
        assert "idempotent-replayed" not in again.headers
        assert replayed.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == replayed.headers["location"]
        reused = act(client, other, "retry", Idempotency_Key="retried")
        assert_problem(reused, 422, "idempotency-key-reused")
        assert_problem(submit(client, QUICK, Idempotency_Key="retried"), 422, "idempotency-key-reused")
        cancelled(client, again.json())


@pytest.mark.slow
def test_validate_only_shows_what_a_retry_would_be_and_creates_no_job(client: httpx.Client) -> None:
    with endless(client) as job:
        assert_problem(act(client, job, "retry?validate_only=true"), 409, "wrong-state")
    before = newest_job_id(client)
    answer = act(client, job, "retry?validate_only=true")
    assert answer.status_code == 200
    assert answer.json().pop("recipe_digest") == job["recipe_digest"]
    assert newest_job_id(client) == before


def test_a_deleted_job_is_gone_and_its_version_stays(client: httpx.Client) -> None:
    job = submit(client, QUICK | {"model": "outlives-its-job"}, Idempotency_Key="deleted").json()
    job = ended(client, job["links"]["self"])
    answer = client.delete(job["links"]["self"])
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(client.get(job["links"]["self"]), 404, "job-not-found")
    assert_problem(client.delete(job["links"]["self"]), 404, "job-not-found")
    assert client.get("/jobs", params={"model": "outlives-its-job"}).json()["data"] == []
    assert client.get(job["links"]["version"]).json()["status"] == "served"
    assert client.get(job["links"]["version"] + "/checkpoint").status_code == 200
    assert client.post("/predict", json={"model": "outlives-its-job", "points": [[0, 0]]}).status_code == 200

    again = submit(client, QUICK | {"model": "outlives-its-job"}, Idempotency_Key="deleted")
    assert "idempotent-replayed" not in again.headers
    assert again.json()["id"] != job["id"]


@pytest.mark.slow
def test_a_list_of_jobs_can_be_deleted_page_by_page(client: httpx.Client) -> None:
    ids = [train(client, "one-by-one")["id"] for _ in range(5)]
    query: dict[str, Any] = {"model": "one-by-one", "limit": 2}
    deleted = []
    while True:
        page = client.get("/jobs", params=query).json()
        for job in page["data"]:
            assert client.delete(job["links"]["self"]).status_code == 204
            deleted.append(job["id"])
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert deleted == ids[::-1]
