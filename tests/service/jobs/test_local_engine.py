"""The local engine: its processes, and their jobs when a process dies."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from models.datasets import from_rows
from service.jobs.local import LocalEngine
from service.jobs.queue import JobQueue
from service.records import Job, JobState
from service.settings import Settings
from service.store.leases import LEASE_S
from service.store.transitions import MAX_CRASHES
from tests.databases import expire_leases, freeze_past_its_lease
from tests.service.places import ENDLESS, Place
from tests.serving import running, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place.of_folder(tmp_path)
    yield place
    place.store.close()


@contextmanager
def engine_of(place: Place, **settings: Any) -> Iterator[LocalEngine]:
    """An engine that the job queue of the place wakes."""
    options: dict[str, Any] = {"data_dir": place.path, "log_level": "error", "training_niceness": 0} | settings
    engine = LocalEngine(Settings(**options), place.store, on_job_end=lambda: None)
    place.job_queue = JobQueue(place.store, place.files, engine, max_queued_jobs=100)
    try:
        yield engine
    finally:
        engine.close()


def training_processes() -> set[int]:
    """The processes of all engines of this process, which its fork server has forked."""
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    return {child.pid for server in servers for child in server.children()}


def holder(place: Place, job_id: str, others: set[int]) -> int:
    """The only training process, once it runs the job."""
    wait_until(lambda: place.store.jobs.get(job_id).state == JobState.RUNNING)
    (process,) = training_processes() - others
    return process


def wait_for(place: Place, job_id: str, condition: Callable[[Job], bool]) -> Job:
    wait_until(lambda: condition(place.store.jobs.get(job_id)))
    return place.store.jobs.get(job_id)


def test_a_killed_process_is_replaced_and_its_job_resumes_at_once(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**ENDLESS)
        wait_for(place, job_id, lambda job: job.status.checkpoint is not None)
        victim = holder(place, job_id, others)
        os.kill(victim, signal.SIGKILL)
        job = wait_for(place, job_id, lambda job: job.status.attempt == 2)
        assert (job.state, job.status.crash_count) == (JobState.RUNNING, 1)
        assert job.status.epoch > 0, "it did not resume from its checkpoint"
        assert holder(place, job_id, others) != victim
        page, _ = place.store.events.page(job_id, after=0, limit=1000)
        times = {event.data["attempt"]: event.created_at for event in page if event.data.get("status") == "running"}
        lost = next(e.created_at for e in page if e.data.get("status") == "queued" and e.data["attempt"] == 1)
        assert times[2] - lost < LEASE_S, "it waited for the lease to expire"
        place.store.jobs.cancel(job_id)
        wait_for(place, job_id, lambda job: job.state == JobState.CANCELLED)
        assert wait_for(place, place.submit(), lambda job: job.state.ended).state == JobState.SUCCEEDED
    assert training_processes() == others


def test_a_killed_fork_server_is_replaced(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**ENDLESS)
        victim = psutil.Process(holder(place, job_id, others))
        server = victim.parent()
        assert server is not None
        server.kill()
        victim.kill()
        wait_for(place, job_id, lambda job: job.status.attempt == 2 and job.state == JobState.RUNNING)
        place.store.jobs.cancel(job_id)
        wait_for(place, job_id, lambda job: job.state == JobState.CANCELLED)


def test_idle_processes_end_and_the_next_job_starts_them_again(place: Place) -> None:
    others = training_processes()
    with engine_of(place, training_idle_s=0.1):
        for _ in range(3):
            job = wait_for(place, place.submit(epochs=1), lambda job: job.state.ended)
            assert (job.state, job.status.attempt) == (JobState.SUCCEEDED, 1)
            wait_until(lambda: training_processes() == others)
        job_id = place.submit(**ENDLESS)
        assert wait_for(place, job_id, lambda job: job.status.epoch > 0).status.attempt == 1, "it is not idle"
        place.store.jobs.cancel(job_id)
        wait_until(lambda: training_processes() == others)


def test_a_job_that_crashes_every_process_fails(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        (place.path / "checkpoints").write_text("a file where the folder should be: no attempt reaches a checkpoint")
        job_id = place.submit(**ENDLESS)
        for attempt in range(1, MAX_CRASHES + 1):
            wait_for(place, job_id, lambda job, attempt=attempt: job.status.attempt == attempt)  # type: ignore[misc]
            os.kill(holder(place, job_id, others), signal.SIGKILL)
        job = wait_for(place, job_id, lambda job: job.state.ended)
        assert (job.state, job.status.crash_count, job.status.attempt) == (JobState.FAILED, MAX_CRASHES, MAX_CRASHES)
        assert job.status.problem is not None
        assert job.status.problem["code"] == "worker-died"
        (place.path / "checkpoints").unlink()
        assert wait_for(place, place.submit(), lambda job: job.state.ended).state == JobState.SUCCEEDED


def test_a_process_that_is_frozen_past_its_lease_is_killed_and_another_one_runs_its_job(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**ENDLESS)
        frozen = holder(place, job_id, others)
        freeze_past_its_lease(frozen, place.url)
        wait_until(lambda: (place.job_queue.reconcile(), place.store.jobs.get(job_id).status.attempt == 2)[1])
        wait_until(lambda: frozen not in training_processes())
    job = place.store.jobs.get(job_id)  # the second worker has saved a checkpoint when the engine closed
    assert (job.state, job.status.crash_count) == (JobState.QUEUED, 0)


def test_a_worker_may_renew_a_lease_that_expired_while_the_queue_was_not_watched(place: Place) -> None:
    with engine_of(place):
        job_id = place.submit(**ENDLESS)
        wait_for(place, job_id, lambda job: job.state == JobState.RUNNING)
        expire_leases(place.url)
        place.job_queue.reconcile()
        assert wait_for(place, job_id, lambda job: job.status.epoch > 0).status.attempt == 1


def test_a_process_that_is_terminated_saves_and_releases_its_job(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**ENDLESS)
        before = wait_for(place, job_id, lambda job: job.status.epoch > 0)
        (terminated,) = training_processes() - others
        os.kill(terminated, signal.SIGTERM)
        job = wait_for(place, job_id, lambda job: job.status.attempt == 2)
        assert (job.status.crash_count, job.status.checkpoint is not None) == (0, True)
        assert job.status.epoch >= before.status.epoch
        assert terminated not in training_processes()


def test_models_share_a_process_fairly(place: Place) -> None:
    for _ in range(4):
        place.submit(epochs=1)
    last = place.submit(epochs=1, model="other")
    with engine_of(place):
        wait_until(lambda: all(job.state.ended for job in place.store.jobs.page(limit=9)[0]))
    started = sorted(place.store.jobs.page(limit=9)[0], key=lambda job: job.status.started_at or 0)
    assert [job.id for job in started].index(last) == 1


def test_no_more_jobs_run_at_a_time_than_there_are_processes(place: Place) -> None:
    with engine_of(place, training_processes=2):
        jobs = [place.submit(**ENDLESS) for _ in range(3)]
        wait_until(lambda: sum(place.store.jobs.get(job).state == JobState.RUNNING for job in jobs) == 2)
        place.store.jobs.cancel(jobs[0])
        wait_for(place, jobs[2], lambda job: job.state == JobState.RUNNING)
        assert place.store.jobs.get(jobs[1]).status.attempt == 1


def test_an_engine_without_processes_runs_no_jobs(place: Place) -> None:
    others = training_processes()
    with engine_of(place, training_processes=0):
        job_id = place.submit()
        place.job_queue.reconcile()
        assert training_processes() == others
        assert place.store.jobs.get(job_id).state == JobState.QUEUED


def test_an_engine_that_cannot_start_processes_says_so(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from multiprocessing import spawn
from service.jobs.local import LocalEngine
from service.settings import Settings
from tests.service.places import Place
from tests.serving import wait_until

spawn.set_executable("/no/such/program")
place = Place.of_folder(Path({str(tmp_path)!r}))
engine = LocalEngine(Settings(data_dir=place.path), place.store, on_job_end=lambda: None)
assert engine.can_start
wait_until(lambda: not engine.can_start)
engine.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no training process could be started" in done.stderr


def test_an_engine_can_be_closed_while_a_process_dies(place: Place) -> None:
    for delay_s in (0.0, 0.002, 0.005, 0.01):
        others = training_processes()
        with engine_of(place):
            wait_until(lambda: training_processes() - others)  # noqa: B023  # called at once
            (victim,) = training_processes() - others
            os.kill(victim, signal.SIGKILL)
            place.submit()
            threading.Event().wait(delay_s)
        assert training_processes() == others
    assert {job.state for job in place.store.jobs.page(limit=9)[0]} <= {JobState.QUEUED, JobState.SUCCEEDED}


def test_a_training_that_exceeds_the_memory_limit_fails_and_the_process_survives(place: Place) -> None:
    others = training_processes()
    with engine_of(place, max_training_memory_bytes=2**28):
        points = [[float(i), float(-i)] for i in range(100_000)]
        data = from_rows(points, [i % 2 for i in range(100_000)])
        job_id = place.submit(data=data, hidden=(900,), epochs=2, implementation="torch")
        process = holder(place, job_id, others)
        job = wait_for(place, job_id, lambda job: job.state.ended)
        assert job.status.problem is not None
        assert (job.status.problem["code"], job.status.attempt) == ("out-of-memory", 1)
        assert wait_for(place, place.submit(), lambda job: job.state.ended).state == JobState.SUCCEEDED
        assert training_processes() - others == {process}


def test_closing_an_engine_does_not_wait_for_a_long_epoch_and_requeues_the_job(place: Place) -> None:
    points = np.random.default_rng(0).normal(size=(100_000, 2)).tolist()
    data = from_rows(points, [i % 2 for i in range(100_000)])
    with engine_of(place):
        job_id = place.submit(epochs=10, data=data, hidden=(960,))
        wait_for(place, job_id, lambda job: job.state == JobState.RUNNING)
    job = place.store.jobs.get(job_id)
    assert (job.state, job.status.attempt, job.status.crash_count) == (JobState.QUEUED, 1, 0)


def test_jobs_that_run_at_a_shutdown_resume_after_the_next_start(tmp_path: Path) -> None:
    request = {"model": "long", "data": {"dataset": "flower"}, "network": {"hidden": [64, 64]}}
    endless = request | {"training": {"epochs": 1_000_000}}
    with running(tmp_path) as client:
        path, queued = (client.post("/train", json=endless).headers["location"] for _ in range(2))
        wait_until(lambda: client.get(path).json()["progress"]["epoch"] > 0)
        before = client.get(path).json()["progress"]["epoch"]
    with running(tmp_path) as client:
        wait_until(lambda: client.get(path).json()["attempt"] == 2)
        job = client.get(path).json()
        assert (job["status"], client.get(queued).json()["status"]) == ("running", "queued")
        assert job["progress"]["epoch"] >= before, "work is lost"
        client.post(f"{path}/cancel")
        wait_until(lambda: client.get(queued).json()["status"] == "running")
        assert client.get(queued).json()["attempt"] == 1
