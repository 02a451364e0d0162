"""What outlives a job: when its model's last slot began, and its position in the list of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Adds a column to the jobs, and two tables."""
    op.add_column("jobs", sa.Column("queued_at", sa.Float, nullable=False, server_default="0"))
    op.execute("UPDATE jobs SET queued_at = created_at")
    op.execute("UPDATE jobs SET claimed_at = NULL WHERE state = 'paused'")
    op.drop_index("ix_jobs_model_claimed_at", "jobs")
    op.create_index("ix_jobs_model", "jobs", ["model"])
    op.create_table(
        "turns",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("began_at", sa.Float, nullable=False),
    )
    op.execute("INSERT INTO turns SELECT model, max(claimed_at) FROM jobs WHERE claimed_at IS NOT NULL GROUP BY model")
    op.create_table(
        "deleted_jobs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("seq", _Number, nullable=False),
        sa.Column("deleted_at", sa.Float, nullable=False, index=True),
    )
