"""The task of an import: it reads the file of a client and writes a checkpoint. It runs in a process with torch."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from models.checkpoints import torch_files
from models.imports.options import ImportOptions
from models.imports.reading import read
from models.networks.modules import arrays_of, of_state


def import_file(path: str, folder: str, options: ImportOptions) -> bytes:
    """Reads a network from the file at `path`, and writes it as the checkpoint `folder`.

    Returns:
        JSON: `card_digest` and `summary` of the version.

    Raises:
        InvalidInput: as `models.imports.reading.read`.
        FileExistsError: the folder exists.
        OSError: the file cannot be read, or the folder cannot be written.
    """
    imported = read(Path(path), options)
    card = replace(imported.card, software={name: version(name) for name in ("separatrix", "torch", "numpy")})
    network = of_state(card.network, card.features, len(card.classes), imported.state)
    digest = torch_files.save(Path(folder), arrays_of(network), card)
    return json.dumps({"card_digest": digest, "summary": card.summary}).encode()
