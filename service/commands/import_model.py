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
from service.commands.workspace import Workspace, open_workspace
from service.errors import BodyTooLarge
from service.imports.new_checkpoint import new_checkpoint
from service.imports.task import import_file
from service.records import NAME_PATTERN, NAME_RULE, PublishedVersion
from service.registry.propagation import wait_until_applied
from service.settings import Settings


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
        published = _imported(workspace, model, file, options)
        wait_until_applied(workspace.store, workspace.registry, published.seq)
        card = workspace.registry.resolve(model, published.version).card
    assert card.imported is not None
    for line in card.imported["understood"]:
        print(line)
    for line in card.warnings:
        print(f"warning: {line}")
    print(f"Published {model} version {published.version}")


def _imported(workspace: Workspace, model: str, file: Path, options: ImportOptions) -> PublishedVersion:
    files = workspace.files
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
            digest = import_file(copy.name, str(files.checkpoint_folder(checkpoint_id)), options).decode()
    return workspace.store.versions.publish_imported(model, checkpoint_id=checkpoint_id, card_digest=digest)
