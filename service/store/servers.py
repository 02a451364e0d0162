"""The API processes that share a database, and which registry changes each of them has applied."""

from sqlalchemy import Column, ColumnElement, bindparam, delete, exists, insert, not_, or_, select, update

from service.store.database import Database
from service.store.tables import now, servers


class Servers:
    """The running API processes. Entries expire unless they are renewed, so that a dead process blocks nobody."""

    def __init__(self, database: Database, *, server: str | None = None) -> None:
        """`server` is the name of the API process that asks, if it is one."""
        self._database = database
        self._server = server

    def announce(self, server: str, *, seen_seq: int, lease_s: float) -> bool:
        """Records that a process has applied all registry changes up to `seen_seq`, and renews its entry.

        The entry expires after `lease_s` seconds.

        Returns:
            Whether other processes are running too.
        """
        values = {"server": server, "seen": seen_seq, "lease_s": lease_s}
        with self._database.writing(durable=False) as connection:
            if not connection.execute(_RENEW, values).rowcount:
                connection.execute(insert(servers).values(id=server, seen_seq=seen_seq, alive_until=now() + lease_s))
                connection.execute(delete(servers).where(servers.c.alive_until < now()))
            return bool(connection.scalar(_HAS_OTHERS, {"server": server}))

    def others_have_seen(self, seq: int) -> bool:
        """Returns whether every other running process has applied this registry change."""
        lags = exists().where(servers.c.alive_until > now(), servers.c.seen_seq < seq)
        if self._server is not None:
            lags = lags.where(servers.c.id != self._server)
        with self._database.reading() as connection:
            return not connection.scalar(select(lags))

    def withdraw(self, server: str) -> None:
        """Removes the entry of a process that ends."""
        with self._database.writing(durable=False) as connection:
            connection.execute(delete(servers).where(servers.c.id == server))


_RENEW = (
    update(servers)
    .where(servers.c.id == bindparam("server"))
    .values(seen_seq=bindparam("seen"), alive_until=now() + bindparam("lease_s"))
)
_HAS_OTHERS = select(exists().where(servers.c.alive_until > now(), servers.c.id != bindparam("server")))
"""Built once, because every process runs them all the time, and building them takes longer than running them."""


def served_by_all(version_seq: "Column[int]", *, server: str | None) -> ColumnElement[bool]:
    """Returns a condition: every running process has applied this registry change. True if `version_seq` is null.

    `server` is the process that asks, if any. It refreshes before it answers, so while it runs alone it need not have
    announced the version. With other processes it must have; otherwise one of them could report a stale job state.
    """
    lags = exists().where(servers.c.alive_until > now(), servers.c.seen_seq < version_seq)
    if server is not None:
        other = servers.alias()
        has_others = exists().where(other.c.alive_until > now(), other.c.id != server)
        lags = lags.where(or_(servers.c.id != server, has_others))
    return or_(version_seq.is_(None), not_(lags))
