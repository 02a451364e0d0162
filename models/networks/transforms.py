"""Input transforms: the first stage of a plan, from the coordinates of a point to the inputs of the first layer.

Every way to evaluate a plan passes points through `plan.transform`, so that a new transform is one more class here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.datasets import DoubleArray, FloatArray, PointArray


@dataclass(frozen=True)
class Identity:
    """Uses the coordinates as they are, rounded to float32."""

    def points(self, xy_ND: PointArray) -> FloatArray:
        """Inputs of the first layer for points (N, D), float32 or float64: contiguous float32."""
        return np.ascontiguousarray(xy_ND, np.float32)

    def axes(self, x_W: DoubleArray, y_H: DoubleArray) -> tuple[FloatArray, FloatArray]:
        """The same for the columns (W,) and rows (H,) of a grid in the plane."""
        return x_W.astype(np.float32), y_H.astype(np.float32)

    def boxes(self, low_DM: DoubleArray, high_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Boxes (D, M), from `low` to `high`, widened so that they also contain the inputs of all their points."""
        return np.minimum(low_DM, low_DM.astype(np.float32)), np.maximum(high_DM, high_DM.astype(np.float32))

    def expressions(self, names: list[str]) -> list[str]:
        """Inputs of the first layer as Python expressions, from the names of the coordinates, in float64."""
        return names

    def wide(self, x_D: DoubleArray) -> DoubleArray:
        """The inputs of one point (D,) or several (N, D), in float64."""
        return x_D

    def data_units(self, input_ND: DoubleArray) -> DoubleArray:
        """The points (N, D) whose inputs these are, in float64."""
        return input_ND

    def of_axes(self, _: Sequence[int]) -> "Transform":
        """The transform for a plan whose features are those at `axes`."""
        return self


@dataclass(frozen=True)
class Shift:
    """Subtracts an offset from each coordinate in float64, and then rounds to float32.

    So values such as 1700000030, which float32 cannot tell from their neighbours, keep their differences.

    Attributes:
        offset: for each coordinate, in data units.
    """

    offset: tuple[float, ...]

    def points(self, xy_ND: PointArray) -> FloatArray:
        """See `Identity.points`."""
        return np.ascontiguousarray(xy_ND - self._offset_D, np.float32)

    def axes(self, x_W: DoubleArray, y_H: DoubleArray) -> tuple[FloatArray, FloatArray]:
        """See `Identity.axes`."""
        x, y = self.offset
        return (x_W - x).astype(np.float32), (y_H - y).astype(np.float32)

    def boxes(self, low_DM: DoubleArray, high_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """See `Identity.boxes`. The differences are monotonic in the coordinates, and so is their rounding."""
        return IDENTITY.boxes(low_DM - self._offset_D[:, None], high_DM - self._offset_D[:, None])

    def expressions(self, names: list[str]) -> list[str]:
        """See `Identity.expressions`."""
        return [f"{name} - {float(offset)!r}" for name, offset in zip(names, self.offset, strict=True)]

    def wide(self, x_D: DoubleArray) -> DoubleArray:
        """See `Identity.wide`."""
        return x_D - self._offset_D

    def data_units(self, input_ND: DoubleArray) -> DoubleArray:
        """See `Identity.data_units`."""
        return input_ND + self._offset_D

    def of_axes(self, axes: Sequence[int]) -> "Transform":
        """See `Identity.of_axes`. An added feature has the offset 0."""
        return Shift(tuple(self.offset[axis] if axis < len(self.offset) else 0.0 for axis in axes))

    @property
    def _offset_D(self) -> DoubleArray:
        return np.array(self.offset)


Transform = Identity | Shift
"""Any input transform."""

IDENTITY = Identity()
