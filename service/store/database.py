"""Connections and transactions, with the same behavior on SQLite and PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from math import inf
from pathlib import Path
from sqlite3 import SQLITE_BUSY, SQLITE_CANTOPEN, SQLITE_FULL, SQLITE_IOERR, SQLITE_IOERR_SHMSIZE, SQLITE_READONLY
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import OperationalError as SQLiteError
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import StoreUnavailable

BUSY_S = 30.0
"""Longest that a transaction waits for other writers."""

BUSY_POLL_S = 0.001
"""How often a waiting transaction retries while another connection writes to SQLite."""

CONNECT_S = 2
"""Longest that connecting to a PostgreSQL server may take."""

IDLE_TRANSACTION_S = 10
"""PostgreSQL ends a transaction that stands idle for this long, so that a frozen process does not keep its locks."""

SILENCE_S = 10.0
"""How long a PostgreSQL server may send nothing while it owes an answer, beyond the wait for other writers. Then the
connection is given up: behind a lost machine or a firewall it would never answer."""

CONNECTIONS = 5
"""Connections of each kind that a process keeps open; it opens twice as many at most."""

UNAVAILABLE_STATES = ("25006", "25P03")
"""PostgreSQL's codes for a read-only server, as after a failover, and for a transaction that stood idle too long."""

POSTGRESQL_DISK_FULL = "53100"

TELL = "Tell the operator of the service."
"""The advice to clients for failures that last. `for_operator` says what to do about them."""

NO_ANSWER = "The database does not answer in time. Try again."

SERIAL_LOCK = 0x5E9A
"""The advisory lock of serial transactions. The number is arbitrary."""


class Database:
    """One SQLite file or PostgreSQL database. Threads may share it; each process opens its own.

    Every method raises `StoreUnavailable` if the database cannot be reached, read or written.
    """

    def __init__(self, url: str, *, busy_s: float = BUSY_S, durable: bool = True) -> None:
        """Connects on first use.

        Args:
            url: an SQLAlchemy URL for SQLite or PostgreSQL.
            busy_s: bounds the wait for other writers.
            durable: whether commits survive a power failure. Otherwise that may damage the SQLite file.
        """
        self._url = make_url(url)
        self._busy_s = busy_s
        self._sqlite_writer = threading.Lock()
        full, fast = ("FULL", "NORMAL") if durable else ("OFF", "OFF")
        self._writes = self._engine(synchronous=full, busy_s=busy_s)
        # separate connections: readers must not wait while writers wait for each other
        # on PostgreSQL readers wait for no lock, so a silent server can be noticed sooner
        reads = self._engine(synchronous=full, busy_s=0 if self.is_postgresql else busy_s)
        self._reads = reads.execution_options(isolation_level="AUTOCOMMIT")
        self._fast_writes = self._writes if self.is_postgresql else self._engine(synchronous=fast, busy_s=busy_s)

    @property
    def is_postgresql(self) -> bool:
        """Whether the database is PostgreSQL. Otherwise it is SQLite."""
        return self._url.get_backend_name() == "postgresql"

    @property
    def name(self) -> str:
        """What messages call it: the path of its file, or the URL without user, password and options."""
        if not self.is_postgresql:
            return str(self._url.database)
        shown = URL.create("postgresql", host=self._url.host, port=self._url.port, database=self._url.database)
        return shown.render_as_string()

    def exists(self) -> bool:
        """Whether the SQLite file exists and is not empty. A PostgreSQL database exists, or cannot be reached."""
        if self.is_postgresql:
            return True
        path = Path(self.name)
        return path.exists() and path.stat().st_size > 0

    def close(self) -> None:
        """Closes every connection."""
        for engine in (self._writes, self._reads, self._fast_writes):
            engine.dispose()

    @contextmanager
    def writing(self, *, serial: bool = False, durable: bool = True, patient: bool = False) -> Iterator[Connection]:
        """Opens a write transaction, which commits at the end of the block.

        Args:
            serial: run one at a time with the other serial transactions, and see what they have committed. On SQLite
                all write transactions do.
            durable: return only when the commit is on the disk. Otherwise a power failure may undo the last moment;
                that is for data that is soon written again.
            patient: let each statement take as long as it needs, which is for migrations.
        """
        engine = self._writes if durable else self._fast_writes
        with _unavailable(), self._one_sqlite_writer(), engine.begin() as connection:
            if self.is_postgresql and serial:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": SERIAL_LOCK})
            if self.is_postgresql and not durable:
                connection.execute(text("SET LOCAL synchronous_commit = off"))
            with _without_deadline(connection) if self.is_postgresql and patient else nullcontext():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Opens a connection for queries. It never waits for a writer; each query sees the latest commit."""
        with _unavailable(), self._reads.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Opens a read transaction: all its queries see the database as of one moment. It delays no writer."""
        with self.reading() as connection:
            kind = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if self.is_postgresql else "BEGIN"
            connection.execute(text(kind))
            try:
                yield connection
            finally:
                connection.execute(text("ROLLBACK"))

    def faults(self) -> list[str]:
        """The damage that SQLite finds in its file."""
        if self.is_postgresql:
            return []
        with self.reading() as connection:
            found = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check(10)"))]
            dangling = connection.execute(text("PRAGMA foreign_key_check")).fetchmany(10)
        return [one for one in found if one != "ok"] + [f"a row of {row[0]} refers to none" for row in dangling]

    @contextmanager
    def _one_sqlite_writer(self) -> Iterator[None]:
        """Queues this process's SQLite writers on a lock, which is cheaper than polling the file."""
        if self.is_postgresql:
            yield
            return
        if not self._sqlite_writer.acquire(timeout=self._busy_s):
            raise StoreUnavailable(NO_ANSWER)
        try:
            yield
        finally:
            self._sqlite_writer.release()

    def _engine(self, *, synchronous: str, busy_s: float) -> Engine:
        if self.is_postgresql:
            return _postgresql(self._url, busy_s)
        return _sqlite(self._url, synchronous, busy_s)


