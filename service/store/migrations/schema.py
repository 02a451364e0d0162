"""Migrates the tables of a database when it is opened."""

import logging
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from service.errors import StoreUnavailable
from service.store.database import Database

logger = logging.getLogger(__name__)

HEAD = "0016"
"""The latest revision in `versions`, which this program reads and writes."""


def migrate(database: Database) -> None:
    """Applies the missing migrations in one transaction. If several processes start at once, one applies them.

    Raises:
        StoreUnavailable: a later version of the program wrote the database, or it cannot be reached or written.
    """
    with database.reading() as connection:
        if revision(connection) == HEAD:
            return
    with database.writing(serial=True, patient=True) as connection:
        upgrade(connection)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Applies the missing migrations up to a revision, within the caller's transaction.

    Raises:
        StoreUnavailable: the tables, or the revision, are from a later version of the program.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # at level INFO it lists its plugins
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(files("service.store.migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    is_old = inspect(connection).has_table("jobs")
    try:
        # raises if the database is of a later version
        ScriptDirectory.from_config(config).get_revision(revision(connection) or "base")
        if is_old:
            logger.info("migrating the tables of an earlier version")
        command.upgrade(config, to)
    except CommandError as error:
        raise StoreUnavailable("A newer release of Separatrix wrote the database. Install that release.") from error


def revision(connection: Connection) -> str | None:
    """The revision of the tables of a database; None if it has none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
