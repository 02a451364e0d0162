"""Reads TorchScript archives: their modules, not their programs.

`torch.jit.load` would run code of the archive. Here its pickle is read like the pickle of a checkpoint, and the
settings of its modules are looked up as constants in its source. A module counts as what its class is called.
"""

import ast
import re
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from torch import Tensor

from models.imports.files import DAMAGED_ARCHIVE
from models.imports.formats import pickles
from models.imports.formats.pickles import Placeholder
from models.imports.modules import Module
from models.imports.notes import FILE
from models.limits import MAX_CHECKPOINT_DEPTH, MAX_PICKLE_BYTES
from models.specs import InvalidInput

_CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
_CONSTANT = re.compile(r"^  (\w+) : Final\[\w+\] = (.+)$", re.MULTILINE)

Constants = Mapping[str, Mapping[str, Any]]
"""The constants of each class by its full name, as the archive has it."""


def load(path: Path) -> Module:
    """The network of an archive.

    Raises:
        InvalidInput: the archive is damaged, or has something other than a module.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content, constants = _without_program(archive), _constants(archive)
    except DAMAGED_ARCHIVE:
        raise InvalidInput(FILE, "is a TorchScript archive that is damaged: save or download it again") from None
    return _module(pickles.load(content), constants, "", 0)


def _without_program(archive: zipfile.ZipFile) -> BytesIO:
    """The archive as a checkpoint: its objects and tensors, without its source."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as copy:
        for one in archive.infolist():
            root, _, name = one.filename.partition("/")
            if name in ("data.pkl", "version", "byteorder") or name.startswith("data/"):
                copy.writestr(f"{root}/{name}", archive.read(one))
            elif name == ".data/version":
                copy.writestr(f"{root}/version", archive.read(one))
    content.seek(0)
    return content


def _constants(archive: zipfile.ZipFile) -> Constants:
    constants: dict[str, dict[str, Any]] = {}
    for one in archive.infolist():
        _, _, name = one.filename.partition("/")
        if not name.startswith("code/") or not name.endswith(".py") or one.file_size > MAX_PICKLE_BYTES:
            continue
        package = name.removeprefix("code/").removesuffix(".py").replace("/", ".")
        source = archive.read(one).decode("utf-8", "replace")
        parts = _CLASS.split(source)  # what is before the first class, then name and body of each
        for class_name, body in zip(parts[1::2], parts[2::2], strict=True):
            found = {match[1]: _value(match[2]) for match in _CONSTANT.finditer(body)}
            constants[f"{package}.{class_name}"] = found
    return constants


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _module(value: Any, constants: Constants, path: str, depth: int) -> Module:
    if not isinstance(value, Placeholder) or depth > MAX_CHECKPOINT_DEPTH:
        raise InvalidInput(FILE, "is a TorchScript archive of something other than a network")
    own = value.attributes
    children = {
        name: _module(one, constants, f"{path}.{name}" if path else name, depth + 1)
        for name, one in own.items()
        if isinstance(one, Placeholder)
    }
    known = constants.get(value.class_name, {})
    settings = {**{name: one for name, one in own.items() if isinstance(one, bool | int | float | str)}, **known}
    tensors = {name: one for name, one in own.items() if isinstance(one, Tensor)}
    names = [part for part in value.class_name.split(".") if part != "__torch__" and "___torch_mangle_" not in part]
    return Module(path, ".".join(names), settings, tensors, children, has_all_settings=False)
