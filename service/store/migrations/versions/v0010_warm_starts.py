"""Jobs that begin at the weights of a version, and that compare their version with it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds where a job starts from, and its comparison of both versions."""
    op.add_column("jobs", sa.Column("started_from", sa.JSON))
    op.add_column("jobs", sa.Column("comparison", sa.JSON))
