"""The parts of a database, opened together."""

from typing import Self

from service.settings import Settings
from service.store.database import BUSY_S, Database
from service.store.datasets import Datasets
from service.store.events import Events
from service.store.files import Files
from service.store.jobs import Jobs
from service.store.leases import LEASE_S, Leases
from service.store.schema import migrate
from service.store.servers import Servers
from service.store.versions import Versions


class Store:
    """A database with all its parts. Threads may share a store; each process opens its own."""

    def __init__(
        self,
        url: str,
        *,
        lease_s: float = LEASE_S,
        keep_versions: int = 0,
        server: str | None = None,
        busy_s: float = BUSY_S,
        durable: bool = True,
    ) -> None:
        """Opens a database and migrates its tables.

        Args:
            url: an SQLAlchemy URL for SQLite or PostgreSQL.
            lease_s: how long a worker may stay silent before its job is reclaimed.
            keep_versions: how many versions a model keeps that does not say so itself; 0 for all.
            server: the name of the API process that opens the store, if it is one.
            busy_s: longest wait for other writers.
            durable: whether commits survive a power failure.

        Raises:
            StoreUnavailable: the database cannot be reached, read or written. Every method of every part may raise it.
        """
        self._database = Database(url, busy_s=busy_s, durable=durable)
        try:
            migrate(self._database)
        except BaseException:
            self._database.close()
            raise
        self.jobs = Jobs(self._database, server=server)
        self.leases = Leases(self._database, lease_s=lease_s, keep_versions=keep_versions)
        self.events = Events(self._database, server=server)
        self.versions = Versions(self._database)
        self.datasets = Datasets(self._database)
        self.servers = Servers(self._database, server=server)

    @classmethod
    def of(cls, settings: Settings, files: Files, *, server: str | None = None) -> Self:
        """Opens the database that the settings name, else the SQLite file of the data folder."""
        given = settings.database_url
        url = given.get_secret_value() if given is not None else files.database_url
        return cls(
            url, lease_s=settings.lease_s, keep_versions=settings.keep_versions, server=server, durable=files.durable
        )

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
