"""Events, snapshots and checkpoints of jobs, idempotency keys, and the list of API processes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Adds columns to the jobs, and new tables."""
    _extend_jobs()
    _create_events()
    _create_snapshots()
    _create_idempotency_keys()
    _create_servers()


def _extend_jobs() -> None:
    for column in (
        sa.Column("metadata", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("retry_of", sa.String),
        sa.Column("worker", sa.String),
        sa.Column("claimed_at", sa.Float),
        sa.Column("watched_until", sa.Float),
        sa.Column("ran_s", sa.Float, nullable=False, server_default="0"),
        sa.Column("checkpoint", sa.String),
        sa.Column("version_seq", _Number),
        sa.Column("events", sa.Integer, nullable=False, server_default="0"),
    ):
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET checkpoint = id || '-' || attempt WHERE kept")
    op.drop_column("jobs", "kept")
    op.create_index("ix_jobs_worker", "jobs", ["worker"])
    op.create_index("ix_jobs_model_claimed_at", "jobs", ["model", "claimed_at"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("version_seq", _Number),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )


def _create_snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("serial", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("weights", sa.LargeBinary, nullable=False),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("payload", sa.String, nullable=False),
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False, index=True),
    )


def _create_servers() -> None:
    op.create_table(
        "servers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("seen_seq", _Number, nullable=False),
        sa.Column("alive_until", sa.Float, nullable=False),
    )
