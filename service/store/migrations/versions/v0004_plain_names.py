"""Names: fair-share slots were called turns, crash counts deaths, and seed models starters."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Renames a table, a column and the origin of the seed jobs."""
    op.rename_table("turns", "fair_share_slots")
    # by statement: Alembic would copy the whole table on SQLite
    op.execute("ALTER TABLE jobs RENAME COLUMN deaths TO crash_count")
    op.execute("UPDATE jobs SET origin = 'seed' WHERE origin = 'starter'")
