"""Jobs as clients see them: submit, read, cancel, pause, resume, delete. What workers write is in `leases`.

Every method is one transaction. A change locks the job's row, decides, and writes the row together with its events.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, insert, or_, select, update

from service.errors import JobNotFound, KeyReused, QueueFull, WrongState
from service.records import Job, JobSpec, JobState
from service.store import transitions
from service.store.database import Database
from service.store.servers import served_by_all
from service.store.tables import (
    deleted_jobs,
    fair_share_slots,
    histories,
    idempotency_keys,
    job_totals,
    jobs,
    models,
    now,
    versions,
)
from service.store.transitions import job_of

KEY_TTL_S = 24 * 3600.0
"""How long an idempotency key is remembered."""

CURSOR_TTL_S = 24 * 3600.0
"""How long the id of a deleted job still works as a cursor of the list."""

_ENDED = tuple(state for state in JobState if state.ended)


class FilesInUse(NamedTuple):
    """The files that rows refer to.

    Attributes:
        jobs: the ids of jobs that have not ended, all of whose files may be in use.
        checkpoints: the names of checkpoints.
        points: the ids of jobs whose points are in use: their versions show them, or a retry needs them.
    """

    jobs: set[str]
    checkpoints: set[str]
    points: set[str]


class JobCounts(NamedTuple):
    """How many jobs there are and were.

    Attributes:
        present: number of jobs that have not ended, by state.
        ended: number of jobs that have ever ended, by final state, also of those that were deleted.
        training_s: how long all jobs that have ended trained.
    """

    present: dict[JobState, int]
    ended: dict[JobState, int]
    training_s: float


class Jobs:
    """The job queue and its history."""

    def __init__(self, database: Database, *, server: str | None = None) -> None:
        """Reads and writes one database.

        A job that has published a version is reported as running until every API process has announced that it serves
        the version. So a job that a client sees as succeeded is served everywhere.

        Args:
            database: of the jobs.
            server: the name of the API process that asks, if it is one.
        """
        self._database = database
        served = served_by_all(jobs.c.version_seq, server=server)
        self._reported_state = case((served, jobs.c.state), else_=JobState.RUNNING.value)
        self._reported = select(jobs, self._reported_state.label("reported_state"))
        self._reported_one = self._reported.where(jobs.c.id == bindparam("job_id"))

    def add(
        self,
        spec: JobSpec,
        *,
        max_queued: int,
        max_own: int | None = None,
        key: str | None = None,
        ttl_s: float | None = None,
    ) -> str:
        """Adds a job to the queue and returns its id.

        If its owner has added an equal job under `key`, returns the id of that job. Queued jobs of the same owner and
        group, see `JobSpec.supersede`, are cancelled. With `ttl_s`, the job expires after this many seconds, see
        `expired`.

        Raises:
            QueueFull: `max_queued` jobs are queued already, or `max_own` of the job's owner.
            KeyReused: a different job was added under the key.
            JobNotFound: the job to retry does not exist.
            WrongState: the job to retry has succeeded, or has not ended.
        """
        with self._database.writing(serial=True) as connection:
            earlier = _find_added(connection, spec, _Room(max_queued, max_own), key)
            if earlier is not None:
                return earlier
            _cancel_superseded(connection, spec)
            expires_at = None if ttl_s is None else time.time() + ttl_s
            transitions.add(connection, spec, expires_at=expires_at)
            if key:
                outdated = idempotency_keys.c.created_at <= time.time() - KEY_TTL_S
                connection.execute(delete(idempotency_keys).where(outdated))
                row = {"key": _stored_key(key, spec.owner), "payload": _payload(spec), "job_id": spec.id}
                connection.execute(insert(idempotency_keys), row | {"created_at": time.time()})
            return spec.id

    def find_added(
        self, spec: JobSpec, *, max_queued: int, max_own: int | None = None, key: str | None = None
    ) -> str | None:
        """Returns the id of the existing job that `add` would return; None if `add` would add a job.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState: as `add`.
        """
        with self._database.reading() as connection:
            return _find_added(connection, spec, _Room(max_queued, max_own), key)

    def add_seed_jobs(self, specs: Sequence[JobSpec]) -> list[JobSpec]:
        """Adds the jobs of the seed models: all to an empty database, else those that only failed so far.

        Returns:
            The jobs that were added.
        """
        with self._database.writing(serial=True) as connection:
            rows = connection.execute(select(jobs.c.model, jobs.c.origin, jobs.c.state)).all()
            published = set(connection.scalars(select(models.c.name)))  # also those that were deleted
            is_empty = not rows and not published

            def only_failed(model: str) -> bool:
                states = {row.state for row in rows if (row.model, row.origin) == (model, "seed")}
                return states == {JobState.FAILED} and model not in published

            added = [spec for spec in specs if is_empty or only_failed(spec.model)]
            for spec in added:
                transitions.add(connection, spec)
            return added

    def get(self, job_id: str) -> Job:
        """Returns one job.

        Raises:
            JobNotFound: the job does not exist.
        """
        with self._database.reading() as connection:
            row = connection.execute(self._reported_one, {"job_id": job_id}).one_or_none()
        if row is None:
            raise JobNotFound.of(job_id)
        return _reported(row)

    def extend(self, job_id: str, *, ttl_s: float) -> float:
        """Lets a job expire no sooner than after `ttl_s` seconds, and returns when it does."""
        expires_at = time.time() + ttl_s
        with self._database.writing(durable=False) as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(expires_at=expires_at))
        return expires_at

    def expired(self) -> list[Job]:
        """Returns the jobs that have expired."""
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(select(jobs).where(jobs.c.expires_at < time.time()))]

    def kept(self) -> list[Job]:
        """Returns the jobs that have ended and can expire, those first that expire first."""
        ended = and_(jobs.c.state.in_(_ENDED), jobs.c.expires_at.is_not(None))
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(select(jobs).where(ended).order_by(jobs.c.expires_at))]

    def histories(self, job_id: str) -> list[dict[str, Any]]:
        """Returns the history of each network of a job, as `History.to_json`, as far as it is recorded."""
        with self._database.reading() as connection:
            found = connection.scalar(select(histories.c.networks).where(histories.c.job_id == job_id))
        return found or []

    def page(
        self, *, limit: int, after: str | None = None, state: JobState | None = None, model: str | None = None
    ) -> tuple[list[Job], bool]:
        """Returns a page of jobs, newest first, and whether more follow.

        Args:
            limit: maximum number of jobs of the page.
            after: the id of the last job of the previous page. It may have been deleted less than `CURSOR_TTL_S` ago.
            state: only jobs in this state.
            model: only jobs of this model.

        Raises:
            JobNotFound: the job `after` does not exist.
        """
        query = self._reported.order_by(jobs.c.seq.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(self._reported_state == state.value)
        if model is not None:
            query = query.where(jobs.c.model == model)
        with self._database.reading() as connection:
            if after is not None:
                existing = select(jobs.c.seq).where(jobs.c.id == after)
                deleted = select(deleted_jobs.c.seq).where(deleted_jobs.c.id == after)
                seq = connection.scalar(existing.union(deleted))
                if seq is None:
                    raise JobNotFound.after()
                query = query.where(jobs.c.seq < seq)
            rows = connection.execute(query).all()
        return [_reported(row) for row in rows[:limit]], len(rows) > limit

    def any_queued(self) -> bool:
        """Returns whether a job waits for a worker."""
        with self._database.reading() as connection:
            return bool(connection.scalar(_ANY_QUEUED))

    def counts(self) -> JobCounts:
        """Counts all jobs."""
        unended = select(jobs.c.state, func.count()).where(jobs.c.state.not_in(_ENDED)).group_by(jobs.c.state)
        with self._database.reading() as connection:
            present = {JobState(state): count for state, count in connection.execute(unended)}
            totals = connection.execute(select(job_totals)).all()
        ended = {JobState(row.state): row.jobs for row in totals}
        return JobCounts(present, ended, sum(row.training_s for row in totals))

    def unended_seed_jobs(self) -> list[Job]:
        """Returns the jobs of seed models that have not ended, oldest first."""
        unended = and_(jobs.c.origin == "seed", jobs.c.state.not_in(_ENDED))
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(select(jobs).where(unended).order_by(jobs.c.seq))]

    def cancel(self, job_id: str) -> None:
        """Cancels a job, or asks its worker to stop. Does nothing if the job is cancelled already.

        Raises:
            JobNotFound: the job does not exist.
            WrongState: the job has succeeded or failed.
        """
        with self._database.writing() as connection:
            job = transitions.lock(connection, job_id)
            match job.state:
                case JobState.QUEUED | JobState.PAUSED:
                    transitions.end(connection, job, JobState.CANCELLED)
                case JobState.RUNNING | JobState.PAUSING:
                    transitions.set_state(connection, job, JobState.CANCELLING)
                case JobState.SUCCEEDED | JobState.FAILED:
                    raise WrongState(job.state, "A job that has ended cannot be cancelled.")

    def pause(self, job_id: str) -> None:
        """Pauses a queued job, or asks the worker of a running one to stop. Does nothing if it is paused already.

        Raises:
            JobNotFound: the job does not exist.
            WrongState: the job has ended or is being cancelled.
        """
        with self._database.writing() as connection:
            job = transitions.lock(connection, job_id)
            match job.state:
                case JobState.QUEUED:
                    transitions.pause(connection, job)
                case JobState.RUNNING:
                    transitions.set_state(connection, job, JobState.PAUSING)
                case JobState.PAUSED | JobState.PAUSING:
                    pass
                case _:
                    raise WrongState(job.state, "Only a queued or running job can be paused.")

    def resume(self, job_id: str, *, max_queued: int, max_own: int | None = None) -> None:
        """Puts a paused job back in the queue. Does nothing if the job is queued or running.

        Raises:
            JobNotFound: the job does not exist.
            QueueFull: `max_queued` jobs are queued already, or `max_own` of the job's owner.
            WrongState: the job has ended or is being cancelled.
        """
        with self._database.writing(serial=True) as connection:
            job = transitions.lock(connection, job_id)
            match job.state:
                case JobState.PAUSED:
                    _require_room(connection, _Room(max_queued, max_own), job.spec.owner)
                    transitions.set_state(connection, job, JobState.QUEUED)
                case JobState.PAUSING:
                    transitions.set_state(connection, job, JobState.RUNNING)
                case JobState.QUEUED | JobState.RUNNING:
                    pass
                case _:
                    raise WrongState(job.state, "Only a paused job can be resumed.")

    def checkpoints_in_use(self, job_id: str) -> set[str]:
        """Returns the ids of the job's checkpoints that rows refer to: its latest one, and its version's."""
        with self._database.reading() as connection:
            return set(connection.scalars(_CHECKPOINTS_IN_USE, {"of_job": job_id}))

    def files_in_use(self) -> FilesInUse:
        """Returns which files of jobs and versions rows refer to."""
        unended = select(jobs.c.id).where(jobs.c.state.not_in(_ENDED))
        resumable = select(jobs.c.checkpoint).where(jobs.c.checkpoint.is_not(None))
        trained = select(versions.c.job_id).where(versions.c.job_id.is_not(None))
        # a retry needs the points of jobs that did not succeed, pictures need the points of unpublished trainings
        needed = or_(jobs.c.state != JobState.SUCCEEDED.value, jobs.c.expires_at.is_not(None))
        retryable = select(jobs.c.id).where(needed)
        with self._database.reading() as connection:
            return FilesInUse(
                jobs=set(connection.scalars(unended)),
                checkpoints=set(connection.scalars(resumable.union(select(versions.c.checkpoint_id)))),
                points=set(connection.scalars(retryable.union(trained))),
            )

    def delete(self, job_id: str) -> Job:
        """Deletes a job that has ended, with its events, and returns it. The version that it published stays.

        Raises:
            JobNotFound: the job does not exist.
            WrongState: the job has not ended.
        """
        with self._database.writing(serial=True) as connection:
            job = transitions.lock(connection, job_id)
            if not job.state.ended:
                raise WrongState(job.state, "Cancel the job before you delete it.")
            cursor = select(jobs.c.id, jobs.c.seq, now()).where(jobs.c.id == job_id)
            connection.execute(insert(deleted_jobs).from_select(["id", "seq", "deleted_at"], cursor))
            connection.execute(delete(deleted_jobs).where(deleted_jobs.c.deleted_at < now() - CURSOR_TTL_S))
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
            others = select(jobs.c.seq).where(jobs.c.model == job.model)
            connection.execute(delete(fair_share_slots).where(fair_share_slots.c.model == job.model, ~others.exists()))
            return job


class _Room(NamedTuple):
    """Maximum numbers of queued jobs: of all owners together, and of one owner; None sets no limit for one owner."""

    total: int
    own: int | None


def _find_added(connection: Connection, spec: JobSpec, room: _Room, key: str | None) -> str | None:
    """Returns the id of the job that was added under the key; None if this one may be added. Raises as `Jobs.add`."""
    earlier = _find_by_key(connection, key, spec) if key else None
    if earlier is None:
        _require_retryable(connection, spec)
        _require_room(connection, room, spec.owner, superseding=spec.supersede)
    return earlier


def _require_retryable(connection: Connection, spec: JobSpec) -> None:
    """Raises `JobNotFound` or `WrongState` if the spec retries a job that cannot be retried."""
    if spec.retry_of is None:
        return
    state = connection.scalar(select(jobs.c.state).where(jobs.c.id == spec.retry_of))
    if state is None:
        raise JobNotFound.of(spec.retry_of)
    if state not in (JobState.FAILED, JobState.CANCELLED):
        raise WrongState(state, "Only a failed or cancelled job can be retried.")


def _cancel_superseded(connection: Connection, spec: JobSpec) -> None:
    """Cancels the queued jobs that the owner of a new job has in its group."""
    if spec.supersede is None:
        return
    for row in connection.execute(_QUEUED_OF_GROUP, {"of_owner": spec.owner, "group": spec.supersede}).all():
        transitions.end(connection, job_of(row), JobState.CANCELLED, superseded_by=spec.id)


def _require_room(connection: Connection, room: _Room, owner: str | None, *, superseding: str | None = None) -> None:
    """Raises `QueueFull` if there is no room beside the queued jobs of other groups."""
    queued, queued_own = connection.execute(_QUEUED, {"of_owner": owner, "group": superseding or ""}).one()
    if queued >= room.total:
        raise QueueFull(
            f"The queue has reached its limit, which is {room.total:,}. Try again when some of its jobs are done."
        )
    if owner is not None and room.own is not None and queued_own >= room.own:
        raise QueueFull(
            f"This key has reached its limit of queued jobs, which is {room.own:,}. Try again when some are done."
        )


def _find_by_key(connection: Connection, key: str, spec: JobSpec) -> str | None:
    """Returns the id of the job that the same owner added under the key in the last `KEY_TTL_S` seconds."""
    own = select(idempotency_keys).where(idempotency_keys.c.key == _stored_key(key, spec.owner))
    row = connection.execute(own.where(idempotency_keys.c.created_at > time.time() - KEY_TTL_S)).one_or_none()
    if row is None:
        return None
    if row.payload != _payload(spec):
        raise KeyReused("Use a new key for a different training.")
    return str(row.job_id)


def _stored_key(key: str, owner: str | None) -> str:
    """Returns an idempotency key as it is stored, with its owner: two owners may use one key. Neither has a space."""
    return key if owner is None else f"{owner} {key}"


def _payload(spec: JobSpec) -> str:
    """Returns what two requests with the same idempotency key must have in common."""
    parts = [spec.model, spec.recipe, sorted(spec.metadata.items())]
    optional = (spec.retry_of, spec.promote, spec.supersede, spec.snapshots)
    return repr((*parts, *(part for part in optional if part is not None)))


def _reported(row: Row[Any]) -> Job:
    """Returns the job as clients may see it now: see `Jobs`."""
    job = job_of(row)
    state = JobState(row.reported_state)
    if job.state == state:
        return job
    events = job.status.events - transitions.END_EVENTS
    return transitions.with_status(job, state=state, version=None, promotion=None, finished_at=None, events=events)


# Statements that every job or idle process runs are built once: building one takes longer than running it.
_IS_QUEUED = jobs.c.state == JobState.QUEUED.value
_ANY_QUEUED = select(jobs.c.seq).where(_IS_QUEUED).limit(1)
_IS_OF_GROUP = and_(  # "" is the name of no group
    jobs.c.supersede.is_not_distinct_from(bindparam("group")), jobs.c.owner.is_not_distinct_from(bindparam("of_owner"))
)
_QUEUED_OF_GROUP = select(jobs).where(_IS_QUEUED, _IS_OF_GROUP).with_for_update()
_QUEUED = select(func.count(), func.count().filter(jobs.c.owner == bindparam("of_owner"))).where(
    _IS_QUEUED, ~_IS_OF_GROUP
)
_CHECKPOINTS_IN_USE = (
    select(jobs.c.checkpoint)
    .where(jobs.c.id == bindparam("of_job"), jobs.c.checkpoint.is_not(None))
    .union(select(versions.c.checkpoint_id).where(versions.c.job_id == bindparam("of_job")))
)
