"""Leases: how workers claim jobs, report progress, and end them, and how the jobs of lost workers are reclaimed.

A worker holds a job for as long as it renews its lease. Each write names the attempt that it is for, and changes
nothing if the job has moved on. So a job never has two writers. Every method is one transaction.
"""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, or_, select, update

from service.records import FailureCode, Job, JobSpec, JobState
from service.store import publication, transitions
from service.store.database import Database
from service.store.publication import Publication
from service.store.tables import fair_share_slots, histories, jobs, now, snapshots
from service.store.transitions import LEASED, NewEvent, job_of

LEASE_S = 15.0
"""How long a lease lasts without renewal. Heartbeats are far more frequent."""

LONGEST_LEASE_S = 3_600.0
"""The upper bound of the setting `lease_s`, which holds for every service on the database."""

MAX_RECLAIMED = 100
"""Maximum number of jobs that one call reclaims; the next call follows a moment later."""

RECLAIM_WITHIN_S = 0.5
"""A search for expired leases stops after this time: if it had to wait for the database, so had the workers, which may
still renew their leases."""


Histories = Sequence[dict[str, Any]]
"""The history of each network of a job, as JSON."""


class Instructions(NamedTuple):
    """What a worker should do with its job.

    Attributes:
        requested_state: RUNNING, PAUSING or CANCELLING; None if the worker has lost the job.
        watched: whether a client watches the training, so that snapshots are wanted.
    """

    requested_state: JobState | None
    watched: bool


class StatusUpdate(TypedDict, total=False):
    """Fields of `JobStatus` that a worker may set when it ends its attempt."""

    epoch: int
    metrics: dict[str, float | None] | None
    restarts: list[dict[str, Any]]
    warnings: list[str]
    comparison: dict[str, Any] | None
    ran_s: float
    checkpoint: str


