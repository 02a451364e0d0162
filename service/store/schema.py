"""Brings a database's tables up to date when it is opened."""

import logging
from importlib.resources import files

from sqlalchemy import Connection, inspect, text

from service.errors import StoreUnavailable
from service.store.database import Database

logger = logging.getLogger(__name__)

HEAD = "0003"
"""The latest step of `migrations`: what this program reads and writes."""


def migrate(database: Database) -> None:
    """Takes the steps that are missing, all or none; of several processes that start at once one takes them.

    Raises:
        StoreUnavailable: the database is one of a later program, or cannot be reached or written.
    """
    with database.reading() as connection:
        if _revision(connection) == HEAD:
            return
    with database.writing(serial=True) as connection:
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it would tell of its plugins
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    if inspect(connection).has_table("jobs"):
        logger.info("the tables of an earlier version are brought up to date")
    config = Config()
    config.set_main_option("script_location", str(files("service.store") / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreUnavailable("It belongs to a later version of Separatrix.") from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
