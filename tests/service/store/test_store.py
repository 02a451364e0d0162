"""The store, on both databases."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from service.errors import JobNotFound, KeyReused, QueueFull, StoreUnavailable, WrongState
from service.records import Job, JobSpec, JobState, JobStatus
from service.store.database import Database, sqlite_url
from service.store.files import Files
from service.store.jobs import CURSOR_TTL_S, KEY_TTL_S
from service.store.leases import RECLAIM_WITHIN_S, Instructions
from service.store.migrations import schema
from service.store.store import Store
from service.store.tables import metadata
from service.store.transitions import MAX_CRASHES
from tests.databases import engine_of, execute, expire_leases
from tests.postgres import PostgreSQL
from tests.service.places import all_versions
from tests.serving import wait_until


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
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

FIGURES: dict[str, float | None] = {"training_loss": 0.5, "training_accuracy": None}


def add(store: Store, name: str = "job", **more: object) -> str:
    return store.jobs.add(JobSpec(**EXAMPLE | {"id": name} | more), max_queued=100)


def claim(store: Store, worker: str = "w") -> Job:
    job = store.leases.claim(worker)
    assert job is not None
    return job


def beat(store: Store, job: Job, **more: Any) -> bool:
    return store.leases.heartbeat(job, **{"epoch": 1, "metrics": FIGURES, "ran_s": 0.5} | more)


def publish(store: Store, job: Job, digest: str = "c") -> int | None:
    published = store.leases.publish(job, card_digest=digest, epoch=10, metrics=FIGURES)
    return published.version.version if published else None


def events_of(store: Store, job_id: str = "job") -> list[tuple[str, Any]]:
    page, _ = store.events.page(job_id, after=0, limit=100)
    assert [event.number for event in page] == list(range(1, len(page) + 1))
    return [(event.kind, event.data.get("status")) for event in page]


def test_the_migrations_create_the_tables_that_the_program_uses(url: str, store: Store) -> None:
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


@pytest.mark.slow
def test_processes_that_start_at_once_migrate_the_database_together(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store(empty_url), range(8)))
    add(stores[0])
    assert {store.jobs.get("job").state for store in stores} == {JobState.QUEUED}
    for store in stores:
        store.close()


@pytest.mark.slow
def test_many_connections_can_open_a_new_file_at_the_same_moment(tmp_path: Path) -> None:
    def open_and_read(database: Database) -> object:
        with closing(database), database.reading() as connection:
            return connection.scalar(text("SELECT 1"))

    with ThreadPoolExecutor(8) as pool:
        for number in range(60):  # without retries one in ten fails
            url = sqlite_url(tmp_path / f"{number}.db")
            assert set(pool.map(open_and_read, [Database(url) for _ in range(8)])) == {1}


def test_a_database_of_a_later_version_is_refused(url: str, store: Store) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="newer release"):
        Store(url)


def test_a_job_is_read_back_as_it_was_added(store: Store) -> None:
    add(store, "z")
    store.jobs.cancel("z")
    add(store, "a", metadata={"k": "v"}, retry_of="z")
    job = store.jobs.get("a")
    assert job == Job(
        JobSpec(**EXAMPLE | {"id": "a", "metadata": {"k": "v"}, "retry_of": "z"}),
        JobStatus(state=JobState.QUEUED, attempt=0, worker=None, events=1),
    )
    assert events_of(store, "a") == [("status", "queued")]
    store.leases.fail(claim(store), code="c", detail="d", metrics={"x": None})
    failed = store.jobs.get("a").status
    assert (failed.metrics, failed.problem) == ({"x": None}, {"code": "c", "detail": "d"})
    with pytest.raises(JobNotFound):
        store.jobs.get("b")


def test_another_process_can_read_an_added_job(url: str, store: Store) -> None:
    add(store)
    other = Store(url)
    assert other.jobs.get("job") == store.jobs.get("job")
    other.close()


def test_a_full_queue_refuses_jobs(store: Store) -> None:
    job = store.jobs.get(add(store))
    other = replace(job.spec, id="other")
    for attempt in (store.jobs.add, store.jobs.find_added):
        with pytest.raises(QueueFull):
            attempt(other, max_queued=1)
    claim(store)
    store.jobs.add(other, max_queued=1)


def test_concurrent_requests_cannot_overfill_the_queue(store: Store) -> None:
    def try_to_add(number: int) -> bool:
        try:
            store.jobs.add(JobSpec(**EXAMPLE | {"id": f"{number}"}), max_queued=5)
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_to_add, range(24))) == 5


def test_an_idempotency_key_finds_the_job_that_was_added_under_it(url: str, store: Store) -> None:
    first = JobSpec(**EXAMPLE)
    assert store.jobs.find_added(first, max_queued=1, key="k") is None
    assert store.jobs.add(first, max_queued=1, key="k") == "job"
    again = JobSpec(**EXAMPLE | {"id": "again"})
    assert store.jobs.add(again, max_queued=1, key="k") == "job", "the queue is full, but the job exists already"
    assert store.jobs.find_added(again, max_queued=1, key="k") == "job"
    for other in ({"recipe": "s"}, {"model": "n"}, {"metadata": {"a": "b"}}):
        with pytest.raises(KeyReused):
            store.jobs.add(JobSpec(**EXAMPLE | {"id": "other"} | other), max_queued=9, key="k")
    execute(url, f"UPDATE idempotency_keys SET created_at = created_at - {KEY_TTL_S}")
    assert store.jobs.add(again, max_queued=9, key="k") == "again"


def test_each_owner_has_idempotency_keys_of_its_own(store: Store) -> None:
    owners = (None, "ada", "bob")
    added = [JobSpec(**EXAMPLE | {"id": f"of-{owner}", "recipe": f"{owner}", "owner": owner}) for owner in owners]
    for spec in added:
        assert store.jobs.find_added(spec, max_queued=9, key="k") is None
        assert store.jobs.add(spec, max_queued=9, key="k") == spec.id
    for spec in added:
        assert store.jobs.add(replace(spec, id="again"), max_queued=9, key="k") == spec.id


def test_each_owner_has_supersede_groups_of_its_own(store: Store) -> None:
    def add(name: str, owner: str | None) -> str:
        spec = JobSpec(**EXAMPLE | {"id": name, "owner": owner, "supersede": "newest"})
        return store.jobs.add(spec, max_queued=3)

    for owner in (None, "ada", "bob"):
        add(f"of-{owner}", owner)
    with pytest.raises(QueueFull):
        add("of-eve", "eve")
    for owner in (None, "ada", "bob"):
        newer = add(f"newer-of-{owner}", owner)
        assert store.jobs.get(f"of-{owner}").status.superseded_by == newer


def test_concurrent_requests_with_one_idempotency_key_add_one_job(store: Store) -> None:
    def try_to_add(number: int) -> str:
        return store.jobs.add(JobSpec(**EXAMPLE | {"id": f"{number}"}), max_queued=100, key="k")

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(try_to_add, range(24)))) == 1
    assert len(store.jobs.page(limit=100)[0]) == 1


def test_a_page_can_be_filtered_by_state_and_model(store: Store) -> None:
    for name, model in (("a", "m"), ("b", "n"), ("c", "m")):
        add(store, name, model=model)
    assert claim(store).id == "a"
    pages = {
        "all": store.jobs.page(limit=2),
        "next": store.jobs.page(limit=2, after="b"),
        "queued": store.jobs.page(limit=9, state=JobState.QUEUED),
        "m": store.jobs.page(limit=9, model="m"),
        "both": store.jobs.page(limit=9, model="m", state=JobState.RUNNING),
    }
    assert {name: ([job.id for job in jobs], more) for name, (jobs, more) in pages.items()} == {
        "all": (["c", "b"], True),
        "next": (["a"], False),
        "queued": (["c", "b"], False),
        "m": (["c", "a"], False),
        "both": (["a"], False),
    }
    with pytest.raises(JobNotFound):
        store.jobs.page(limit=2, after="nobody")


def test_a_deleted_job_still_works_as_a_cursor_for_a_day(url: str, store: Store) -> None:
    for name in "abcd":
        add(store, name)
        store.jobs.cancel(name)
    seen = []
    after = None
    while page := store.jobs.page(limit=1, after=after)[0]:
        after = page[0].id
        seen.append(after)
        store.jobs.delete(after)
    assert seen == ["d", "c", "b", "a"]
    execute(url, f"UPDATE deleted_jobs SET deleted_at = deleted_at - {CURSOR_TTL_S}")
    add(store, "e")
    store.jobs.cancel("e")
    store.jobs.delete("e")
    with pytest.raises(JobNotFound):
        store.jobs.page(limit=1, after="d")
    assert store.jobs.page(limit=1, after="e") == ([], False)


def test_models_share_the_workers_fairly_and_new_models_come_last(store: Store) -> None:
    add(store, "old1", model="old")
    add(store, "old2", model="old")
    assert claim(store).id == "old1"
    for name in "xyz":
        add(store, f"{name}1", model=name)
        add(store, f"{name}2", model=name)
    assert [claim(store).id for _ in range(7)] == ["old2", "x1", "y1", "z1", "x2", "y2", "z2"]


def test_deleting_jobs_does_not_give_a_model_an_earlier_slot(store: Store) -> None:
    for number in range(3):
        add(store, f"patient{number}", model="patient")
    claims = []
    for number in range(3):
        add(store, f"busy{number}", model="busy")
        while not claims or claims[-1] != f"busy{number}":
            job = claim(store)
            claims.append(job.id)
            assert store.leases.fail(job, code="c", detail="d")
            store.jobs.delete(job.id)
    assert claims == ["patient0", "busy0", "patient1", "busy1", "patient2", "busy2"]


@pytest.mark.parametrize("crashed", [True, False])
def test_a_job_whose_slot_was_interrupted_comes_first(crashed: bool, store: Store) -> None:
    for name in "abc":
        add(store, name, model=name)
    assert claim(store, worker="dies").id == "a"
    add(store, "d", model="d")
    store.leases.reclaim_from("dies", crashed=crashed)
    assert [claim(store).id for _ in range(4)] == ["a", "b", "c", "d"]


def test_a_resumed_job_waits_for_the_next_slot_of_its_model(store: Store) -> None:
    add(store, "paused", model="m")
    add(store, "other", model="n")
    attempt = claim(store)
    store.jobs.pause("paused")
    assert store.leases.release(attempt)
    store.jobs.resume("paused", max_queued=9)
    assert [claim(store).id for _ in range(2)] == ["other", "paused"]


def test_seed_jobs_are_added_to_an_empty_database_and_again_if_they_only_failed(store: Store) -> None:
    def seed_models(attempt: int) -> list[JobSpec]:
        return [JobSpec(**EXAMPLE | {"id": f"{name}{attempt}", "model": name, "origin": "seed"}) for name in "xy"]

    assert [job.id for job in store.jobs.add_seed_jobs(seed_models(1))] == ["x1", "y1"]
    assert store.jobs.add_seed_jobs(seed_models(2)) == []
    store.leases.fail(claim(store), code="storage", detail="")
    publish(store, claim(store))
    assert [job.id for job in store.jobs.add_seed_jobs(seed_models(3))] == ["x3"]
    assert [job.id for job in store.jobs.unended_seed_jobs()] == ["x3"]


def test_seed_jobs_are_not_added_beside_other_jobs(store: Store) -> None:
    add(store)
    assert store.jobs.add_seed_jobs([JobSpec(**EXAMPLE | {"id": "x", "origin": "seed"})]) == []


def test_processes_that_start_at_once_add_the_seed_jobs_once(store: Store) -> None:
    def start(number: int) -> int:
        return len(store.jobs.add_seed_jobs([JobSpec(**EXAMPLE | {"id": f"{number}", "origin": "seed"})]))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(8))) == 1


def test_a_job_that_is_added_claimed_is_never_queued(store: Store) -> None:
    job = store.leases.add_claimed(JobSpec(**EXAMPLE), worker="me")
    assert (job.state, job.status.attempt, job.status.worker) == (JobState.RUNNING, 1, "me")
    assert store.jobs.get(job.id) == job
    assert not store.jobs.any_queued()
    assert beat(store, job)


def test_only_one_worker_can_claim_a_job(store: Store) -> None:
    add(store)
    assert store.jobs.any_queued()
    job = claim(store)
    assert (job.state, job.status.attempt, job.status.worker) == (JobState.RUNNING, 1, "w")
    assert store.jobs.get("job") == job
    assert store.leases.claim("other") is None
    assert not store.jobs.any_queued()


def test_concurrent_workers_claim_every_job_once(store: Store) -> None:
    names = [add(store, f"{number}", model=f"m{number % 3}") for number in range(30)]

    def take(worker: int) -> list[str]:
        taken = []
        while (job := store.leases.claim(f"{worker}")) is not None:
            taken.append(job.id)
        return taken

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for taken in pool.map(take, range(8)) for job_id in taken]
    assert sorted(claimed) == sorted(names)


def test_no_model_waits_for_all_jobs_of_another(store: Store) -> None:
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        add(store, name, model=name[0])
    assert [claim(store).id for _ in range(6)] == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_progress_is_recorded_in_the_row_and_emitted_as_events(store: Store) -> None:
    add(store)
    job = claim(store)
    assert beat(store, job, epoch=3)
    assert beat(store, job, epoch=4, emit=True)
    assert store.leases.record_checkpoint(job, checkpoint="folder", epoch=5)
    row = store.jobs.get("job")
    assert (row.status.epoch, row.status.metrics, row.status.ran_s, row.status.checkpoint) == (
        4,
        FIGURES,
        0.5,
        "folder",
    )
    page, more = store.events.page("job", after=2, limit=9)
    assert not more
    assert [(event.number, event.kind, event.data) for event in page] == [
        (3, "metrics", {"epoch": 4, "epochs": 10, "metrics": FIGURES}),
        (4, "checkpoint", {"epoch": 5}),
    ]
    assert store.events.page("job", after=0, limit=2)[1]
    assert store.events.latest(["job", "nobody"]) == {"job": (4, 0)}


def test_a_worker_whose_lease_expired_loses_the_job_and_cannot_write_any_more(url: str, store: Store) -> None:
    add(store)
    expired = claim(store, "first")
    assert store.leases.reclaim_expired() == []
    expire_leases(url)
    assert store.leases.claim("second") is None, "it must be reclaimed first"
    assert store.leases.reclaim_expired() == [expired]
    assert store.leases.reclaim_expired() == []
    second = claim(store, "second")
    assert (second.status.attempt, second.status.crash_count) == (2, 1)

    before = store.jobs.get("job"), events_of(store)
    assert not beat(store, expired)
    assert store.leases.instructions(expired) == Instructions(None, False)
    assert publish(store, expired) is None
    assert not store.leases.fail(expired, code="x", detail="x")
    assert not store.leases.record_checkpoint(expired, checkpoint="x", epoch=1)
    assert not store.leases.release(expired)
    store.leases.record_snapshot(expired, epoch=1, weights=b"")

    assert (store.jobs.get("job"), events_of(store)) == before
    assert (all_versions(store), store.events.snapshot("job")) == ([], None)
    assert beat(store, second)


def test_the_lease_of_a_dead_worker_from_before_the_clock_went_back_expires(url: str, store: Store) -> None:
    add(store, "a")
    claim(store)
    assert store.leases.reclaim_expired() == []
    execute(url, "UPDATE jobs SET lease_until = lease_until + 86400")
    assert [job.id for job in store.leases.reclaim_expired()] == ["a"]
    assert store.jobs.get("a").state == JobState.QUEUED


def test_the_job_of_a_dead_worker_can_be_reclaimed_at_once(store: Store) -> None:
    add(store, "a")
    add(store, "b")
    a, b = claim(store, "first"), claim(store, "second")
    assert store.leases.reclaim_from("first") == [a]
    assert store.jobs.get("a").state == JobState.QUEUED
    assert store.jobs.get("b") == b


def test_a_heartbeat_renews_the_lease(url: str, store: Store) -> None:
    add(store)
    job = claim(store)
    expire_leases(url)
    assert beat(store, job)
    assert store.leases.reclaim_expired() == []


def test_publishing_ends_the_job_and_numbers_the_versions_of_each_model(store: Store) -> None:
    for number, (name, model) in enumerate([("a", "m"), ("b", "n"), ("c", "m")]):
        add(store, name, model=model)
        job = claim(store)
        version = publish(store, job, f"digest-{name}")
        assert version == {"a": 1, "b": 1, "c": 2}[name]
        ended = store.jobs.get(name)
        assert (ended.state, ended.status.version, ended.status.epoch, ended.status.worker) == (
            JobState.SUCCEEDED,
            version,
            10,
            None,
        )
        assert ended.status.finished_at is not None
        assert publish(store, job) is None
        assert len(all_versions(store)) == number + 1
        assert events_of(store, name)[-2:] == [("status", "succeeded"), ("done", "succeeded")]
    seqs = [version.seq for version in all_versions(store)]
    published = [change.model for change in store.versions.changes_after(seqs[0]) if change.published]
    assert published == ["n", "m"]


@pytest.mark.slow
def test_versions_published_at_once_become_visible_in_the_order_of_their_seq(store: Store) -> None:
    claimed = [claim(store) for number in range(24) if add(store, f"{number}", model=f"m{number % 2}")]
    seen: list[int] = []
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(publish, store, job) for job in claimed]:
            seen += [change.seq for change in store.versions.changes_after(seen[-1] if seen else 0)]
            done.result()
    seen += [change.seq for change in store.versions.changes_after(seen[-1])]
    assert seen == [version.seq for version in all_versions(store)] == [*range(1, 25)]


@pytest.mark.slow
def test_a_queued_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(store: Store) -> None:
    add(store, "waiting")
    store.jobs.cancel("waiting")
    assert store.jobs.get("waiting").state == JobState.CANCELLED
    add(store, "running")
    running = claim(store)
    for _ in range(2):
        store.jobs.cancel("running")
        assert store.leases.instructions(running).requested_state == JobState.CANCELLING
    store.leases.release(running, checkpoint="weights")
    for _ in range(2):
        store.jobs.cancel("running")
        job = store.jobs.get("running")
        assert (job.state, job.status.checkpoint) == (JobState.CANCELLED, "weights")
    assert events_of(store, "running") == [
        ("status", "queued"),
        ("status", "running"),
        ("status", "cancelling"),
        ("status", "cancelled"),
        ("done", "cancelled"),
    ]


def test_a_resumed_job_continues_from_its_checkpoint(store: Store) -> None:
    add(store)
    job = claim(store)
    beat(store, job, epoch=7)
    store.jobs.pause("job")
    assert store.leases.instructions(job).requested_state == JobState.PAUSING
    store.leases.release(job, checkpoint="weights")
    for _ in range(2):
        store.jobs.pause("job")
        assert store.jobs.get("job").state == JobState.PAUSED
    assert store.leases.claim("w") is None
    for _ in range(2):
        store.jobs.resume("job", max_queued=1)
        assert store.jobs.get("job").state == JobState.QUEUED
    again = claim(store)
    assert (again.status.attempt, again.status.checkpoint, again.status.epoch, again.status.metrics) == (
        2,
        "weights",
        7,
        FIGURES,
    )


def test_a_paused_job_cannot_be_resumed_into_a_full_queue(store: Store) -> None:
    store.jobs.pause(add(store, "paused"))
    add(store, "waiting")
    with pytest.raises(QueueFull):
        store.jobs.resume("paused", max_queued=1)
    assert store.jobs.get("paused").state == JobState.PAUSED


def test_a_job_can_be_resumed_before_its_worker_has_paused_it(store: Store) -> None:
    add(store)
    job = claim(store)
    store.jobs.pause("job")
    store.jobs.resume("job", max_queued=1)
    assert store.leases.instructions(job).requested_state == JobState.RUNNING
    assert publish(store, job) == 1


def test_a_job_may_end_before_its_worker_sees_the_request_to_stop(store: Store) -> None:
    for name, ask in (("a", store.jobs.pause), ("b", store.jobs.cancel)):
        add(store, name)
        job = claim(store)
        ask(name)
        publish(store, job)
        assert store.jobs.get(name).state == JobState.SUCCEEDED


def test_a_request_that_the_state_does_not_allow_is_refused_and_changes_nothing(store: Store) -> None:
    asks: dict[str, Callable[[str], object]] = {
        "cancel": store.jobs.cancel,
        "pause": store.jobs.pause,
        "resume": partial(store.jobs.resume, max_queued=100),
        "delete": store.jobs.delete,
    }
    for name in ("succeeded", "failed", "cancelled", "cancelling"):
        add(store, name)
        job = claim(store)
        if name == "succeeded":
            publish(store, job)
        elif name == "failed":
            store.leases.fail(job, code="c", detail="d")
        else:
            store.jobs.cancel(name)
            if name == "cancelled":
                store.leases.release(job)
    refused = {
        "succeeded": {"cancel", "pause", "resume"},
        "failed": {"cancel", "pause", "resume"},
        "cancelled": {"pause", "resume"},
        "cancelling": {"pause", "resume", "delete"},
    }
    for name, names in refused.items():
        before = store.jobs.get(name)
        for ask in names:
            with pytest.raises(WrongState) as refused_call:
                asks[ask](name)
            assert refused_call.value.state == name
        assert store.jobs.get(name) == before
    for ask in asks.values():
        with pytest.raises(JobNotFound):
            ask("nobody")


def test_deleting_a_job_keeps_its_version(store: Store) -> None:
    store.jobs.add(JobSpec(**EXAMPLE), max_queued=9, key="k")
    publish(store, claim(store))
    assert store.jobs.delete("job").status.version == 1
    with pytest.raises(JobNotFound):
        store.jobs.get("job")
    assert store.events.page("job", after=0, limit=9) == ([], False)
    assert len(all_versions(store)) == 1
    assert store.jobs.add(JobSpec(**EXAMPLE | {"id": "new"}), max_queued=9, key="k") == "new"
    assert store.jobs.add_seed_jobs([JobSpec(**EXAMPLE | {"id": "x", "origin": "seed"})]) == []


@pytest.mark.parametrize(("ask", "state"), [("cancel", "cancelled"), ("pause", "paused"), (None, "queued")])
def test_a_reclaimed_job_moves_to_its_requested_state(store: Store, ask: str | None, state: str) -> None:
    add(store)
    claim(store)
    if ask:
        getattr(store.jobs, ask)("job")
    store.leases.reclaim_from("w")
    job = store.jobs.get("job")
    assert (job.state, job.status.worker, job.status.crash_count) == (state, None, 1)


def test_a_worker_that_writes_before_its_job_is_reclaimed_keeps_it(url: str, store: Store) -> None:
    add(store)
    job = claim(store)
    expire_leases(url)
    assert store.leases.instructions(job).requested_state == JobState.RUNNING
    assert beat(store, job)
    assert store.leases.reclaim_expired() == []


def test_a_job_fails_after_several_crashes_without_a_checkpoint_in_between(store: Store) -> None:
    add(store)
    for crashes in (*range(1, MAX_CRASHES), *range(1, MAX_CRASHES + 1)):
        job = claim(store)
        if crashes == 1:
            store.leases.record_checkpoint(job, checkpoint="weights", epoch=1)
        store.leases.reclaim_from("w")
        assert store.jobs.get("job").status.crash_count == crashes
    job = store.jobs.get("job")
    assert job.state == JobState.FAILED
    assert job.status.problem is not None
    assert job.status.problem["code"] == "worker-died"
    assert job.status.checkpoint == "weights"


def test_a_released_job_is_queued_again_and_counts_no_crash(store: Store) -> None:
    add(store)
    for attempt in range(1, 6):
        job = claim(store)
        assert (job.status.attempt, job.status.epoch, job.status.metrics) == (attempt, 0, None), (
            "there was no checkpoint to resume from"
        )
        beat(store, job, epoch=3)
        store.leases.release(job)
    waiting = store.jobs.get("job")
    assert (waiting.state, waiting.status.crash_count, waiting.status.worker) == (JobState.QUEUED, 0, None)


def test_watchers_get_the_latest_snapshot_of_a_running_job(url: str, store: Store) -> None:
    add(store)
    job = claim(store)
    assert not store.leases.instructions(job).watched
    store.events.watch(["job"], seconds=60)
    assert store.leases.instructions(job).watched
    assert store.events.snapshot("job") is None
    for epoch in (1, 2):
        store.leases.record_snapshot(job, epoch=epoch, weights=bytes([epoch]))
        snapshot = store.events.snapshot("job")
        assert snapshot is not None
        assert (snapshot.serial, snapshot.epoch, snapshot.weights) == (epoch, epoch, bytes([epoch]))
        assert store.events.latest(["job"])["job"].snapshot == epoch
    store.events.watch(["job"], seconds=0)
    assert not store.leases.instructions(job).watched
    publish(store, job)
    assert store.events.snapshot("job") is None


def test_a_publication_is_visible_once_every_api_process_serves_it(url: str, store: Store) -> None:
    stores = {name: Store(url, server=name) for name in ("a", "b")}
    for name in stores:
        store.servers.announce(name, seen_seq=0, lease_s=60)
    add(store)
    publish(store, claim(store))

    def seen_by(name: str) -> tuple[str, list[str]]:
        job = stores[name].jobs.get("job")
        ended = job.state.ended
        assert (job.status.version is not None, job.status.finished_at is not None) == (ended, ended)
        (listed,) = stores[name].jobs.page(limit=9, state=job.state)[0]
        assert listed == job
        assert job.status.events == len(events_of(stores[name])), "hidden events do not count"
        return job.state.value, [state for _, state in events_of(stores[name])]

    running, done = ("running", ["queued", "running"]), ("succeeded", ["queued", "running", "succeeded", "succeeded"])
    assert (seen_by("a"), seen_by("b")) == (running, running)
    store.servers.announce("a", seen_seq=1, lease_s=60)
    assert (seen_by("a"), seen_by("b")) == (running, running), "one process reports what another does not serve yet"
    store.servers.announce("b", seen_seq=1, lease_s=60)
    assert (seen_by("a"), seen_by("b")) == (done, done)

    store.servers.announce("b", seen_seq=0, lease_s=60)
    assert seen_by("a") == running
    store.servers.announce("b", seen_seq=0, lease_s=-1)
    assert seen_by("a") == done, "an expired process blocks the others"
    store.servers.announce("b", seen_seq=0, lease_s=60)
    store.servers.withdraw("b")
    assert seen_by("a") == done
    store.servers.announce("a", seen_seq=0, lease_s=60)
    assert seen_by("a") == done, "a process that runs alone need not announce the version"
    for each in stores.values():
        each.close()


def test_an_unusable_database_raises_store_unavailable(tmp_path: Path) -> None:
    (tmp_path / "rotten.db").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    (tmp_path / "folder.db").mkdir()
    for name in ("rotten.db", "folder.db"):
        with pytest.raises(StoreUnavailable):
            Store(sqlite_url(tmp_path / name))
    with pytest.raises(StoreUnavailable):
        Store("postgresql://nobody@127.0.0.1:9/nothing")


def test_a_read_only_server_raises_store_unavailable(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    with closing(Store(url)) as store:
        add(store)
        job = claim(store)
        name = url.rpartition("/")[2]
        execute(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(Store(url)) as store:
        assert store.jobs.get("job").state == JobState.RUNNING
        with pytest.raises(StoreUnavailable):
            beat(store, job)
        with pytest.raises(StoreUnavailable):
            store.jobs.cancel("job")


def test_a_transaction_that_was_idle_too_long_raises_store_unavailable(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()

    def stand_idle(database: Database) -> None:
        with database.writing() as connection:
            connection.execute(text("SET idle_in_transaction_session_timeout = 1"))
            wait_until(lambda: not has_idle_transaction(url))
            connection.execute(text("SELECT 1"))

    with closing(Database(url)) as database, pytest.raises(StoreUnavailable):
        stand_idle(database)


def has_idle_transaction(url: str) -> bool:
    """Returns whether a transaction stands idle in the database."""
    engine = engine_of(url)
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
    with engine.connect() as connection:
        found = connection.scalar(text(query))
    engine.dispose()
    return bool(found)


@pytest.mark.slow
def test_workers_that_had_to_wait_for_the_database_may_renew_before_their_jobs_are_reclaimed(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "rows.db")
    with closing(Store(url)) as store, closing(Database(url)) as other, ThreadPoolExecutor() as pool:
        add(store)
        claim(store)
        expire_leases(url)
        with other.writing():
            looks = pool.submit(store.leases.reclaim_expired)
            with pytest.raises(TimeoutError):
                looks.result(RECLAIM_WITHIN_S + 0.2)
        assert looks.result() == []
        assert [job.id for job in store.leases.reclaim_expired()] == ["job"]


@pytest.mark.slow
def test_a_data_folder_can_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what?mode=ro&a#b%20c"
    store = Store(Files(folder).database_url)
    add(store)
    store.close()
    assert (folder / "separatrix.db").exists()


def test_readers_do_not_wait_for_a_writer(url: str, store: Store) -> None:
    add(store)
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("UPDATE jobs SET epoch = 5"))
        assert store.jobs.get("job").status.epoch == 0
    assert store.jobs.get("job").status.epoch == 5
    database.close()


def test_the_latest_revision_of_the_program_is_that_of_its_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


@pytest.mark.parametrize("url", ["sqlite:////nowhere/rows.db", "postgresql://nobody:secret@127.0.0.1:9/nothing"])
def test_an_error_of_a_database_that_cannot_be_opened_says_what_the_operator_can_do(url: str) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        Store(url)
    assert "Check " in raised.value.for_operator
    assert all(word not in raised.value.for_operator for word in ("Tell the operator", "secret"))
