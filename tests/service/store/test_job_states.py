"""Random operations on jobs, one after the other and from many threads at once."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from threading import Barrier
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, select, text

from service.errors import JobNotFound, KeyReused, QueueFull, WrongState
from service.records import Job, JobSpec
from service.store import tables
from service.store.jobs import KEY_TTL_S
from service.store.publication import Publication
from service.store.store import Store
from tests.databases import engine_of, expire_leases
from tests.expected import ENDED, LEASED, EventSummary, ExpectedJob, ExpectedJobs
from tests.postgres import PostgreSQL
from tests.serving import wait_until

LONG_S = 3600.0
"""A lease that expires only when the test expires it."""

EXAMPLE: dict[str, Any] = {
    "origin": "http",
    "data": {"dataset": "flower"},
    "data_digest": "d",
    "network": {},
    "training": {"epochs": 10},
    "created_at": 1.0,
}

MODELS = ("m", "n", "o")
WORKERS = ("v", "w", "x")


def checkpoint_if_odd(name: str, n: int) -> dict[str, Any]:
    return {"checkpoint": name} if n % 2 else {}


WRITES: dict[str, Callable[[str, int], dict[str, Any]]] = {
    "heartbeat": lambda _, n: {"epoch": n, "metrics": {"loss": 1 / n}, "ran_s": n / 2, "emit": n % 2 == 0},
    "record_checkpoint": lambda name, n: {"checkpoint": name, "epoch": n},
    "record_snapshot": lambda name, n: {"epoch": n, "weights": name.encode()},
    "publish": lambda _, n: {"card_digest": "c", "epoch": n, "metrics": {"loss": 0.0}},
    "fail": lambda name, n: {"code": "diverged", "detail": "", **checkpoint_if_odd(name, n)},
    "release": checkpoint_if_odd,
}
"""The methods that workers call, and arguments made of the attempt's name and a number."""

REPORTS, ENDS = list(WRITES)[:3], list(WRITES)[3:]


NEXT_STATES = {
    None: {"queued"},
    "queued": {"running", "paused", "cancelled"},
    "running": {"queued", "pausing", "cancelling", "succeeded", "failed"},
    "pausing": {"running", "paused", "cancelling", "succeeded", "failed"},
    "paused": {"queued", "cancelled"},
    "cancelling": {"cancelled", "succeeded", "failed"},
}
"""The states that may follow each state."""


def new_spec(job_id: str, model: str, recipe: str = "r") -> JobSpec:
    return JobSpec(id=job_id, model=model, recipe=recipe, **EXAMPLE)


