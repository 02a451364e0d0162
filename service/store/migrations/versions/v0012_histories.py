"""How the figures of trainings developed."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the histories of jobs. They are large, so they are not a column of the jobs."""
    op.create_table(
        "histories",
        sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("networks", sa.JSON, nullable=False),
    )
