"""The checkpoint of an import. It is complete before its version is published, and removed if it is not."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from service.store.files import Files

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
