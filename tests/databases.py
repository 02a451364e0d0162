"""Direct access to a database, which the service does not know about."""

from typing import Any

from sqlalchemy import Engine, create_engine, text


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
