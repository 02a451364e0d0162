"""Aliases, deleted versions, and the summaries of versions that lists show."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_Number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Adds tables and columns. `latest` names the newest version of each model, as before.

    The summaries of old versions stay null: their checkpoints have them, and the service reads those when it runs.
    """
    op.add_column("jobs", sa.Column("promote", sa.JSON))
    op.add_column("jobs", sa.Column("promotion", sa.JSON))
    op.add_column("versions", sa.Column("summary", sa.JSON))
    op.add_column("versions", sa.Column("promotion", sa.JSON))
    models = op.create_table(
        "models",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("newest_version", sa.Integer, nullable=False),
        sa.Column("keep_versions", sa.Integer),
    )
    aliases = op.create_table(
        "aliases",
        sa.Column("model", sa.String, nullable=False),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("moved_at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("model", "alias"),
    )
    changes = op.create_table(
        "registry_changes",
        sa.Column("seq", _Number, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("version", sa.Integer),
        sa.Column("alias", sa.String),
        sa.Column("changed_at", sa.Float, nullable=False),
    )
    versions = sa.table("versions", sa.column("seq"), sa.column("model"), sa.column("version"), sa.column("created_at"))
    newest = sa.func.max(versions.c.version)
    by_model = sa.select(versions.c.model, newest).group_by(versions.c.model)
    op.execute(sa.insert(models).from_select(["name", "newest_version"], by_model))
    latest = sa.select(versions.c.model, sa.literal("latest"), newest, sa.func.max(versions.c.created_at))
    columns = ["model", "alias", "version", "moved_at"]
    op.execute(sa.insert(aliases).from_select(columns, latest.group_by(versions.c.model)))
    # one change, of the newest version: the next one continues its count
    last = sa.select(versions.c.seq, versions.c.model, versions.c.version, versions.c.created_at)
    last = last.order_by(versions.c.seq.desc()).limit(1)
    op.execute(sa.insert(changes).from_select(["seq", "model", "version", "changed_at"], last))
