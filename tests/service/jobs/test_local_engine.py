"""What the local engine does with its processes, and what becomes of jobs when one of them dies."""

import os
import signal
import threading
import time
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
from service.store.transitions import MAX_DEATHS
from tests.databases import let_the_lease_run_out
from tests.service.places import WITHOUT_END, Place
from tests.serving import running, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place.of_folder(tmp_path)
    yield place
    place.store.close()


@contextmanager
def engine_of(place: Place, **settings: Any) -> Iterator[LocalEngine]:
    """An engine that the place's trainer wakes."""
    options: dict[str, Any] = {"data_dir": place.path, "log_level": "error"} | settings
    engine = LocalEngine(place.store, Settings(**options), on_end=lambda: None)
    place.job_queue = JobQueue(place.store, place.files, engine, max_queued_jobs=100)
    try:
        yield engine
    finally:
        engine.close()


def training_processes() -> set[int]:
    """Those of all engines of this process: what its fork server has forked."""
    servers = [child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]
    return {child.pid for server in servers for child in server.children()}


def holder(place: Place, job_id: str, others: set[int]) -> int:
    """The one training process there is, once it has the job."""
    wait_until(lambda: place.store.jobs.get(job_id).state == JobState.RUNNING)
    (process,) = training_processes() - others
    return process


def wait_for(place: Place, job_id: str, condition: Callable[[Job], bool]) -> Job:
    wait_until(lambda: condition(place.store.jobs.get(job_id)))
    return place.store.jobs.get(job_id)


def test_a_process_that_is_killed_is_replaced_and_its_job_goes_on_at_once(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**WITHOUT_END)
        wait_for(place, job_id, lambda job: job.status.checkpoint is not None)
        victim = holder(place, job_id, others)
        os.kill(victim, signal.SIGKILL)
        job = wait_for(place, job_id, lambda job: job.status.attempt == 2)
        assert (job.state, job.status.deaths) == (JobState.RUNNING, 1)
        assert job.status.epoch > 0, "it goes on from its checkpoint"
        assert holder(place, job_id, others) != victim
        page, _ = place.store.events.page(job_id, after=0, limit=1000)
        times = {event.data["attempt"]: event.created_at for event in page if event.data.get("status") == "running"}
        lost = next(e.created_at for e in page if e.data.get("status") == "queued" and e.data["attempt"] == 1)
        assert times[2] - lost < 10, "it need not wait for the lease to run out"
        place.store.jobs.cancel(job_id)
        wait_for(place, job_id, lambda job: job.state == JobState.CANCELLED)
        assert wait_for(place, place.submit(), lambda job: job.state.ended).state == JobState.SUCCEEDED
    assert training_processes() == others


def test_a_fork_server_that_is_killed_is_replaced_with_the_next_process(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**WITHOUT_END)
        victim = psutil.Process(holder(place, job_id, others))
        server = victim.parent()
        assert server is not None
        server.kill()
        victim.kill()
        wait_for(place, job_id, lambda job: job.status.attempt == 2 and job.state == JobState.RUNNING)
        place.store.jobs.cancel(job_id)
        wait_for(place, job_id, lambda job: job.state == JobState.CANCELLED)