class Leases:
    """What workers write."""

    def __init__(self, database: Database, *, lease_s: float = LEASE_S, keep_versions: int = 0) -> None:
        """Writes to one database.

        Args:
            database: of the jobs.
            lease_s: how long a worker may stay silent before its job is reclaimed.
            keep_versions: how many versions a model keeps that does not say so itself; 0 for all.
        """
        self._database = database
        self._lease_s = lease_s
        self._keep_versions = keep_versions

    def claim(self, worker: str) -> Job | None:
        """Starts a new attempt at the next queued job and returns the job; None if no job is queued.

        Jobs whose slot was interrupted come first: their worker crashed, or its service was stopped. Then comes the
        oldest job of the model whose last fair-share slot began longest ago. A model without a slot so far counts from
        the time when its first job was queued. So no model waits for all jobs of another, or for all new models.
        """
        with self._database.writing(serial=True) as connection:
            while (seq := connection.scalar(_NEXT_QUEUED)) is not None:
                row = connection.execute(_LOCKED, {"of_seq": seq}).one_or_none()
                if row is not None and row.state == JobState.QUEUED:  # else it was cancelled or deleted meanwhile
                    return self._claim(connection, job_of(row), worker)
            return None

    def add_claimed(self, spec: JobSpec, *, worker: str) -> Job:
        """Adds a job that is claimed from the start: no other worker ever sees it queued."""
        with self._database.writing(serial=True) as connection:
            return self._claim(connection, transitions.add(connection, spec), worker)

    def _claim(self, connection: Connection, job: Job, worker: str) -> Job:
        restarted: dict[str, Any] = {} if job.status.checkpoint else {"epoch": 0, "metrics": None}
        status: dict[str, Any] = {
            "state": JobState.RUNNING,
            "attempt": job.status.attempt + 1,
            "worker": worker,
            "started_at": job.status.started_at or time.time(),
            **restarted,
        }
        claimed = transitions.with_status(job, **status)
        if not connection.execute(_BEGIN_SLOT, {"of_model": job.model}).rowcount:
            connection.execute(insert(fair_share_slots).values(model=job.model, began_at=now()))
        lease = {"lease_until": now() + self._lease_s, "claimed_at": now()}
        return transitions.change(connection, claimed, [transitions.status_event(claimed)], computed=lease, **status)

    def instructions(self, job: Job) -> Instructions:
        """Returns what this attempt's worker should do."""
        with self._database.reading() as connection:
            attempt = {"job_id": job.id, "of_attempt": job.status.attempt}
            row = connection.execute(_INSTRUCTIONS, attempt).one_or_none()
        return Instructions(None, False) if row is None else Instructions(JobState(row[0]), bool(row[1]))

    def heartbeat(
        self, job: Job, *, epoch: int, metrics: dict[str, float | None] | None, ran_s: float, emit: bool = False
    ) -> bool:
        """Renews the lease and records the progress, also as a `metrics` event if `emit` is set.

        Returns:
            Whether this attempt still holds the job.
        """
        with self._database.writing() as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is None:
                return False
            event = NewEvent("metrics", {"epoch": epoch, "epochs": leased.max_epochs, "metrics": metrics})
            transitions.change(
                connection,
                leased,
                [event] if emit else [],
                computed={"lease_until": now() + self._lease_s},
                epoch=epoch,
                metrics=metrics,
                ran_s=ran_s,
            )
            return True

    def record_choice(self, job: Job, choice: dict[str, Any]) -> Job | None:
        """Records the settings that a search has chosen. A power failure may undo this; the search is then repeated.

        Returns:
            The job with these settings; None if this attempt has lost it.
        """
        with self._database.writing(durable=False) as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is None:
                return None
            return transitions.change(connection, transitions.with_status(leased, choice=choice), [], choice=choice)

    def record_checkpoint(self, job: Job, *, checkpoint: str, epoch: int, emit: bool = True) -> bool:
        """Records the checkpoint that the next attempt resumes from, also as an event if `emit` is set.

        Returns:
            Whether this attempt still holds the job.
        """
        with self._database.writing() as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is not None:
                events = [NewEvent("checkpoint", {"epoch": epoch})] if emit else []
                transitions.change(connection, leased, events, checkpoint=checkpoint, crash_count=0)
            return leased is not None

    def record_snapshot(self, job: Job, *, epoch: int, weights: bytes) -> None:
        """Replaces the job's snapshot, which clients watch. Does nothing if this attempt has lost the job."""
        with self._database.writing(durable=False) as connection:
            if transitions.lock_leased(connection, job) is None:
                return
            own = snapshots.c.job_id == job.id
            newer = update(snapshots).where(own).values(serial=snapshots.c.serial + 1, epoch=epoch, weights=weights)
            if not connection.execute(newer).rowcount:
                row = {"job_id": job.id, "serial": 1, "epoch": epoch, "weights": weights}
                connection.execute(insert(snapshots), row)

    def record_histories(self, job: Job, networks: Histories) -> None:
        """Replaces the histories of the job's networks. Does nothing if this attempt has lost the job.

        `networks` are `models.training.runs.History` as JSON; while there are none, the recorded ones stay.
        """
        with self._database.writing(durable=False) as connection:
            if transitions.lock_leased(connection, job) is not None:
                _put_histories(connection, job, networks)

    def publish(
        self,
        job: Job,
        *,
        card_digest: str,
        summary: dict[str, Any] | None = None,
        promotion: dict[str, Any] | None = None,
        networks: Histories = (),
        **status: Unpack[StatusUpdate],
    ) -> Publication | None:
        """Ends a job as succeeded and publishes its weights as the next version of the model, both or neither.

        Args:
            job: as claimed.
            card_digest: of the version, as the next two; see `PublishedVersion`.
            summary: what lists show of the card.
            promotion: what became of `JobSpec.promote`.
            networks: the histories of the networks, see `record_histories`.
            status: the last of the job.

        Returns:
            The version, and the old versions that were dropped, whose files are to be removed. None if this attempt has
            lost the job.
        """
        # one after the other, so that a reader who has seen a change of the registry has seen all before it
        with self._database.writing(serial=True) as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is None:
                return None
            published = publication.publish(
                connection,
                job.model,
                job_id=job.id,
                checkpoint_id=job.checkpoint_id,
                card_digest=card_digest,
                summary=summary,
                promotion=promotion,
                keep_versions=self._keep_versions,
            )
            _put_histories(connection, job, networks)
            result = {**status, "version": published.version.version, "checkpoint": None, "promotion": promotion}
            seq = publication.last_seq(connection)
            transitions.end(connection, leased, JobState.SUCCEEDED, version_seq=seq, **result)
            return published

    def keep(self, job: Job, *, networks: Histories = (), **status: Unpack[StatusUpdate]) -> bool:
        """Ends a job as succeeded that publishes nothing and keeps its checkpoint.

        Returns:
            Whether this attempt still held the job.
        """
        with self._database.writing() as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is not None:
                _put_histories(connection, job, networks)
                kept: StatusUpdate = {**status, "checkpoint": job.checkpoint_id}
                transitions.end(connection, leased, JobState.SUCCEEDED, **kept)
            return leased is not None

    def fail(
        self, job: Job, *, code: FailureCode, detail: str, networks: Histories = (), **status: Unpack[StatusUpdate]
    ) -> bool:
        """Ends a job as failed.

        Returns:
            Whether this attempt still held the job.
        """
        with self._database.writing() as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is not None:
                _put_histories(connection, job, networks)
                problem = {"code": code, "detail": detail}
                transitions.end(connection, leased, JobState.FAILED, problem=problem, **status)
            return leased is not None

    def release(
        self, job: Job, *, cancel: bool = False, networks: Histories = (), **status: Unpack[StatusUpdate]
    ) -> bool:
        """Gives up a job: it moves to its requested state, else back to the queue.

        Args:
            job: as claimed.
            cancel: cancel the job instead. One write does both, so that no other worker can claim it in between.
            networks: see `record_histories`.
            status: with a checkpoint, the next attempt resumes there, and `crash_count` is reset.

        Returns:
            Whether this attempt still held the job.
        """
        with self._database.writing() as connection:
            leased = transitions.lock_leased(connection, job)
            if leased is not None:
                _put_histories(connection, job, networks)
                reset = {"crash_count": 0} if "checkpoint" in status else {}
                target = transitions.with_status(leased, state=JobState.CANCELLING) if cancel else leased
                transitions.release(connection, target, **status, **reset)
            return leased is not None

    def reclaim_expired(self) -> list[Job]:
        """Reclaims the jobs whose lease has expired, as after a crash, and returns them as they were.

        A lease that ends later than any lease can was written before the clock was set back and not renewed since.
        """
        expired = or_(jobs.c.lease_until < now(), jobs.c.lease_until > now() + LONGEST_LEASE_S)
        return self._reclaim(and_(jobs.c.state.in_(LEASED), expired), within_s=RECLAIM_WITHIN_S)

    def reclaim_from(self, worker: str, *, crashed: bool = True) -> list[Job]:
        """Reclaims the jobs of a worker that is gone, and returns them as they were.

        They move to their requested state, else back to the queue. If the worker `crashed`, that counts: a job fails
        after `transitions.MAX_CRASHES` crashes.
        """
        return self._reclaim(and_(jobs.c.state.in_(LEASED), jobs.c.worker == worker), crashed=crashed)

    def _reclaim(self, lost: ColumnElement[bool], *, crashed: bool = True, within_s: float = math.inf) -> list[Job]:
        began = time.monotonic()
        with self._database.reading() as connection:
            found = connection.scalars(select(jobs.c.id).where(lost).limit(MAX_RECLAIMED)).all()
        reclaimed: list[Job] = []
        for job_id in found:
            with self._database.writing() as connection:
                if time.monotonic() - began > within_s:
                    return reclaimed
                query = select(jobs).where(jobs.c.id == job_id, lost).with_for_update()
                row = connection.execute(query).one_or_none()  # None if the worker has renewed its lease meanwhile
                if row is None:
                    continue
                reclaimed.append(job_of(row))
                if crashed:
                    transitions.release_after_crash(connection, reclaimed[-1])
                else:
                    transitions.release(connection, reclaimed[-1])
        return reclaimed


