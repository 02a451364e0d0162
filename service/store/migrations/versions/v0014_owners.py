"""Which key submitted a job, so that no key fills the queue."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Adds the column. The owners of earlier jobs are not known."""
    op.add_column("jobs", sa.Column("owner", sa.String))
