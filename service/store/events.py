"""Events and snapshots of jobs, for clients that follow them."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import select, update

from service.records import Event, Snapshot
from service.store.database import Database
from service.store.servers import served_by_all
from service.store.tables import events, jobs, now, snapshots


class Latest(NamedTuple):
    """The number of a job's last event, and the serial number of its snapshot (0 without one)."""

    event: int
    snapshot: int


class Events:
    """The events of all jobs, and the snapshots of running ones.

    The events of a publication stay hidden until every API process has announced that it serves the version.
    """

    def __init__(self, database: Database, *, server: str | None = None) -> None:
        """`server` is the name of the API process that asks, if it is one."""
        self._database = database
        columns = [events.c[field.name] for field in fields(Event)]
        self._visible = select(*columns).where(served_by_all(events.c.version_seq, server=server))

    def page(self, job_id: str, *, after: int, limit: int) -> tuple[list[Event], bool]:
        """Returns the job's events after number `after`, oldest first, and whether more follow.

        Empty if the job does not exist.
        """
        query = self._visible.where(events.c.job_id == job_id, events.c.number > after)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.number).limit(limit + 1)).all()
        return [Event(**row._mapping) for row in rows[:limit]], len(rows) > limit

    def latest(self, job_ids: Collection[str]) -> Mapping[str, Latest]:
        """Returns the latest event and snapshot of each job, by id. Jobs that do not exist are left out."""
        query = (
            select(jobs.c.id, jobs.c.events, snapshots.c.serial)
            .outerjoin(snapshots, snapshots.c.job_id == jobs.c.id)
            .where(jobs.c.id.in_(job_ids))
        )
        with self._database.reading() as connection:
            return {row.id: Latest(row.events, row.serial or 0) for row in connection.execute(query)}

    def watch(self, job_ids: Collection[str], *, seconds: float) -> None:
        """Asks the workers of these jobs to record snapshots for the next seconds."""
        these = jobs.c.id.in_(job_ids)
        with self._database.writing(durable=False) as connection:
            # locked in one order, so that two watchers cannot deadlock
            connection.execute(select(jobs.c.seq).where(these).order_by(jobs.c.seq).with_for_update(key_share=True))
            connection.execute(update(jobs).where(these).values(watched_until=now() + seconds))

    def watched_snapshot(self, job_id: str) -> tuple[Snapshot | None, bool]:
        """Returns the latest snapshot of a job, if any, and whether a client watches the job.

        While it is watched, its worker replaces the snapshot.
        """
        query = (
            select(jobs.c.watched_until > now(), snapshots.c.serial, snapshots.c.epoch, snapshots.c.weights)
            .outerjoin(snapshots, snapshots.c.job_id == jobs.c.id)
            .where(jobs.c.id == job_id)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.serial is None:
            return None, bool(row and row[0])
        return Snapshot(serial=row.serial, epoch=row.epoch, weights=row.weights), bool(row[0])

    def snapshot(self, job_id: str) -> Snapshot | None:
        """Returns the latest snapshot of a job, if there is one."""
        query = select(snapshots.c.serial, snapshots.c.epoch, snapshots.c.weights).where(snapshots.c.job_id == job_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Snapshot(**row._mapping)
