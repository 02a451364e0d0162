"""Tables of jobs and versions, as data folders had them before migrations existed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Creates what is missing. Folders older than this script have the tables, but maybe not all columns."""
    present = sa.inspect(op.get_bind()).get_table_names()
    if "jobs" not in present:
        _create_jobs()
    elif "restarts" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("jobs")}:
        op.add_column("jobs", sa.Column("restarts", sa.JSON))
    if "versions" not in present:
        _create_versions()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", _Number, primary_key=True),
        sa.Column("id", sa.String, nullable=False, unique=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("data_digest", sa.String, nullable=False),
        sa.Column("network", sa.JSON, nullable=False),
        sa.Column("training", sa.JSON, nullable=False),
        sa.Column("recipe", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False, index=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("deaths", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Float),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("metrics", sa.JSON),
        sa.Column("version", sa.Integer),
        sa.Column("kept", sa.Boolean, nullable=False),
        sa.Column("restarts", sa.JSON),
        sa.Column("problem", sa.JSON),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("finished_at", sa.Float),
        sqlite_autoincrement=True,
    )


def _create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("seq", _Number, primary_key=True),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("job_id", sa.String, nullable=False),
        sa.Column("checkpoint_id", sa.String, nullable=False),
        sa.Column("card_digest", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.UniqueConstraint("model", "version"),
        sqlite_autoincrement=True,
    )
