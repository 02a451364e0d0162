"""Published versions and their aliases."""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, select, update

from models.limits import MAX_ALIASES
from models.specs import InvalidInput
from service.errors import AliasNotFound, AliasReserved, ModelNotFound, VersionInUse, VersionNotFound
from service.records import LATEST, Alias, ModelRows, PublishedVersion, RegistryChange
from service.store import publication
from service.store.database import Database
from service.store.tables import aliases, models, registry_changes, versions


class Deletion(NamedTuple):
    """The versions whose rows were deleted, and the `seq` of the last change."""

    versions: list[PublishedVersion]
    seq: int


class Imported(NamedTuple):
    """A version that was imported, the old versions that were dropped for it, and the `seq` of the last change."""

    version: PublishedVersion
    dropped: list[PublishedVersion]
    seq: int


class Versions:
    """All published versions and their aliases. `Leases.publish` adds those that jobs have trained.

    Every method is one transaction.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish_imported(
        self, model: str, *, checkpoint_id: str, card_digest: str, summary: dict[str, Any], keep_versions: int
    ) -> Imported:
        """Publishes a checkpoint that no job has trained as the next version of a model.

        Args:
            model: its name.
            checkpoint_id: of the version, as the next two; see `PublishedVersion`.
            card_digest: of its card.
            summary: what lists show of the card.
            keep_versions: how many versions a model keeps that does not say so itself; 0 for all.
        """
        with self._database.writing(serial=True) as connection:
            published = publication.publish(
                connection,
                model,
                job_id=None,
                checkpoint_id=checkpoint_id,
                card_digest=card_digest,
                summary=summary,
                keep_versions=keep_versions,
            )
            return Imported(*published, publication.last_seq(connection))

    def last_seq(self) -> int:
        """Returns the `seq` of the last change of the registry; 0 if there has been none."""
        with self._database.reading() as connection:
            return publication.last_seq(connection)

    def all(self, model: str | None = None) -> dict[str, ModelRows]:
        """Returns all models by name, or one, as one query sees them. A deleted model has just its `newest`."""
        query = (
            select(models.c.name, models.c.newest_version, models.c.keep_versions, aliases.c.alias, versions)
            .outerjoin(versions, versions.c.model == models.c.name)
            .outerjoin(aliases, and_(aliases.c.model == models.c.name, aliases.c.version == versions.c.version))
            .order_by(models.c.name, versions.c.version)
        )
        if model is not None:
            query = query.where(models.c.name == model)
        found: dict[str, ModelRows] = {}
        with self._database.reading() as connection:
            for name, newest, keep_versions, alias, *fields in connection.execute(query):
                rows = found.get(name)
                if rows is None:
                    rows = ModelRows(newest=newest, versions={}, aliases={}, keep_versions=keep_versions)
                    found[name] = rows
                if fields[0] is None:  # the model has no version
                    continue
                version = _published(fields)
                rows.versions[version.version] = version
                if alias is not None:
                    rows.aliases[alias] = version.version
        return found

    def changes_after(self, seq: int) -> list[RegistryChange]:
        """Returns the changes after this one, oldest first, with what has changed as one query sees it."""
        with self._database.reading() as connection:
            return [
                RegistryChange(
                    seq=own_seq,
                    model=model,
                    version=version,
                    alias=alias,
                    published=None if fields[0] is None else _published(fields),
                    target=target,
                )
                for own_seq, model, version, alias, target, *fields in connection.execute(_CHANGES_AFTER, {"seq": seq})
            ]

    def aliases(self, model: str) -> list[Alias]:
        """Returns the aliases of a model by name; empty if the model does not exist."""
        with self._database.reading() as connection:
            rows = connection.execute(select(aliases).where(aliases.c.model == model)).all()
        return sorted((Alias(**row._mapping) for row in rows), key=attrgetter("alias"))

    def move_alias(self, model: str, alias: str, version: int) -> int:
        """Makes an alias name a version, and returns the `seq` of the change. Creates the alias if necessary.

        Raises:
            ModelNotFound, VersionNotFound: the model or the version does not exist.
            InvalidInput: the model has `MAX_ALIASES` aliases already.
        """
        with self._database.writing(serial=True) as connection:
            _require_version(connection, model, version)
            others = select(func.count()).where(aliases.c.model == model, aliases.c.alias != alias)
            if (connection.scalar(others) or 0) >= MAX_ALIASES:
                raise InvalidInput("alias", f"cannot be added: a model has at most {MAX_ALIASES} aliases")
            return publication.move_alias(connection, model, alias, version)

    def remove_alias(self, model: str, alias: str) -> int:
        """Deletes an alias, and returns the `seq` of the change.

        Raises:
            ModelNotFound, AliasNotFound: the model or the alias does not exist.
            AliasReserved: the alias is `LATEST`.
        """
        with self._database.writing(serial=True) as connection:
            _require_model(connection, model)
            if alias == LATEST:
                raise AliasReserved
            if not connection.execute(delete(aliases).where(_named(model, alias))).rowcount:
                known = connection.scalars(select(aliases.c.alias).where(aliases.c.model == model))
                raise AliasNotFound.named(alias, model, known)
            return publication.record_change(connection, model, alias=alias)

    def keep(self, model: str, keep_versions: int | None) -> int:
        """Sets how many versions a model keeps, from its next publication on. Returns the `seq` of the change.

        Raises:
            ModelNotFound: the model does not exist.
        """
        with self._database.writing(serial=True) as connection:
            _require_model(connection, model)
            connection.execute(update(models).where(models.c.name == model).values(keep_versions=keep_versions))
            return publication.record_change(connection, model)

    def delete(self, model: str, version: int) -> Deletion:
        """Deletes a version. If `LATEST` names it, that moves to the next older version that it may name, else newest.

        Raises:
            ModelNotFound, VersionNotFound: the model or the version does not exist.
            VersionInUse: another alias names the version.
        """
        with self._database.writing(serial=True) as connection:
            published = _require_version(connection, model, version)
            names = connection.scalars(
                select(aliases.c.alias).where(aliases.c.model == model, aliases.c.version == version)
            ).all()
            _require_unnamed([name for name in names if name != LATEST])
            seq = publication.drop(connection, [published])
            if LATEST in names:
                seq = _move_latest(connection, model, version)
            return Deletion([published], seq)

    def delete_model(self, model: str) -> Deletion:
        """Deletes all versions of a model, and what it keeps. Its next version continues the count.

        Raises:
            ModelNotFound: the model does not exist.
            VersionInUse: an alias other than `LATEST` names a version.
        """
        with self._database.writing(serial=True) as connection:
            _require_model(connection, model)
            names = connection.scalars(select(aliases.c.alias).where(aliases.c.model == model)).all()
            _require_unnamed([name for name in names if name != LATEST])
            rows = connection.execute(delete(versions).where(versions.c.model == model).returning(versions)).all()
            connection.execute(delete(aliases).where(aliases.c.model == model))
            connection.execute(update(models).where(models.c.name == model).values(keep_versions=None))
            return Deletion([*map(_published, rows)], publication.record_change(connection, model))

    def add_summaries(self, summaries: Mapping[int, dict[str, Any]]) -> None:
        """Stores the summaries of versions that were published by old releases, by `seq`."""
        own = update(versions).where(versions.c.seq == bindparam("own")).values(summary=bindparam("new"))
        with self._database.writing() as connection:
            connection.execute(own, [{"own": seq, "new": summary} for seq, summary in summaries.items()])


def _published(fields: Iterable[Any]) -> PublishedVersion:
    """The version of a row, from the columns of the table in their order. There may be very many."""
    return PublishedVersion(**dict(zip(_COLUMNS, fields, strict=True)))


_COLUMNS = [column.name for column in versions.c]


def _named(model: str, alias: str) -> ColumnElement[bool]:
    return and_(aliases.c.model == model, aliases.c.alias == alias)


def _require_model(connection: Connection, model: str) -> None:
    if connection.execute(select(versions.c.seq).where(versions.c.model == model).limit(1)).one_or_none() is None:
        raise ModelNotFound.named(model)


def _require_version(connection: Connection, model: str, version: int) -> PublishedVersion:
    own = select(versions).where(versions.c.model == model, versions.c.version == version)
    row = connection.execute(own).one_or_none()
    if row is None:
        _require_model(connection, model)
        raise VersionNotFound.numbered(version, model)
    return _published(row)


def _require_unnamed(names: list[str]) -> None:
    if names:
        shown = ", ".join(sorted(names))
        raise VersionInUse(f"These aliases name the version: {shown}. Move or delete them first.")


def _move_latest(connection: Connection, model: str, deleted: int) -> int:
    """Moves `LATEST` from a deleted version, if another may have it. Returns the `seq` of the change."""
    rows = connection.execute(select(versions).where(versions.c.model == model).order_by(versions.c.version.desc()))
    eligible = [version.version for version in map(_published, rows) if version.may_be_latest]
    if eligible:
        older = next((number for number in eligible if number < deleted), eligible[0])
        return publication.move_alias(connection, model, LATEST, older)
    connection.execute(delete(aliases).where(_named(model, LATEST)))
    return publication.record_change(connection, model, alias=LATEST)


_CHANGES_AFTER = (
    select(
        registry_changes.c.seq,
        registry_changes.c.model,
        registry_changes.c.version,
        registry_changes.c.alias,
        aliases.c.version,
        versions,
    )
    .outerjoin(
        versions,
        and_(versions.c.model == registry_changes.c.model, versions.c.version == registry_changes.c.version),
    )
    .outerjoin(aliases, and_(aliases.c.model == registry_changes.c.model, aliases.c.alias == registry_changes.c.alias))
    .where(registry_changes.c.seq > bindparam("seq"))
    .order_by(registry_changes.c.seq)
)
"""Built once, because every process runs it all the time, and building it takes several times as long as running it."""
