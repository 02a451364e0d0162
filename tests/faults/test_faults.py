"""Processes are killed and frozen, databases fail and disks fill up: what happens to the jobs. Real processes."""

import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from models.checkpoints import cards
from service.records import Job, JobState
from service.store.files import Files
from service.store.store import Store
from service.store.transitions import MAX_CRASHES
from tests.contract.problems import assert_problem
from tests.databases import freeze_past_its_lease
from tests.postgres import PostgreSQL
from tests.processes import LONG, Service, has_ended, separatrix, service
from tests.service.places import all_versions
from tests.serving import DEADLINE_S, train, wait_until

pytestmark = pytest.mark.processes

LEASE = ("--lease-s", "5")
"""Short enough to wait for its end, long enough that a worker on a busy machine renews it in time."""


STOP = ("--shutdown-timeout-s", "1")
"""A stop waits for this long for requests that will get no answer."""


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on SQLite. Its tests leave it running."""
    with service(tmp_path_factory.mktemp("sqlite"), *LEASE) as one:
        yield one


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, mortal_postgresql: PostgreSQL) -> Iterator[Service]:
    """A service on a database that tests may kill."""
    options = (*LEASE, *STOP, "--database-url", mortal_postgresql.new_database())
    with service(tmp_path_factory.mktemp("mortal"), *options) as one:
        yield one


@pytest.fixture
def on_postgresql(mortal: Service) -> Service:
    """A service on PostgreSQL, which runs whatever an earlier test did to it."""
    if has_ended(mortal.process):
        mortal.start()
    return mortal


@pytest.fixture(params=["on_sqlite", pytest.param("on_postgresql", marks=pytest.mark.postgres)])
def on_any(request: pytest.FixtureRequest) -> Service:
    """A service on each kind of database."""
    one: Service = request.getfixturevalue(request.param)
    return one


def has_checkpoint(one: Service, path: str) -> bool:
    """Returns whether the job runs and has saved a checkpoint."""
    job = one.job(path)
    return job["status"] == "running" and "checkpoint" in job["links"]


def resumed(one: Service, path: str, *, attempt: int) -> dict[str, Any]:
    """Returns the job once that attempt trains it."""
    wait_until(lambda: (job := one.job(path))["attempt"] == attempt and job["progress"]["epoch"] > 0)
    return one.job(path)


def test_a_killed_api_process_loses_no_job_and_its_workers_release_theirs_at_once(on_any: Service) -> None:
    one = on_any
    path = one.submit()
    wait_until(lambda: has_checkpoint(one, path))
    queued = one.submit(training={"epochs": 10})
    workers = one.training_processes()
    before = one.job(path)["progress"]["epoch"]
    one.kill()
    wait_until(lambda: all(has_ended(worker) for worker in workers))
    assert state_of(one, path) == JobState.QUEUED, "nobody is left who could have waited for the end of its lease"
    one.start()
    job = resumed(one, path, attempt=2)
    assert job["progress"]["epoch"] >= before, "work is lost"
    cancel(one, path)
    wait_until(lambda: one.job(queued)["status"] == "succeeded")


def cancel(one: Service, path: str) -> None:
    store = store_of(one)
    store.jobs.cancel(path.rpartition("/")[2])
    store.close()


def state_of(one: Service, path: str) -> JobState:
    """Returns the state of a job, also if the service does not run."""
    store = store_of(one)
    state = store.jobs.get(path.rpartition("/")[2]).state
    store.close()
    return state


def store_of(one: Service) -> Store:
    return Store(Files(one.data_dir).database_url if one.database_url is None else one.database_url)


def test_a_job_resumes_after_its_lease_when_all_processes_are_killed(on_sqlite: Service) -> None:
    one = on_sqlite
    path = one.submit()
    wait_until(lambda: has_checkpoint(one, path))
    one.kill(*one.family())
    assert state_of(one, path) == JobState.RUNNING
    one.start()
    assert resumed(one, path, attempt=2)["status"] == "running"
    cancel(one, path)


def test_a_worker_that_was_frozen_writes_nothing_after_another_has_taken_over_its_job(on_sqlite: Service) -> None:
    one = on_sqlite
    command = ["train", "--model", "frozen", "--hidden", "64,64", "--epochs", "1000000", "--data-dir"]
    with separatrix(*command, str(one.data_dir), stderr=subprocess.PIPE) as worker:
        wait_until(lambda: one.client.get("/jobs?model=frozen").json()["data"] != [])
        path = one.client.get("/jobs?model=frozen").json()["data"][0]["links"]["self"]
        wait_until(lambda: has_checkpoint(one, path))
        freeze_past_its_lease(worker.pid, Files(one.data_dir).database_url)
        resumed(one, path, attempt=2)
        worker.send_signal(signal.SIGCONT)
        _, said = worker.communicate(timeout=DEADLINE_S)
        assert worker.returncode == 1
        assert b"has taken over the job" in said
        job = one.job(path)
        assert (job["attempt"], job["status"]) == (2, "running")
    cancel(one, path)


def test_trainings_and_predictions_continue_while_the_database_is_down(
    on_postgresql: Service, mortal_postgresql: PostgreSQL
) -> None:
    one = on_postgresql
    train(one.client, "served")
    path = one.submit()
    wait_until(lambda: has_checkpoint(one, path))
    mortal_postgresql.kill()
    assert_problem(one.client.get(path), 503, "store-unavailable")
    assert_problem(one.client.post("/train", json=LONG), 503, "store-unavailable")
    for _ in every(PAUSE_S, seconds=7):  # longer than the lease
        answer = one.client.post("/predict", json={"model": "served", "points": [[0, 0]]})
        assert answer.status_code == 200
        assert one.client.get("/health/live").status_code == 200
    mortal_postgresql.start()
    wait_until(lambda: one.client.get(path).status_code == 200)
    epoch = one.job(path)["progress"]["epoch"]
    wait_until(lambda: one.job(path)["progress"]["epoch"] > epoch)
    assert one.job(path)["attempt"] == 1, "its worker has lost it"
    assert one.job(path)["status"] == "running"
    one.client.post(f"{path}/cancel", headers={"Prefer": "wait=50"})


PAUSE_S = 0.05
"""Between the requests of a client that watches an outage: without it, they would take a core from other tests."""


def every(pause_s: float, *, seconds: float) -> Iterator[None]:
    """Yields again and again for so many seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        threading.Event().wait(pause_s)


