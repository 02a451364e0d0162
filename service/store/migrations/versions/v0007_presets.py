"""Jobs whose settings are chosen by a search."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds the preset of a job, and what the search has chosen."""
    op.add_column("jobs", sa.Column("preset", sa.String, nullable=False, server_default="tutorial"))
    op.add_column("jobs", sa.Column("choice", sa.JSON))
