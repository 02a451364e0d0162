"""The database's tables."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite autoincrements only a column of type INTEGER

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("model", String, nullable=False, index=True),
    Column("origin", String, nullable=False),
    Column("data", JSON, nullable=False),
    Column("data_digest", String, nullable=False),
    Column("network", JSON, nullable=False),
    Column("training", JSON, nullable=False),
    Column("recipe", String, nullable=False),
    Column("preset", String, nullable=False, server_default="tutorial"),
    Column("started_from", JSON(none_as_null=True)),
    Column("metadata", JSON, nullable=False, server_default="{}"),
    Column("retry_of", String),
    Column("promote", JSON(none_as_null=True)),
    Column("supersede", String),
    Column("owner", String),
    Column("traceparent", String),
    Column("snapshots", JSON(none_as_null=True)),
    Column("state", String, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("crash_count", Integer, nullable=False),
    Column("worker", String, index=True),
    Column("lease_until", Float),
    Column("queued_at", Float, nullable=False, server_default="0"),
    Column("claimed_at", Float),
    Column("watched_until", Float),
    Column("choice", JSON(none_as_null=True)),
    Column("epoch", Integer, nullable=False),
    Column("metrics", JSON(none_as_null=True)),
    Column("ran_s", Float, nullable=False, server_default="0"),
    Column("checkpoint", String),
    Column("version", Integer),
    Column("version_seq", _Number),
    Column("restarts", JSON(none_as_null=True)),
    Column("warnings", JSON(none_as_null=True)),
    Column("promotion", JSON(none_as_null=True)),
    Column("comparison", JSON(none_as_null=True)),
    Column("problem", JSON(none_as_null=True)),
    Column("superseded_by", String),
    Column("expires_at", Float, index=True),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    sqlite_autoincrement=True,
)

fair_share_slots = Table(
    "fair_share_slots",
    metadata,
    Column("model", String, primary_key=True),
    Column("began_at", Float, nullable=False),
)

job_totals = Table(
    "job_totals",
    metadata,
    Column("state", String, primary_key=True),
    Column("jobs", Integer, nullable=False),
    Column("training_s", Float, nullable=False),
)

deleted_jobs = Table(
    "deleted_jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("seq", _Number, nullable=False),
    Column("deleted_at", Float, nullable=False, index=True),
)

events = Table(
    "events",
    metadata,
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("data", JSON, nullable=False),
    Column("version_seq", _Number),
    PrimaryKeyConstraint("job_id", "number"),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("serial", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("weights", LargeBinary, nullable=False),
)

histories = Table(
    "histories",
    metadata,
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("networks", JSON, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String, primary_key=True),
    Column("payload", String, nullable=False),
    Column("job_id", String, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Float, nullable=False, index=True),
)

versions = Table(
    "versions",
    metadata,
    Column("seq", _Number, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("job_id", String),
    Column("checkpoint_id", String, nullable=False),
    Column("card_digest", String, nullable=False),
    Column("summary", JSON(none_as_null=True)),
    Column("promotion", JSON(none_as_null=True)),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("model", "version"),
    sqlite_autoincrement=True,
)

models = Table(
    "models",
    metadata,
    Column("name", String, primary_key=True),
    Column("newest_version", Integer, nullable=False),
    Column("keep_versions", Integer),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String, nullable=False),
    Column("alias", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("moved_at", Float, nullable=False),
    PrimaryKeyConstraint("model", "alias"),
)

registry_changes = Table(
    "registry_changes",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=False),
    Column("model", String, nullable=False),
    Column("version", Integer),
    Column("alias", String),
    Column("changed_at", Float, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("name", String, primary_key=True),
    Column("file", String, nullable=False, unique=True),
    Column("digest", String, nullable=False),
    Column("size_bytes", _Number, nullable=False),
    Column("summary", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
)

identity = Table("identity", metadata, Column("id", String, primary_key=True))

servers = Table(
    "servers",
    metadata,
    Column("id", String, primary_key=True),
    Column("seen_seq", _Number, nullable=False),
    Column("alive_until", Float, nullable=False),
)


class now(FunctionElement[float]):  # noqa: N801  # an SQL function, named like one
    """The time of the database's clock, which all clients share, in seconds since the epoch."""

    type = Float()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_by_sqlite(*_: Any, **__: Any) -> str:
    return "unix_time()"  # of `database`: SQLite's own functions count in milliseconds, which two jobs may share


@compiles(now, "postgresql")
def _now_by_postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"
