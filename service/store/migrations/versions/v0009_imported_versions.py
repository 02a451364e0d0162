"""Versions that no job has trained, because they were imported."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Allows null in `versions.job_id`."""
    with op.batch_alter_table("versions", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.alter_column("job_id", existing_type=sa.String, nullable=True)
