"""The database: connections and transactions, alike on SQLite and PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from sqlite3 import SQLITE_BUSY
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import OperationalError as SQLiteError
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import StoreUnavailable

BUSY_S = 30.0
"""Longest that a transaction waits for others."""

BUSY_LOOK_S = 0.001
"""How often a transaction looks whether SQLite's one writer is done."""

CONNECT_S = 2
"""Longest that reaching a PostgreSQL server may take."""

FROZEN_S = 10
"""How long PostgreSQL lets a process that has stopped in the middle of a transaction keep its locks."""

CONNECTIONS = 5
"""Connections of each kind that a process keeps; twice as many at most."""

AWAY_STATES = ("25006", "25P03")
"""PostgreSQL's codes for a server that may only be read, as after a failover, and a transaction that stood too long."""

SERIAL_LOCK = 0x5E9A
"""The advisory lock, any number of our own, of transactions that must come one after the other."""


class Database:
    """One SQLite file or one PostgreSQL database. Safe to share between threads; each process opens its own.

    Every method raises `StoreUnavailable` when the database cannot be reached, written or read.
    """

    def __init__(self, url: str, *, busy_s: float = BUSY_S) -> None:
        """Connects when first used. `busy_s` bounds the wait for other writers."""
        self._url = make_url(url)
        self._busy_s = busy_s
        self._lock = threading.Lock()
        self._writes = self._engine(synchronous="FULL", busy_s=busy_s)
        # connections of their own: writers that wait for each other must not keep readers waiting
        self._reads = self._engine(synchronous="FULL", busy_s=busy_s).execution_options(isolation_level="AUTOCOMMIT")
        self._notes = self._writes if self.is_postgresql else self._engine(synchronous="NORMAL", busy_s=busy_s)

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, else SQLite."""
        return self._url.get_backend_name() == "postgresql"

    def close(self) -> None:
        """Closes every connection."""
        for engine in (self._writes, self._reads, self._notes):
            engine.dispose()

    @contextmanager
    def writing(self, *, serial: bool = False) -> Iterator[Connection]:
        """One transaction, which is on the disk when the block has ended.

        Serial ones see everything that other serial ones have written, as all do on SQLite, which knows no others.
        """
        with _unavailable(), self._turn(), self._writes.begin() as connection:
            if serial and self.is_postgresql:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SERIAL_LOCK})
            yield connection

    @contextmanager
    def noting(self) -> Iterator[Connection]:
        """One transaction of which a power cut may undo the last moment: for what is soon written again."""
        with _unavailable(), self._turn(), self._notes.begin() as connection:
            if self.is_postgresql:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that only reads: it takes no lock and never waits for a writer. Each query sees the latest."""
        with _unavailable(), self._reads.connect() as connection:
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Has the threads of this process take turns on SQLite: one that waits here need not look again and again."""
        if self.is_postgresql:
            yield
            return
        if not self._lock.acquire(timeout=self._busy_s):
            raise StoreUnavailable("It does not answer in time.")
        try:
            yield
        finally:
            self._lock.release()

    def _engine(self, *, synchronous: str, busy_s: float) -> Engine:
        if self.is_postgresql:
            return _postgresql(self._url, busy_s)
        return _sqlite(self._url, synchronous, busy_s)


def sqlite_url(path: Any) -> str:
    """The URL of an SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _postgresql(url: URL, busy_s: float) -> Engine:
    limits = f"-c lock_timeout={1000 * busy_s:.0f} -c idle_in_transaction_session_timeout={FROZEN_S}s"
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": CONNECT_S, "options": limits},
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS,
        pool_timeout=busy_s,
        pool_pre_ping=True,  # the server may have been started anew since
    )


def _sqlite(url: URL, synchronous: str, busy_s: float) -> Engine:
    """A transaction takes the write lock when it begins, so that it can never fail half way for want of it.

    A commit is on the disk when it returns, with `synchronous` FULL.
    """
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=CONNECTIONS, pool_timeout=busy_s)
    event.listen(engine, "connect", partial(_configure, synchronous=synchronous, busy_s=busy_s))
    event.listen(engine, "begin", partial(_begin_immediate, busy_s=busy_s))
    return engine


def _configure(connection: SQLiteConnection, _: object, *, synchronous: str, busy_s: float) -> None:
    connection.isolation_level = None  # the driver would begin transactions by rules of its own
    pragmas = (f"busy_timeout={1000 * busy_s:.0f}", "journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON")
    for pragma in pragmas:
        # the first to open a file makes it one with a log beside it, for which SQLite itself would not wait
        _when_free(partial(connection.execute, f"PRAGMA {pragma}"), busy_s)


def _begin_immediate(connection: Connection, *, busy_s: float) -> None:
    """Takes the write lock as soon as it is free.

    SQLite itself looks ever less often, after 100 ms at last, and a busy queue would stand still meanwhile.
    """
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, SQLiteConnection)
    driver.execute("PRAGMA busy_timeout=0")
    try:
        _when_free(partial(connection.exec_driver_sql, "BEGIN IMMEDIATE"), busy_s)
    finally:
        driver.execute(f"PRAGMA busy_timeout={1000 * busy_s:.0f}")


def _when_free(act: Callable[[], object], busy_s: float) -> None:
    """Does something as soon as no other connection is in the way."""
    until = time.monotonic() + busy_s
    while True:
        try:
            act()
            return
        except (OperationalError, SQLiteError) as error:
            code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
            if code & 0xFF != SQLITE_BUSY or time.monotonic() >= until:  # with its extended codes
                raise
        time.sleep(BUSY_LOOK_S)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turns what the database raises when it cannot do its work into an error of ours."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise StoreUnavailable("It does not answer, or not in time.") from error
    except InternalError as error:
        if getattr(error.orig, "sqlstate", None) not in AWAY_STATES:
            raise
        raise StoreUnavailable("It takes no changes now, or has not waited.") from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # its children but those above are faults of ours
            raise
        raise StoreUnavailable("Its file is damaged, or is none of a database.") from error
