"""The database's tables, and the engine that reaches them."""

from functools import partial
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection

from sqlalchemy import (
    JSON,
    URL,
    Boolean,
    Column,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    event,
    inspect,
)
from sqlalchemy import create_engine as sqlalchemy_create_engine
from sqlalchemy.engine import Connection

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("model", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("data", JSON, nullable=False),
    Column("data_digest", String, nullable=False),
    Column("network", JSON, nullable=False),
    Column("training", JSON, nullable=False),
    Column("recipe", String, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("lease_until", Float),
    Column("epoch", Integer, nullable=False),
    Column("metrics", JSON(none_as_null=True)),
    Column("version", Integer),
    Column("kept", Boolean, nullable=False),
    Column("restarts", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    sqlite_autoincrement=True,
)

versions = Table(
    "versions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("job_id", String, nullable=False),
    Column("checkpoint_id", String, nullable=False),
    Column("card_digest", String, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("model", "version"),
    sqlite_autoincrement=True,
)


READS_ONLY = {"reads_only": True}
"""Execution options of a connection that only reads: it takes no lock and never waits for a writer."""


def create_engine(path: Path, *, busy_timeout_s: float) -> Engine:
    """An engine on an SQLite file, its tables made if missing.

    A transaction takes the write lock when it begins, so that it can never fail half way for want of it; connections
    with the options `READS_ONLY` begin none. `busy_timeout_s` bounds the wait for the lock. A commit is on the disk
    when it returns (WAL with synchronous=FULL).
    """
    engine = sqlalchemy_create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", partial(_configure, busy_timeout_s=busy_timeout_s))
    event.listen(engine, "begin", _begin_immediate)
    with engine.begin() as connection:
        metadata.create_all(connection)
        _add_missing_columns(connection)
    return engine


def _add_missing_columns(connection: Connection) -> None:
    """Brings the tables of an earlier version up to date: whatever columns came later may be null."""
    for table in metadata.sorted_tables:
        present = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in present:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")


def _configure(connection: SQLiteConnection, _: object, *, busy_timeout_s: float) -> None:
    connection.isolation_level = None  # the driver would begin transactions by rules of its own
    for pragma in (f"busy_timeout={1000 * busy_timeout_s:.0f}", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    if not connection.get_execution_options().get("reads_only"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
