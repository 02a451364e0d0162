"""Recognizes the format of a file by its content, and names common mistakes."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from models.imports.notes import FILE
from models.limits import MAX_ARCHIVE_MEMBERS, MAX_CHECKPOINT_BYTES
from models.specs import InvalidInput

FileFormat = Literal["torch", "torchscript", "torch-export", "safetensors", "json", "onnx", "py"]
"""The formats that are read."""

DAMAGED_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, struct.error),
    *(ValueError, KeyError, IndexError, OverflowError),
    *(NotImplementedError, RuntimeError),  # an unknown compression, or a password
)
"""What reading a damaged zip archive raises."""

PYTHON_START = b'"""A trained network that needs NumPy alone.'
"""How a Python file begins that was exported here."""

_SAVE = "Save the weights with torch.save(net.state_dict(), path) and send that file."

_MISTAKES: Sequence[tuple[bytes, str]] = (
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself: fetch it with git lfs pull"),
    (b"\x89HDF\r\n\x1a\n", f"is HDF5, as Keras writes it, which is not supported. In PyTorch: {_SAVE}"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it first, or send it with Content-Encoding: gzip"),
    (b"BZh", "is compressed by bzip2: unpack it first"),
    (b"\xfd7zXZ\x00", "is compressed by xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd: unpack it first"),
    (b"Rar!", "is a RAR archive: unpack it first"),
    (b"7z\xbc\xaf", "is a 7z archive: unpack it first"),
    (b"\x93NUMPY", f"is a single NumPy array, without the names of layers. {_SAVE}"),
    (b"GGUF", "is GGUF, the format of language models, which is not supported"),
    (b"TFL3", f"is TensorFlow Lite, which is not supported. {_SAVE}"),
)
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")


def file_format(path: Path) -> FileFormat:
    """The format of a file.

    Raises:
        InvalidInput: the format is not supported, or a zip archive is damaged or out of bounds.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise InvalidInput(FILE, f"is empty. {_SAVE}")
    for magic, mistake in _MISTAKES:
        if start.startswith(magic):
            raise InvalidInput(FILE, mistake)
    if start.lstrip().lower().startswith(_MARKUP):
        raise InvalidInput(FILE, "is a web page, not a checkpoint: download the file that the page links to")
    if start.startswith(b"PK"):
        return _zip_format(path)
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < MAX_CHECKPOINT_BYTES:
        return "safetensors"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{":
        return "json"
    if start[:1] == b"\x08":  # the first field of a model of ONNX, its ir_version
        return "onnx"
    if start.startswith(PYTHON_START):
        return "py"
    if start[:1] == b"\x80":  # a pickle: what torch.save wrote before release 1.6
        return "torch"
    raise InvalidInput(
        FILE,
        "must be a PyTorch checkpoint (.pth, .pt, .ckpt), TorchScript, a program of torch.export, safetensors, or "
        f"JSON, ONNX or Python that was exported here. {_SAVE}",
    )


def _zip_format(path: Path) -> FileFormat:
    members = archive_members(path)
    names = {name.partition("/")[2] for name in members}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "torchscript"
    if "data.pkl" in names:
        return "torch"
    if any(name.endswith(".npy") for name in members):
        raise InvalidInput(FILE, f"is an archive of NumPy arrays (.npz), which is not supported. {_SAVE}")
    if any(name.endswith("serialized_exported_program.json") or "/models/" in name for name in members):
        return "torch-export"
    if "config.json" in members or "model.weights.h5" in members:
        raise InvalidInput(FILE, f"is an archive of Keras, which is not supported. {_SAVE}")
    raise InvalidInput(FILE, f"is a zip archive that torch did not write: it has no data.pkl. {_SAVE}")


def archive_members(path: Path) -> dict[str, int]:
    """The members of a zip archive by name, with their sizes after decompression.

    Raises:
        InvalidInput: it is damaged, or its members are too many or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except DAMAGED_ARCHIVE:
        raise InvalidInput(FILE, "is a zip archive that is damaged or cut off: save or download it again") from None
    if len(found) > MAX_ARCHIVE_MEMBERS:
        raise InvalidInput(FILE, f"must have at most {MAX_ARCHIVE_MEMBERS:,} members, but has {len(found):,}")
    if sum(one.file_size for one in found) > MAX_CHECKPOINT_BYTES:
        raise InvalidInput(FILE, f"must have at most {MAX_CHECKPOINT_BYTES:,} bytes after decompression")
    return {one.filename: one.file_size for one in found}
