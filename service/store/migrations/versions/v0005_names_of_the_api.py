"""Data, restarts and metrics are stored under the names that the HTTP API has since release 0.2."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

DATA = {"classes": "n_classes", "points": "n_points", "features": "n_features"}
STOP_REASONS = {"finished": "completed", "stalled": "early_stopped"}

ROWS = 1_000
"""How many rows are read at a time."""


def upgrade() -> None:
    """Rewrites the JSON of `jobs.data`, `jobs.restarts` and of the events of kind `metrics`."""
    jobs = sa.table(
        "jobs", sa.column("seq"), sa.column("data", sa.JSON), sa.column("restarts", sa.JSON(none_as_null=True))
    )
    events = sa.table("events", sa.column("job_id"), sa.column("number"), sa.column("kind"), sa.column("data", sa.JSON))
    _rewrite(jobs, [jobs.c.seq], "data", _data)
    _rewrite(jobs, [jobs.c.seq], "restarts", lambda restarts: [*map(_restart, restarts)])
    _rewrite(events, [events.c.job_id, events.c.number], "data", _event, where=events.c.kind == "metrics")


def _rewrite(
    table: sa.TableClause,
    key: Sequence[sa.ColumnClause[Any]],
    column: str,
    rewritten: Callable[[Any], Any],
    where: sa.ColumnElement[bool] | None = None,
) -> None:
    connection = op.get_bind()
    own = sa.and_(*(part == sa.bindparam(f"key_{part.name}") for part in key))
    query = sa.select(*key, table.c[column]).where(table.c[column].is_not(sa.null())).order_by(*key)
    query = query if where is None else query.where(where)
    after: tuple[Any, ...] | None = None
    while True:
        page = query if after is None else query.where(sa.tuple_(*key) > sa.tuple_(*after))
        rows = connection.execute(page.limit(ROWS)).all()
        if not rows:
            return
        after = tuple(rows[-1])[: len(key)]
        changes = [
            {"new": rewritten(row[-1]), **{f"key_{part.name}": value for part, value in zip(key, row, strict=False)}}
            for row in rows
        ]
        connection.execute(sa.update(table).where(own).values({column: sa.bindparam("new")}), changes)


def _data(data: dict[str, Any]) -> dict[str, Any]:
    return {DATA.get(name, name): value for name, value in data.items()}


def _restart(restart: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": restart["seed"],
        "stop_reason": STOP_REASONS.get(restart["ending"], restart["ending"]),
        "epochs_run": restart["epochs"],
        "metrics": restart["metrics"],
    }


def _event(data: dict[str, Any]) -> dict[str, Any]:
    figures = {name: value for name, value in data.items() if name not in ("epoch", "epochs")}
    return {"epoch": data["epoch"], "epochs": data["epochs"], "metrics": figures}
