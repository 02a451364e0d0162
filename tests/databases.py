"""Direct access to a database, which the service does not know about."""

import os
import signal
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.serving import wait_until


def engine_of(url: str, **options: Any) -> Engine:
    """Returns an engine of the test's own."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), **options)


def execute(url: str, *statements: str) -> None:
    """Executes all statements in one transaction."""
    engine = engine_of(url)
    with engine.begin() as connection:
        for statement in statements:
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()


def expire_leases(url: str) -> None:
    """Expires all leases at once, as if the workers had been silent for long."""
    execute(url, "UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL")


def freeze_past_its_lease(pid: int, url: str) -> None:
    """Freezes a process and expires all leases. Tries again if the process kept a lock of the database."""

    def is_past() -> bool:
        os.kill(pid, signal.SIGSTOP)
        try:
            expire_leases(url)
        except OperationalError:
            os.kill(pid, signal.SIGCONT)
            return False
        return True

    wait_until(is_past)
