"""`separatrix delete`."""

from service.commands.workspace import open_workspace
from service.registry.propagation import wait_until_applied
from service.settings import Settings


def run(settings: Settings, *, model: str, version: int | None) -> None:
    """Deletes a version with its files, or for None all versions. Services on the same data have dropped them then.

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
