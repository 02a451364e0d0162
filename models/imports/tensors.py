"""Tensors of a file as arrays. Everything is checked before any value is copied."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.datasets import DoubleArray
from models.imports.notes import FILE, Notes, quoted
from models.limits import MAX_WEIGHTS
from models.specs import InvalidInput

_WIDENED = (torch.float16, torch.bfloat16)
_ACCEPTED = (torch.float32, torch.float64, *_WIDENED)

MAX_DIMENSIONS = 2
"""Maximum number of dimensions of a weight: the weights of convolutions have more."""


class Weights:
    """Turns tensors into arrays, and counts their values so that a file of many tensors is bounded as well."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._count = 0
        self._types: set[torch.dtype] = set()

    def array(self, key: str, value: object) -> DoubleArray:
        """The values of one tensor, contiguous float64. Exact for all accepted types.

        Raises:
            InvalidInput: it is not a tensor of finite floating-point numbers, or too large.
        """
        tensor = checked(key, value)
        self._count += tensor.numel()
        if self._count > MAX_WEIGHTS:
            raise InvalidInput(FILE, f"must have at most {MAX_WEIGHTS:,} weights in all")
        self._types.add(tensor.dtype)
        array: DoubleArray = np.ascontiguousarray(tensor.detach().to(torch.float64).contiguous().numpy())
        if not np.isfinite(array).all():
            raise InvalidInput(FILE, f"{quoted(key)} must be finite, but has a value that is infinite or not a number")
        return array

    def report(self) -> None:
        """Notes what becomes of types other than float32."""
        for dtype in sorted(self._types - {torch.float32}, key=str):
            name = str(dtype).removeprefix("torch.")
            action = "widened" if dtype in _WIDENED else "rounded"
            self._notes.understood.append(f"The weights are {name}; they are {action} to float32.")


def is_number(value: object) -> bool:
    """Whether a value is a tensor of a single whole number, which is a counter, not a weight."""
    return isinstance(value, Tensor) and value.dim() == 0 and not value.is_floating_point() and not value.is_complex()


def checked(key: str, value: object) -> Tensor:
    """The value, if it is a dense tensor of floating-point numbers whose size is within bounds.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(value, Tensor):
        raise _wrong(key, "must be a tensor")
    if value.is_quantized:
        raise _wrong(key, "must not be quantized: save the network before it is quantized")
    if value.is_nested or value.layout != torch.strided:
        raise _wrong(key, "must be a dense tensor: save it after .to_dense()")
    if value.is_meta:
        raise _wrong(key, "must have values, but is on the device 'meta', which has none")
    if value.dtype not in _ACCEPTED:
        name = str(value.dtype).removeprefix("torch.")
        raise _wrong(key, f"must be float16, bfloat16, float32 or float64, not {name}")
    shape = tuple(value.shape)
    if len(shape) > MAX_DIMENSIONS:
        raise _wrong(
            key, f"has the shape {shape}: only dense (linear) layers are supported, whose weights have two dimensions"
        )
    if math.prod(shape) > MAX_WEIGHTS:
        raise _wrong(key, f"has the shape {shape}: at most {MAX_WEIGHTS:,} values are allowed")
    if not value.numel():
        raise _wrong(key, f"has the shape {shape}, without any value")
    return value


def shape_of(value: object) -> Sequence[int]:
    """The shape of a tensor; empty if the value is not a tensor."""
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _wrong(key: str, reason: str) -> InvalidInput:
    return InvalidInput(FILE, f"{quoted(key)} {reason}")
