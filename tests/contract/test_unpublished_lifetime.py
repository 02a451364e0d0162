"""How long trainings that are not published live, and which processes answer for them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.contract.problems import assert_problem
from tests.serving import running, wait_until

pytestmark = pytest.mark.processes

QUICK = {"publish": False, "data": {"dataset": "flower", "n": 20}, "training": {"epochs": 1}}
ENDLESS = QUICK | {"training": {"epochs": 1_000_000}, "network": {"hidden": [64, 64]}}
BOUNDED = {"max_sessions": 3, "max_queued_jobs": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bounded")


@pytest.fixture(scope="module")
def bounded(folder: Path) -> Iterator[httpx.Client]:
    """A service that keeps three unpublished trainings, and lets three wait."""
    with running(folder, **BOUNDED) as client:
        yield client


@pytest.fixture(scope="module")
def brief(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """A service that keeps unpublished trainings for a second, and its folder."""
    folder = tmp_path_factory.mktemp("brief")
    with running(folder, session_ttl_s=1) as client:
        yield client, folder


def submit(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/train", json=body, headers={"Prefer": "wait=50"} if body == QUICK else {})
    assert answer.status_code in (200, 202), answer.text
    job: dict[str, Any] = answer.json()
    return job


def status(client: httpx.Client, job: dict[str, Any]) -> Any:
    """The status of a job; None if it was removed."""
    answer = client.get(f"/jobs/{job['id']}")
    return answer.json()["status"] if answer.status_code == 200 else None


def kept_files(folder: Path) -> list[Path]:
    return [*folder.glob("unpublished/*/checkpoints/*"), *folder.glob("unpublished/*/datasets/*")]


def test_a_training_that_is_not_read_expires_with_its_files(brief: tuple[httpx.Client, Path]) -> None:
    client, folder = brief
    given = QUICK | {"data": {"points": [[0, 0], [1, 1], [0, 1]], "labels": [0, 1, 1]}}
    job = client.post("/train", json=given, headers={"Prefer": "wait=50"}).json()
    assert job["status"] == "succeeded"
    wait_until(lambda: not kept_files(folder))
    assert status(client, job) is None


def test_a_read_extends_the_life_of_a_training(brief: tuple[httpx.Client, Path]) -> None:
    client, _ = brief
    job = submit(client, QUICK)

    def has_moved() -> bool:
        read = client.get(f"/jobs/{job['id']}")
        assert read.status_code == 200
        return bool(read.json()["expires_at"] > job["expires_at"])

    wait_until(has_moved)


def test_the_oldest_training_goes_when_there_are_too_many(bounded: httpx.Client, folder: Path) -> None:
    jobs = [submit(bounded, QUICK) for _ in range(4)]
    wait_until(lambda: len(kept_files(folder)) <= 3)
    assert_problem(bounded.get("/boundary-grid", params={"job": jobs[0]["id"]}), 404, "job-not-found")
    assert status(bounded, jobs[3]) == "succeeded"


def test_a_running_training_that_nobody_reads_is_cancelled_and_the_next_one_starts(
    brief: tuple[httpx.Client, Path],
) -> None:
    client, _ = brief
    submit(client, ENDLESS)
    assert submit(client, QUICK)["status"] == "succeeded"  # it has one training process, which is free in time


def test_another_api_process_answers_alike_and_cancels(bounded: httpx.Client, folder: Path) -> None:
    with running(folder, **BOUNDED) as other:
        job = submit(bounded, QUICK)
        request = {"job": job["id"], "points": [[0.5, 1.0]], "outputs": ["probabilities"]}
        assert other.post("/predict", json=request).json() == bounded.post("/predict", json=request).json()
        job = submit(bounded, ENDLESS)
        wait_until(lambda: status(other, job) == "running")
        assert other.post(f"/jobs/{job['id']}/cancel", headers={"Prefer": "wait=20"}).json()["status"] == "cancelled"
        assert status(bounded, job) == "cancelled"


def test_a_killed_training_process_is_replaced_and_its_training_goes_on(bounded: httpx.Client, folder: Path) -> None:
    job = submit(bounded, ENDLESS)
    wait_until(lambda: bounded.get(f"/jobs/{job['id']}").json()["progress"]["epoch"])
    os.kill(_training_process(folder).pid, signal.SIGKILL)
    wait_until(lambda: bounded.get(f"/jobs/{job['id']}").json()["attempt"] == 2)
    bounded.post(f"/jobs/{job['id']}/cancel", headers={"Prefer": "wait=20"})
    assert submit(bounded, QUICK)["status"] == "succeeded"


def _training_process(folder: Path) -> psutil.Process:
    """The process of the unpublished trainings of a folder: it has their database open."""
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    for process in [child for server in servers for child in server.children()]:
        if any(file.path.startswith(str(folder / "unpublished")) for file in process.open_files()):
            return process
    raise AssertionError("no training process has the database open")


def test_a_full_queue_answers_429_unless_the_training_supersedes(bounded: httpx.Client) -> None:
    running_job = submit(bounded, ENDLESS)
    wait_until(lambda: status(bounded, running_job) == "running")
    for _ in range(5):
        assert bounded.post("/train", json=QUICK | {"supersede": "one-page"}).status_code == 202
    answers = [bounded.post("/train", json=QUICK) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert_problem(answers[-1], 429, "queue-full")
    assert answers[-1].headers["retry-after"]
    assert bounded.post("/train", json=QUICK | {"supersede": "one-page"}).status_code == 202
    bounded.post(f"/jobs/{running_job['id']}/cancel", headers={"Prefer": "wait=20"})
