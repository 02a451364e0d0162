"""Which trace a job is part of."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Adds the column. Earlier jobs are part of none."""
    op.add_column("jobs", sa.Column("traceparent", sa.String))
