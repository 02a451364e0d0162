"""`separatrix alias` and `separatrix delete`."""

import re

from models.specs import InvalidInput
from service.commands.workspace import open_workspace
from service.records import ALIAS_PATTERN, ALIAS_RULE
from service.registry.propagation import wait_until_applied
from service.settings import Settings


def alias(settings: Settings, *, model: str, alias: str, version: int | None) -> None:
    """Makes an alias name a version, or for None deletes it. Waits until services on the same data apply it.

    Raises:
        InvalidInput: the alias is not a name.
        ServiceError: there is no such model, version or alias, or the database is unavailable.
    """
    if re.fullmatch(ALIAS_PATTERN, alias) is None:
        raise InvalidInput("name", ALIAS_RULE)
    with open_workspace(settings) as workspace:
        versions = workspace.store.versions
        if version is None:
            wait_until_applied(workspace.store, None, versions.remove_alias(model, alias))
            print(f"Deleted the alias {alias} of {model}.")
            return
        wait_until_applied(workspace.store, None, versions.move_alias(model, alias, version))
        print(f"{alias} now names version {version} of {model}.")


def delete(settings: Settings, *, model: str, version: int | None) -> None:
    """Deletes a version with its files, or for None all versions. Waits until services on the same data drop them.

    Raises:
        ServiceError: there is no such model or version, an alias names it, or the database is unavailable.
    """
    with open_workspace(settings) as workspace:
        versions = workspace.store.versions
        deleted = versions.delete_model(model) if version is None else versions.delete(model, version)
        wait_until_applied(workspace.store, None, deleted.seq)
        workspace.files.remove_versions(deleted.versions)
    count = len(deleted.versions)
    versions_text = "1 version" if count == 1 else f"{count} versions"
    print(f"Deleted {versions_text} of {model}." if version is None else f"Deleted version {version} of {model}.")
