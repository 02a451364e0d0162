"""What a job shows: its progress and estimate, its entity tag, and lists of jobs."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service import records
from service.api.jobs.views import Job
from service.jobs.queue import new_spec
from service.records import JobState, JobStatus
from tests.contract.job_requests import QUICK, WAIT, act, cancelled, endless, show, submit
from tests.contract.problems import assert_problem
from tests.serving import ended, train, wait_until


@pytest.mark.slow
def test_a_running_job_shows_its_training_time_and_estimated_finish(client: httpx.Client) -> None:
    with endless(client) as job:
        wait_until(lambda: show(client, job)["training_seconds"] > job["training_seconds"])
        later = show(client, job)
        assert later["links"]["events"] == f"/jobs/{job['id']}/events"
        assert datetime.fromisoformat(later["estimated_finish_at"]) > datetime.fromisoformat(job["started_at"])
        queued = submit(client, QUICK).json()
        assert (queued["estimated_finish_at"], queued["training_seconds"]) == (None, 0)
        paused = act(client, job, "pause", **WAIT).json()
        assert paused["estimated_finish_at"] is None
        assert paused["training_seconds"] >= later["training_seconds"]


@pytest.mark.slow
def test_the_estimated_finish_assumes_the_pace_so_far(client: httpx.Client) -> None:
    with endless(client) as job:
        wait_until(lambda: show(client, job)["training_seconds"] > 1)
        answer = client.get(job["links"]["self"])
        now = parsedate_to_datetime(answer.headers["date"])
        shown = answer.json()
        fraction = shown["progress"]["fraction"]
        left_s = (datetime.fromisoformat(shown["estimated_finish_at"]) - now).total_seconds()
        assert left_s == pytest.approx(shown["training_seconds"] * (1 - fraction) / fraction, abs=3)


def test_a_finish_beyond_the_longest_training_is_not_estimated() -> None:
    training = TrainingSpec(epochs=1_000_000, restarts=100)
    spec = new_spec("slow", DatasetSpec(), NetworkSpec(), training, origin="http")

    def estimated_finish(epoch: int, ran_s: float) -> datetime | None:
        job = records.Job(spec, JobStatus(state=JobState.RUNNING, epoch=epoch, ran_s=ran_s))
        return Job.of(job).estimated_finish_at

    assert estimated_finish(epoch=1, ran_s=3_600.0) is None
    assert estimated_finish(epoch=10_000_000, ran_s=3_600.0) is not None
    assert estimated_finish(epoch=0, ran_s=0.0) is None


@pytest.mark.slow
def test_an_unchanged_job_is_not_sent_again(client: httpx.Client) -> None:
    with endless(client) as job:
        path = submit(client, QUICK).json()["links"]["self"]
        first = client.get(path)
        assert first.headers["cache-control"] == "no-cache"
        tag = first.headers["etag"]
        again = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"].removeprefix("W/") == tag
        assert again.headers["retry-after"] == "1"
        assert client.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()
        cancelled(client, job)
    job = ended(client, path)
    answer = client.get(path, headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.json() == job
    assert job["status"] == "succeeded"
    assert answer.headers["etag"] != tag
    assert "retry-after" not in answer.headers


@pytest.mark.slow
def test_jobs_are_listed_by_model_and_state(client: httpx.Client) -> None:
    done = [train(client, "listed")["id"] for _ in range(3)]
    with endless(client):
        queued = submit(client, QUICK | {"model": "listed"}).json()

        def ids(**query: Any) -> list[str]:
            return [job["id"] for job in client.get("/jobs", params={"model": "listed"} | query).json()["data"]]

        assert ids() == [queued["id"], *done[::-1]]
        assert ids(status="succeeded") == done[::-1]
        assert ids(status="queued") == [queued["id"]]
        assert ids(limit=1, after=done[2]) == [done[1]]
        assert ids(model="nobody") == []
        for status in ("pausing", "paused", "cancelling", "failed"):
            assert ids(status=status) == []
        cancelled(client, queued)
    assert_problem(client.get("/jobs", params={"model": "No Name"}), 422, "invalid-input", field="model")
