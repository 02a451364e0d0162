"""Jobs and published versions: every query of the service, and every rule about who may change a row.

Each write of a worker names the attempt it works for and changes nothing if the job has moved on, so that a job never
has two writers. Every method is one transaction, and is on the disk when it returns.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Update, and_, func, insert, select, update
from sqlalchemy.exc import DatabaseError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import JobNotFound, QueueFull, StoreUnavailable
from service.records import Job, JobState, PublishedVersion
from service.store.tables import READS_ONLY, create_engine, jobs, versions

LEASE_S = 15.0
"""How long a worker may be silent before its job goes to another. Its heartbeats are far more frequent."""

_ACTIVE = (JobState.RUNNING, JobState.CANCELLING)


class Store:
    """The rows of one data folder. Safe to share between threads, and between processes that each open their own."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 30.0) -> None:
        """Opens the database file; its tables are made if missing. `busy_timeout_s` bounds the wait for other writers.

        Raises:
            StoreUnavailable: as may every method, when the database cannot be reached, written or read.
        """
        with _unavailable():
            self._writes = create_engine(path, busy_timeout_s=busy_timeout_s)
            # connections of their own: writers that wait for each other must not keep readers waiting
            self._reads = create_engine(path, busy_timeout_s=busy_timeout_s).execution_options(**READS_ONLY)

    def close(self) -> None:
        """Closes every connection."""
        self._writes.dispose()
        self._reads.dispose()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction, which is on the disk when the block has ended."""
        with _unavailable(), self._writes.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _unavailable(), self._reads.connect() as connection:
            yield connection

    # jobs, as those who ask for them see them

    def add_job(self, job: Job, *, max_queued: int) -> None:
        """Puts a job in the queue.

        Raises:
            QueueFull: `max_queued` jobs wait already.
        """
        with self._writing() as connection:
            _require_room(connection, max_queued)
            connection.execute(insert(jobs), vars(job))

    def add_claimed(self, job: Job) -> Job:
        """Adds a job that the caller works on itself, claimed as by `claim`: no other worker ever sees it waiting."""
        now = time.time()
        claimed = replace(job, state=JobState.RUNNING, attempt=1, started_at=now)
        with self._writing() as connection:
            connection.execute(insert(jobs), vars(claimed) | {"lease_until": now + LEASE_S})
        return claimed

    def add_starters(self, starters: Sequence[Job]) -> list[Job]:
        """Puts jobs in the queue: all if there never was a job, else those that failed before and have no version yet.

        Returns:
            The jobs that were added.
        """
        with self._writing() as connection:
            rows = connection.execute(select(jobs.c.model, jobs.c.origin, jobs.c.state)).all()
            states = {job.model: {row.state for row in rows if row[:2] == (job.model, "starter")} for job in starters}
            published = set(connection.scalars(select(versions.c.model).distinct()))
            added = [
                job
                for job in starters
                if not rows or (states[job.model] == {JobState.FAILED} and job.model not in published)
            ]
            if added:
                connection.execute(insert(jobs), [vars(job) for job in added])
            return added

    def require_room(self, *, max_queued: int) -> None:
        """Looks whether the queue would take another job.

        Raises:
            QueueFull: `max_queued` jobs wait already.
        """
        with self._reading() as connection:
            _require_room(connection, max_queued)

    def job(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: there is no job of that id.
        """
        with self._reading() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFound("GET /jobs lists them.")
        return _job(row)

    def jobs(self, *, limit: int, after: str | None = None, state: JobState | None = None) -> tuple[list[Job], bool]:
        """A page of jobs, newest first, and whether more follow. `after` is the id of the last job of the page before.

        Raises:
            JobNotFound: there is no job of the id `after`.
        """
        query = select(jobs).order_by(jobs.c.seq.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(jobs.c.state == state)
        with self._reading() as connection:
            if after is not None:
                seq = connection.scalar(select(jobs.c.seq).where(jobs.c.id == after))
                if seq is None:
                    raise JobNotFound("The cursor must be the id of a job.")
                query = query.where(jobs.c.seq < seq)
            rows = connection.execute(query).all()
        return [_job(row) for row in rows[:limit]], len(rows) > limit

    def unended_starters(self) -> list[Job]:
        """The starters that wait or run, oldest first."""
        unended = jobs.c.state.in_([JobState.QUEUED, *_ACTIVE])
        return self._oldest(and_(jobs.c.origin == "starter", unended), None)

    def _oldest(self, which: ColumnElement[bool], limit: int | None) -> list[Job]:
        with self._reading() as connection:
            return [
                _job(row) for row in connection.execute(select(jobs).where(which).order_by(jobs.c.seq).limit(limit))
            ]

    def request_cancel(self, job_id: str) -> None:
        """Cancels a job that waits, asks a job that runs to stop, leaves an ended job as it is."""
        with self._writing() as connection:
            own = update(jobs).where(jobs.c.id == job_id)
            waiting = own.where(jobs.c.state == JobState.QUEUED)
            connection.execute(waiting.values(state=JobState.CANCELLED, finished_at=time.time()))
            connection.execute(own.where(jobs.c.state == JobState.RUNNING).values(state=JobState.CANCELLING))

    # jobs, as the workers take, tend and end them

    def waiting_jobs(self, *, limit: int) -> list[Job]:
        """The jobs that wait, oldest first."""
        return self._oldest(jobs.c.state == JobState.QUEUED, limit)

    def silent_jobs(self, *, limit: int) -> list[Job]:
        """The jobs whose worker has let its lease run out, oldest first."""
        return self._oldest(_silent(), limit)

    def claim(self, job_id: str) -> Job | None:
        """Takes a job that waits for a new attempt, or gives None if it does not wait."""
        now = time.time()
        with self._writing() as connection:
            taken = connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state == JobState.QUEUED)
                .values(
                    state=JobState.RUNNING,
                    attempt=jobs.c.attempt + 1,
                    lease_until=now + LEASE_S,
                    started_at=func.coalesce(jobs.c.started_at, now),
                    epoch=0,
                    metrics=None,
                )
            )
            if not taken.rowcount:
                return None
            return _job(connection.execute(select(jobs).where(jobs.c.id == job_id)).one())

    def heartbeat(self, job: Job, *, epoch: int, metrics: dict[str, float | None] | None) -> JobState | None:
        """Renews the lease and notes the progress. Gives the state of the job, or None if it is another's now."""
        with self._writing() as connection:
            beat = _own(job).values(lease_until=time.time() + LEASE_S, epoch=epoch, metrics=metrics)
            if not connection.execute(beat).rowcount:
                return None
            return JobState(connection.execute(select(jobs.c.state).where(jobs.c.id == job.id)).scalar_one())

    def publish(
        self,
        job: Job,
        *,
        card_digest: str,
        epoch: int,
        metrics: dict[str, float | None] | None,
        restarts: list[dict[str, Any]] | None = None,
    ) -> int | None:
        """Ends a job as succeeded and makes its checkpoint the next version of its model, both or neither.

        Returns:
            The version's number, or None if the job is another's now.
        """
        now = time.time()
        with self._writing() as connection:
            latest = connection.scalar(select(func.max(versions.c.version)).where(versions.c.model == job.model))
            version = (latest or 0) + 1
            end = _ending(job, JobState.SUCCEEDED, now)
            end = end.values(version=version, epoch=epoch, metrics=metrics, restarts=restarts)
            if not connection.execute(end).rowcount:
                return None
            row = {
                "model": job.model,
                "version": version,
                "job_id": job.id,
                "checkpoint_id": job.checkpoint_id,
                "card_digest": card_digest,
                "created_at": now,
            }
            connection.execute(insert(versions), row)
            return version

    def fail(
        self,
        job: Job,
        *,
        code: str,
        detail: str,
        epoch: int,
        metrics: dict[str, float | None] | None = None,
        restarts: list[dict[str, Any]] | None = None,
        kept: bool = False,
    ) -> None:
        """Ends a job as failed, unless it is another's now."""
        end = _ending(job, JobState.FAILED, time.time())
        problem = {"code": code, "detail": detail}
        end = end.values(problem=problem, epoch=epoch, metrics=metrics, restarts=restarts, kept=kept)
        with self._writing() as connection:
            connection.execute(end)

    def take_back(self, job: Job, *, max_deaths: int) -> bool:
        """Takes a job from its worker if that is still silent; says whether it was.

        The job goes back to the queue, or to its end: if it was to be cancelled, or if `max_deaths` workers have now
        fallen silent over it.
        """
        deaths = job.deaths + 1
        changes: dict[str, Any] = {"state": JobState.QUEUED, "lease_until": None, "epoch": 0, "metrics": None}
        if job.state == JobState.CANCELLING:
            changes = {"state": JobState.CANCELLED, "lease_until": None, "finished_at": time.time()}
        elif deaths >= max_deaths:
            detail = (
                f"Its training process died or fell silent {deaths} times; the service's log may say why. "
                "If memory ran out, try a smaller batch_size or narrower layers."
            )
            changes = {"state": JobState.FAILED, "lease_until": None, "finished_at": time.time()}
            changes["problem"] = {"code": "worker-died", "detail": detail}
        with self._writing() as connection:
            taken = _own(job).where(jobs.c.state == job.state, _silent()).values(deaths=deaths, **changes)
            return bool(connection.execute(taken).rowcount)

    def put_back(self, job: Job) -> None:
        """Gives a job up: to the queue, or to its end if it was to be cancelled. Nothing if it is another's now."""
        with self._writing() as connection:
            cancelled = _ending(job, JobState.CANCELLED, time.time()).where(jobs.c.state == JobState.CANCELLING)
            connection.execute(cancelled)
            connection.execute(_own(job).values(state=JobState.QUEUED, lease_until=None, epoch=0, metrics=None))

    # published versions

    def versions_after(self, seq: int) -> list[PublishedVersion]:
        """The versions published after the one with that `seq`, oldest first; 0 gives all."""
        query = select(versions).where(versions.c.seq > seq).order_by(versions.c.seq)
        with self._reading() as connection:
            return [PublishedVersion(**row._mapping) for row in connection.execute(query)]


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turns what the database raises when it cannot do its work into an error of ours."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise StoreUnavailable("It does not answer, or not in time.") from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # its children but those above are faults of ours
            raise
        raise StoreUnavailable("Its file is damaged, or is none of a database.") from error


def _require_room(connection: Connection, max_queued: int) -> None:
    queued = connection.scalar(select(func.count()).where(jobs.c.state == JobState.QUEUED))
    if (queued or 0) >= max_queued:
        raise QueueFull("Try again when some of the waiting jobs are done.")


def _silent() -> ColumnElement[bool]:
    return and_(jobs.c.state.in_(_ACTIVE), jobs.c.lease_until < time.time())


def _own(job: Job) -> Update:
    """An update of the job's row that holds only while the attempt does."""
    return update(jobs).where(jobs.c.id == job.id, jobs.c.attempt == job.attempt, jobs.c.state.in_(_ACTIVE))


def _ending(job: Job, state: JobState, now: float) -> Update:
    return _own(job).values(state=state, lease_until=None, finished_at=now)


def _job(row: Row[Any]) -> Job:
    values = {field.name: row._mapping[field.name] for field in fields(Job)}
    return Job(**values | {"state": JobState(values["state"])})
