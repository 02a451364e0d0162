"""Jobs that replace queued ones, and jobs that publish nothing: what they keep, and for how long."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds the group of a job and what superseded it, the epochs whose weights it keeps, and when it is removed."""
    op.add_column("jobs", sa.Column("supersede", sa.String))
    op.add_column("jobs", sa.Column("superseded_by", sa.String))
    op.add_column("jobs", sa.Column("snapshots", sa.JSON))
    op.add_column("jobs", sa.Column("expires_at", sa.Float))
    op.create_index("ix_jobs_expires_at", "jobs", ["expires_at"])
