"""Scaling: a network is trained on points in units of their deviation, and then rewritten for points in data units.

Training works best if every coordinate has mean 0 and deviation 1. The trained network takes `(x - mean) / deviation`;
its first layer is linear, so that the same network for `x` has other weights: `w / deviation` and
`b - w @ mean / deviation`. The state dict of a checkpoint is that of this network, for points as they are.

Only coordinates far from zero, such as a Unix time, keep an offset: float32 could not tell their values apart. Their
network takes `x - offset`, which is computed in float64.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.datasets import DoubleArray, FloatArray, LabelledPoints, are_far_from_zero, mean_and_deviation
from models.networks.layouts import Layout
from models.networks.transforms import IDENTITY, Shift, Transform


@dataclass(frozen=True)
class Scaling:
    """How the coordinates of points become inputs of a network in training: `(x - mean) / deviation`.

    Attributes:
        mean_D, deviation_D: float64 (D,), in data units.
        offset_D: float64 (D,), what the finished network subtracts from a point: the mean of the coordinates that are
            far from zero, and 0 for all others.
    """

    mean_D: DoubleArray
    deviation_D: DoubleArray
    offset_D: DoubleArray

    @classmethod
    def none(cls, features: int) -> "Scaling":
        """Uses the coordinates as they are: no weight changes, to the bit."""
        return cls(np.zeros(features), np.ones(features), np.zeros(features))

    @classmethod
    def standard(cls, points: LabelledPoints) -> "Scaling":
        """Gives every coordinate of these points mean 0 and deviation 1. A constant becomes 0."""
        mean_D, deviation_D = mean_and_deviation(points.xy_ND)
        return cls(mean_D, deviation_D, np.where(are_far_from_zero(mean_D, deviation_D), mean_D, 0.0))

    @property
    def transform(self) -> Transform:
        """The input transform of the finished network."""
        return Shift(tuple(self.offset_D.tolist())) if self.offset_D.any() else IDENTITY

    def inputs(self, points: LabelledPoints) -> LabelledPoints:
        """The points as the network in training sees them, float32 (N, D)."""
        scaled_ND = (points.xy_ND.astype(np.float64) - self.mean_D) / self.deviation_D
        return replace(points, xy_ND=scaled_ND.astype(np.float32))

    def in_data_units(self, layout: Layout, state: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The state dict of the network that takes `x - offset_D`, from that of the network in training."""
        finished = dict(state)
        for layer in (layout.stack[0], *([layout.skip] if layout.skip else [])):
            weight_OD = state[layer.weight].T if layer.input_major else state[layer.weight]
            wide_OD = weight_OD.astype(np.float64) / self.deviation_D
            bias_O = state[layer.bias] - wide_OD @ (self.mean_D - self.offset_D)
            finished[layer.weight] = np.ascontiguousarray(wide_OD.T if layer.input_major else wide_OD, np.float32)
            finished[layer.bias] = bias_O.astype(np.float32)
        return finished
