"""What tests do to a database behind the service's back."""

from sqlalchemy import create_engine, text


def execute(url: str, *statements: str) -> None:
    """Changes rows, one transaction for all statements."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in statements:
            if statement.strip():
                connection.execute(text(statement))
    engine.dispose()


def let_the_lease_run_out(url: str) -> None:
    """As if the worker had been silent for long: time itself is not waited for."""
    execute(url, "UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL")
