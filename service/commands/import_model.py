"""`separatrix import`: a checkpoint from elsewhere becomes the next version of a model."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from models.checkpoints import atomic
from models.imports.options import ImportOptions
from models.specs import InvalidInput
from service.commands.csv_points import STANDARD_INPUT
from service.commands.workspace import open_workspace
from service.errors import BodyTooLarge
from service.imports.publishing import new_checkpoint, publish
from service.imports.task import import_file
from service.records import NAME_PATTERN, NAME_RULE
from service.settings import Settings
from service.store.files import Files


def run(settings: Settings, *, model: str, file: Path, options: ImportOptions) -> None:
    """Imports a file, and reports how it was understood.

    Raises:
        InvalidInput: the name is invalid, the file cannot be read as a network, or an option is missing or wrong.
        BodyTooLarge: the file is larger than `max_checkpoint_bytes`.
        OSError: the file cannot be read, or the data folder cannot be written.
    """
    if not re.fullmatch(NAME_PATTERN, model):
        raise InvalidInput("model", NAME_RULE)
    if file != STANDARD_INPUT and file.stat().st_size > settings.max_checkpoint_bytes:
        raise BodyTooLarge(f"The file has more than {settings.max_checkpoint_bytes:,} bytes.")
    with open_workspace(settings, make=True) as workspace:
        checkpoint_id, written = _written(workspace.files, file, options)
        published = publish(
            workspace.store,
            workspace.files,
            workspace.registry,
            model=model,
            checkpoint_id=checkpoint_id,
            written=written,
            keep_versions=settings.keep_versions,
        )
        card = workspace.registry.resolve(model, published.version).card
    assert card.imported is not None
    for line in card.imported["understood"]:
        print(line)
    for line in card.warnings:
        print(f"warning: {line}")
    print(f"Published {model} version {published.version}")


def _written(files: Files, file: Path, options: ImportOptions) -> tuple[str, bytes]:
    """Writes a file as a checkpoint. Returns its id and what the task returned."""
    files.checkpoints_folder.mkdir(exist_ok=True)
    # a copy, so that the file cannot change between the checks and the reading
    with tempfile.NamedTemporaryFile(dir=files.checkpoints_folder, prefix=atomic.PREFIX) as copy:
        if file == STANDARD_INPUT:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with file.open("rb") as source:
                shutil.copyfileobj(source, copy)
        copy.flush()
        with new_checkpoint(files) as checkpoint_id:
            return checkpoint_id, import_file(copy.name, str(files.checkpoint_folder(checkpoint_id)), options)
