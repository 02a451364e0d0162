"""How many jobs have ended in each state, and how long they trained."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Counts the jobs that are still there; those that were deleted are unknown."""
    totals = op.create_table(
        "job_totals",
        sa.Column("state", sa.String, primary_key=True),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("training_s", sa.Float, nullable=False),
    )
    jobs = sa.table("jobs", sa.column("state"), sa.column("ran_s"))
    for state in ("succeeded", "failed", "cancelled"):
        values = sa.select(sa.literal(state), sa.func.count(), sa.func.coalesce(sa.func.sum(jobs.c.ran_s), 0))
        op.execute(totals.insert().from_select(["state", "jobs", "training_s"], values.where(jobs.c.state == state)))
