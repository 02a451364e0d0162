"""`separatrix alias`."""

import re

from models.specs import InvalidInput
from service.commands.workspace import open_workspace
from service.records import ALIAS_PATTERN, ALIAS_RULE
from service.registry.propagation import wait_until_applied
from service.settings import Settings


def run(settings: Settings, *, model: str, alias: str, version: int | None) -> None:
    """Makes an alias name a version, or for None deletes the alias. Services on the same data have applied it then.

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
