"""`separatrix export`: a version as a file for other programs."""

import importlib
import sys
from pathlib import Path

from models.checkpoints.cards import NETWORK_FILE
from models.exports.exported import Exported
from models.exports.formats import FORMATS, ExportFormat
from models.specs import InvalidInput
from service import outputs
from service.commands.workspace import open_workspace
from service.records import Reference
from service.settings import Settings

STANDARD_OUTPUT = Path("-")


def run(settings: Settings, *, model: str, version: Reference, file: Path, format_name: str | None) -> None:
    """Writes the file; `-` is standard output.

    Raises:
        InvalidInput: the format is unknown, or cannot be told from the name of the file.
        ServiceError: there is no such model or version, or the database is unavailable.
        OSError: the file cannot be written, or the data folder cannot be read.
    """
    form = _format(file.name, format_name)
    with open_workspace(settings) as workspace:
        found = workspace.registry.resolve(model, version)
        stored = workspace.files.checkpoint_folder(found.published.checkpoint_id) / NETWORK_FILE
        content = _content(form, found.exported, stored)
    if file == STANDARD_OUTPUT:
        sys.stdout.buffer.write(content)
        return
    outputs.write(file, content)
    print(f"{file}: version {found.published.version} of {model}. {form.content}")


def _format(file: str, name: str | None) -> ExportFormat:
    if name is not None:
        found = [form for form in FORMATS if form.name == name]
        reason = f"must be one of {', '.join(form.name for form in FORMATS)}"
    else:
        found = [form for form in FORMATS if file.endswith(form.suffix)]
        reason = f"must be given unless the name of the file ends in one of {', '.join(one.suffix for one in FORMATS)}"
    if not found:
        raise InvalidInput("format", reason)
    return found[0]


def _content(form: ExportFormat, exported: Exported, stored: Path) -> bytes:
    if form.torch_function:
        module, _, function = form.torch_function.partition(":")
        content: bytes = getattr(importlib.import_module(module), function)(exported)
        return content
    return form.encode(exported) if form.encode else stored.read_bytes()