def _put_histories(connection: Connection, job: Job, networks: Histories) -> None:
    if not networks:
        return
    if not connection.execute(_REPLACE_HISTORIES, {"of_job": job.id, "networks": list(networks)}).rowcount:
        connection.execute(insert(histories), {"job_id": job.id, "networks": list(networks)})


_NEXT_QUEUED = (
    select(jobs.c.seq)
    .outerjoin(fair_share_slots, fair_share_slots.c.model == jobs.c.model)
    .where(jobs.c.state == JobState.QUEUED.value)
    .order_by(jobs.c.claimed_at.nulls_last(), func.coalesce(fair_share_slots.c.began_at, jobs.c.queued_at), jobs.c.seq)
    .limit(1)
)
"""The `seq` of the job to claim next. `claimed_at` is when its slot began; null for a job without a slot."""

# Statements that every job runs are built once: building one takes longer than running it.
_LOCKED = select(jobs).where(jobs.c.seq == bindparam("of_seq")).with_for_update()
_BEGIN_SLOT = update(fair_share_slots).where(fair_share_slots.c.model == bindparam("of_model")).values(began_at=now())
_INSTRUCTIONS = select(jobs.c.state, jobs.c.watched_until > now()).where(
    jobs.c.id == bindparam("job_id"), jobs.c.attempt == bindparam("of_attempt"), jobs.c.state.in_(LEASED)
)
_REPLACE_HISTORIES = update(histories).where(histories.c.job_id == bindparam("of_job"))