def test_a_job_that_kills_every_process_that_takes_it_is_given_up(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        (place.path / "checkpoints").write_text("a file where the folder should be: no attempt gets any further")
        job_id = place.submit(**WITHOUT_END)
        for attempt in range(1, MAX_DEATHS + 1):
            wait_for(place, job_id, lambda job, attempt=attempt: job.status.attempt == attempt)  # type: ignore[misc]
            os.kill(holder(place, job_id, others), signal.SIGKILL)
        job = wait_for(place, job_id, lambda job: job.state.ended)
        assert (job.state, job.status.deaths, job.status.attempt) == (JobState.FAILED, MAX_DEATHS, MAX_DEATHS)
        assert job.status.problem is not None
        assert job.status.problem["code"] == "worker-died"
        (place.path / "checkpoints").unlink()
        assert wait_for(place, place.submit(), lambda job: job.state.ended).state == JobState.SUCCEEDED


def test_a_process_that_is_frozen_past_its_lease_is_ended_and_its_job_goes_to_another(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**WITHOUT_END)
        frozen = holder(place, job_id, others)
        os.kill(frozen, signal.SIGSTOP)
        let_the_lease_run_out(place.url)
        wait_until(lambda: (place.job_queue.reconcile(), place.store.jobs.get(job_id).status.attempt == 2)[1])
        wait_until(lambda: frozen not in training_processes())
    job = place.store.jobs.get(job_id)
    assert (job.state, job.status.deaths) == (JobState.QUEUED, 0), "the second worker has kept where it came to"


def test_a_job_whose_lease_ran_out_while_nobody_could_look_is_not_taken_from_its_worker_at_once(place: Place) -> None:
    with engine_of(place):
        job_id = place.submit(**WITHOUT_END)
        wait_for(place, job_id, lambda job: job.state == JobState.RUNNING)
        let_the_lease_run_out(place.url)
        place.job_queue.reconcile()
        assert wait_for(place, job_id, lambda job: job.status.epoch > 0).status.attempt == 1


def test_a_process_that_is_told_to_end_gives_its_job_back_as_it_stands(place: Place) -> None:
    others = training_processes()
    with engine_of(place):
        job_id = place.submit(**WITHOUT_END)
        before = wait_for(place, job_id, lambda job: job.status.epoch > 0)
        (told,) = training_processes() - others
        os.kill(told, signal.SIGTERM)
        job = wait_for(place, job_id, lambda job: job.status.attempt == 2)
        assert (job.status.deaths, job.status.checkpoint is not None) == (0, True)
        assert job.status.epoch >= before.status.epoch
        assert told not in training_processes()


def test_the_jobs_of_all_models_get_their_turn(place: Place) -> None:
    for _ in range(4):
        place.submit(epochs=1)
    last = place.submit(epochs=1, model="other")
    with engine_of(place):
        wait_until(lambda: all(job.state.ended for job in place.store.jobs.page(limit=9)[0]))
    started = sorted(place.store.jobs.page(limit=9)[0], key=lambda job: job.status.started_at or 0)
    assert [job.id for job in started].index(last) == 1


def test_no_more_jobs_run_at_a_time_than_there_are_processes(place: Place) -> None:
    with engine_of(place, training_processes=2):
        jobs = [place.submit(**WITHOUT_END) for _ in range(3)]
        wait_until(lambda: sum(place.store.jobs.get(job).state == JobState.RUNNING for job in jobs) == 2)
        place.store.jobs.cancel(jobs[0])
        wait_for(place, jobs[2], lambda job: job.state == JobState.RUNNING)
        assert place.store.jobs.get(jobs[1]).status.attempt == 1


def test_an_engine_without_processes_leaves_the_queue_to_others(place: Place) -> None:
    others = training_processes()
    with engine_of(place, training_processes=0):
        job_id = place.submit()
        place.job_queue.reconcile()
        assert training_processes() == others
        assert place.store.jobs.get(job_id).state == JobState.QUEUED


def test_an_engine_may_be_closed_at_the_very_moment_a_process_dies(place: Place) -> None:
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


def test_a_training_that_needs_more_memory_than_it_may_take_fails_and_the_process_lives(place: Place) -> None:
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


def test_an_engine_that_closes_does_not_wait_for_a_long_epoch_and_its_job_is_put_back(place: Place) -> None:
    points = np.random.default_rng(0).normal(size=(100_000, 2)).tolist()
    data = from_rows(points, [i % 2 for i in range(100_000)])
    with engine_of(place):
        job_id = place.submit(epochs=10, data=data, hidden=(960,))
        wait_for(place, job_id, lambda job: job.state == JobState.RUNNING)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    job = place.store.jobs.get(job_id)
    assert (job.state, job.status.attempt, job.status.deaths) == (JobState.QUEUED, 1, 0)


def test_jobs_that_run_at_a_shutdown_go_on_after_the_next_start(tmp_path: Path) -> None:
    request = {"model": "long", "data": {"dataset": "flower"}, "training": {"epochs": 200_000}}
    with running(tmp_path) as client:
        paths = [client.post("/train", json=request).headers["location"] for _ in range(2)]
        wait_until(lambda: client.get(paths[0]).json()["progress"]["epoch"] > 0)
    with running(tmp_path) as client:
        jobs = [client.get(path, headers={"Prefer": "wait=60"}).json() for path in paths]
    assert [(job["status"], job["version"], job["attempt"]) for job in jobs] == [
        ("succeeded", 1, 2),
        ("succeeded", 2, 1),
    ]
