"""Changes of the registry's rows, within the caller's transaction, which must be serial.

Each is recorded in `registry_changes`, so that every process learns of it: see `service.registry`.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from service.records import LATEST, PublishedVersion, may_be_latest
from service.store.tables import aliases, models, now, registry_changes, versions

CHANGES_KEPT_S = 3600.0
"""How long changes are kept. A process that has read none for longer reads all rows again."""

MAX_DROPPED = 100
"""Maximum number of versions that one publication drops, so that it stays short. The next ones drop more."""


class Publication(NamedTuple):
    """A new version, and the old versions that were dropped for it."""

    version: PublishedVersion
    dropped: list[PublishedVersion]


def last_seq(connection: Connection) -> int:
    """Returns the `seq` of the last change of the registry; 0 if there has been none."""
    return connection.scalar(select(func.max(registry_changes.c.seq))) or 0


def record_change(connection: Connection, model: str, *, version: int | None = None, alias: str | None = None) -> int:
    """Records that a version, an alias or, with neither, a whole model may have changed. Returns the change's `seq`."""
    last = last_seq(connection)
    outdated = registry_changes.c.changed_at < now() - CHANGES_KEPT_S
    connection.execute(delete(registry_changes).where(outdated, registry_changes.c.seq < last))
    row = {"seq": last + 1, "model": model, "version": version, "alias": alias}
    connection.execute(insert(registry_changes).values(**row, changed_at=now()))
    return last + 1


def publish(
    connection: Connection,
    model: str,
    *,
    job_id: str | None,
    checkpoint_id: str,
    card_digest: str,
    summary: dict[str, Any] | None,
    promotion: dict[str, Any] | None = None,
    keep_versions: int = 0,
) -> Publication:
    """Adds the next version of a model, moves its alias, and drops the versions that the model keeps no longer.

    Args:
        connection: in a serial transaction.
        model: the name of the model.
        job_id: of the version, as the next four; see `PublishedVersion`.
        checkpoint_id: the name of its folder.
        card_digest: SHA-256 of the card.
        summary: what lists show of the card.
        promotion: whether an alias moves to the version. None moves `LATEST`.
        keep_versions: how many versions a model keeps that does not say so itself; 0 for all.
    """
    row = connection.execute(select(models).where(models.c.name == model)).one_or_none()
    number = row.newest_version + 1 if row else 1
    if row:
        connection.execute(update(models).where(models.c.name == model).values(newest_version=number))
        keep_versions = keep_versions if row.keep_versions is None else row.keep_versions
    else:
        connection.execute(insert(models).values(name=model, newest_version=number))
    latest = LATEST if may_be_latest(promotion) else None
    version = PublishedVersion(
        seq=record_change(connection, model, version=number, alias=latest),
        model=model,
        version=number,
        job_id=job_id,
        checkpoint_id=checkpoint_id,
        card_digest=card_digest,
        summary=summary,
        promotion=promotion,
        created_at=time.time(),
    )
    connection.execute(insert(versions).values({column.name: getattr(version, column.name) for column in versions.c}))
    if latest:
        _set_alias(connection, model, latest, number)
    if promotion and promotion["promoted"] and promotion["alias"] != LATEST:
        move_alias(connection, model, promotion["alias"], number)
    return Publication(version, _drop_outdated(connection, model, keep_versions) if keep_versions else [])


def move_alias(connection: Connection, model: str, alias: str, version: int) -> int:
    """Makes an alias name a version of the model. Returns the `seq` of the change."""
    _set_alias(connection, model, alias, version)
    return record_change(connection, model, alias=alias)


def _set_alias(connection: Connection, model: str, alias: str, version: int) -> None:
    own = (aliases.c.model == model, aliases.c.alias == alias)
    values = {"version": version, "moved_at": time.time()}
    if not connection.execute(update(aliases).where(*own).values(values)).rowcount:
        connection.execute(insert(aliases).values(model=model, alias=alias, **values))


def drop(connection: Connection, dropped: Sequence[PublishedVersion]) -> int:
    """Deletes the rows of versions of one model. Returns the `seq` of the last change."""
    seq = 0
    for version in dropped:
        connection.execute(delete(versions).where(versions.c.seq == version.seq))
        seq = record_change(connection, version.model, version=version.version)
    return seq


def _drop_outdated(connection: Connection, model: str, keep: int) -> list[PublishedVersion]:
    """Drops the versions that are not among the newest `keep` ones and that no alias names, oldest first."""
    of_model = select(versions).where(versions.c.model == model)
    oldest_kept = of_model.with_only_columns(versions.c.version).order_by(versions.c.version.desc())
    first = connection.scalar(oldest_kept.offset(keep - 1).limit(1))
    if first is None:
        return []
    named = exists().where(aliases.c.model == model, aliases.c.version == versions.c.version)
    outdated = of_model.where(versions.c.version < first, ~named).order_by(versions.c.version).limit(MAX_DROPPED)
    dropped = [PublishedVersion(**row._mapping) for row in connection.execute(outdated)]
    drop(connection, dropped)
    return dropped