def sqlite_url(path: Any) -> str:
    """Returns the URL of an SQLite file. The path may hold any characters."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _postgresql(url: URL, busy_s: float) -> Engine:
    limits = f"-c lock_timeout={1000 * busy_s:.0f} -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_S}s"
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={"connect_timeout": CONNECT_S, "options": limits},
        pool_size=CONNECTIONS,
        max_overflow=CONNECTIONS,
        pool_timeout=busy_s + SILENCE_S,
        pool_pre_ping=True,  # the server may have restarted since
    )
    event.listen(engine, "do_connect", partial(_connect, silence_s=busy_s + SILENCE_S))
    return engine


def _connect(_: object, __: object, arguments: tuple[Any, ...], options: dict[str, Any], *, silence_s: float) -> Any:
    """A connection to PostgreSQL that is given up when the server is silent for too long."""
    from service.store.postgresql.bounded import BoundedConnection

    connection = BoundedConnection.connect(*arguments, **options)
    connection.silence_s = silence_s
    return connection


@contextmanager
def _without_deadline(connection: Connection) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    usual, driver.silence_s = driver.silence_s, inf
    try:
        yield
    finally:
        driver.silence_s = usual


def _sqlite(url: URL, synchronous: str, busy_s: float) -> Engine:
    """Returns an engine whose transactions take the write lock when they begin, so that they cannot fail half way.

    With `synchronous` FULL, a commit is on the disk when it returns.
    """
    engine = create_engine(url, pool_size=CONNECTIONS, max_overflow=CONNECTIONS, pool_timeout=busy_s)
    event.listen(engine, "connect", partial(_configure, synchronous=synchronous, busy_s=busy_s))
    event.listen(engine, "begin", partial(_begin_immediate, busy_s=busy_s))
    return engine


def _configure(connection: SQLiteConnection, _: object, *, synchronous: str, busy_s: float) -> None:
    connection.isolation_level = None  # otherwise the driver begins transactions by its own rules
    connection.create_function("unix_time", 0, time.time)
    pragmas = (f"busy_timeout={1000 * busy_s:.0f}", "journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON")
    for pragma in pragmas:
        # the first connection switches the file to WAL; for that lock SQLite's own busy timeout does not wait
        _when_free(partial(connection.execute, f"PRAGMA {pragma}"), busy_s)


def _begin_immediate(connection: Connection, *, busy_s: float) -> None:
    """Takes the write lock as soon as it is free.

    SQLite's own busy timeout polls ever more slowly, in the end every 100 ms, which would stall a busy queue.
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
    """Calls `act` again until no other connection blocks it, for `busy_s` at most."""
    until = time.monotonic() + busy_s
    while True:
        try:
            act()
            return
        except (OperationalError, SQLiteError) as error:
            code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
            if code & 0xFF != SQLITE_BUSY or time.monotonic() >= until:  # the low byte is the primary code
                raise
        time.sleep(BUSY_POLL_S)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Raises `StoreUnavailable` for the errors of a database that is unreachable, busy, read-only or damaged."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise _failure(error) from error
    except InternalError as error:
        if getattr(error.orig, "sqlstate", None) not in UNAVAILABLE_STATES:
            raise
        raise StoreUnavailable(
            "The database is read-only now, or ended a transaction that took too long. Try again."
        ) from error
    except DatabaseError as error:
        if type(error) is not DatabaseError:  # its other subclasses are programming errors
            raise
        raise StoreUnavailable(
            f"The database file is damaged, or is not a database. {TELL}",
            for_operator="The database file is damaged, or is not a database. Restore a backup into a new data folder.",
        ) from error


