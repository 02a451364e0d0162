"""Reads ONNX models that were exported here: their description, and the weights among their constants.

The graph is not run. The graph of another program may compute anything, so it is refused. This needs the package
onnx, which an extra brings.
"""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from models.datasets import Array
from models.imports.descriptions import KEY
from models.imports.notes import FILE, quoted
from models.limits import MAX_WEIGHTS
from models.specs import InvalidInput


def load(path: Path) -> tuple[str, dict[str, Array]]:
    """The description of a file, and its constants of type float32 by name.

    Raises:
        InvalidInput: the package is missing, the file is damaged, or was not exported here.
    """
    try:
        onnx: Any = importlib.import_module("onnx")
    except ImportError:
        raise InvalidInput(FILE, "is ONNX, which needs the package onnx here: pip install 'separatrix[onnx]'") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception:  # protobuf raises errors of its own package, which may be any of several
        raise InvalidInput(FILE, "is ONNX that is damaged or cut off, or of another format") from None
    described = {one.key: one.value for one in model.metadata_props}
    if KEY not in described:
        raise InvalidInput(
            FILE, "is ONNX of another program, whose graph may compute anything: send the state dict of the network"
        )
    kind = onnx.TensorProto
    weights = [one for one in model.graph.initializer if one.data_type == kind.FLOAT]
    return described[KEY], {one.name: _values(one) for one in weights}


def _values(tensor: Any) -> Array:
    """The values of a tensor that has them in itself, as our exports do. Others may name a file of this machine."""
    shape = tuple(tensor.dims)
    if min(shape, default=1) < 0 or int(np.prod(shape, dtype=object)) > MAX_WEIGHTS:
        raise InvalidInput(
            FILE, f"{quoted(tensor.name)} has the shape {shape}: at most {MAX_WEIGHTS:,} values are allowed"
        )
    if len(tensor.raw_data) != 4 * int(np.prod(shape)):
        raise InvalidInput(FILE, f"{quoted(tensor.name)} must have its values in the file")
    return np.frombuffer(tensor.raw_data, "<f4").reshape(shape).astype(np.float32)
