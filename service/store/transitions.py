"""State changes of a job's row. Each writes the row and its events within the caller's transaction."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select, update

from service.errors import JobNotFound
from service.records import EventKind, Job, JobSpec, JobState, JobStatus
from service.store.tables import events, job_totals, jobs, now, snapshots

MAX_CRASHES = 3
"""A job fails when this many workers in a row have crashed with it without reaching a checkpoint."""

END_EVENTS = 2
"""How many events the end of a job writes: its last `status`, and `done`."""

LEASED = tuple(state for state in JobState if state.leased)
"""The states in which a worker holds the job."""

_NO_LEASE: dict[str, Any] = {"worker": None, "lease_until": None}


class NewEvent(NamedTuple):
    """An event before it is written."""

    kind: EventKind
    data: dict[str, Any]


def job_of(row: Row[Any]) -> Job:
    """Returns the job that a row of the table `jobs` holds."""
    spec = {field.name: row._mapping[field.name] for field in fields(JobSpec)}
    status = {field.name: row._mapping[field.name] for field in fields(JobStatus)}
    return Job(JobSpec(**spec), JobStatus(**status | {"state": JobState(row.state)}))


def with_status(job: Job, **changes: Any) -> Job:
    """Returns the job with some fields of its status replaced."""
    return replace(job, status=replace(job.status, **changes))


def lock(connection: Connection, job_id: str) -> Job:
    """Returns the job and locks its row until the transaction ends.

    Raises:
        JobNotFound: the job does not exist.
    """
    row = connection.execute(_LOCKED, {"job_id": job_id}).one_or_none()
    if row is None:
        raise JobNotFound.of(job_id)
    return job_of(row)


def lock_leased(connection: Connection, job: Job) -> Job | None:
    """Returns the job and locks its row until the transaction ends; None if this attempt no longer holds the lease."""
    row = connection.execute(_LOCKED_LEASED, {"job_id": job.id, "of_attempt": job.status.attempt}).one_or_none()
    return None if row is None else job_of(row)


def add(connection: Connection, spec: JobSpec, *, expires_at: float | None = None) -> Job:
    """Inserts a new queued job and returns it."""
    job = Job(spec, JobStatus(expires_at=expires_at, events=1))
    connection.execute(_ADD, {**vars(spec), **vars(job.status)})
    _append(connection, job, [status_event(job)], first=1)
    return job


def change(
    connection: Connection,
    job: Job,
    new_events: Sequence[NewEvent],
    *,
    version_seq: int | None = None,
    computed: Mapping[str, ColumnElement[Any]] | None = None,
    **columns: Any,
) -> Job:
    """Writes columns and events of a locked job, and returns the job with the new event count.

    Args:
        connection: in the transaction that holds the lock.
        job: as the row was.
        new_events: appended to the job's events.
        version_seq: the `seq` of the last registry change of the publication, if the job has just published a version.
        computed: the columns that the database computes, as SQL.
        columns: the columns that change.
    """
    count = job.status.events + len(new_events)
    published = {} if version_seq is None else {"version_seq": version_seq}
    statement = _CHANGE.values(computed) if computed else _CHANGE
    connection.execute(statement, {"job_id": job.id, **columns, **published, "events": count})
    _append(connection, job, new_events, first=job.status.events + 1, version_seq=version_seq)
    return with_status(job, events=count)


def _append(
    connection: Connection, job: Job, new_events: Sequence[NewEvent], *, first: int, version_seq: int | None = None
) -> None:
    """Adds events to a job. The number of the first one is `first`."""
    at = time.time()
    rows = [
        {"job_id": job.id, "number": number, "created_at": at, "version_seq": version_seq, **event._asdict()}
        for number, event in enumerate(new_events, first)
    ]
    if rows:
        connection.execute(_ADD_EVENT, rows)


def status_event(job: Job) -> NewEvent:
    """Returns the event that reports the job's state."""
    status = job.status
    result = {"version": status.version, "problem": status.problem, "superseded_by": status.superseded_by}
    known = {key: value for key, value in result.items() if value is not None}
    return NewEvent("status", {"status": status.state.value, "attempt": status.attempt, **known})


def set_state(connection: Connection, job: Job, state: JobState, **columns: Any) -> None:
    """Moves a locked job to a state that is not final."""
    change(connection, job, [status_event(with_status(job, state=state))], state=state, **columns)


def end(connection: Connection, job: Job, state: JobState, *, version_seq: int | None = None, **status: Any) -> None:
    """Moves a locked job to a final state and sets other fields of its status."""
    ended = with_status(job, state=state, **status)
    last = status_event(ended)
    about = {"epoch": ended.status.epoch, "metrics": ended.status.metrics}
    if ended.status.promotion is not None:
        about["promotion"] = ended.status.promotion
    done = NewEvent("done", last.data | about)
    columns = {**status, **_NO_LEASE, "state": state, "finished_at": time.time()}
    change(connection, job, [last, done], version_seq=version_seq, **columns)
    connection.execute(_DELETE_SNAPSHOT, {"of_job": job.id})
    _count(connection, state, ended.status.ran_s)


def _count(connection: Connection, state: JobState, ran_s: float) -> None:
    """Adds a job to the totals of its final state, which outlive the job."""
    connection.execute(_COUNT, {"of_state": state.value, "ran_s": ran_s})


def pause(connection: Connection, job: Job, **columns: Any) -> None:
    """Pauses a locked job. It loses its fair-share slot: once resumed, it waits for the next slot of its model."""
    set_state(connection, job, JobState.PAUSED, claimed_at=None, **columns, **_NO_LEASE)


def release(connection: Connection, job: Job, **columns: Any) -> None:
    """Ends the lease of a locked job. The job moves to its requested state, else back to the queue with its slot."""
    match job.state:
        case JobState.CANCELLING:
            end(connection, job, JobState.CANCELLED, **columns)
        case JobState.PAUSING:
            pause(connection, job, **columns)
        case _:
            set_state(connection, job, JobState.QUEUED, **columns, **_NO_LEASE)


def release_after_crash(connection: Connection, job: Job) -> None:
    """Releases a locked job whose worker crashed; fails the job after `MAX_CRASHES` of them in a row."""
    crash_count = job.status.crash_count + 1
    if job.state == JobState.CANCELLING or crash_count < MAX_CRASHES:
        release(connection, job, crash_count=crash_count)
        return
    detail = (
        f"The training process crashed or stopped responding {crash_count} times in a row; the service's log may say "
        "why. If memory ran out, try a smaller batch_size or narrower layers."
    )
    problem = {"code": "worker-died", "detail": detail}
    end(connection, job, JobState.FAILED, crash_count=crash_count, problem=problem)


# Statements that every job runs are built once: building one takes longer than running it.
_CHANGE = update(jobs).where(jobs.c.id == bindparam("job_id"))
_ADD = insert(jobs).values(queued_at=now())
_ADD_EVENT = insert(events)
_LOCKED = select(jobs).where(jobs.c.id == bindparam("job_id")).with_for_update()
_LOCKED_LEASED = _LOCKED.where(jobs.c.attempt == bindparam("of_attempt"), jobs.c.state.in_(LEASED))
_DELETE_SNAPSHOT = delete(snapshots).where(snapshots.c.job_id == bindparam("of_job"))
_COUNT = (
    update(job_totals)
    .where(job_totals.c.state == bindparam("of_state"))
    .values(jobs=job_totals.c.jobs + 1, training_s=job_totals.c.training_s + bindparam("ran_s"))
)
