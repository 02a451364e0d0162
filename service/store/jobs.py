"""Jobs: every query about them, and every rule about who may change a row.

A change of a job reads its row, locked until the transaction ends, decides, and writes the row and the events that tell
of it. A worker names the attempt that it works for, and changes nothing if the job has moved on, so that a job never
has two writers. Every method is one transaction.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, insert, select, update

from service.errors import JobNotFound, KeyReused, QueueFull, WrongState
from service.records import Job, JobSpec, JobState
from service.store import transitions
from service.store.database import Database
from service.store.servers import served_by_all
from service.store.tables import deleted_jobs, idempotency_keys, jobs, now, snapshots, turns, versions
from service.store.transitions import HELD, News, job_of

LEASE_S = 15.0
"""How long a worker may be silent before its job goes to another. Its heartbeats are far more frequent."""

KEY_S = 24 * 3600.0
"""How long an idempotency key is remembered."""

CURSOR_S = 24 * 3600.0
"""How long the list of jobs can be gone on with from a job that was deleted."""

AT_ONCE = 100
"""How many silent workers one look finds; the next is a moment later."""

SPEAK_S = 0.5
"""A look for silent workers that has taken so long ends: those that had to wait too are to speak first."""

_ENDED = tuple(state for state in JobState if state.ended)


class Wish(NamedTuple):
    """What is asked of a job's worker: the state, None if the job is another's now; and whether anybody watches."""

    state: JobState | None
    watched: bool


class Jobs:
    """The queue, and what became of what was in it."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S, server: str | None = None) -> None:
        """`lease_s` is how long a worker may be silent; `server` names the API process that this is for, if it is one.

        As long as one of several API processes has yet to announce that it serves the version that a job has published,
        the job is reported as running still: what is reported as succeeded is served everywhere.
        """
        self._database = database
        self._lease_s = lease_s
        served = served_by_all(jobs.c.version_seq, server=server)
        self._reported_state = case((served, jobs.c.state), else_=JobState.RUNNING.value)
        self._reported = select(jobs, self._reported_state.label("reported_state"))

    # as those who ask for them see them

    def add(self, spec: JobSpec, *, max_queued: int, key: str | None = None) -> str:
        """Puts a job in the queue, or finds the one that was added under the same key; gives the id.

        Raises:
            QueueFull: `max_queued` jobs wait already.
            KeyReused: the key belongs to a job that is not the same.
            JobNotFound: it tries a job again that there is not.
            WrongState: that job has succeeded, or has not ended.
        """
        with self._database.writing(serial=True) as connection:
            earlier = _added(connection, spec, max_queued, key)
            if earlier is not None:
                return earlier
            transitions.add(connection, spec)
            if key:
                outdated = idempotency_keys.c.created_at <= time.time() - KEY_S
                connection.execute(delete(idempotency_keys).where(outdated))
                row = {"key": key, "payload": _payload(spec), "job_id": spec.id, "created_at": time.time()}
                connection.execute(insert(idempotency_keys), row)
            return spec.id

    def added(self, spec: JobSpec, *, max_queued: int, key: str | None = None) -> str | None:
        """The id of the job that `add` would find; None if it would add one.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState: as `add`.
        """
        with self._database.reading() as connection:
            return _added(connection, spec, max_queued, key)

    def add_claimed(self, spec: JobSpec, *, worker: str) -> Job:
        """Adds a job that the caller works on itself, claimed as by `claim`: no other worker ever sees it waiting."""
        with self._database.writing(serial=True) as connection:
            return self._claim(connection, transitions.add(connection, spec), worker)

    def add_seed_jobs(self, seed_models: Sequence[JobSpec]) -> list[JobSpec]:
        """Puts jobs in the queue: all if there never was a job, else those that failed before and have no version yet.

        Returns:
            The jobs that were added.
        """
        with self._database.writing(serial=True) as connection:
            rows = connection.execute(select(jobs.c.model, jobs.c.origin, jobs.c.state)).all()
            states = {
                spec.model: {row.state for row in rows if row[:2] == (spec.model, "starter")} for spec in seed_models
            }
            published = set(connection.scalars(select(versions.c.model).distinct()))
            added = [
                spec
                for spec in seed_models
                if (not rows and not published)
                or (states[spec.model] == {JobState.FAILED} and spec.model not in published)
            ]
            for spec in added:
                transitions.add(connection, spec)
            return added

    def get(self, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFound: there is no job of that id.
        """
        with self._database.reading() as connection:
            row = connection.execute(self._reported.where(jobs.c.id == job_id)).one_or_none()
        if row is None:
            raise JobNotFound("GET /jobs lists them.")
        return _reported(row)

    def page(
        self, *, limit: int, after: str | None = None, state: JobState | None = None, model: str | None = None
    ) -> tuple[list[Job], bool]:
        """A page of jobs, newest first, and whether more follow.

        `after` is the id of the last job of the page before; it may have been deleted less than `CURSOR_S` ago.

        Raises:
            JobNotFound: there is no job of the id `after`.
        """
        query = self._reported.order_by(jobs.c.seq.desc()).limit(limit + 1)
        if state is not None:
            query = query.where(self._reported_state == state.value)
        if model is not None:
            query = query.where(jobs.c.model == model)
        with self._database.reading() as connection:
            if after is not None:
                there = select(jobs.c.seq).where(jobs.c.id == after)
                seq = connection.scalar(there.union(select(deleted_jobs.c.seq).where(deleted_jobs.c.id == after)))
                if seq is None:
                    raise JobNotFound("The cursor must be the id of a job; begin again without one.")
                query = query.where(jobs.c.seq < seq)
            rows = connection.execute(query).all()
        return [_reported(row) for row in rows[:limit]], len(rows) > limit

    def unended_seed_jobs(self) -> list[Job]:
        """The starters that have not ended, oldest first."""
        unended = and_(jobs.c.origin == "starter", jobs.c.state.not_in(_ENDED))
        with self._database.reading() as connection:
            return [job_of(row) for row in connection.execute(select(jobs).where(unended).order_by(jobs.c.seq))]

    def cancel(self, job_id: str) -> None:
        """Cancels a job that no worker has, asks the worker of any other to stop; nothing if it is cancelled already.

        Raises:
            JobNotFound: there is no job of that id.
            WrongState: it has ended otherwise.
        """
        with self._database.writing() as connection:
            job = transitions.locked(connection, job_id)
            match job.state:
                case JobState.QUEUED | JobState.PAUSED:
                    transitions.end(connection, job, JobState.CANCELLED)
                case JobState.RUNNING | JobState.PAUSING:
                    transitions.move(connection, job, JobState.CANCELLING)
                case JobState.SUCCEEDED | JobState.FAILED:
                    raise WrongState(f"It has {job.state} already.")

    def pause(self, job_id: str) -> None:
        """Holds back a job that waits, asks the worker of a running one to stop; nothing if it is paused already.

        Raises:
            JobNotFound: there is no job of that id.
            WrongState: it has ended, or is to be cancelled.
        """
        with self._database.writing() as connection:
            job = transitions.locked(connection, job_id)
            match job.state:
                case JobState.QUEUED:
                    transitions.hold_back(connection, job)
                case JobState.RUNNING:
                    transitions.move(connection, job, JobState.PAUSING)
                case JobState.PAUSED | JobState.PAUSING:
                    pass
                case _:
                    raise WrongState(f"It is {job.state}; only a job that waits or runs can be paused.")

    def resume(self, job_id: str, *, max_queued: int) -> None:
        """Has a paused job go on where it was; nothing if it was not paused.

        Raises:
            JobNotFound: there is no job of that id.
            QueueFull: `max_queued` jobs wait already.
            WrongState: it has ended, or is to be cancelled.
        """
        with self._database.writing(serial=True) as connection:
            job = transitions.locked(connection, job_id)
            match job.state:
                case JobState.PAUSED:
                    _require_room(connection, max_queued)
                    transitions.move(connection, job, JobState.QUEUED)
                case JobState.PAUSING:
                    transitions.move(connection, job, JobState.RUNNING)
                case JobState.QUEUED | JobState.RUNNING:
                    pass
                case _:
                    raise WrongState(f"It is {job.state}; only a paused job can go on.")

    def checkpoints_in_use(self, job_id: str) -> set[str]:
        """The ids of the checkpoints that rows name: the job's own, and that of the version that it has published."""
        own = select(jobs.c.checkpoint).where(jobs.c.id == job_id, jobs.c.checkpoint.is_not(None))
        published = select(versions.c.checkpoint_id).where(versions.c.job_id == job_id)
        with self._database.reading() as connection:
            return set(connection.scalars(own.union(published)))

    def delete(self, job_id: str) -> Job:
        """Forgets a job that has ended, with its events; gives what it was. The version that it published stays.

        Raises:
            JobNotFound: there is no job of that id.
            WrongState: it has not ended.
        """
        with self._database.writing(serial=True) as connection:
            job = transitions.locked(connection, job_id)
            if not job.state.ended:
                raise WrongState(f"It is {job.state}; cancel it first.")
            place = select(jobs.c.id, jobs.c.seq, now()).where(jobs.c.id == job_id)
            connection.execute(insert(deleted_jobs).from_select(["id", "seq", "deleted_at"], place))
            connection.execute(delete(deleted_jobs).where(deleted_jobs.c.deleted_at < now() - CURSOR_S))
            connection.execute(delete(jobs).where(jobs.c.id == job_id))
            others = select(jobs.c.seq).where(jobs.c.model == job.model)
            connection.execute(delete(turns).where(turns.c.model == job.model, ~others.exists()))
            return job

    # as the workers take, tend and end them

    def any_waits(self) -> bool:
        """Whether a job waits for a worker."""
        with self._database.reading() as connection:
            return bool(connection.scalar(select(jobs.c.seq).where(jobs.c.state == JobState.QUEUED.value).limit(1)))

    def claim(self, worker: str) -> Job | None:
        """Takes the next job that waits for a new attempt, or gives None if none waits.

        Next are jobs whose turn was broken off: their worker died, or its service was stopped. Then comes the model
        whose last turn began the longest ago, with the oldest of its jobs. A model that has had none comes to the end
        of the line with its first job. So no model's jobs wait for all of another's, or for those of all new models.
        """
        with self._database.writing(serial=True) as connection:
            while (seq := connection.scalar(_NEXT_IN_TURN)) is not None:
                row = connection.execute(select(jobs).where(jobs.c.seq == seq).with_for_update()).one_or_none()
                if row is not None and row.state == JobState.QUEUED:  # else it was cancelled or deleted meanwhile
                    return self._claim(connection, job_of(row), worker)
            return None

    def _claim(self, connection: Connection, job: Job, worker: str) -> Job:
        anew: dict[str, Any] = {} if job.status.checkpoint else {"epoch": 0, "metrics": None}
        changes: dict[str, Any] = {
            "state": JobState.RUNNING,
            "attempt": job.status.attempt + 1,
            "worker": worker,
            "started_at": job.status.started_at or time.time(),
            **anew,
        }
        claimed = transitions.with_status(job, **changes)
        changes |= {"lease_until": now() + self._lease_s, "claimed_at": now()}
        if not connection.execute(update(turns).where(turns.c.model == job.model).values(began_at=now())).rowcount:
            connection.execute(insert(turns).values(model=job.model, began_at=now()))
        return transitions.change(connection, claimed, [transitions.status(claimed)], **changes)

    def wish(self, job: Job) -> Wish:
        """What is asked of the worker that makes this attempt."""
        query = select(jobs.c.state, jobs.c.watched_until > now()).where(
            jobs.c.id == job.id, jobs.c.attempt == job.status.attempt, jobs.c.state.in_(HELD)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return Wish(None, False) if row is None else Wish(JobState(row[0]), bool(row[1]))

    def heartbeat(
        self, job: Job, *, epoch: int, metrics: dict[str, float | None] | None, ran_s: float, tell: bool = False
    ) -> bool:
        """Renews the lease and notes the progress, as an event too if there is anything to `tell`.

        Returns:
            Whether the job is still this attempt's.
        """
        with self._database.writing() as connection:
            held = transitions.held(connection, job)
            if held is None:
                return False
            news = [News("metrics", {"epoch": epoch, "epochs": job.spec.max_epochs, **(metrics or {})})] if tell else []
            lease_until = now() + self._lease_s
            transitions.change(
                connection, held, news, lease_until=lease_until, epoch=epoch, metrics=metrics, ran_s=ran_s
            )
            return True

    def note_checkpoint(self, job: Job, *, checkpoint: str, epoch: int, tell: bool = True) -> bool:
        """Notes where to go on from, should the worker die; with an event if it is to `tell`.

        Returns:
            Whether the job is still this attempt's.
        """
        with self._database.writing() as connection:
            held = transitions.held(connection, job)
            if held is not None:
                news = [News("checkpoint", {"epoch": epoch})] if tell else []
                transitions.change(connection, held, news, checkpoint=checkpoint, deaths=0)
            return held is not None

    def note_snapshot(self, job: Job, *, epoch: int, weights: bytes) -> None:
        """Puts weights of a running job where those who watch look, in the place of the last."""
        with self._database.noting() as connection:
            if transitions.held(connection, job) is None:
                return
            own = snapshots.c.job_id == job.id
            fresh = update(snapshots).where(own).values(serial=snapshots.c.serial + 1, epoch=epoch, weights=weights)
            if not connection.execute(fresh).rowcount:
                row = {"job_id": job.id, "serial": 1, "epoch": epoch, "weights": weights}
                connection.execute(insert(snapshots), row)

    def publish(
        self,
        job: Job,
        *,
        card_digest: str,
        epoch: int,
        metrics: dict[str, float | None] | None,
        **result: Any,
    ) -> int | None:
        """Ends a job as succeeded and makes its weights the next version of its model, both or neither.

        `result` may be restarts and ran_s, as in `Job`.

        Returns:
            The version's number, or None if the job is another's now.
        """
        # versions are made one after the other, so that whoever has seen one has seen all with a lesser `seq`
        with self._database.writing(serial=True) as connection:
            held = transitions.held(connection, job)
            if held is None:
                return None
            latest = connection.scalar(select(func.max(versions.c.version)).where(versions.c.model == job.model))
            version = (latest or 0) + 1
            row = {
                "model": job.model,
                "version": version,
                "job_id": job.id,
                "checkpoint_id": job.checkpoint_id,
                "card_digest": card_digest,
                "created_at": time.time(),
            }
            seq = connection.execute(insert(versions).returning(versions.c.seq), row).scalar_one()
            result |= {"epoch": epoch, "metrics": metrics, "version": version, "checkpoint": None}
            transitions.end(connection, held, JobState.SUCCEEDED, version_seq=seq, **result)
            return version

    def fail(self, job: Job, *, code: str, detail: str, **result: Any) -> bool:
        """Ends a job as failed. `result` may be epoch, metrics, restarts, ran_s and checkpoint, as in `Job`.

        Returns:
            Whether the job was still this attempt's.
        """
        with self._database.writing() as connection:
            held = transitions.held(connection, job)
            if held is not None:
                transitions.end(connection, held, JobState.FAILED, problem={"code": code, "detail": detail}, **result)
            return held is not None

    def give_back(self, job: Job, *, cancel: bool = False, checkpoint: str | None = None, **progress: Any) -> bool:
        """Gives a job up: to the queue, or to where it was asked to go. The next worker goes on from `checkpoint`.

        With `cancel` it is cancelled instead, in one write: from the queue another worker might take it before that.
        `progress` may be epoch and ran_s, as in `Job`.

        Returns:
            Whether the job was still this attempt's.
        """
        with self._database.writing() as connection:
            held = transitions.held(connection, job)
            if held is not None:
                kept = {"checkpoint": checkpoint, "deaths": 0} if checkpoint else {}
                leaving = transitions.with_status(held, state=JobState.CANCELLING) if cancel else held
                transitions.release(connection, leaving, **kept, **progress)
            return held is not None

    def take_back_silent(self) -> list[Job]:
        """Takes the jobs whose worker has let its lease run out from it, see `take_back_from`.

        Where the database kept this waiting, it may have kept the workers: then they are to speak first.
        """
        silent = and_(jobs.c.state.in_(HELD), jobs.c.lease_until < now())
        return self._take_back(silent, within_s=SPEAK_S)

    def take_back_from(self, worker: str, *, blame: bool = True) -> list[Job]:
        """Takes the jobs of a dead worker from it: they go back to the queue, or to where they were asked to go.

        A job that `transitions.MAX_DEATHS` workers have now died with fails, unless it is not to `blame` for this one.

        Returns:
            The jobs as they were.
        """
        return self._take_back(and_(jobs.c.state.in_(HELD), jobs.c.worker == worker), blame=blame)

    def _take_back(self, lost: ColumnElement[bool], *, blame: bool = True, within_s: float = math.inf) -> list[Job]:
        began = time.monotonic()
        with self._database.reading() as connection:
            found = connection.scalars(select(jobs.c.id).where(lost).limit(AT_ONCE)).all()
        taken: list[Job] = []
        for job_id in found:
            with self._database.writing() as connection:
                if time.monotonic() - began > within_s:
                    return taken
                query = select(jobs).where(jobs.c.id == job_id, lost).with_for_update()
                row = connection.execute(query).one_or_none()  # a worker that has written meanwhile keeps its job
                if row is not None:
                    taken.append(job_of(row))
                    if blame:
                        transitions.blame(connection, taken[-1])
                    else:
                        transitions.release(connection, taken[-1])
        return taken


_NEXT_IN_TURN = (
    select(jobs.c.seq)
    .outerjoin(turns, turns.c.model == jobs.c.model)
    .where(jobs.c.state == JobState.QUEUED.value)
    .order_by(jobs.c.claimed_at.nulls_last(), func.coalesce(turns.c.began_at, jobs.c.queued_at), jobs.c.seq)
    .limit(1)
)
"""The `seq` of the next job; `claimed_at` is when its turn began, null of one that has yet to have one."""


def _added(connection: Connection, spec: JobSpec, max_queued: int, key: str | None) -> str | None:
    """The id of the job that was added under the same key; None if this one may be added. Raises as `Jobs.add`."""
    earlier = _under_key(connection, key, spec) if key else None
    if earlier is None:
        _require_worth_trying(connection, spec)
        _require_room(connection, max_queued)
    return earlier


def _require_worth_trying(connection: Connection, spec: JobSpec) -> None:
    """Raises `JobNotFound` or `WrongState` if it is to try a job again of which there is nothing to try again."""
    if spec.retry_of is None:
        return
    state = connection.scalar(select(jobs.c.state).where(jobs.c.id == spec.retry_of))
    if state is None:
        raise JobNotFound("GET /jobs lists them.")
    if state not in (JobState.FAILED, JobState.CANCELLED):
        raise WrongState(f"It is {state}; only a job that failed or was cancelled can be tried again.")


def _require_room(connection: Connection, max_queued: int) -> None:
    queued = connection.scalar(select(func.count()).where(jobs.c.state == JobState.QUEUED.value))
    if (queued or 0) >= max_queued:
        raise QueueFull("Try again when some of the waiting jobs are done.")


def _under_key(connection: Connection, key: str, spec: JobSpec) -> str | None:
    """The id of the job that was added under a key not too long ago."""
    own = select(idempotency_keys).where(idempotency_keys.c.key == key)
    row = connection.execute(own.where(idempotency_keys.c.created_at > time.time() - KEY_S)).one_or_none()
    if row is None:
        return None
    if row.payload != _payload(spec):
        raise KeyReused("Use a new key for another training.")
    return str(row.job_id)


def _payload(spec: JobSpec) -> str:
    """What two requests under one key must agree in."""
    parts = [spec.model, spec.recipe, sorted(spec.metadata.items())]
    return repr(tuple(parts if spec.retry_of is None else [*parts, spec.retry_of]))


def _reported(row: Row[Any]) -> Job:
    """The job as it may be told: see `Jobs`."""
    job = job_of(row)
    state = JobState(row.reported_state)
    if job.state == state:
        return job
    events = job.status.events - transitions.END_EVENTS
    return transitions.with_status(job, state=state, version=None, finished_at=None, events=events)