def outcome(act: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Returns the result of a call, or the type of the error that it raises, with the state that it names."""
    try:
        return act(*args, **more)
    except WrongState as refusal:
        return WrongState, refusal.state
    except (JobNotFound, QueueFull, KeyReused) as refusal:
        return type(refusal)


class Rows(NamedTuple):
    """Everything that a database holds about jobs."""

    jobs: Mapping[str, Mapping[str, Any]]
    events: Mapping[str, Sequence[Mapping[str, Any]]]
    versions: Sequence[Mapping[str, Any]]
    snapshots: Mapping[str, tuple[int, int, bytes]]


def all_rows(connection: Connection) -> Rows:
    jobs, events, versions, snapshots = (
        connection.execute(select(table).order_by(*table.primary_key)).mappings().all()
        for table in (tables.jobs, tables.events, tables.versions, tables.snapshots)
    )
    by_job = defaultdict(list)
    for event in events:
        by_job[event["job_id"]].append(event)
    left = {row["job_id"]: (row["serial"], row["epoch"], row["weights"]) for row in snapshots}
    return Rows({job["id"]: job for job in jobs}, by_job, versions, left)


def summary(event: Mapping[str, Any]) -> EventSummary:
    """Returns the part of an event that tests compare."""
    kind, data = event["kind"], event["data"]
    if kind in ("status", "done"):
        return kind, data["status"], data["attempt"], data.get("version"), data.get("problem", {}).get("code")
    return kind, data["epoch"]


def assert_sound(rows: Rows) -> None:
    """Checks what is true of all jobs at all times."""
    for job_id, job in rows.jobs.items():
        assert_has_a_lease_or_not(job)
        assert_events_match(job, rows.events[job_id])
    assert set(rows.events) <= set(rows.jobs)
    assert all(rows.jobs[job_id]["state"] not in ENDED for job_id in rows.snapshots)
    assert_versions_are_counted(rows)


def assert_has_a_lease_or_not(job: Mapping[str, Any]) -> None:
    leased, ended = job["state"] in LEASED, job["state"] in ENDED
    assert (job["worker"] is not None, job["lease_until"] is not None) == (leased, leased)
    assert (job["finished_at"] is not None) == ended
    assert (job["started_at"] is not None) == (job["attempt"] > 0)
    assert job["attempt"] > 0 or job["claimed_at"] is None
    assert job["claimed_at"] is not None or not leased
    assert (job["problem"] is not None) == (job["state"] == "failed")


def assert_events_match(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
    assert [event["number"] for event in events] == list(range(1, job["events"] + 1))
    statuses = [event["data"] for event in events if event["kind"] == "status"]
    states = [None, *(status["status"] for status in statuses)]
    assert all(after in NEXT_STATES[before] for before, after in pairwise(states)), states
    attempts = [status["attempt"] for status in statuses]
    assert (attempts, set(attempts)) == (sorted(attempts), set(range(job["attempt"] + 1)))
    assert (statuses[-1]["status"], statuses[-1]["attempt"]) == (job["state"], job["attempt"])
    done = [event["data"] for event in events if event["kind"] == "done"]
    figures = {"epoch": job["epoch"], "metrics": job["metrics"]}
    assert done == ([statuses[-1] | figures] if job["state"] in ENDED else [])
    assert events[-1]["kind"] == "done" or not done


def assert_versions_are_counted(rows: Rows) -> None:
    by_model = defaultdict(list)
    for version in rows.versions:
        by_model[version["model"]].append(version["version"])
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_model.values()), by_model
    by_job = {version["job_id"]: version for version in rows.versions}
    assert len(by_job) == len(rows.versions), "a job has published twice"
    for job_id, job in rows.jobs.items():
        own = by_job.get(job_id)
        assert (job["state"] == "succeeded") == (own is not None)
        published = (own["model"], own["version"], own["seq"]) if own else (job["model"], None, None)
        assert (job["model"], job["version"], job["version_seq"]) == published
        assert own is None or own["checkpoint_id"] == f"{job_id}-{job['attempt']}", "not the last attempt has published"


def any_of(*choices: Callable[["JobStates"], list[str]]) -> Any:
    """Draws one of the choices, then one of its names."""
    return st.runner().flatmap(
        lambda machine: st.one_of([st.sampled_from(names) for choice in choices if (names := choice(machine))])
    )


class JobStates(RuleBasedStateMachine):
    """Applies random operations to the store and to `ExpectedJobs`, and compares them after each."""

    models = st.sampled_from(MODELS)
    workers = st.sampled_from(WORKERS)
    numbers = st.integers(1, 4)
    job_ids = any_of(
        lambda self: self.those_in(*LEASED), lambda self: self.those_in("queued", "paused"), lambda self: self.added
    )
    busy_workers = any_of(lambda self: [self.claimed[name].status.worker for name in self.leased()])
    attempts = any_of(lambda self: self.leased(), lambda self: list(self.claimed))

    def __init__(self, store: Store, connection: Connection) -> None:
        """Empties the database, which all runs share."""
        super().__init__()
        self.store, self.connection = store, connection
        of_jobs = ("events", "snapshots", "idempotency_keys", "jobs", "fair_share_slots", "deleted_jobs")
        for name in (*of_jobs, "versions", "models", "aliases", "registry_changes"):
            connection.execute(text(f"DELETE FROM {name}"))
        self.expected = ExpectedJobs()
        self.added: list[str] = []
        self.claimed: dict[str, Job] = {}
        self.ended: dict[str, Mapping[str, Any]] = {}

    def those_in(self, *states: str) -> list[str]:
        return [job.id for job in self.expected.jobs.values() if job.state in states]

    def leased(self) -> list[str]:
        return [name for name, attempt in self.claimed.items() if self.expected.instructions(attempt).requested_state]

    def new_spec(self, model: str, recipe: str = "r") -> JobSpec:
        spec = new_spec(f"job{len(self.added)}", model, recipe)
        self.added.append(spec.id)
        return spec

    def both(self, name: str, *args: Any, **more: Any) -> Any:
        """Calls a method of the store and of the expectation, which must have the same result."""
        expected = outcome(getattr(self.expected, name), *args, **more)
        part = self.store.leases if hasattr(self.store.leases, name) else self.store.jobs
        found = outcome(getattr(part, name), *args, **more)
        assert (found.version.version if isinstance(found, Publication) else found) == expected
        return expected

    def note_claim(self, job: Job | None, expected: ExpectedJob | None) -> None:
        if job is None or expected is None:
            assert job is expected
            return
        assert (job.id, job.status.attempt, job.status.worker) == (expected.id, expected.attempt, expected.worker)
        assert job == self.store.jobs.get(job.id)
        _, at = self.times(job.id)
        assert at is not None
        assert at >= max(self.expected.slots.values(), default=0.0)
        expected.claimed_at = self.expected.slots[job.model] = at
        self.claimed[job.checkpoint_id] = job

    def times(self, job_id: str) -> tuple[float, float | None]:
        """Returns when the job was queued and claimed."""
        columns = tables.jobs.c.queued_at, tables.jobs.c.claimed_at
        return self.connection.execute(select(*columns).where(tables.jobs.c.id == job_id)).one()

    @initialize(models=st.lists(models, max_size=3), workers=st.lists(workers, max_size=3))
    def begin(self, models: list[str], workers: list[str]) -> None:
        for model in models:
            self.add(model, "r", None)
        for worker in workers:
            self.claim(worker)

    @rule(model=models, recipe=st.sampled_from("rs"), key=st.sampled_from([None, None, "k", "l"]))
    def add(self, model: str, recipe: str, key: str | None) -> None:
        self.submit(self.new_spec(model, recipe), key)

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids, key=st.sampled_from([None, None, "k", "l"]))
    def retry(self, job_id: str, key: str | None) -> None:
        self.submit(replace(self.new_spec("m"), retry_of=job_id), key)

    def submit(self, spec: JobSpec, key: str | None) -> None:
        self.both("add", spec, max_queued=3, key=key)
        if spec.id in self.expected.jobs:
            self.expected.jobs[spec.id].queued_at, _ = self.times(spec.id)

    @precondition(lambda self: self.expected.keys)
    @rule()
    def forget_keys(self) -> None:
        self.connection.execute(text(f"UPDATE idempotency_keys SET created_at = created_at - {KEY_TTL_S}"))
        self.expected.forget_keys()

    @rule(model=models, worker=workers)
    def add_claimed(self, model: str, worker: str) -> None:
        spec = self.new_spec(model)
        self.note_claim(
            self.store.leases.add_claimed(spec, worker=worker), self.expected.add_claimed(spec, worker=worker)
        )

    @rule(worker=workers)
    def claim(self, worker: str) -> None:
        self.note_claim(self.store.leases.claim(worker), self.expected.claim(worker))

    @precondition(lambda self: self.claimed)
    @rule(name=attempts, kinds=st.lists(st.sampled_from(REPORTS), min_size=1, max_size=3), number=numbers)
    def report(self, name: str, kinds: list[str], number: int) -> None:
        for kind in kinds:
            self.write(name, kind, number)

    @precondition(lambda self: self.claimed)
    @rule(names=st.lists(attempts, min_size=1, max_size=3), kind=st.sampled_from(ENDS), number=numbers)
    def end(self, names: list[str], kind: str, number: int) -> None:
        for name in names:
            self.write(name, kind, number)

    @precondition(lambda self: self.claimed)
    @rule(number=numbers)
    def all_workers_that_lost_their_job_write(self, number: int) -> None:
        lost = [name for name in self.claimed if name not in self.leased()]
        for name in lost:
            for kind in WRITES:
                self.write(name, kind, number)

    def write(self, name: str, kind: str, number: int) -> None:
        self.both(kind, self.claimed[name], **WRITES[kind](name, number))

    @precondition(lambda self: self.leased())
    @rule(worker=busy_workers)
    def a_worker_crashes(self, worker: str) -> None:
        self.assert_reclaimed(self.store.leases.reclaim_from(worker), self.expected.reclaim_from(worker))

    @precondition(lambda self: self.leased())
    @rule(worker=busy_workers, times=st.integers(1, 3))
    def a_worker_crashes_and_claims_again(self, worker: str, times: int) -> None:
        for _ in range(times):
            self.a_worker_crashes(worker)
            self.claim(worker)

    @precondition(lambda self: self.leased())
    @rule(alive=st.lists(attempts, max_size=3), noticed=st.booleans())
    def all_leases_expire_but_some_are_renewed(self, alive: list[str], noticed: bool) -> None:
        self.connection.execute(text("UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL"))
        self.expected.expire_all_leases()
        for name in alive:
            self.write(name, "heartbeat", 1)
        if noticed:
            self.reclaim_expired()

    @precondition(lambda self: self.leased())
    @rule()
    def reclaim_expired(self) -> None:
        self.assert_reclaimed(self.store.leases.reclaim_expired(), self.expected.reclaim_expired())

    def assert_reclaimed(self, jobs: list[Job], expected: list[ExpectedJob]) -> None:
        assert sorted((job.id, job.status.attempt, job.status.worker, job.state.value) for job in jobs) == sorted(
            (job.id, job.attempt, job.worker, job.state) for job in expected
        )

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids, what=st.sampled_from(["cancel", "pause"]))
    def request(self, job_id: str, what: str) -> None:
        self.both(what, job_id)

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids)
    def resume(self, job_id: str) -> None:
        self.both("resume", job_id, max_queued=3)

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids)
    def delete(self, job_id: str) -> None:
        before = outcome(self.store.jobs.get, job_id)
        expected = outcome(self.expected.delete, job_id)
        assert outcome(self.store.jobs.delete, job_id) == (before if expected is None else expected)

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids, seconds=st.sampled_from([0.0, LONG_S]))
    def watch(self, job_id: str, seconds: float) -> None:
        self.store.events.watch([job_id], seconds=seconds)
        if job_id in self.expected.jobs:
            self.expected.jobs[job_id].watched = seconds > 0

    @precondition(lambda self: self.claimed)
    @rule()
    def read_all_instructions(self) -> None:
        assert self.store.jobs.any_queued() == bool(self.those_in("queued"))
        found = [(attempt.id, self.store.leases.instructions(attempt)) for attempt in self.claimed.values()]
        assert found == [(attempt.id, self.expected.instructions(attempt)) for attempt in self.claimed.values()]
        assert max(Counter(job_id for job_id, one in found if one.requested_state).values(), default=0) <= 1

    @precondition(lambda self: self.added)
    @rule(job_id=job_ids)
    def read(self, job_id: str) -> None:
        job, expected = outcome(self.store.jobs.get, job_id), self.expected.jobs.get(job_id)
        page, _ = self.store.events.page(job_id, after=0, limit=1000)
        assert [summary(vars(event)) for event in page] == (expected.events if expected else [])
        if expected is None:
            assert job is JobNotFound
        else:
            assert_is_as_expected(vars(job.spec) | vars(job.status), expected)

    @invariant()
    def all_is_as_expected(self) -> None:
        rows = all_rows(self.connection)
        assert_sound(rows)
        assert list(rows.jobs) == list(self.expected.jobs)
        for job_id, job in self.expected.jobs.items():
            row = rows.jobs[job_id]
            assert_is_as_expected(row, job)
            assert (row["claimed_at"], row["lease_until"] == 0) == (job.claimed_at, job.lease_expired)
            assert [summary(event) for event in rows.events[job_id]] == job.events
            assert rows.snapshots.get(job_id) == job.snapshot
        assert [(row["model"], row["version"], row["job_id"]) for row in rows.versions] == self.expected.versions
        self.assert_ended_for_good(rows)

    def assert_ended_for_good(self, rows: Rows) -> None:
        for job_id, job in rows.jobs.items():
            if job["state"] in ENDED:
                row = {**job, "watched_until": None}
                assert self.ended.setdefault(job_id, row) == row
        assert all(rows.jobs[job_id]["state"] in ENDED for job_id in self.ended if job_id in rows.jobs)


def assert_is_as_expected(job: Mapping[str, Any], expected: ExpectedJob) -> None:
    names = ("model", "state", "attempt", "crash_count", "worker", "epoch", "metrics", "ran_s", "checkpoint", "version")
    assert {name: job[name] for name in names} == {name: getattr(expected, name) for name in names}
    assert (job["problem"] or {}).get("code") == expected.problem
    assert job["events"] == len(expected.events)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with closing(Store(url, lease_s=LONG_S)) as store:
        yield store


@pytest.fixture
def connection(url: str, store: Store) -> Iterator[Connection]:
    engine = engine_of(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.slow
def test_any_sequence_of_operations_has_the_expected_result(url: str, store: Store, connection: Connection) -> None:
    run_state_machine_as_test(
        lambda: JobStates(store, connection),
        settings=settings(
            max_examples=18,
            stateful_step_count=40,
            suppress_health_check=[HealthCheck.too_slow],  # on a busy machine
        ),
    )


@dataclass
class Happened:
    """What many threads have done to the jobs of one database, as the store told them."""

    added: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    claimed: list[Job] = field(default_factory=list)
    published: list[tuple[str, int, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def act_at_random(store: Store, happened: Happened, chance: random.Random, name: str) -> None:
    """Does one random operation on a job, or as a worker, that other threads may have changed meanwhile."""
    job_id, attempt = chance.choice(happened.added[-12:]), chance.choice(happened.claimed[-12:])
    worker, jobs, leases = chance.choice(WORKERS), store.jobs, store.leases
    match chance.choice(OPERATIONS):
        case "add":
            key = chance.choice([None, name[-1]])
            happened.added.append(jobs.add(new_spec(name, chance.choice(MODELS)), max_queued=12, key=key))
        case "claim":
            if (claimed := leases.claim(worker)) is not None:
                happened.claimed.append(claimed)
        case "report":
            leases.heartbeat(attempt, epoch=1, metrics=None, ran_s=1.0, emit=True)
            leases.record_snapshot(attempt, epoch=1, weights=b"weights")
            leases.record_checkpoint(attempt, checkpoint=attempt.checkpoint_id, epoch=1)
        case "publish":
            if (published := leases.publish(attempt, card_digest="c", epoch=1, metrics=None)) is not None:
                happened.published.append((attempt.model, published.version.version, attempt.id))
        case "fail":
            if leases.fail(attempt, code="diverged", detail=""):
                happened.failed.append(attempt.id)
        case "release":
            leases.release(attempt, **checkpoint_if_odd(attempt.checkpoint_id, chance.choice([0, 1])))
        case "crash":
            leases.reclaim_from(worker)
        case "request":
            chance.choice([jobs.cancel, jobs.pause, partial(jobs.resume, max_queued=12)])(job_id)
        case "delete":
            happened.deleted.append(jobs.delete(job_id).id)
        case "watch":
            store.events.watch(happened.added[-12:], seconds=LONG_S)


OPERATIONS = (
    *("add", "claim", "report", "request") * 4,
    *("publish", "fail", "release") * 2,
    *("crash", "delete", "watch"),
)
"""The operations; those that are here more often are done more often."""


def run_threads(url: str, happened: Happened, *, threads: int, times: int) -> None:
    """Runs random operations in threads, each with a store of its own, as a process would have."""
    start = Barrier(threads, timeout=60)

    def act(thread: int) -> None:
        chance = random.Random(thread)
        with closing(Store(url, lease_s=LONG_S)) as store:
            start.wait()
            for number in range(times):
                outcome(act_at_random, store, happened, chance, f"{thread}-{number}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(act, range(threads)))


def finish_all(url: str, store: Store, happened: Happened) -> None:
    """Reclaims all jobs, resumes the paused ones, and brings each to an end."""
    for number, job in enumerate(store.jobs.page(limit=10_000)[0]):
        outcome(store.jobs.cancel if number % 3 == 0 else partial(store.jobs.resume, max_queued=10_000), job.id)
    expire_leases(url)
    store.leases.reclaim_expired()
    while (job := store.leases.claim("last")) is not None:
        happened.claimed.append(job)
        if job.status.attempt % 2:
            published = store.leases.publish(job, card_digest="c", epoch=1, metrics=None)
            assert published is not None
            happened.published.append((job.model, published.version.version, job.id))
        else:
            happened.failed.append(job.id)
            assert store.leases.fail(job, code="diverged", detail="")


def assert_happened(rows: Rows, happened: Happened) -> None:
    """Checks that the database agrees with what the store told the threads, and told nothing twice."""
    assert len(happened.deleted) == len(set(happened.deleted))
    assert set(rows.jobs) == set(happened.added) - set(happened.deleted)
    attempts = Counter((job.id, job.status.attempt) for job in happened.claimed)
    assert max(attempts.values()) == 1, "two workers have claimed the same attempt"
    claimed = {(job_id, attempt) for job_id, attempt in attempts if job_id in rows.jobs}
    assert claimed == {(job["id"], n + 1) for job in rows.jobs.values() for n in range(job["attempt"])}
    assert sorted(happened.published) == sorted((row["model"], row["version"], row["job_id"]) for row in rows.versions)
    failed = [job_id for job_id in happened.failed if job_id in rows.jobs]
    assert sorted(failed) == sorted(
        job_id for job_id, job in rows.jobs.items() if (job["problem"] or {}).get("code") == "diverged"
    )


@pytest.mark.slow
def test_concurrent_operations_leave_every_job_in_one_state_with_complete_events(
    url: str, store: Store, connection: Connection
) -> None:
    happened = Happened()
    for number in range(6):
        happened.added.append(store.jobs.add(new_spec(f"{number}", MODELS[number % 3]), max_queued=6))
    happened.claimed += [job for worker in WORKERS if (job := store.leases.claim(worker))]

    run_threads(url, happened, threads=6, times=60)
    assert_sound(all_rows(connection))
    assert_happened(all_rows(connection), happened)

    finish_all(url, store, happened)
    rows = all_rows(connection)
    assert_sound(rows)
    assert_happened(rows, happened)
    assert {job["state"] for job in rows.jobs.values()} <= set(ENDED)


def test_a_job_that_is_deleted_during_a_claim_is_skipped(postgresql: PostgreSQL) -> None:
    url = postgresql.new_database()
    engine = engine_of(url)
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with closing(Store(url)) as store, ThreadPoolExecutor(1) as pool:
        for name in ("deleted", "next"):
            store.jobs.add(new_spec(name, "m"), max_queued=2)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM jobs WHERE id = 'deleted'"))
            claim = pool.submit(store.leases.claim, "w")
            wait_until(lambda: connection.scalar(waits))
        claimed = claim.result()
    engine.dispose()
    assert claimed is not None
    assert claimed.id == "next"
