"""What a worker does with a job, on both databases."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import torch

from models.checkpoints import torch_files
from models.datasets import from_rows
from models.training.runs import Epoch
from service.errors import StoreUnavailable
from service.jobs.worker import CHECKPOINT_S
from service.records import Job, JobState
from service.registry.registry import Registry
from service.store.database import Database
from service.store.jobs import Jobs
from service.store.store import Store
from tests.databases import let_the_lease_run_out
from tests.service.places import WITHOUT_END, Place
from tests.serving import wait_until


@pytest.fixture
def place(tmp_path: Path, url: str) -> Iterator[Place]:
    place = Place(tmp_path / "data", url)
    yield place
    place.store.close()


def once(act: Callable[[], object]) -> Callable[[int, Epoch], None]:
    """Acts at the first news of a training, and never again."""
    acts = [act]

    def note(passes: int, latest: Epoch) -> None:
        if acts:
            acts.pop()()

    return note


def after(passes: int) -> dict[str, Any]:
    """Options of a worker that leaves its job after so many passes, or a few more."""
    reached = threading.Event()
    return {
        "on_progress": lambda done, latest: reached.set() if done >= passes else None,
        "should_leave": reached.is_set,
    }


def problem(job: Job) -> str:
    assert job.state == JobState.FAILED
    assert job.status.problem is not None
    return job.status.problem["code"]


def test_a_worker_trains_and_publishes_a_version_that_a_registry_serves(place: Place) -> None:
    place.submit()
    job = place.work(place.claim())
    assert (job.state, job.status.epoch, job.status.checkpoint, job.status.worker) == (
        JobState.SUCCEEDED,
        5,
        None,
        None,
    )
    registry = Registry(place.store, place.files)
    registry.refresh()
    assert registry.resolve("m", None).card.recipe == job.spec.recipe
    assert place.folders() == [job.checkpoint_id]


@pytest.mark.parametrize(
    "training",
    [
        {"implementation": "compiled"},
        {"implementation": "torch", "epochs": 300},
        {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 70, "epochs": 300},
        {"restarts": 4, "epochs": 5_000, "validation_fraction": 0.25},
    ],
)
def test_a_job_that_was_left_several_times_ends_in_the_weights_of_one_that_was_not(
    place: Place, training: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"epochs": 40_000} | training
    place.submit(**settings)
    whole = place.work(place.claim())
    job_id = place.submit(**settings)
    for part in (0.2, 0.4, 0.6):
        left = place.work(place.claim(), **after(int(part * whole.spec.max_epochs)))
        assert (left.state, place.folders()) == (
            JobState.QUEUED,
            sorted([whole.checkpoint_id, left.status.checkpoint or ""]),
        )
    job = place.work(place.claim())
    assert (job.id, job.state, job.status.attempt, job.status.deaths) == (job_id, JobState.SUCCEEDED, 4, 0)
    assert (job.status.epoch, job.status.metrics, job.status.restarts) == (
        whole.status.epoch,
        whole.status.metrics,
        whole.status.restarts,
    )
    assert place.weights(2) == place.weights(1)
    assert len(place.folders()) == 2, "nothing is left of the parts"


def test_a_worker_that_dies_costs_no_more_than_what_it_did_since_its_last_checkpoint(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)
    job = place.claim()
    dies = threading.Event()

    class Died(BaseException):
        pass

    def live_to_the_second_checkpoint(passes: int, latest: Epoch) -> None:
        page, _ = place.store.events.page(job_id, after=0, limit=1000)
        if sum(event.kind == "checkpoint" for event in page) == 2:
            dies.set()
            raise Died

    with pytest.raises(Died):
        place.work(job, on_progress=live_to_the_second_checkpoint)
    place.store.jobs.take_back_from("w")
    waiting = place.store.jobs.get(job_id)
    assert (waiting.state, waiting.status.deaths) == (JobState.QUEUED, 1)
    assert place.folders() == [waiting.status.checkpoint], "only the latest is kept"
    resume_state = torch_files.load_resume_state(place.files.checkpoint_folder(place.folders()[0]))
    begun: list[int] = []
    place.work(place.claim(), on_progress=lambda passes, _: begun.append(passes), should_leave=lambda: bool(begun))
    assert begun[0] > resume_state.passes[0] > 0
    assert CHECKPOINT_S <= 5


def test_a_checkpoint_that_rotted_costs_the_work_but_not_the_job(place: Place) -> None:
    place.submit(epochs=40_000)
    left = place.work(place.claim(), **after(1_000))
    (file,) = place.files.checkpoint_folder(left.status.checkpoint or "").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])
    assert place.work(place.claim()).state == JobState.SUCCEEDED


@pytest.mark.parametrize(("ask", "state"), [("cancel", JobState.CANCELLED), ("pause", JobState.PAUSED)])
def test_a_job_stops_in_the_middle_of_its_training_when_it_is_asked_to(place: Place, ask: str, state: JobState) -> None:
    job_id = place.submit(**WITHOUT_END)
    job = place.work(place.claim(), on_progress=once(lambda: getattr(place.store.jobs, ask)(job_id)))
    assert (job.state, job.status.version) == (state, None)
    assert place.folders() == ([job.status.checkpoint] if state == JobState.PAUSED else [])


def test_the_weights_of_a_paused_job_can_be_loaded_by_plain_torch(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)
    job = place.work(place.claim(), on_progress=once(lambda: place.store.jobs.pause(job_id)))
    folder = place.files.checkpoint_folder(job.status.checkpoint or "")
    state = torch.load(folder / "network.pth", weights_only=True)
    assert [tuple(value.shape) for value in state.values()] == [(64, 2), (64,), (64, 64), (64,), (1, 64), (1,)]


def test_a_worker_whose_job_has_gone_to_another_stops_and_leaves_nothing_behind(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)

    def lose_it() -> None:
        let_the_lease_run_out(place.url)
        place.store.jobs.take_back_silent()
        place.claim("other")

    job = place.work(place.claim(), on_progress=once(lose_it))
    assert (job.id, job.state, job.status.attempt, job.status.worker) == (job_id, JobState.RUNNING, 2, "other")
    assert place.store.versions.after(0) == []
    assert place.folders() == []


def test_a_training_that_takes_longer_than_it_may_fails_and_keeps_what_it_has(place: Place) -> None:
    place.submit(**WITHOUT_END)
    left = place.work(place.claim(), max_training_s=0.5)
    assert problem(left) == "time-limit"
    assert place.folders() == [left.status.checkpoint]
    assert left.status.ran_s > 0.2


def test_the_time_of_all_attempts_counts(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)
    place.work(place.claim(), should_leave=lambda: place.store.jobs.get(job_id).status.ran_s > 0.4)
    began = time.monotonic()
    assert problem(place.work(place.claim(), max_training_s=0.41)) == "time-limit"
    assert time.monotonic() - began < 30, "it is far from done"


def test_data_that_rotted_while_the_job_waited_end_it_as_failed(place: Place) -> None:
    place.submit(data=from_rows([[0.0], [1.0]], [0, 1]))
    shutil.rmtree(place.path / "datasets")
    assert problem(place.work(place.claim())) == "damaged-data"


def test_a_result_that_cannot_be_written_ends_the_job_as_failed(place: Place) -> None:
    (place.path / "checkpoints").write_text("a file where the folder should be")
    place.submit()
    job = place.work(place.claim())
    assert problem(job) == "storage"
    assert str(place.path) not in str(job.status.problem)


def test_a_job_that_cannot_write_its_result_keeps_its_last_checkpoint(place: Place) -> None:
    place.submit(epochs=40_000)
    left = place.work(place.claim(), **after(1_000))
    claimed = place.claim()
    place.files.checkpoint_folder(claimed.checkpoint_id).mkdir()  # where its result should be
    job = place.work(claimed)
    assert (problem(job), job.status.checkpoint) == ("storage", left.status.checkpoint)
    assert left.status.checkpoint in place.folders()


def test_a_training_goes_on_when_it_cannot_be_kept(place: Place) -> None:
    place.submit(**WITHOUT_END)
    place.path.joinpath("checkpoints").write_text("a file where the folder should be")
    beats: list[int] = []
    job = place.claim()
    job = place.work(
        job,
        max_training_s=2 * CHECKPOINT_S,
        on_progress=lambda passes, _: beats.append(passes),
    )
    assert problem(job) == "storage"
    assert job.status.ran_s > 1.4 * CHECKPOINT_S, "it went on after the first checkpoint failed"


def test_a_training_tells_its_progress_now_and_then(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)

    def told() -> list[dict[str, Any]]:
        page, _ = place.store.events.page(job_id, after=0, limit=1000)
        return [event.data for event in page if event.kind == "metrics"]

    job = place.work(place.claim(), should_leave=lambda: len(told()) >= 3)
    epochs = [data["epoch"] for data in told()]
    assert epochs == sorted(set(epochs))
    assert set(told()[0]) >= {"epoch", "epochs", "training_loss", "training_accuracy"}
    assert job.status.epoch >= epochs[-1]


def test_whoever_watches_sees_the_weights_of_the_training_as_it_goes_on(place: Place) -> None:
    job_id = place.submit(**WITHOUT_END)
    seen: dict[int, bytes] = {}

    def look() -> bool:
        snapshot = place.store.events.snapshot(job_id)
        if snapshot is not None:
            seen[snapshot.epoch] = snapshot.weights
        return len(seen) >= 3

    place.store.events.watch([job_id], seconds=60)
    place.work(place.claim(), should_leave=look)
    weights = [safetensors.numpy.load(content) for content in seen.values()]
    assert {array.shape for array in weights[0].values()} == {(64, 2), (64,), (64, 64), (1, 64), (1,)}
    assert len(set(seen.values())) == 3


def test_the_end_of_a_job_is_written_when_the_database_is_back(place: Place) -> None:
    place.submit(epochs=3)
    job = place.claim()
    blocker = Database(place.url)
    impatient = Store(place.url, busy_s=0.1)
    locked, release = threading.Event(), threading.Event()

    def lock_it() -> None:
        with blocker.writing(serial=True):
            locked.set()
            release.wait(60)

    thread = threading.Thread(target=lock_it)

    def lose_the_database(passes: int, latest: Epoch) -> None:
        if passes == 3:
            thread.start()
            locked.wait(60)
            threading.Timer(1.5, release.set).start()

    place.store, own = impatient, place.store
    assert place.work(job, on_progress=lose_the_database).state == JobState.SUCCEEDED
    thread.join()
    place.store = own
    impatient.close()
    blocker.close()


def test_a_job_is_not_begun_twice_by_workers_that_claim_at_once(place: Place) -> None:
    for _ in range(6):
        place.submit(epochs=1)

    def work() -> None:
        while (job := place.store.jobs.claim(threading.current_thread().name)) is not None:
            place.work(job)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not place.store.jobs.any_waits())
    assert {job.status.attempt for job in place.store.jobs.page(limit=10)[0]} == {1}
    assert [version.version for version in place.store.versions.after(0)] == [1, 2, 3, 4, 5, 6]


def test_a_publication_whose_answer_was_lost_is_not_taken_for_one_that_failed(place: Place) -> None:
    """As if the connection had broken between the commit and its answer: the worker writes the end once more."""
    place.submit()
    job = place.claim()

    class Forgetful(Jobs):
        """Loses the answer to its first publication."""

        published = False

        def publish(self, *args: Any, **options: Any) -> int | None:
            version = super().publish(*args, **options)
            lost, self.published = not self.published, True
            if lost:
                raise StoreUnavailable("The connection is gone.")
            return version

    database = Database(place.url)
    place.store.jobs = Forgetful(database)
    done = place.work(job)
    database.close()
    assert (done.state, done.status.version) == (JobState.SUCCEEDED, 1)
    assert place.folders() == [job.checkpoint_id]
    registry = Registry(place.store, place.files)
    registry.refresh()
    assert registry.resolve("m", None).published.version == 1


def test_what_a_killed_worker_had_not_yet_noted_is_removed_with_the_next_end(place: Place) -> None:
    place.submit()
    job = place.claim()
    place.files.checkpoint_folder(f"{job.checkpoint_id}-17").mkdir(parents=True)
    later = f"{job.id}-{job.status.attempt + 1}-17"  # of an attempt that this one does not know of
    place.files.checkpoint_folder(later).mkdir()
    place.work(job)
    assert place.folders() == [job.checkpoint_id, later]
