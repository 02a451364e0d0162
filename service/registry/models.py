"""What the registry knows of each model: its versions and aliases, as the database has them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from service.errors import AliasNotFound, VersionNotFound
from service.records import LATEST, ModelRows, PublishedVersion, Reference, RegistryChange

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, eq=False)
class PublishedModel:
    """A model that has at least one version. Never changes: a refresh of the registry replaces it.

    Attributes:
        name: the name of the model.
        versions: by number, ascending.
        aliases: the number of the version that each alias names, by alias.
        keep_versions: how many versions it keeps; None for the setting of the service.
    """

    name: str
    versions: dict[int, PublishedVersion]
    aliases: dict[str, int]
    keep_versions: int | None

    @property
    def newest(self) -> PublishedVersion:
        """The version with the highest number."""
        return self.versions[next(reversed(self.versions))]

    def find(self, reference: Reference) -> PublishedVersion:
        """The version with this number or alias; for None the one that `LATEST` names.

        Raises:
            VersionNotFound: no version has this number.
            AliasNotFound: the model does not have this alias.
        """
        if isinstance(reference, int):
            if reference not in self.versions:
                raise VersionNotFound.numbered(reference, self.name, self.newest.version)
            return self.versions[reference]
        number = self.aliases.get(LATEST if reference is None else reference)
        if number is None:
            raise self._no_alias(reference)
        return self.versions[number]

    def _no_alias(self, reference: str | None) -> AliasNotFound:
        if reference is None or reference == LATEST:
            return AliasNotFound(
                f"No version of the model {self.name!r} has met the conditions of `promote_if`. Name a version, or "
                "make `latest` an alias of one."
            )
        return AliasNotFound.named(reference, self.name, self.aliases)

    def or_older(self, version: PublishedVersion) -> Iterator[PublishedVersion]:
        """This version, then the older ones that `LATEST` may name, newest first."""
        yield version
        for number in reversed(self.versions):
            if number < version.version and self.versions[number].may_be_latest:
                yield self.versions[number]

    def aliases_of(self, version: PublishedVersion) -> list[str]:
        """The aliases that name a version of this model, sorted."""
        return sorted(alias for alias, number in self.aliases.items() if number == version.version)


def from_rows(rows: Mapping[str, ModelRows]) -> dict[str, PublishedModel]:
    """The models that have versions."""
    return {
        name: PublishedModel(name=name, versions=one.versions, aliases=one.aliases, keep_versions=one.keep_versions)
        for name, one in rows.items()
        if one.versions
    }


def with_changes(model: PublishedModel | None, changes: Iterable[RegistryChange]) -> PublishedModel | None:
    """The model after changes of its versions and aliases; None if it has no version any more."""
    versions = dict(model.versions) if model else {}
    aliases = dict(model.aliases) if model else {}
    name = ""
    for change in changes:
        name = change.model
        if change.version is not None:
            _set(versions, change.version, change.published)
        if change.alias is not None:
            _set(aliases, change.alias, change.target)
    aliases = {alias: number for alias, number in aliases.items() if number in versions}
    if not versions:
        return None
    keep_versions = model.keep_versions if model else None
    return PublishedModel(
        name=name, versions=dict(sorted(versions.items())), aliases=aliases, keep_versions=keep_versions
    )


def _set(values: dict[Key, Value], key: Key, value: Value | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