def test_a_job_that_cannot_write_its_files_fails_and_the_service_continues(on_postgresql: Service) -> None:
    one = on_postgresql
    path = one.submit()
    wait_until(lambda: has_checkpoint(one, path))
    (process,) = one.training_processes()
    process.rlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # as if the disk were full
    one.client.post(f"{path}/pause")  # the training stops, and its state cannot be saved
    wait_until(lambda: one.job(path)["status"] == "failed")
    job = one.job(path)
    assert job["problem"]["code"] == "storage"
    assert one.client.get(job["links"]["checkpoint"]).status_code == 200, "the last checkpoint is lost"
    process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert train(one.client, "next")["status"] == "succeeded"


def test_predictions_and_the_shutdown_work_while_the_database_does_not_answer(
    on_postgresql: Service, mortal_postgresql: PostgreSQL
) -> None:
    one = on_postgresql
    train(one.client, "served")
    with mortal_postgresql.silent():
        metrics = one.client.get("/metrics", timeout=9)  # before Prometheus would give up
        assert "separatrix_database_available 0.0" in metrics.text
        for _ in every(PAUSE_S, seconds=7):  # longer than cached versions count as fresh
            answer = one.client.post("/predict", json={"model": "served", "points": [[0, 0]]}, timeout=5)
            assert answer.status_code == 200
            assert one.client.get("/health/ready", timeout=5).status_code == 200
        one.tell_to_stop()
        one.wait()


KILLS, JOBS = 200, 100


@pytest.mark.skipif(os.environ.get("FAULTS") != "1", reason="takes some minutes: make test-faults")
def test_two_hundred_kills_neither_lose_nor_repeat_any_of_a_hundred_jobs(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    rng = random.Random(7)
    url = postgresql.new_database()
    with service(tmp_path, "--workers", "2", *LEASE, "--database-url", url) as one:
        store = Store(url)
        wait_until(lambda: len(one.training_processes()) == 2)
        ids, kills = [], Counter[str]()
        for number in range(JOBS):
            ids.append(submit_until_accepted(one, f"m{number % 5}", key=f"job-{number}"))
            for _ in range(KILLS // JOBS):
                wait_until(lambda: store.jobs.page(limit=1, state=JobState.RUNNING)[0] or not store.jobs.any_queued())
                threading.Event().wait(rng.uniform(0.0, 0.2))
                kills[kill_one_of(one, rng)] += 1
        assert min(kills.values()) >= 3, kills
        wait_until(lambda: all(job.state.ended for job in all_jobs(store)), deadline_s=240)
        jobs = {job.id: job for job in all_jobs(store)}
        assert set(jobs) == set(ids)
        assert_each_ended_once(store, list(jobs.values()), Files(one.data_dir))
        for model in {job.model for job in jobs.values()}:
            latest = max(job.status.version or 0 for job in jobs.values() if job.model == model)
            answer = one.client.post("/predict", json={"model": model, "points": [[0, 0]]})
            assert answer.json()["version"] == latest
        assert sum(job.status.attempt > 1 for job in jobs.values()) >= 10, "too few kills hit a running job"
        store.close()


def submit_until_accepted(one: Service, model: str, *, key: str) -> str:
    """Submits a job once, whatever happens to the processes that receive the request, and returns its id."""
    body = {"model": model, "data": {"dataset": "flower"}, "training": {"epochs": 150_000}}
    while True:
        with suppress(httpx.TransportError):
            answer = one.client.post("/train", json=body, headers={"Idempotency-Key": key})
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])


def kill_one_of(one: Service, rng: random.Random) -> str:
    """Kills a random process of the service, most often one that trains, and returns its kind."""
    kind = rng.choices(["training", "forking", "serving"], [0.92, 0.04, 0.04])[0]
    victims = {
        "training": one.training_processes,
        "forking": one.fork_servers,
        "serving": one.serving_processes,
    }[kind]
    wait_until(victims)
    with suppress(IndexError, psutil.NoSuchProcess):  # it may have ended meanwhile
        rng.choice(victims()).kill()
    return kind


def all_jobs(store: Store) -> list[Job]:
    return store.jobs.page(limit=1_000)[0]


def assert_each_ended_once(store: Store, jobs: list[Job], files: Files) -> None:
    versions = all_versions(store)
    published = Counter(version.job_id for version in versions)
    assert set(published.values()) == {1}
    for job in jobs:
        events, _ = store.events.page(job.id, after=0, limit=10_000)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert sum(event.kind == "done" for event in events) == 1
        assert events[-1].kind == "done"
        attempts = [event.data["attempt"] for event in events if event.data.get("status") == "running"]
        assert attempts == list(range(1, job.status.attempt + 1))
        if job.state == JobState.SUCCEEDED:
            assert published[job.id] == 1
        else:
            assert (job.state, job.status.crash_count, job.id in published) == (JobState.FAILED, MAX_CRASHES, False)
    for version in versions:
        cards.read(files.checkpoint_folder(version.checkpoint_id), card_digest=version.card_digest)
