"""Reads programs of `torch.export` (.pt2): their weights and descriptions, not their graphs. Nothing is executed."""

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.imports import descriptions
from models.imports.files import DAMAGED_ARCHIVE
from models.imports.formats import pickles
from models.imports.notes import FILE, quoted
from models.limits import MAX_CHECKPOINT_ENTRIES, MAX_PICKLE_BYTES, MAX_WEIGHTS
from models.specs import InvalidInput

CONFIG = "data/weights/model_weights_config.json"
"""The member that lists the tensors."""

OLD_WEIGHTS = ("serialized_state_dict.pt", "serialized_state_dict.json", "data/weights/model.pt")
"""The member of weights in archives of earlier releases of torch, which pickled them."""

_TYPES = {5: torch.int64, 6: torch.float16, 7: torch.float32, 8: torch.float64, 13: torch.bfloat16}
"""The numbers of types in such a list."""

_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def load(path: Path) -> tuple[str | None, dict[str, Tensor]]:
    """The description of a program that was exported here, else None, and its state dict.

    Raises:
        InvalidInput: the archive is damaged, or its weights are not in a form that is read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.partition("/")[2]: one for one in archive.infolist()}
            described = members.get(f"extra/{descriptions.KEY}")
            if described is not None and described.file_size > MAX_PICKLE_BYTES:
                raise InvalidInput(FILE, "has a description that is too long: export the model again")
            text = None if described is None else archive.read(described).decode()
            return text, _state(archive, members)
    except InvalidInput:
        raise
    except (*DAMAGED_ARCHIVE, *_DAMAGE) as error:
        kind = type(error).__name__
        raise InvalidInput(FILE, f"is a program of torch.export that is damaged ({kind}): save it again") from None


def _state(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, Tensor]:
    if CONFIG in members:
        return _listed(archive, members)
    root = archive.namelist()[0].partition("/")[0]
    for name in OLD_WEIGHTS:
        member = members.get(name) or next((one for one in archive.infolist() if one.filename == name), None)
        if member is not None:
            found = pickles.load(io.BytesIO(archive.read(member)))
            return {key: value for key, value in found.items() if isinstance(key, str)}
    raise InvalidInput(FILE, f"is a program of torch.export without weights in {quoted(root)}: save the state dict")


def _listed(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, Tensor]:
    if members[CONFIG].file_size > MAX_PICKLE_BYTES:
        raise InvalidInput(FILE, f"must have a list of tensors of at most {MAX_PICKLE_BYTES:,} bytes")
    listed: dict[str, Any] = json.loads(archive.read(members[CONFIG]))["config"]
    if len(listed) > MAX_CHECKPOINT_ENTRIES:
        raise InvalidInput(FILE, f"must have at most {MAX_CHECKPOINT_ENTRIES:,} tensors")
    return {key: _tensor(key, one, archive, members) for key, one in listed.items()}


def _tensor(key: str, one: dict[str, Any], archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> Tensor:
    """A tensor, whose values are the bytes of a member of their own.

    Raises:
        InvalidInput: it has a type or an order of values that is not read.
        KeyError, TypeError, ValueError: the list is damaged.
    """
    if one["use_pickle"]:
        raise InvalidInput(FILE, f"{quoted(key)} is a pickled tensor, which is not supported: save the state dict")
    meta = one["tensor_meta"]
    shape, strides = ([int(size["as_int"]) for size in meta[name]] for name in ("sizes", "strides"))
    dtype = _TYPES.get(meta["dtype"])
    if dtype is None:
        raise InvalidInput(FILE, f"{quoted(key)} must be float16, bfloat16, float32 or float64")
    count = math.prod(shape)
    if not all(size >= 0 for size in shape) or count > MAX_WEIGHTS:
        raise InvalidInput(FILE, f"{quoted(key)} must have at most {MAX_WEIGHTS:,} values")
    begin = int(meta["storage_offset"]["as_int"])
    content = bytearray(archive.read(members[f"data/weights/{one['path_name']}"]))
    if begin < 0 or len(content) < (begin + count) * dtype.itemsize:
        raise InvalidInput(FILE, f"{quoted(key)} has fewer bytes than its shape needs: save the file again")
    if count > 1 and strides != _contiguous(shape):
        raise InvalidInput(FILE, f"{quoted(key)} must be contiguous: save it after .contiguous()")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(content, dtype=dtype, count=count, offset=begin * dtype.itemsize).reshape(shape)


def _contiguous(shape: list[int]) -> list[int]:
    """The strides of a contiguous tensor."""
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]
