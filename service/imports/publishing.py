"""Publishes an imported checkpoint, as a job does with a trained one."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from service.records import PublishedVersion
from service.registry.propagation import wait_until_applied
from service.registry.registry import Registry
from service.store.files import Files
from service.store.store import Store

TASK = "service.imports.task:import_file"
"""The function that reads a file, for `TorchTasks.run`. It takes the file, the checkpoint's folder and the options."""


@contextmanager
def new_checkpoint(files: Files) -> Iterator[str]:
    """The id of a checkpoint to be written in the block. It is removed if the block fails."""
    checkpoint_id = f"import-{secrets.token_hex(12)}"
    try:
        yield checkpoint_id
    except BaseException:
        files.remove_checkpoint(checkpoint_id)
        raise


def publish(
    store: Store,
    files: Files,
    registry: Registry,
    *,
    model: str,
    checkpoint_id: str,
    written: bytes,
    keep_versions: int,
) -> PublishedVersion:
    """Publishes a checkpoint as the next version of a model. Returns when every process serves it.

    `written` is what the task returned, `keep_versions` the setting.

    Raises:
        StoreUnavailable: the database is unavailable. The version may be published all the same.
    """
    imported = store.versions.publish_imported(
        model, checkpoint_id=checkpoint_id, keep_versions=keep_versions, **json.loads(written)
    )
    wait_until_applied(store, registry, imported.seq)
    files.remove_versions(imported.dropped)
    return imported.version
