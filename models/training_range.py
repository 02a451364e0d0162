"""The training range: where points are near training points, so a network has learned something about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from models.datasets import DoubleArray, LabelledPoints, PointArray, hashes, mean_and_deviation

SHARE_WITHIN = 0.99
"""The share of the training points that would be within the range of the others."""

MAX_SAMPLE = 5_000
"""Maximum number of points of a sample. More points would hardly make the range more exact."""

MAX_SAMPLE_VALUES = 200_000
"""Maximum number of coordinates of a sample: 1.6 MB."""

MAX_CHECKED_VALUES = 2 * 10**8
"""Maximum of coordinates of the sample x points whose distances from it set the radius: some 0.2 s."""


@dataclass(frozen=True, eq=False)
class TrainingRange:
    """A bounded sample of training points, and how far from the nearest of them is far.

    With z(x) = (x - mean) / deviation for each coordinate, the distance of a point from the training data is

        d(x) = min over the sample s of |z(x) - s|, the Euclidean norm,

    and a point is outside if d(x) > r. The radius r is the 0.99 quantile of d over the training points, each without
    itself: the least value that 99 % of them do not exceed. So a new point that is like the training points is marked
    in about 1 of 100 cases, in any dimension, and however many points there are. Equal points count once.

    Attributes:
        mean_D, deviation_D: float64 (D,), of the training points, in data units. A constant has the deviation 1.
        sample_SD: float64 (S, D), the sample, as z.
        radius: r.
    """

    mean_D: DoubleArray
    deviation_D: DoubleArray
    sample_SD: DoubleArray
    radius: float

    @classmethod
    def of(cls, points: LabelledPoints) -> "TrainingRange":
        """The range of some training points. Equal points give equal ranges."""
        mean_D, deviation_D = mean_and_deviation(points.xy_ND)
        _, first_U = np.unique(hashes(points.xy_ND), return_index=True)
        order_U = np.random.default_rng(0).permutation(np.sort(first_U))
        sample = min(len(order_U), MAX_SAMPLE, max(1, MAX_SAMPLE_VALUES // points.features))
        checked = min(len(order_U), max(sample, MAX_CHECKED_VALUES // (sample * points.features)))
        scaled_CD = (points.xy_ND[order_U[:checked]].astype(np.float64) - mean_D) / deviation_D
        sample_SD = np.ascontiguousarray(scaled_CD[:sample])
        distance_C2, _ = _tree(sample_SD).query(scaled_CD, k=2)
        # a point of the sample is the nearest to itself: its second nearest counts
        distance_C = np.where(np.arange(checked) < sample, distance_C2[:, 1], distance_C2[:, 0])
        radius = np.quantile(distance_C[np.isfinite(distance_C)], SHARE_WITHIN, method="higher") if checked > 1 else 0.0
        return cls(mean_D, deviation_D, sample_SD, float(radius))

    @property
    def work(self) -> int:
        """Cost of a point in multiplications, at most."""
        return self.sample_SD.size

    @cached_property
    def _kept_tree(self) -> Any:
        return _tree(self.sample_SD)

    def outside(self, xy_ND: PointArray) -> npt.NDArray[np.bool_]:
        """Which points (N, D), in data units, are outside: (N,)."""
        with np.errstate(over="ignore"):  # infinity is outside
            scaled_ND = (xy_ND.astype(np.float64) - self.mean_D) / self.deviation_D
        scaled_ND = np.nan_to_num(scaled_ND, posinf=_FAR, neginf=-_FAR).clip(-_FAR, _FAR)
        # a training point at the distance of the radius itself is within, whatever the last digit
        distance_N, _ = self._kept_tree.query(scaled_ND, distance_upper_bound=self.radius * (1 + 1e-9) + 1e-12)
        outside_N: npt.NDArray[np.bool_] = np.isinf(distance_N)
        return outside_N

    def to_arrays(self) -> dict[str, DoubleArray]:
        """The range as arrays by name, for a file."""
        return {
            "mean_D": self.mean_D,
            "deviation_D": self.deviation_D,
            "sample_SD": self.sample_SD,
            "radius": np.array([self.radius]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, DoubleArray]) -> "TrainingRange":
        """The range from the arrays that `to_arrays` returned.

        Raises:
            KeyError: one is missing.
        """
        return cls(arrays["mean_D"], arrays["deviation_D"], arrays["sample_SD"], float(arrays["radius"][0]))


_FAR = 1e100
"""Its square is finite in float64."""


def _tree(sample_SD: DoubleArray) -> Any:
    from scipy.spatial import KDTree

    return KDTree(sample_SD)
