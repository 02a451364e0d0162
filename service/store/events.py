"""What jobs have to tell, for those who follow them."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import select, update

from service.records import Event, Snapshot
from service.store.database import Database
from service.store.servers import served_by_all
from service.store.tables import events, jobs, now, snapshots


class Latest(NamedTuple):
    """The number of a job's last event, and the serial of its snapshot, 0 if there is none."""

    event: int
    snapshot: int


class Events:
    """The events of all jobs, and the snapshots of those that run.

    What a publication has to tell is not told as long as one of several API processes has yet to announce that it
    serves the version.
    """

    def __init__(self, database: Database, *, server: str | None = None) -> None:
        """`server` names the API process that this is for, if it is one."""
        self._database = database
        columns = [events.c[field.name] for field in fields(Event)]
        self._told = select(*columns).where(served_by_all(events.c.version_seq, server=server))

    def page(self, job_id: str, *, after: int, limit: int) -> tuple[list[Event], bool]:
        """The events of a job after the one of that number, oldest first, and whether more follow.

        None of a job that there is not.
        """
        query = self._told.where(events.c.job_id == job_id, events.c.number > after)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.number).limit(limit + 1)).all()
        return [Event(**row._mapping) for row in rows[:limit]], len(rows) > limit

    def latest(self, job_ids: Collection[str]) -> Mapping[str, Latest]:
        """What the last news of each job are, of those that there are."""
        query = (
            select(jobs.c.id, jobs.c.events, snapshots.c.serial)
            .outerjoin(snapshots, snapshots.c.job_id == jobs.c.id)
            .where(jobs.c.id.in_(job_ids))
        )
        with self._database.reading() as connection:
            return {row.id: Latest(row.events, row.serial or 0) for row in connection.execute(query)}

    def watch(self, job_ids: Collection[str], *, seconds: float) -> None:
        """Lets the workers of these jobs know that somebody watches, for so long: they then leave snapshots."""
        these = jobs.c.id.in_(job_ids)
        with self._database.noting() as connection:
            # locked in one order, so that no two who watch wait for each other
            connection.execute(select(jobs.c.seq).where(these).order_by(jobs.c.seq).with_for_update(key_share=True))
            connection.execute(update(jobs).where(these).values(watched_until=now() + seconds))

    def snapshot(self, job_id: str) -> Snapshot | None:
        """The latest weights that the worker of a job has left, if there are any."""
        query = select(snapshots.c.serial, snapshots.c.epoch, snapshots.c.weights).where(snapshots.c.job_id == job_id)
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Snapshot(**row._mapping)
