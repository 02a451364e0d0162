"""Requests about jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.serving import wait_until

QUICK: dict[str, Any] = {"model": "quick", "data": {"dataset": "flower"}, "training": {"epochs": 1}}
ENDLESS: dict[str, Any] = {
    "model": "endless",
    "data": {"dataset": "flower"},
    "network": {"hidden": [64, 64]},
    "training": {"epochs": 1_000_000},
}
"""A training that takes longer than any test."""

UNKNOWN_ID = "0" * 24
WAIT = {"Prefer": "wait=50"}


def submit(client: httpx.Client, body: dict[str, Any], **headers: str) -> httpx.Response:
    """The response to `POST /jobs`. Underscores in the names of headers stand for hyphens."""
    return client.post("/jobs", json=body, headers=_hyphenated(headers))


def is_accepted(answer: httpx.Response) -> bool:
    """Whether a submission succeeded: with status 200 if its job has ended, else with 202."""
    has_ended = answer.json().get("status") in ("succeeded", "failed", "cancelled")
    return answer.status_code == (200 if has_ended else 202)


def act(client: httpx.Client, job: dict[str, Any], action: str, **headers: str) -> httpx.Response:
    """The response to `POST /jobs/{job_id}/{action}`. Underscores in the names of headers stand for hyphens."""
    return client.post(f"{job['links']['self']}/{action}", headers=_hyphenated(headers))


def _hyphenated(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def show(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job as it is now."""
    shown: dict[str, Any] = client.get(job["links"]["self"]).json()
    return shown


def cancelled(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """The job after it was cancelled."""
    answer = act(client, job, "cancel", **WAIT)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    ended: dict[str, Any] = answer.json()
    return ended


@contextmanager
def endless(client: httpx.Client, **change: Any) -> Iterator[dict[str, Any]]:
    """A job that trains until it is stopped, once no other job waits or runs. It is cancelled at the end."""
    wait_until(lambda: not any(_jobs(client, status) for status in ("queued", "running")))
    job = submit(client, ENDLESS | change).json()
    try:
        wait_until(lambda: show(client, job)["progress"]["epoch"] > 0)
        yield show(client, job)
    finally:
        act(client, job, "cancel", **WAIT)


def _jobs(client: httpx.Client, status: str) -> list[Any]:
    jobs: list[Any] = client.get("/jobs", params={"status": status}).json()["data"]
    return jobs


def newest_job_id(client: httpx.Client) -> str | None:
    """The id of the job that was submitted last; None if there is no job."""
    first: str | None = client.get("/jobs", params={"limit": 1}).json()["first_id"]
    return first
