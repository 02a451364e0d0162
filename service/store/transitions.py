"""What a job's row may become: each change is written with the events that tell of it, in the caller's transaction."""

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, insert, select, update

from service.errors import JobNotFound
from service.records import EventKind, Job, JobSpec, JobState, JobStatus
from service.store.tables import events, jobs, now, snapshots

MAX_DEATHS = 3
"""A job that so many workers in a row died with, none of them getting any further, is at fault itself."""

END_EVENTS = 2
"""So many events tell of a job's end: its last status, and that it is done."""

HELD = tuple(state for state in JobState if state.held)
"""The states of a job that a worker has."""


class News(NamedTuple):
    """An event that is yet to be written."""

    kind: EventKind
    data: dict[str, Any]


def job_of(row: Row[Any]) -> Job:
    """The job that a row of `jobs` holds."""
    spec = {field.name: row._mapping[field.name] for field in fields(JobSpec)}
    status = {field.name: row._mapping[field.name] for field in fields(JobStatus)}
    return Job(JobSpec(**spec), JobStatus(**status | {"state": JobState(row.state)}))


def with_status(job: Job, **changes: Any) -> Job:
    """The job with some fields of its status replaced."""
    return replace(job, status=replace(job.status, **changes))


def locked(connection: Connection, job_id: str) -> Job:
    """The job as it is until this transaction ends.

    Raises:
        JobNotFound: there is no job of that id.
    """
    row = connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one_or_none()
    if row is None:
        raise JobNotFound("GET /jobs lists them.")
    return job_of(row)


def held(connection: Connection, job: Job) -> Job | None:
    """The job as it is until this transaction ends, if this attempt still has it."""
    own = select(jobs).where(jobs.c.id == job.id, jobs.c.attempt == job.status.attempt, jobs.c.state.in_(HELD))
    row = connection.execute(own.with_for_update()).one_or_none()
    return None if row is None else job_of(row)


def add(connection: Connection, spec: JobSpec) -> Job:
    """Writes a new job, and returns it."""
    job = Job(spec)
    connection.execute(insert(jobs).values(**vars(spec), **vars(job.status), queued_at=now()))
    return change(connection, job, [status(job)])


def change(
    connection: Connection, job: Job, news: Sequence[News], *, version_seq: int | None = None, **values: Any
) -> Job:
    """Writes changes of a locked job and what there is to tell of them; gives the job with its events counted."""
    told = job.status.events + len(news)
    columns = values | {"events": told} | ({} if version_seq is None else {"version_seq": version_seq})
    connection.execute(update(jobs).where(jobs.c.id == job.id).values(columns))
    if news:
        at = time.time()
        rows = [
            {"job_id": job.id, "number": number, "created_at": at, "version_seq": version_seq, **one._asdict()}
            for number, one in enumerate(news, job.status.events + 1)
        ]
        connection.execute(insert(events), rows)
    return with_status(job, events=told)


def status(job: Job, **more: Any) -> News:
    """The news of a job's state, and what `more` there is to tell of it."""
    return News("status", {"status": job.state.value, "attempt": job.status.attempt, **more})


def move(connection: Connection, job: Job, state: JobState, **values: Any) -> None:
    """Brings a locked job into another state, none of those that end it."""
    change(connection, job, [status(with_status(job, state=state))], state=state, **values)


_NOBODYS: dict[str, Any] = {"worker": None, "lease_until": None}


def end(connection: Connection, job: Job, state: JobState, **values: Any) -> None:
    """Ends a locked job, and says with what figures."""
    result = {key: values[key] for key in ("version", "problem") if key in values}
    last = status(with_status(job, state=state), **result)
    figures = {key: values.get(key, getattr(job.status, key)) for key in ("epoch", "metrics")}
    change(
        connection,
        job,
        [last, News("done", last.data | figures)],
        state=state,
        finished_at=time.time(),
        **values,
        **_NOBODYS,
    )
    connection.execute(delete(snapshots).where(snapshots.c.job_id == job.id))


def hold_back(connection: Connection, job: Job, **values: Any) -> None:
    """Pauses a job that no worker has any more. Its turn is over: others come first when it is resumed."""
    move(connection, job, JobState.PAUSED, claimed_at=None, **values)


def release(connection: Connection, job: Job, **values: Any) -> None:
    """Has a job go where it was asked to, else back to the queue, where it keeps its turn."""
    match job.state:
        case JobState.CANCELLING:
            end(connection, job, JobState.CANCELLED, **values)
        case JobState.PAUSING:
            hold_back(connection, job, **values, **_NOBODYS)
        case _:
            move(connection, job, JobState.QUEUED, **values, **_NOBODYS)


def blame(connection: Connection, job: Job) -> None:
    """Releases a job that may have cost its worker, unless it has cost too many."""
    deaths = job.status.deaths + 1
    if job.state == JobState.CANCELLING or deaths < MAX_DEATHS:
        release(connection, job, deaths=deaths)
        return
    detail = (
        f"Its training process died or fell silent {deaths} times in a row; the service's log may say why. "
        "If memory ran out, try a smaller batch_size or narrower layers."
    )
    end(connection, job, JobState.FAILED, deaths=deaths, problem={"code": "worker-died", "detail": detail})
