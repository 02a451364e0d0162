"""Input transforms: the first stage of a plan, from the coordinates of a point to the inputs of the first layer.

Every way to evaluate a plan passes points through `plan.transform`, so that a new transform is one more class here. The
only other module that depends on the transform is `models.boundary.slices`, which folds fixed coordinates into biases.
"""

from dataclasses import dataclass

import numpy as np

from models.datasets import DoubleArray, FloatArray


@dataclass(frozen=True)
class Identity:
    """Uses the coordinates as they are, rounded to float32."""

    def points(self, xy_ND: DoubleArray | FloatArray) -> FloatArray:
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


Transform = Identity
"""Any input transform."""

IDENTITY = Identity()