def _failure(error: Exception) -> StoreUnavailable:
    """Translates an error of SQLAlchemy."""
    cause = getattr(error, "orig", None)
    code = getattr(cause, "sqlite_errorcode", 0)
    failures = _lasting_failures()
    for known in (getattr(cause, "sqlstate", None), code, code & 0xFF):
        if known in failures:
            return failures[known]
    if cause is None or isinstance(cause, SQLiteError):
        return StoreUnavailable(NO_ANSWER)
    check = "Check that its server runs, and that it accepts the user and the password of --database-url."
    return StoreUnavailable(NO_ANSWER, for_operator=f"The database does not answer. {check}")


def _lasting_failures() -> dict[int | str, StoreUnavailable]:
    """The failures that last: of SQLite by error code, of PostgreSQL by SQLSTATE.

    The low byte of a SQLite error code is the primary code, which covers all codes that share it.
    """
    disk_full = StoreUnavailable(
        f"The disk of the database is full. {TELL}",
        for_operator="The disk of the database is full. Free some space on it.",
    )
    return {
        SQLITE_FULL: disk_full,
        SQLITE_IOERR_SHMSIZE: disk_full,  # no room for the file of shared memory
        POSTGRESQL_DISK_FULL: disk_full,
        SQLITE_READONLY: StoreUnavailable(
            f"The database file, or its folder, cannot be written. {TELL}",
            for_operator="The database file, or its folder, cannot be written. Check their owner and mode, and whether "
            "the disk can be written.",
        ),
        SQLITE_IOERR: StoreUnavailable(
            f"The disk of the database has failed. {TELL}",
            for_operator="The disk of the database has failed. Check the disk, then run `separatrix doctor`.",
        ),
        SQLITE_CANTOPEN: StoreUnavailable(
            f"The database file cannot be opened. {TELL}",
            for_operator="The database file cannot be opened. Check its owner and mode, those of its folder, and "
            "whether the disk can be written.",
        ),
    }
