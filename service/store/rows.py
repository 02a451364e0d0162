"""All rows of a database as JSON objects, for backups, whichever kind of database it is."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from sqlalchemy import JSON, Connection, MetaData, func, insert, select, text

from service.errors import StoreUnavailable
from service.store.database import Database
from service.store.migrations.schema import migrate, revision, upgrade
from service.store.tables import metadata

LEFT_OUT = frozenset({"snapshots", "servers", "identity"})
"""Tables that a backup does not have: weights of running trainings for frames, the processes that run, and the id of
the database, since the restored one is another."""

TABLES = tuple(table.name for table in metadata.sorted_tables if table.name not in LEFT_OUT)
"""The tables of a backup, each after those that it refers to."""

BATCH = 1_000
"""Rows that are held in memory at a time."""

Row = dict[str, Any]


def dump(database: Database) -> Iterator[tuple[str, Row]]:
    """All rows with the name of their table, table by table, as of one moment, also during writes.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    with database.snapshot() as connection:
        for name in TABLES:
            rows = connection.execute(select(metadata.tables[name]).execution_options(yield_per=BATCH))
            yield from ((name, dict(row._mapping)) for row in rows)


def load(database: Database, rows: Iterable[tuple[str, Row]], *, written_by: str) -> None:
    """Writes the rows of a backup into a database without any, and migrates them. An error leaves it as it was.

    Args:
        database: without tables.
        rows: as `dump` gives them, perhaps from an earlier release.
        written_by: the revision of the tables that they come from.

    Raises:
        StoreUnavailable: the database cannot be written or has tables, or the rows are from a later release.
    """
    with database.writing(serial=True, patient=True) as connection:
        if revision(connection) is not None:
            raise StoreUnavailable("The database already has data. Restore into an empty one.")
        upgrade(connection, written_by)
        found = MetaData()
        found.reflect(connection)
        for table in found.tables.values():
            if table.name in TABLES:
                connection.execute(table.delete())  # a migration may have written rows
            for column in table.columns:
                if isinstance(column.type, JSON):
                    column.type = JSON(none_as_null=True)
        for name, group in groupby(rows, key=lambda pair: pair[0]):
            while batch := [row for _, row in islice(group, BATCH)]:
                connection.execute(insert(found.tables[name]), batch)
        if database.is_postgresql:
            _continue_sequences(connection)
    migrate(database)


def _continue_sequences(connection: Connection) -> None:
    """Lets PostgreSQL number new rows after those that were written with their numbers."""
    for name in ("jobs", "versions"):
        column = metadata.tables[name].c.seq
        last = connection.scalar(select(func.max(column)))
        if last is not None:
            statement = text("SELECT setval(pg_get_serial_sequence(:table, 'seq'), :last)")
            connection.execute(statement, {"table": name, "last": last})
