from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from models.datasets import from_rows
from service import datasets
from service.errors import JobNotFound, QueueFull, StoreUnavailable
from service.records import Job, JobState
from service.store.files import DamagedData, Files
from service.store.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


EXAMPLE: dict[str, Any] = {
    "id": "job",
    "model": "m",
    "origin": "http",
    "data": {"dataset": "flower"},
    "data_digest": "d",
    "network": {},
    "training": {"epochs": 10},
    "recipe": "r",
    "created_at": 1.0,
}


def add(store: Store, name: str = "job", **more: object) -> str:
    store.add_job(Job(**EXAMPLE | {"id": name} | more), max_queued=100)
    return name


def let_the_lease_run_out(path: Path) -> None:
    """As if the worker had been silent for long: time itself is not waited for."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL"))
    engine.dispose()


def test_a_data_folder_from_before_restarts_were_reported_is_brought_up_to_date(store: Store, path: Path) -> None:
    add(store, "old")
    store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs DROP COLUMN restarts"))
    engine.dispose()
    for _ in range(2):
        later = Store(path)
        assert later.job("old").restarts is None
        add(later, f"new-{_}", restarts=[{"seed": 1}])
        assert later.job(f"new-{_}").restarts == [{"seed": 1}]
        later.close()


def test_a_job_is_read_back_as_it_was_added(store: Store) -> None:
    add(store, "a", metrics={"x": None}, problem={"code": "c", "detail": "d"})
    job = store.job("a")
    assert (job.state, job.metrics, job.problem, job.attempt) == (
        JobState.QUEUED,
        {"x": None},
        {"code": "c", "detail": "d"},
        0,
    )
    with pytest.raises(JobNotFound):
        store.job("b")


def test_what_was_added_is_there_for_another_process(store: Store, path: Path) -> None:
    add(store)
    other = Store(path)
    assert other.job("job") == store.job("job")
    other.close()


def test_a_queue_takes_no_more_than_its_bound(store: Store) -> None:
    job = store.job(add(store))
    with pytest.raises(QueueFull):
        store.add_job(Job(**vars(job) | {"id": "other"}), max_queued=1)
    store.claim("job")
    store.add_job(Job(**vars(job) | {"id": "other"}), max_queued=1)


def test_starters_are_added_where_there_never_was_a_job_and_again_where_they_only_failed(store: Store) -> None:
    def starters(attempt: int) -> list[Job]:
        return [Job(**EXAMPLE | {"id": f"{name}{attempt}", "model": name, "origin": "starter"}) for name in "xy"]

    assert [job.id for job in store.add_starters(starters(1))] == ["x1", "y1"]
    assert store.add_starters(starters(2)) == []
    for name, code in (("x1", "storage"), ("y1", None)):
        job = store.claim(name)
        assert job is not None
        if code:
            store.fail(job, code=code, detail="", epoch=0)
        else:
            store.publish(job, card_digest="c", epoch=10, metrics=None)
    assert [job.id for job in store.add_starters(starters(3))] == ["x3"]
    assert [job.id for job in store.unended_starters()] == ["x3"]


def test_starters_are_not_added_to_the_data_of_somebody_who_trains_other_things(store: Store) -> None:
    add(store)
    assert store.add_starters([Job(**EXAMPLE | {"id": "x", "origin": "starter"})]) == []


def test_a_job_that_is_added_claimed_never_waits(store: Store) -> None:
    job = store.add_claimed(Job(**EXAMPLE))
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)
    assert store.job(job.id) == job
    assert store.waiting_jobs(limit=9) == []
    assert store.heartbeat(job, epoch=1, metrics=None) == JobState.RUNNING


def test_a_job_is_claimed_by_one_worker_only(store: Store) -> None:
    add(store)
    claimed = store.claim("job")
    assert claimed is not None
    assert (claimed.state, claimed.attempt) == (JobState.RUNNING, 1)
    assert store.claim("job") is None
    assert store.claim("nobody") is None
    assert (store.waiting_jobs(limit=9), store.silent_jobs(limit=9)) == ([], [])


def test_a_job_whose_worker_fell_silent_goes_to_another_and_the_first_can_write_no_more(
    store: Store, path: Path
) -> None:
    add(store)
    silent = store.claim("job")
    assert silent is not None
    let_the_lease_run_out(path)
    assert store.silent_jobs(limit=9) == [silent]
    assert store.claim("job") is None, "it is taken from its worker first"
    assert store.take_back(silent, max_deaths=3)
    assert not store.take_back(silent, max_deaths=3)
    second = store.claim("job")
    assert second is not None
    assert (second.attempt, second.deaths) == (2, 1)

    assert store.heartbeat(silent, epoch=5, metrics=None) is None
    assert store.publish(silent, card_digest="c", epoch=10, metrics=None) is None
    store.fail(silent, code="x", detail="x", epoch=1)
    store.put_back(silent)

    assert store.job("job") == second
    assert store.versions_after(0) == []
    assert store.heartbeat(second, epoch=5, metrics={"training_loss": 0.5}) == JobState.RUNNING
    assert store.job("job").metrics == {"training_loss": 0.5}


def test_a_heartbeat_keeps_the_lease(store: Store, path: Path) -> None:
    add(store)
    job = store.claim("job")
    assert job is not None
    let_the_lease_run_out(path)
    store.heartbeat(job, epoch=1, metrics=None)
    assert store.silent_jobs(limit=9) == []


def test_a_publication_ends_the_job_and_counts_versions_within_the_model(store: Store) -> None:
    for number, (name, model) in enumerate([("a", "m"), ("b", "n"), ("c", "m")]):
        job = store.claim(add(store, name, model=model))
        assert job is not None
        version = store.publish(job, card_digest=f"digest-{name}", epoch=10, metrics={"training_loss": 0.1})
        assert version == {"a": 1, "b": 1, "c": 2}[name]
        ended = store.job(name)
        assert (ended.state, ended.version, ended.epoch) == (JobState.SUCCEEDED, version, 10)
        assert ended.finished_at is not None
        assert store.publish(job, card_digest="again", epoch=10, metrics=None) is None
        assert len(store.versions_after(0)) == number + 1
    seqs = [version.seq for version in store.versions_after(0)]
    assert [version.model for version in store.versions_after(seqs[0])] == ["n", "m"]


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(store: Store) -> None:
    store.request_cancel(add(store, "waiting"))
    assert store.job("waiting").state == JobState.CANCELLED
    running = store.claim(add(store, "running"))
    assert running is not None
    store.request_cancel("running")
    assert store.job("running").state == JobState.CANCELLING
    assert store.heartbeat(running, epoch=1, metrics=None) == JobState.CANCELLING
    store.put_back(running)
    assert store.job("running").state == JobState.CANCELLED
    store.request_cancel("running")
    assert store.job("running").state == JobState.CANCELLED


def test_a_job_that_was_to_be_cancelled_when_its_worker_died_is_cancelled(store: Store, path: Path) -> None:
    store.claim(add(store))
    store.request_cancel("job")
    let_the_lease_run_out(path)
    (silent,) = store.silent_jobs(limit=9)
    assert store.take_back(silent, max_deaths=1)
    assert store.job("job").state == JobState.CANCELLED


def test_a_worker_that_writes_after_all_keeps_its_job(store: Store, path: Path) -> None:
    job = store.claim(add(store))
    assert job is not None
    let_the_lease_run_out(path)
    (silent,) = store.silent_jobs(limit=9)
    store.heartbeat(job, epoch=1, metrics=None)
    assert not store.take_back(silent, max_deaths=3)
    assert store.job("job").state == JobState.RUNNING


def test_a_job_that_is_put_back_waits_again_and_its_worker_counts_for_no_death(store: Store) -> None:
    add(store)
    for attempt in range(1, 6):
        job = store.claim("job")
        assert job is not None
        assert job.attempt == attempt
        store.heartbeat(job, epoch=3, metrics={"training_loss": 0.5})
        store.put_back(job)
        assert [waiting.id for waiting in store.waiting_jobs(limit=9)] == ["job"]
    waiting = store.job("job")
    assert waiting.deaths == 0
    assert (waiting.state, waiting.epoch, waiting.metrics) == (JobState.QUEUED, 0, None)


def test_given_data_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for labels in (["a", "b\x00"], [3, -1]):
        points = from_rows([[0.0, 1.0], [2.0, 3.0]], labels)  # type: ignore[arg-type]
        files.put_points(points)
        files.put_points(points)
        again = files.points(points.digest)
        assert again.digest == points.digest
        assert again.classes == points.classes


@pytest.mark.parametrize("content", [b"", b"rot", None])
def test_given_data_that_are_damaged_are_not_trained_on(tmp_path: Path, content: bytes | None) -> None:
    files = Files(tmp_path)
    points, other = from_rows([[0.0], [1.0]], [0, 1]), from_rows([[0.0], [2.0]], [0, 1])
    files.put_points(points)
    files.put_points(other)
    kept = tmp_path / "datasets" / f"{points.digest}.npz"
    kept.write_bytes(content if content is not None else (kept.parent / f"{other.digest}.npz").read_bytes())
    with pytest.raises(DamagedData):
        datasets.load(files, datasets.describe(points), points.digest)


def test_a_generator_that_has_changed_since_a_job_was_made_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DamagedData):
        datasets.load(Files(tmp_path), {"dataset": "flower"}, "the digest of other points")


def test_a_database_that_cannot_be_used_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "rotten.db").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    (tmp_path / "folder.db").mkdir()
    for name in ("rotten.db", "folder.db"):
        with pytest.raises(StoreUnavailable):
            Store(tmp_path / name)


def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what?mode=ro&a#b%20c"
    store = Store(Files(folder).database)
    add(store)
    store.close()
    assert (folder / "separatrix.db").exists()
