"""Datasets that clients have stored, and warnings of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Adds a table, and a column unless it exists: for a while after release 0.2.0, revision 0005 added it."""
    if all(column["name"] != "warnings" for column in sa.inspect(op.get_bind()).get_columns("jobs")):
        op.add_column("jobs", sa.Column("warnings", sa.JSON))
    op.create_table(
        "datasets",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("file", sa.String, nullable=False, unique=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("size_bytes", _Number, nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
