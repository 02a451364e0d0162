"""What a worker does with a job, on both databases."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import torch

from models.checkpoints import torch_files
from models.datasets import from_rows, generate
from models.selection.candidates import Given
from models.specs import DatasetSpec
from models.training.runs import Epoch
from service.errors import StoreUnavailable
from service.jobs.queue import NewJob, new_auto_spec
from service.records import Job, JobState
from service.registry.registry import Registry
from service.store.database import Database
from service.store.leases import Leases
from service.store.publication import Publication
from service.store.store import Store
from tests.databases import expire_leases
from tests.service.places import ENDLESS, Place, all_versions
from tests.serving import wait_until


@pytest.fixture
def place(tmp_path: Path, url: str) -> Iterator[Place]:
    place = Place(tmp_path / "data", url)
    yield place
    place.store.close()


class Progress:
    """Follows a training. Its clock advances by one second for every 250 epochs."""

    def __init__(self) -> None:
        self.epochs = 0
        self.longest_slice = 0

    def note(self, epochs: int, _: Epoch) -> None:
        self.longest_slice = max(self.longest_slice, epochs - self.epochs)
        self.epochs = epochs

    def clock(self) -> float:
        return self.epochs / 250


class Crash(BaseException):
    """Ends a worker without any cleanup."""


def at_first_progress(act: Callable[[], object]) -> Callable[[int, Epoch], None]:
    """Returns a callback that acts on the first progress of a training only."""
    pending = [act]

    def note(epochs: int, latest: Epoch) -> None:
        if pending:
            pending.pop()()

    return note


def stop_after(epochs: int) -> dict[str, Any]:
    """Returns options for a worker that releases its job after so many epochs, or a few more."""
    reached = threading.Event()
    return {
        "on_progress": lambda done, latest: reached.set() if done >= epochs else None,
        "should_stop": reached.is_set,
    }


def problem(job: Job) -> str:
    assert job.state == JobState.FAILED
    assert job.status.problem is not None
    return job.status.problem["code"]


def test_a_worker_publishes_a_version_that_a_registry_serves(place: Place) -> None:
    place.submit()
    job = place.work(place.claim())
    status = job.status
    assert (status.state, status.epoch, status.checkpoint, status.worker) == (JobState.SUCCEEDED, 5, None, None)
    registry = Registry(place.store, place.files)
    registry.refresh()
    assert registry.resolve("m", None).card.recipe == job.spec.recipe
    assert place.folders() == [job.checkpoint_id]


@pytest.mark.slow
@pytest.mark.parametrize(
    "training",
    [  # long enough that no slice of 20 ms covers two fifths of it
        {"implementation": "compiled"},
        {"implementation": "torch", "epochs": 300},
        {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 70, "epochs": 8_000},
        {"restarts": 4, "epochs": 20_000, "validation_fraction": 0.25},
    ],
)
def test_a_job_that_was_interrupted_several_times_ends_with_the_same_weights(
    place: Place, training: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"epochs": 40_000} | training
    place.submit(**settings)
    whole = place.work(place.claim())
    job_id = place.submit(**settings)
    for part in (0.2, 0.4, 0.6):
        left = place.work(place.claim(), **stop_after(int(part * (whole.max_epochs or 0))))
        assert left.state == JobState.QUEUED
        assert place.folders() == sorted([whole.checkpoint_id, left.status.checkpoint or ""])
    job = place.work(place.claim())
    status, expected = job.status, whole.status
    assert (job.id, status.state, status.attempt, status.crash_count) == (job_id, JobState.SUCCEEDED, 4, 0)
    assert (status.epoch, status.metrics, status.restarts) == (expected.epoch, expected.metrics, expected.restarts)
    assert place.weights(2) == place.weights(1)
    assert len(place.folders()) == 2, "the checkpoints in between are left"


@pytest.mark.slow
def test_a_crash_loses_at_most_a_second_of_work(place: Place) -> None:
    job_id = place.submit(**ENDLESS)
    progress = Progress()

    def crash_after_four_seconds(epochs: int, latest: Epoch) -> None:
        progress.note(epochs, latest)
        if progress.clock() >= 4:
            raise Crash

    with pytest.raises(Crash):
        place.work(place.claim(), on_progress=crash_after_four_seconds, clock=progress.clock)
    place.store.leases.reclaim_from("w")
    queued = place.store.jobs.get(job_id)
    assert (queued.state, queued.status.crash_count) == (JobState.QUEUED, 1)
    assert place.folders() == [queued.status.checkpoint], "only the latest checkpoint is kept"

    resume_state = torch_files.load_resume_state(place.files.checkpoint_folder(place.folders()[0]))
    assert progress.epochs - resume_state.epochs[0] <= 250 + 2 * progress.longest_slice

    resumed = Progress()
    place.work(place.claim(), on_progress=resumed.note, should_stop=lambda: resumed.epochs > 0)
    assert resumed.epochs > resume_state.epochs[0] > 0, "the next attempt starts at the checkpoint"


@pytest.mark.slow
def test_a_job_with_a_damaged_checkpoint_restarts_from_the_beginning(place: Place) -> None:
    place.submit(epochs=40_000)
    left = place.work(place.claim(), **stop_after(1_000))
    (file,) = place.files.checkpoint_folder(left.status.checkpoint or "").glob("resume_state.*")
    file.write_bytes(file.read_bytes()[:-1])
    assert place.work(place.claim()).state == JobState.SUCCEEDED


@pytest.mark.parametrize(("request_", "state"), [("cancel", JobState.CANCELLED), ("pause", JobState.PAUSED)])
def test_a_training_stops_when_it_is_cancelled_or_paused(place: Place, request_: str, state: JobState) -> None:
    job_id = place.submit(**ENDLESS)
    stop = at_first_progress(lambda: getattr(place.store.jobs, request_)(job_id))
    job = place.work(place.claim(), on_progress=stop)
    assert (job.state, job.status.version) == (state, None)
    assert place.folders() == ([job.status.checkpoint] if state == JobState.PAUSED else [])


def test_plain_torch_loads_the_weights_of_a_paused_job(place: Place) -> None:
    job_id = place.submit(**ENDLESS)
    job = place.work(place.claim(), on_progress=at_first_progress(lambda: place.store.jobs.pause(job_id)))
    folder = place.files.checkpoint_folder(job.status.checkpoint or "")
    state = torch.load(folder / "network.pth", weights_only=True)
    assert [tuple(value.shape) for value in state.values()] == [(64, 2), (64,), (64, 64), (64,), (1, 64), (1,)]


def test_a_worker_that_has_lost_its_job_stops_and_leaves_no_files(place: Place) -> None:
    job_id = place.submit(**ENDLESS)

    def lose_the_job() -> None:
        expire_leases(place.url)
        place.store.leases.reclaim_expired()
        place.claim("other")

    job = place.work(place.claim(), on_progress=at_first_progress(lose_the_job))
    assert (job.id, job.state, job.status.attempt, job.status.worker) == (job_id, JobState.RUNNING, 2, "other")
    assert all_versions(place.store) == []
    assert place.folders() == []


@pytest.mark.slow
def test_a_training_that_exceeds_its_time_limit_fails_and_keeps_a_checkpoint(place: Place) -> None:
    place.submit(**ENDLESS)
    left = place.work(place.claim(), max_training_s=0.5)
    assert problem(left) == "time-limit"
    assert place.folders() == [left.status.checkpoint]
    assert left.status.ran_s > 0.2


@pytest.mark.slow
def test_the_time_limit_covers_all_attempts(place: Place) -> None:
    job_id = place.submit(**ENDLESS)
    place.work(place.claim(), should_stop=lambda: place.store.jobs.get(job_id).status.ran_s > 0.4)
    assert problem(place.work(place.claim(), max_training_s=0.41)) == "time-limit"


def test_a_job_whose_points_are_lost_fails(place: Place) -> None:
    place.submit(data=from_rows([[0.0], [1.0]], [0, 1]))
    shutil.rmtree(place.path / "datasets")
    assert problem(place.work(place.claim())) == "damaged-data"


def test_a_job_whose_result_cannot_be_written_fails(place: Place) -> None:
    (place.path / "checkpoints").write_text("a file where the folder should be")
    place.submit()
    job = place.work(place.claim())
    assert problem(job) == "storage"
    assert str(place.path) not in str(job.status.problem)


@pytest.mark.slow
def test_a_job_whose_result_cannot_be_written_keeps_its_last_checkpoint(place: Place) -> None:
    place.submit(epochs=40_000)
    left = place.work(place.claim(), **stop_after(1_000))
    claimed = place.claim()
    place.files.checkpoint_folder(claimed.checkpoint_id).mkdir()  # where its result should be
    job = place.work(claimed, clock=lambda: 0.0)  # no new checkpoint is ever due
    assert (problem(job), job.status.checkpoint) == ("storage", left.status.checkpoint)
    assert left.status.checkpoint in place.folders()


@pytest.mark.slow
def test_a_training_continues_when_a_checkpoint_cannot_be_saved(place: Place) -> None:
    place.submit(**ENDLESS)
    place.path.joinpath("checkpoints").write_text("a file where the folder should be")
    progress = Progress()
    job = place.work(
        place.claim(),
        on_progress=progress.note,
        should_stop=lambda: progress.clock() >= 1.4,  # a checkpoint was due after one second
        clock=progress.clock,
    )
    assert problem(job) == "storage"
    assert progress.clock() >= 1.4


@pytest.mark.slow
def test_a_training_emits_its_progress_now_and_then(place: Place) -> None:
    job_id = place.submit(**ENDLESS)

    def emitted() -> list[dict[str, Any]]:
        page, _ = place.store.events.page(job_id, after=0, limit=1000)
        return [event.data for event in page if event.kind == "metrics"]

    job = place.work(place.claim(), should_stop=lambda: len(emitted()) >= 3)
    epochs = [data["epoch"] for data in emitted()]
    assert epochs == sorted(set(epochs))
    assert set(emitted()[0]) == {"epoch", "epochs", "metrics"}
    assert set(emitted()[0]["metrics"]) >= {"training_loss", "training_accuracy"}
    assert job.status.epoch >= epochs[-1]


@pytest.mark.slow
def test_watchers_see_the_weights_of_a_running_training(place: Place) -> None:
    job_id = place.submit(**ENDLESS)
    seen: dict[int, bytes] = {}

    def has_seen_three() -> bool:
        snapshot = place.store.events.snapshot(job_id)
        if snapshot is not None:
            seen[snapshot.epoch] = snapshot.weights
        return len(seen) >= 3

    place.store.events.watch([job_id], seconds=3600)
    place.work(place.claim(), should_stop=has_seen_three)
    weights = [safetensors.numpy.load(content) for content in seen.values()]
    assert {array.shape for array in weights[0].values()} == {(64, 2), (64,), (64, 64), (1, 64), (1,)}
    assert len(set(seen.values())) == 3


@contextmanager
def outage(place: Place) -> Iterator[Callable[[], None]]:
    """Yields a function that makes the database unavailable for 1.5 s, for a store that waits for 0.1 s."""
    blocker = Database(place.url)
    impatient = Store(place.url, busy_s=0.1)
    locked, unlock = threading.Event(), threading.Event()

    def lock_it() -> None:
        with blocker.writing(serial=True):
            locked.set()
            unlock.wait(60)

    thread = threading.Thread(target=lock_it)

    def begin() -> None:
        thread.start()
        locked.wait(60)
        threading.Timer(1.5, unlock.set).start()

    place.store, own = impatient, place.store
    yield begin
    thread.join()
    place.store = own
    impatient.close()
    blocker.close()


@pytest.mark.slow
def test_the_outcome_is_written_once_the_database_is_back(place: Place) -> None:
    place.submit(epochs=3)
    job = place.claim()
    with outage(place) as begin:
        done = place.work(job, on_progress=lambda epochs, latest: begin() if epochs == 3 else None)
    assert done.state == JobState.SUCCEEDED


@pytest.mark.slow
def test_chosen_settings_are_recorded_once_the_database_is_back(place: Place) -> None:
    points = generate(DatasetSpec(dataset="moons", n=60))
    given = Given({"scale": "standard", "hidden": [3]}, {"weight_decay": 0.01})
    place.job_queue.submit(NewJob(new_auto_spec("m", points, given, origin="http"), points))
    job = place.claim()
    with outage(place) as begin:
        done = place.work(job, on_score=lambda score: begin())
    assert done.state == JobState.SUCCEEDED
    assert done.status.choice is not None


@pytest.mark.slow
def test_workers_that_claim_at_once_run_each_job_once(place: Place) -> None:
    for _ in range(6):
        place.submit(epochs=1)

    def work() -> None:
        while (job := place.store.leases.claim(threading.current_thread().name)) is not None:
            place.work(job)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not place.store.jobs.any_queued())
    assert {job.status.attempt for job in place.store.jobs.page(limit=10)[0]} == {1}
    assert [version.version for version in all_versions(place.store)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_a_publication_whose_confirmation_was_lost_still_counts(place: Place) -> None:
    """The connection breaks between the commit and its confirmation, so the worker writes the outcome again."""
    place.submit()
    job = place.claim()

    class Forgetful(Leases):
        """Loses the confirmation of its first publication."""

        published = False

        def publish(self, *args: Any, **options: Any) -> Publication | None:
            version = super().publish(*args, **options)
            lost, self.published = not self.published, True
            if lost:
                raise StoreUnavailable("The connection is lost.")
            return version

    database = Database(place.url)
    place.store.leases = Forgetful(database)
    done = place.work(job)
    database.close()
    assert (done.state, done.status.version) == (JobState.SUCCEEDED, 1)
    assert place.folders() == [job.checkpoint_id]
    registry = Registry(place.store, place.files)
    registry.refresh()
    assert registry.resolve("m", None).published.version == 1


def test_checkpoints_that_a_killed_worker_did_not_record_are_removed_when_the_job_ends(place: Place) -> None:
    place.submit()
    job = place.claim()
    place.files.checkpoint_folder(f"{job.checkpoint_id}-17").mkdir(parents=True)
    later = f"{job.id}-{job.status.attempt + 1}-17"  # of an attempt that this one does not know of
    place.files.checkpoint_folder(later).mkdir()
    place.work(job)
    assert place.folders() == [job.checkpoint_id, later]
