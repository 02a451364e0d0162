"""The parts of a database, opened together."""

from collections.abc import Iterator
from typing import Self

from sqlalchemy import func, select

from service.settings import Settings
from service.store import rows, tables
from service.store.database import BUSY_S, Database
from service.store.datasets import Datasets
from service.store.events import Events
from service.store.files import Files
from service.store.identity import pairing
from service.store.jobs import Jobs
from service.store.leases import LEASE_S, Leases
from service.store.migrations.schema import migrate
from service.store.servers import Servers
from service.store.versions import Versions


def database_url(settings: Settings, files: Files) -> str:
    """The URL of the database that the settings name, else of the SQLite file of the data folder."""
    given = settings.database_url
    return given.get_secret_value() if given is not None else files.database_url


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
        files: Files | None = None,
        make: bool = True,
    ) -> None:
        """Opens a database and migrates its tables.

        Args:
            url: an SQLAlchemy URL for SQLite or PostgreSQL.
            lease_s: how long a worker may stay silent before its job is reclaimed.
            keep_versions: how many versions a model keeps that does not say so itself; 0 for all.
            server: the name of the API process that opens the store, if it is one.
            busy_s: longest wait for other writers.
            durable: whether commits survive a power failure.
            files: of the data folder that must belong to the database, see `identity.pairing`; None for any.
            make: whether to make the database if it is missing, and to note in the folder that both belong together.

        Raises:
            StoreUnavailable: the database cannot be reached, read or written, or is not that of the data folder. Every
                method of every part may raise it.
        """
        self._database = Database(url, busy_s=busy_s, durable=durable)
        try:
            if files is not None:
                pairing.require(self._database, files, make=make)
            migrate(self._database)
            if files is not None and make:
                pairing.remember(self._database, files)
        except BaseException:
            self._database.close()
            raise
        self.jobs = Jobs(self._database, server=server)
        self.leases = Leases(self._database, lease_s=lease_s, keep_versions=keep_versions)
        self.events = Events(self._database, server=server)
        self.versions = Versions(self._database)
        self.datasets = Datasets(self._database)
        self.servers = Servers(self._database, server=server)

    def rows(self) -> Iterator[tuple[str, rows.Row]]:
        """All rows as of one moment, see `rows.dump`."""
        return rows.dump(self._database)

    def faults(self) -> list[str]:
        """The damage that SQLite finds. PostgreSQL has no such check for its clients."""
        return self._database.faults()

    def newest_time(self) -> float:
        """When the newest row was written, in seconds since the epoch; 0 if there is none."""
        newest = [func.max(table.c.created_at) for table in (tables.jobs, tables.versions, tables.datasets)]
        with self._database.reading() as connection:
            return max(float(connection.scalar(select(one)) or 0) for one in newest)

    @classmethod
    def of(cls, settings: Settings, files: Files, *, server: str | None = None, make: bool = True) -> Self:
        """Opens the database that the settings name, else the SQLite file of the data folder.

        The data folder must belong to it, except one that need not survive a power failure: its files are replaceable.
        For the other arguments and the errors see `__init__`.
        """
        return cls(
            database_url(settings, files),
            lease_s=settings.lease_s,
            keep_versions=settings.keep_versions,
            server=server,
            durable=files.durable,
            files=files if files.durable else None,
            make=make,
        )

    def close(self) -> None:
        """Closes every connection."""
        self._database.close()
