"""The check that a data folder and a database belong together.

Files without a row are removed. With the wrong database, or an empty one, that would be all of them. So a database has
an id, the data folder keeps the id of its database in a small file, and both must agree before anything is written.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, select, sql

from models.checkpoints import atomic
from service.errors import StoreUnavailable
from service.store.database import Database
from service.store.files import Files, job_of
from service.store.tables import identity

FILE = "database-id"
"""The file in a data folder that has the id of its database. A folder of an earlier release has none."""

MAX_ID_BYTES = 200

ADVICE = "Give the --database-url that it was used with, restore a backup into a new folder, or choose a new --data-dir"
"""What to do if a folder and a database do not belong together."""

NO_DATA = "Check --data-dir and --database-url, or train a model first."
"""What to do if there is no database where there should be one."""


def require(database: Database, files: Files, *, make: bool = True) -> None:
    """Checks that a data folder and a database belong together, before anything is written to either.

    They do if the folder has the id of the database. A folder without any id belongs to the database if it has no
    files, or if the database knows at least one of them.

    Args:
        database: the database; it may not exist yet.
        files: the files of the folder.
        make: whether the database may be new.

    Raises:
        StoreUnavailable: they do not belong together; or the database is new and `make` is not set; or one of them
            cannot be read. Only `for_operator` names the folder and the database.
    """
    folder, expected = files.data_dir, known_id(files)
    if not database.exists():
        if expected is not None or files.owned():
            raise _refused(
                f"{database.name} is missing or empty, but the data folder {folder} was used with one. {ADVICE}."
            )
        if not make:
            raise _refused(f"{folder} is not a data folder: it has no database. {NO_DATA}")
        return
    with database.reading() as connection:
        is_new = not inspect(connection).has_table("jobs")
        belongs = _id(connection) == expected if expected is not None else _knows_one(connection, files)
    if not belongs:
        raise _refused(f"The data folder {folder} belongs to another database than {database.name}. {ADVICE}.")
    if is_new and not make:
        raise _refused(f"The database {database.name} is empty, and the data folder has no files. {NO_DATA}")


def remember(database: Database, files: Files) -> None:
    """Notes in a data folder which database it belongs to, unless it says so already.

    Raises:
        StoreUnavailable: the database cannot be read, or the folder cannot be written.
    """
    if known_id(files) is not None:
        return
    with database.reading() as connection:
        own = _id(connection)
    try:
        atomic.write_file(_file(files), f"{own}\n".encode())
    except OSError as error:
        raise _refused(f"{_file(files)} cannot be written: {error.strerror}. Check the mode and the disk.") from error


def known_id(files: Files) -> str | None:
    """The id of the database that a data folder belongs to; None if it does not say.

    Raises:
        StoreUnavailable: its file cannot be read.
    """
    try:
        with _file(files).open("rb") as file:
            return file.read(MAX_ID_BYTES).decode("latin-1").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(f"{_file(files)} cannot be read: {error.strerror}. Check its mode and the disk.") from error


def _refused(reason: str) -> StoreUnavailable:
    """The error for operators, who may see paths. No request causes it."""
    return StoreUnavailable(for_operator=reason)


def _file(files: Files) -> Path:
    return files.data_dir / FILE


def _id(connection: Connection) -> str | None:
    """The id of a database; None if its tables are of an earlier release, or it has none."""
    if not inspect(connection).has_table(identity.name):
        return None
    found: str | None = connection.scalar(select(identity.c.id))
    return found


def _knows_one(connection: Connection, files: Files) -> bool:
    """Whether a folder has no files, or a row of the database, which may be of any release, belongs to one of them."""
    owned = files.owned()
    if not owned:
        return True
    tables = inspect(connection).get_table_names()
    known: set[str | None] = set()
    for table, column in (("jobs", "id"), ("versions", "job_id"), ("versions", "checkpoint_id"), ("datasets", "file")):
        if table in tables:
            known.update(connection.scalars(select(sql.column(column)).select_from(sql.table(table))))
    return any(name in known for path in owned for name in (path.stem, job_of(path)) if name)
