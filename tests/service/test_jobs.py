"""What a worker does with a job, and what the local engine does when a worker dies."""

import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from models.datasets import LabelledPoints, from_rows
from models.runs import Epoch
from models.specs import DatasetSpec, NetworkSpec, TrainingSpec
from service.jobs.local import LocalEngine
from service.jobs.worker import run_job, work
from service.records import Job, JobState
from service.registry import Registry
from service.store.files import Files
from service.store.store import Store
from service.trainer import MAX_DEATHS, Trainer
from tests.service.test_store import let_the_lease_run_out
from tests.serving import running, wait_until


class Nobody:
    """An engine that brings no worker: the test is the worker."""

    def start(self, job: Job) -> None:
        pass

    def end_worker(self, job: Job) -> None:
        pass

    def close(self) -> None:
        pass


class Place:
    """A data folder with its parts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = Files(path)
        self.store = Store(self.files.database)
        self.trainer = Trainer(self.store, self.files, Nobody(), max_queued_jobs=100)

    def submit(
        self,
        epochs: int = 5,
        data: DatasetSpec | LabelledPoints | None = None,
        hidden: tuple[int, ...] = (4,),
        **training: float,
    ) -> str:
        spec = TrainingSpec(epochs=epochs, **training)  # type: ignore[arg-type]
        return self.trainer.submit("m", data or DatasetSpec(), NetworkSpec(hidden=hidden), spec)


def once(act: Callable[[], object]) -> Callable[[int, Epoch], None]:
    """Acts at the first news of a training, and never again."""
    acts = [act]

    def note(passes: int, latest: Epoch) -> None:
        if acts:
            acts.pop()()

    return note


WITHOUT_END: dict[str, Any] = {"epochs": 1_000_000, "hidden": (64, 64)}  # some minutes


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.store.close()


def test_a_worker_trains_and_publishes_a_version_that_a_registry_serves(place: Place) -> None:
    job_id = place.submit()
    run_job(job_id, store=place.store, files=place.files)
    assert place.store.job(job_id).state == JobState.SUCCEEDED
    registry = Registry(place.store, place.files)
    registry.refresh()
    assert registry.resolve("m", None).card.recipe == place.store.job(job_id).recipe


def test_a_job_that_another_worker_has_is_left_alone(place: Place) -> None:
    job_id = place.submit()
    claimed = place.store.claim(job_id)
    run_job(job_id, store=place.store, files=place.files)
    assert place.store.job(job_id) == claimed


def test_a_worker_that_is_told_to_leave_puts_the_job_back(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)
    run_job(job_id, store=place.store, files=place.files, should_release=lambda: True)
    assert place.store.job(job_id).state == JobState.QUEUED


def test_a_cancelled_job_stops_in_the_middle_of_its_training(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)

    job = place.store.claim(job_id)
    assert job is not None
    work(job, store=place.store, files=place.files, on_progress=once(lambda: place.store.request_cancel(job_id)))
    job = place.store.job(job_id)
    assert job.state == JobState.CANCELLED
    assert job.version is None
    assert not (place.path / "checkpoints").exists()


def test_a_worker_whose_job_has_gone_to_another_stops_and_publishes_nothing(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)

    def lose_it() -> None:
        let_the_lease_run_out(place.files.database)
        place.trainer.reconcile()
        assert place.store.claim(job_id) is not None

    job = place.store.claim(job_id)
    assert job is not None
    work(job, store=place.store, files=place.files, on_progress=once(lose_it))
    job = place.store.job(job_id)
    assert (job.state, job.attempt) == (JobState.RUNNING, 2)
    assert place.store.versions_after(0) == []


def test_data_that_rotted_while_the_job_waited_end_it_as_failed(place: Place) -> None:
    job_id = place.submit(data=from_rows([[0.0], [1.0]], [0, 1]))
    shutil.rmtree(place.path / "datasets")
    run_job(job_id, store=place.store, files=place.files)
    job = place.store.job(job_id)
    assert job.state == JobState.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "damaged-data"


def test_a_checkpoint_that_cannot_be_written_ends_the_job_as_failed(place: Place) -> None:
    (place.path / "checkpoints").write_text("a file where the folder should be")
    job_id = place.submit()
    run_job(job_id, store=place.store, files=place.files)
    job = place.store.job(job_id)
    assert job.state == JobState.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "storage"
    assert str(place.path) not in job.problem["detail"]


def test_a_job_that_killed_its_worker_too_often_is_given_up(place: Place) -> None:
    job_id = place.submit()
    for _ in range(MAX_DEATHS):
        assert place.store.claim(job_id) is not None
        let_the_lease_run_out(place.files.database)
        place.trainer.reconcile()
    job = place.store.job(job_id)
    assert job.state == JobState.FAILED
    assert job.problem is not None
    assert job.problem["code"] == "worker-died"


def training_processes() -> set[int]:
    told = {child.pid: child.as_dict(["cmdline"], ad_value=[]) for child in psutil.Process().children()}
    return {pid for pid, one in told.items() if "spawn_main" in " ".join(one["cmdline"])}  # a dead one has no cmdline


def run_without_end(place: Place, trainer: Trainer, others: set[int]) -> tuple[str, int]:
    """A job that runs for ever, and the process that has it, which is none of the others."""
    job_id = place.submit(**WITHOUT_END)
    trainer.reconcile()
    wait_until(lambda: place.store.job(job_id).state == JobState.RUNNING)
    (process,) = training_processes() - others
    return job_id, process


def test_a_worker_that_is_killed_is_replaced_and_its_job_done_by_another(place: Place) -> None:
    others = training_processes()
    engine = LocalEngine(place.store, place.path, processes=1, log_level="error", on_end=lambda: None)
    trainer = Trainer(place.store, place.files, engine, max_queued_jobs=100)
    try:
        job_id, victim = run_without_end(place, trainer, others)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: training_processes() - others - {victim})

        let_the_lease_run_out(place.files.database)
        wait_until(lambda: (trainer.reconcile(), place.store.job(job_id).attempt == 2)[1])
        place.store.request_cancel(job_id)
        wait_until(lambda: place.store.job(job_id).state == JobState.CANCELLED)

        quick = place.submit()
        trainer.reconcile()
        wait_until(lambda: place.store.job(quick).state == JobState.SUCCEEDED)
    finally:
        engine.close()
    assert training_processes() == others


def test_a_worker_that_is_frozen_past_its_lease_is_ended_and_its_job_done_by_another(place: Place) -> None:
    others = training_processes()
    engine = LocalEngine(place.store, place.path, processes=1, log_level="error", on_end=lambda: None)
    trainer = Trainer(place.store, place.files, engine, max_queued_jobs=100)
    try:
        job_id, frozen = run_without_end(place, trainer, others)
        os.kill(frozen, signal.SIGSTOP)
        let_the_lease_run_out(place.files.database)
        wait_until(lambda: (trainer.reconcile(), place.store.job(job_id).attempt == 2)[1])
        assert frozen not in training_processes()
    finally:
        engine.close()
    assert (place.store.job(job_id).state, place.store.job(job_id).deaths) == (JobState.QUEUED, 1)


def test_an_engine_may_be_closed_at_the_very_moment_a_worker_dies(place: Place) -> None:
    for delay_s in (0.0, 0.002, 0.005, 0.01):
        others = training_processes()
        engine = LocalEngine(place.store, place.path, processes=1, log_level="critical", on_end=lambda: None)
        (victim,) = training_processes() - others
        os.kill(victim, signal.SIGKILL)
        engine.start(place.store.job(place.submit()))
        threading.Event().wait(delay_s)
        engine.close()
        assert training_processes() == others


def test_the_end_of_a_job_is_written_when_the_database_is_back(place: Place) -> None:
    job = place.store.claim(place.submit(epochs=3))
    assert job is not None
    blocker = sqlite3.connect(place.files.database, isolation_level=None, check_same_thread=False)
    impatient = Store(place.files.database, busy_timeout_s=0.1)
    released = threading.Timer(1.5, lambda: blocker.execute("ROLLBACK"))

    def lock_it(passes: int, latest: Epoch) -> None:
        if passes == 3:
            blocker.execute("BEGIN IMMEDIATE")
            released.start()

    work(job, store=impatient, files=place.files, on_progress=lock_it)
    released.join()
    impatient.close()
    blocker.close()
    assert place.store.job(job.id).state == JobState.SUCCEEDED


def test_an_engine_that_closes_does_not_wait_for_a_long_epoch_and_its_job_is_put_back(place: Place) -> None:
    engine = LocalEngine(place.store, place.path, processes=1, log_level="error", on_end=lambda: None)
    points = np.random.default_rng(0).normal(size=(100_000, 2)).tolist()
    data = from_rows(points, [i % 2 for i in range(100_000)])
    job_id = place.trainer.submit("wide", data, NetworkSpec(hidden=(960,)), TrainingSpec(epochs=10))
    engine.start(place.store.job(job_id))
    wait_until(lambda: place.store.job(job_id).state == JobState.RUNNING)
    began = time.monotonic()
    engine.close()
    assert time.monotonic() - began < 10
    job = place.store.job(job_id)
    assert (job.state, job.attempt, job.deaths) == (JobState.QUEUED, 1, 0)


def test_jobs_that_run_at_a_shutdown_are_done_after_the_next_start(tmp_path: Path) -> None:
    request = {"model": "long", "data": {"dataset": "flower"}, "training": {"epochs": 2_000}}
    with running(tmp_path) as client:
        paths = [client.post("/train", json=request).headers["location"] for _ in range(2)]
        wait_until(lambda: client.get(paths[0]).json()["status"] == "running")
    with running(tmp_path) as client:
        for number, path in enumerate(paths, start=1):
            job = client.get(path, headers={"Prefer": "wait=60"}).json()
            assert (job["status"], job["version"]) == ("succeeded", number)
