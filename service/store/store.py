"""All rows of one service: the only package with queries."""

from service.store.database import BUSY_S, Database
from service.store.events import Events
from service.store.jobs import LEASE_S, Jobs
from service.store.schema import migrate
from service.store.servers import Servers
from service.store.versions import Versions


class Store:
    """The parts of a database. Safe to share between threads, and between processes that each open their own."""

    def __init__(self, url: str, *, lease_s: float = LEASE_S, server: str | None = None, busy_s: float = BUSY_S) -> None:
        """Opens a database and brings its tables up to date.

        Args:
            url: of SQLAlchemy, for SQLite or PostgreSQL.
            lease_s: how long a worker may be silent before its job goes to another.
            server: the name of the API process that this is for, if it is one.
            busy_s: bounds the wait for other writers.

        Raises:
            StoreUnavailable: as may every method of every part, when the database cannot be reached, written or read.
        """
        self._database = Database(url, busy_s=busy_s)
        migrate(self._database)
        self.jobs = Jobs(self._database, lease_s=lease_s, server=server)
        self.events = Events(self._database, server=server)
        self.versions = Versions(self._database)
        self.servers = Servers(self._database)

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
