"""Arrays in NumPy's own format, `application/x-npy`: grids and predictions as they are sent, points as they come."""

import io
import math

import numpy as np
import numpy.typing as npt

from models.datasets import bounded
from models.limits import MAX_FEATURES
from models.sent_points import SentPoints
from models.specs import InvalidInput
from service.datasets.npy_header import read_header
from service.inference.grids import ActivationMaps, BoundaryGrid, EmbeddingGrid, ProbabilityMaps

MEDIA_TYPE = "application/x-npy"

MAX_NUMBER_BYTES = 8
"""The size of float64, which the points become."""


def encode(array: npt.NDArray[np.generic]) -> bytes:
    """The array as a file of format 1.0, in C order."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def encode_grid(boundary: BoundaryGrid) -> bytes:
    """The values of a grid, (H, W), or of a curve, (W,): uint8 for labels, else float32."""
    values_HW = boundary.grid.values_HW
    return encode(values_HW.astype(np.uint8, copy=False) if boundary.response == "label" else values_HW)


def encode_probabilities(maps: ProbabilityMaps) -> bytes:
    """The probabilities of the K classes: float32 (K, H, W), for a curve (K, W)."""
    return encode(maps.values_KHW)


def encode_activations(maps: ActivationMaps) -> bytes:
    """The activations of a layer of U units: float32 (U, H, W), for a curve (U, W)."""
    return encode(maps.outputs.values_OHW)


def encode_embedding(grid: EmbeddingGrid) -> bytes:
    """The two coordinates that the layer maps each cell to: float32 (H, W, 2), for a curve (W, 2)."""
    return encode(grid.embedding.values_HW2)


def decode_points(content: bytes, *, max_points: int) -> SentPoints:
    """Points from a file of numbers or truth values: (N, D), one point (D,), or a structured array with named fields.

    The header is checked against the length of the body before any array is allocated.

    Raises:
        InvalidInput: the body is not such a file, the array has another shape, there are too many points, or a number
            is out of bounds.
    """
    file = io.BytesIO(content)
    shape, fortran_order, dtype = read_header(file, "body")
    start = file.tell()
    names = dtype.names
    kinds = [dtype.fields[name][0] for name in names] if names is not None and dtype.fields else [dtype]
    if any(kind.kind not in "biuf" or kind.itemsize > MAX_NUMBER_BYTES for kind in kinds):
        raise InvalidInput("body", "must be an array of numbers of at most 64 bits")
    if names is not None and len(shape) <= 1:
        shape_NC = (shape[0] if shape else 1, len(names))
    elif names is None and len(shape) in (1, 2):
        shape_NC = (shape[0], shape[1]) if len(shape) == 2 else (1, shape[0])
    else:
        shape_NC = (0, 0)
    if not 1 <= shape_NC[1] <= MAX_FEATURES:
        raise InvalidInput(
            "body", f"must have the shape (N, D), one point in each row, with D from 1 to {MAX_FEATURES:,}"
        )
    if not 1 <= shape_NC[0] <= max_points:
        raise InvalidInput("points", f"must contain 1 to {max_points:,} points in one request")
    if len(content) - start != math.prod(shape) * dtype.itemsize:
        raise InvalidInput("body", "must be as long as the shape and type in the .npy header say")
    flat = np.frombuffer(content, dtype, offset=start)
    if names is not None:
        columns = np.stack([flat[name].astype(np.float64) for name in names], axis=1)
        return SentPoints(bounded(columns), names)
    # float32 if it holds all values of the type, else float64
    array = flat.astype(np.result_type(dtype, np.float32), copy=False)
    return SentPoints(bounded(array.reshape(shape, order="F" if fortran_order else "C")))
