"""Input transforms: the first stage of a plan, from the coordinates of a point to the inputs of the first layer.

Every way to evaluate a plan passes points through `plan.transform`, so a new transform is one more class here, or
beside it as `models.networks.derived`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.datasets import DoubleArray, FloatArray, PointArray
from models.networks.derived import Derived


@dataclass(frozen=True)
class Identity:
    """Uses the coordinates as they are, rounded to float32."""

    def features(self, inputs: int) -> int:
        """Number of coordinates of a point, for a network of this many inputs."""
        return inputs

    def points(self, xy_ND: PointArray) -> FloatArray:
        """Inputs of the first layer for points (N, D), float32 or float64: contiguous float32 (N, I)."""
        return np.ascontiguousarray(xy_ND, np.float32)

    def axes(self, x_W: DoubleArray, y_H: DoubleArray) -> tuple[FloatArray, FloatArray]:
        """The same for the columns (W,) and rows (H,) of a grid in the plane. Derived inputs have no such axes."""
        return x_W.astype(np.float32), y_H.astype(np.float32)

    def boxes(self, low_DM: DoubleArray, high_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Boxes (D, M), from `low` to `high` in data units, as boxes of centered coordinates, see `centered`.

        They are so wide that they contain the centered coordinates of all their points as they are computed.
        """
        return np.minimum(low_DM, low_DM.astype(np.float32)), np.maximum(high_DM, high_DM.astype(np.float32))

    def affine_forms(self, mid_DM: DoubleArray, half_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """Bounds of the inputs, as computed, on boxes of centered coordinates, in float64.

        Returns:
            Lines (I, 1 + D, M) and radii (I, M). The inputs are within the radius of the first of `line` plus the sum
            of the others times t, where t is the position in the box along each coordinate, from -1 to 1.
        """
        features, boxes = mid_DM.shape
        line_DSM = np.zeros((features, 1 + features, boxes))
        line_DSM[:, 0] = mid_DM
        line_DSM[range(features), range(1, 1 + features)] = half_DM
        return line_DSM, np.zeros_like(mid_DM)

    def statements(self, names: list[str]) -> tuple[list[str], list[str]]:
        """Python statements that compute the inputs in float64, and the names of these.

        The names of the coordinates may be assigned to. The statements may use `sin` and `cos`.
        """
        return [], names

    @property
    def centered(self) -> "Transform":
        """The rest of the transform after an offset is subtracted, that is, for points as `centered_points` returns."""
        return self

    def centered_points(self, xy_ND: PointArray) -> DoubleArray:
        """Points (N, D) without their offset, in float64. All distances between points stay the same."""
        return xy_ND.astype(np.float64)

    def data_units(self, centered_ND: DoubleArray) -> DoubleArray:
        """The points (N, D) whose centered coordinates these are, in float64."""
        return centered_ND

    def representable(self, centered_ND: DoubleArray) -> DoubleArray:
        """Centred coordinates (N, D), rounded so that going to data units and back does not change the inputs."""
        return centered_ND.astype(np.float32).astype(np.float64)

    def along(self, axes: Sequence[int], at_D: DoubleArray) -> tuple["Transform", DoubleArray]:
        """The transform of a plan that is a function of the features `axes`, while the others have the values `at_D`.

        An axis beyond the features is an added feature, on which nothing depends.

        Returns:
            The new transform, and a matrix (I, 1 + J), float64: how each input depends on a constant 1 and on the J
            inputs of the new transform.
        """
        return self, _selection(axes, self.centered_points(at_D))


@dataclass(frozen=True)
class Shift:
    """Subtracts an offset from each coordinate in float64, and then rounds to float32.

    So values such as 1700000030, which float32 cannot distinguish from their neighbors, keep their differences.

    Attributes:
        offset: for each coordinate, in data units.
    """

    offset: tuple[float, ...]

    def features(self, inputs: int) -> int:
        """See `Identity.features`."""
        return inputs

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

    def affine_forms(self, mid_DM: DoubleArray, half_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """See `Identity.affine_forms`."""
        return IDENTITY.affine_forms(mid_DM, half_DM)

    def statements(self, names: list[str]) -> tuple[list[str], list[str]]:
        """See `Identity.statements`."""
        pairs = zip(names, self.offset, strict=True)
        return [f"{name} = {name} - {float(offset)!r}" for name, offset in pairs], names

    @property
    def centered(self) -> "Transform":
        """See `Identity.centered`."""
        return IDENTITY

    def centered_points(self, xy_ND: PointArray) -> DoubleArray:
        """See `Identity.centered_points`."""
        return xy_ND - self._offset_D

    def data_units(self, centered_ND: DoubleArray) -> DoubleArray:
        """See `Identity.data_units`."""
        return centered_ND + self._offset_D

    def representable(self, centered_ND: DoubleArray) -> DoubleArray:
        """See `Identity.representable`."""
        return IDENTITY.representable(centered_ND)

    def along(self, axes: Sequence[int], at_D: DoubleArray) -> tuple["Transform", DoubleArray]:
        """See `Identity.along`."""
        kept = tuple(self.offset[axis] if axis < len(self.offset) else 0.0 for axis in axes)
        return Shift(kept), _selection(axes, self.centered_points(at_D))

    @property
    def _offset_D(self) -> DoubleArray:
        return np.array(self.offset)


def _selection(axes: Sequence[int], input_D: DoubleArray) -> DoubleArray:
    """The matrix of `Identity.along` if each input is a coordinate: those not on an axis are constants."""
    map_DS = np.zeros((len(input_D), 1 + len(axes)))
    for a, axis in enumerate(axes):
        if axis < len(input_D):
            map_DS[axis, 1 + a] = 1.0
    fixed = [d for d in range(len(input_D)) if d not in axes]
    map_DS[fixed, 0] = input_D[fixed]
    return map_DS


Transform = Identity | Shift | Derived
"""Any input transform."""

IDENTITY = Identity()
