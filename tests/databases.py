"""What tests do to a database behind the service's back."""

from typing import Any

from sqlalchemy import Engine, create_engine, text


def engine_of(url: str, **options: Any) -> Engine:
    """An engine of the test's own."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), **options)


def execute(url: str, *statements: str) -> None:
    """Changes rows, one transaction for all statements."""
    engine = engine_of(url)
    with engine.begin() as connection:
        for statement in statements:
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()


def let_the_lease_run_out(url: str) -> None:
    """As if the worker had been silent for long: time itself is not waited for."""
    execute(url, "UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL")
