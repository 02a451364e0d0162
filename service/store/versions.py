"""Published versions."""

from sqlalchemy import select

from service.records import PublishedVersion
from service.store.database import Database
from service.store.tables import versions


class Versions:
    """All published versions. `Leases.publish` adds them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, seq: int) -> list[PublishedVersion]:
        """Returns the versions published after the one with this `seq`, oldest first; all for 0."""
        query = select(versions).where(versions.c.seq > seq).order_by(versions.c.seq)
        with self._database.reading() as connection:
            return [PublishedVersion(**row._mapping) for row in connection.execute(query)]
