"""All rows of one service: the only package with queries."""

from typing import Self

from service.settings import Settings
from service.store.database import BUSY_S, Database
from service.store.events import Events
from service.store.files import Files
from service.store.jobs import LEASE_S, Jobs
from service.store.schema import migrate
from service.store.servers import Servers
from service.store.versions import Versions


class Store:
    """The parts of a database. Safe to share between threads, and between processes that each open their own."""

    def __init__(
        self, url: str, *, lease_s: float = LEASE_S, server: str | None = None, busy_s: float = BUSY_S
    ) -> None:
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
        try:
            migrate(self._database)
        except BaseException:
            self._database.close()
            raise
        self.jobs = Jobs(self._database, lease_s=lease_s, server=server)
        self.events = Events(self._database, server=server)
        self.versions = Versions(self._database)
        self.servers = Servers(self._database)

    @classmethod
    def of(cls, settings: Settings, files: Files, *, server: str | None = None) -> Self:
        """The store that is meant by the settings: the database that they name, else a file beside the others."""
        given = settings.database_url
        url = given.get_secret_value() if given is not None else files.database_url
        return cls(url, lease_s=settings.lease_s, server=server)

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
