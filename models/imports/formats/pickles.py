"""Reads what `torch.save` wrote, without the classes of the program that wrote it.

torch's restricted unpickler rebuilds tensors and plain containers. Every other class or function that the file names is
replaced by a placeholder, which only remembers its name and its state. So nothing of the file is executed, and values
beside the weights, whatever they are, do not make a file unreadable.
"""

import _compat_pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch

from models.imports.files import DAMAGED_ARCHIVE
from models.imports.notes import FILE, quoted
from models.limits import MAX_PICKLE_BYTES
from models.specs import InvalidInput

LEGACY_PICKLES = 5
"""Pickles at the start of a file that torch wrote before release 1.6. The fourth has the object."""

_DICTIONARIES = ("collections.defaultdict",)
"""Classes of dictionaries that are read as plain ones."""

_GRAPH_MODULE = "torch.fx.graph_module.reduce_graph_module"
"""The function that makes an `fx.GraphModule` of its attributes and its code, which is ignored here."""


class Placeholder:
    """A value of a class that is not known here, or not trusted.

    Attributes:
        class_name: with its module.
        state: what the file sets it to: usually its attributes by name.
    """

    class_name = ""

    def __new__(cls, *_: Any, **__: Any) -> "Placeholder":
        """Takes any arguments and ignores them."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: Any = {}

    def __setstate__(self, state: Any) -> None:
        """Keeps the state as it is."""
        self.state = state

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The state, if it is a dictionary whose keys are names."""
        state = self.state if isinstance(self.state, dict) else {}
        return {key: value for key, value in state.items() if isinstance(key, str)}


class GraphModulePlaceholder(Placeholder):
    """A module of `torch.fx`, whose attributes are an argument of the function that makes it."""

    def __init__(self, attributes: Any = None, *_: Any) -> None:
        self.state = attributes


def load(content: Path | IO[bytes]) -> Any:
    """The object of a file: tensors on the CPU, containers, numbers, texts, and `Placeholder`s.

    Raises:
        InvalidInput: the file is damaged, or uses what torch's restricted unpickler does not read.
    """
    named = _globals(content)
    safe: list[Any] = [(_stand_in(name), name) for name in sorted(named)]
    source: Any = str(content) if isinstance(content, Path) else content
    try:
        with torch.serialization.safe_globals(safe), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats, for the author of the file
            return torch.load(source, weights_only=True, map_location="cpu")
    except MemoryError:
        raise
    except Exception as error:  # torch's unpickler, zip reader and storage code raise many different exceptions
        raise InvalidInput(FILE, _reason(error)) from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "module sys" in text or "is blocked" in text:
        return "calls functions of the operating system, which no checkpoint needs: do not load it in any program"
    if "Unsupported operand" in text or "persistent_load" in text:
        return "uses a pickle feature that is not supported: save the weights with torch.save(net.state_dict(), path)"
    if "reduce for unrecognized" in text or "Can only" in text:
        return "has an object beside the weights that cannot be read: save only torch.save(net.state_dict(), path)"
    if "magic number" in text:
        return "is a pickle that torch.save did not write: save the weights with torch.save(net.state_dict(), path)"
    return f"cannot be read as a PyTorch checkpoint ({type(error).__name__}): it is damaged or cut off"


def _stand_in(name: str) -> Any:
    """The placeholder for a class or function of this name."""
    if name in _DICTIONARIES:
        return _dictionary
    kind = GraphModulePlaceholder if name == _GRAPH_MODULE else Placeholder
    return type("Placeholder", (kind,), {"class_name": name, "dump_patches": False})


def _dictionary(*_: Any) -> "OrderedDict[Any, Any]":
    return OrderedDict()


def _globals(content: Path | IO[bytes]) -> set[str]:
    """The names of all classes and functions that the pickles of a file refer to.

    Raises:
        InvalidInput: a pickle is damaged or too large.
    """
    names: set[str] = set()
    try:
        for pickle in _pickles(content):
            for operation, argument, _ in pickletools.genops(pickle):
                if operation.name == "GLOBAL":
                    names.add(_full_name(str(argument)))
    except DAMAGED_ARCHIVE as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(FILE, "is damaged or cut off: save or download it again") from None
    return names


def _pickles(content: Path | IO[bytes]) -> Iterator[IO[bytes]]:
    """The pickles of a file, each in memory and at its start: a length that it claims then takes no memory."""
    if zipfile.is_zipfile(content):
        with zipfile.ZipFile(content) as archive:
            for one in archive.infolist():
                if one.filename.partition("/")[2] == "data.pkl":
                    if one.file_size > MAX_PICKLE_BYTES:
                        raise InvalidInput(FILE, f"{quoted(one.filename)} must have at most {MAX_PICKLE_BYTES:,} bytes")
                    yield BytesIO(archive.read(one))
    elif isinstance(content, Path):
        with content.open("rb") as file:
            yield from _consecutive(BytesIO(file.read(MAX_PICKLE_BYTES)))
    if not isinstance(content, Path):
        content.seek(0)


def _consecutive(start: BytesIO) -> Iterator[IO[bytes]]:
    """The pickles at the start of a legacy file, one after the other: `genops` stops at the end of each."""
    for _ in range(LEGACY_PICKLES):
        if start.tell() == len(start.getbuffer()):  # the unpickler says what is missing
            return
        yield start


def _full_name(argument: str) -> str:
    """The name of a class as torch's unpickler looks it up, from `module name`."""
    module, _, name = argument.partition(" ")
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    else:
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
    return f"{module}.{name}"
