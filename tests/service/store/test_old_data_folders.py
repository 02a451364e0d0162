"""Data folders that earlier versions wrote still open, and their jobs continue."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from service.api.jobs.event_schemas import StreamEvent
from service.api.jobs.views import Job as Shown
from service.live import envelopes
from service.records import Job, JobState
from service.registry.registry import Registry
from service.store.database import sqlite_url
from service.store.files import Files
from service.store.store import Store
from service.store.transitions import MAX_CRASHES
from tests.databases import execute
from tests.service.places import Place, all_versions
from tests.serving import running, wait_until

FOLDER = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("has_restarts", [True, False])
def test_a_database_from_before_migrations_existed_is_migrated(tmp_path: Path, has_restarts: bool) -> None:
    url = sqlite_url(tmp_path / "old.db")
    execute(url, *(FOLDER / "old_data_folder.sql").read_text().split(";\n"))
    if not has_restarts:
        execute(url, "ALTER TABLE jobs DROP COLUMN restarts")
    store = Store(url)
    done, diverged = store.jobs.get("done"), store.jobs.get("diverged")
    assert (done.state, done.status.version, done.status.checkpoint) == (JobState.SUCCEEDED, 1, None)
    assert (diverged.state, diverged.status.checkpoint, diverged.spec.metadata) == (JobState.FAILED, "diverged-2", {})
    assert diverged.status.problem == {"code": "diverged", "detail": "d"}
    assert [version.model for version in all_versions(store)] == ["m"]
    claimed = store.leases.claim("w")
    assert claimed is not None
    assert claimed.id == "waiting"
    store.close()


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Place]:
    """A data folder of release 0.1.0.

    `flower-logistic` is published. `flower-module` is a seed job whose worker crashed once, then vanished. Of the model
    `mine`, one job is paused after 4,681 of 20,000 epochs, and one is queued after two crashes.
    """
    with ZipFile(FOLDER / "data_folder_0_1_0.zip") as archive:
        archive.extractall(tmp_path)
    place = Place.of_folder(tmp_path)
    yield place
    place.store.close()


def job_in(place: Place, state: JobState) -> Job:
    ((job,), _) = place.store.jobs.page(limit=9, state=state)
    return job


def test_jobs_and_events_of_the_last_release_have_the_names_of_the_api(released: Place) -> None:
    jobs, _ = released.store.jobs.page(limit=100)
    kinds = set()
    for job in jobs:
        Shown.of(job)
        for event in released.store.events.page(job.id, after=0, limit=1_000)[0]:
            StreamEvent.model_validate_json(envelopes.encode(envelopes.stored(event)))
            kinds.add(event.kind)
    assert kinds == {"status", "metrics", "checkpoint", "done"}
    succeeded = job_in(released, JobState.SUCCEEDED)
    assert succeeded.status.restarts is not None
    assert [one["stop_reason"] for one in succeeded.status.restarts] == ["completed"]
    assert succeeded.spec.data["n_classes"] == 2


def test_versions_of_the_last_release_are_served(released: Place) -> None:
    registry = Registry(released.store, released.files)
    registry.refresh()
    loaded = registry.resolve("flower-logistic", 1)
    assert loaded.card.epochs == 20
    assert job_in(released, JobState.SUCCEEDED).spec.recipe == loaded.card.recipe


def test_seed_jobs_of_the_last_release_are_still_seed_jobs(released: Place) -> None:
    (job,) = released.store.jobs.unended_seed_jobs()
    assert (job.model, job.spec.origin, job.state, job.status.crash_count) == (
        *("flower-module", "seed"),
        *(JobState.RUNNING, 1),
    )
    assert released.store.leases.reclaim_from("gone") == [job]
    assert released.claim().id == job.id, "it keeps its fair-share slot"


def test_crashes_under_the_last_release_count(released: Place) -> None:
    queued = job_in(released, JobState.QUEUED)
    assert queued.status.crash_count == MAX_CRASHES - 1
    assert released.claim().id == queued.id
    released.store.leases.reclaim_from("w")
    assert released.store.jobs.get(queued.id).state == JobState.FAILED


def test_a_job_that_was_paused_under_the_last_release_can_be_resumed(released: Place) -> None:
    paused = job_in(released, JobState.PAUSED)
    assert (paused.status.epoch, paused.spec.data) == (4_681, {"n_points": 25, "n_features": 2})
    released.store.jobs.cancel(job_in(released, JobState.QUEUED).id)
    released.job_queue.resume(paused.id)
    done = released.work(released.claim())  # from the beginning: resume states of 0.1.0 are not read
    assert (done.id, done.state, done.status.version) == (paused.id, JobState.SUCCEEDED, 1)
    assert done.status.epoch == 20_000


@pytest.mark.slow
def test_a_data_folder_of_release_0_2_0_is_served_and_its_jobs_continue(tmp_path: Path) -> None:
    """Killed while `long` was running with a checkpoint and `waits` was queued. The model `mine` has two versions."""
    with ZipFile(FOLDER / "data_folder_0_2_0.zip") as archive:
        archive.extractall(tmp_path)
    with running(tmp_path) as client:
        body = {"model": "mine", "points": [[0.5, 0.25], [2, -1]]}
        answer = client.post("/predict", json=body).json()
        assert (answer["version"], answer["classes"], answer["labels"]) == (2, ["red", "blue"], ["red", "blue"])
        of_that_release = [[0.6756557837146523, 0.32434421628534776], [0.49359417546956835, 0.5065058245304316]]
        assert np.allclose(answer["probabilities"], of_that_release, atol=1e-4)
        assert client.post("/predict", json=body | {"version": 1}).json()["classes"] == ["a", "b"]
        jobs = {job["model"]: job["links"]["self"] for job in client.get("/jobs").json()["data"]}
        wait_until(lambda: (job := client.get(jobs["long"]).json())["attempt"] == 2 and job["progress"]["epoch"] > 0)
        client.post(f"{jobs['long']}/cancel", headers={"Prefer": "wait=50"})
        wait_until(lambda: client.get(jobs["waits"]).json()["status"] == "succeeded")
    store = Store(Files(tmp_path).database_url)
    assert store.faults() == []
    store.close()
