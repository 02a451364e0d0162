"""The API processes on one database, and what each of them has seen."""

from sqlalchemy import Column, ColumnElement, delete, exists, insert, not_, or_, select, update

from service.store.database import Database
from service.store.tables import now, servers


class Servers:
    """Which API processes there are. What nobody renews is forgotten, so that one that has died holds up nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def announce(self, server: str, *, seen_seq: int, lease_s: float) -> bool:
        """Notes that a process serves every version up to that `seq`, and is there for `lease_s` more seconds.

        Returns:
            Whether others are there too.
        """
        values = {"seen_seq": seen_seq, "alive_until": now() + lease_s}
        with self._database.noting() as connection:
            if not connection.execute(update(servers).where(servers.c.id == server).values(values)).rowcount:
                connection.execute(insert(servers).values(id=server, **values))
                connection.execute(delete(servers).where(servers.c.alive_until < now()))
            others = exists().where(servers.c.alive_until > now(), servers.c.id != server)
            return bool(connection.scalar(select(others)))

    def withdraw(self, server: str) -> None:
        """Notes that a process has ended."""
        with self._database.noting() as connection:
            connection.execute(delete(servers).where(servers.c.id == server))


def served_by_all(version_seq: "Column[int]", *, server: str | None) -> ColumnElement[bool]:
    """Whether all processes there are serve the version with that `seq`; true of no version.

    `server` is the one that asks, if any: it looks for itself before it answers, and as long as it is alone need not
    have announced so. Once there are others it must have, lest they tell of the job what it was before.
    """
    lags = exists().where(servers.c.alive_until > now(), servers.c.seen_seq < version_seq)
    if server is not None:
        other = servers.alias()
        has_others = exists().where(other.c.alive_until > now(), other.c.id != server)
        lags = lags.where(or_(servers.c.id != server, has_others))
    return or_(version_seq.is_(None), not_(lags))
