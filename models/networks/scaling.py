"""Scaling: a network is trained on points in units of their deviation, and then rewritten for points in data units.

Training works best if every coordinate has mean 0 and deviation 1. The trained network takes `(x - mean) / deviation`;
its first layer is linear, so the same network for `x` has other weights: `w / deviation` and
`b - w @ mean / deviation`. The state dict of a checkpoint belongs to this network, for points as they are.

With feature weights, the network in training takes `(x - mean) / deviation * weight`, as if the deviation were
`deviation / weight`. The finished network is the same kind of network for `x`.

Derived inputs are terms of the scaled coordinates, so their network keeps its weights, and its transform scales; see
`models.networks.derived`.

Only coordinates far from zero, such as a Unix time, keep an offset: float32 could not tell their values apart. Their
network takes `x - offset`, which is computed in float64.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.datasets import DoubleArray, FloatArray, LabelledPoints, are_far_from_zero, mean_and_deviation
from models.networks.derived import Derived
from models.networks.layouts import LayerLayout, Layout
from models.networks.terms import Term
from models.networks.transforms import IDENTITY, Shift, Transform


@dataclass(frozen=True)
class Scaling:
    """How the coordinates of points become inputs of a network in training: `(x - mean) / deviation`.

    Attributes:
        mean_D, deviation_D: float64 (D,), in data units.
        offset_D: float64 (D,), what the finished network subtracts from a point: the mean of the coordinates that are
            far from zero, and 0 for all others.
        terms: the derived inputs of the network; None if its inputs are the coordinates.
    """

    mean_D: DoubleArray
    deviation_D: DoubleArray
    offset_D: DoubleArray
    terms: tuple[Term, ...] | None = None

    @classmethod
    def none(cls, features: int, terms: tuple[Term, ...] | None = None) -> "Scaling":
        """Uses the coordinates as they are: no bit of a weight changes."""
        return cls(np.zeros(features), np.ones(features), np.zeros(features), terms)

    @classmethod
    def standard(cls, points: LabelledPoints, terms: tuple[Term, ...] | None = None) -> "Scaling":
        """Gives every coordinate of these points mean 0 and deviation 1. A constant becomes 0."""
        mean_D, deviation_D = mean_and_deviation(points.xy_ND)
        offset_D = np.where(are_far_from_zero(mean_D, deviation_D), mean_D, 0.0)
        return cls(mean_D, deviation_D, offset_D, terms)

    def weighted(self, weights: Sequence[float] | None) -> "Scaling":
        """Multiplies each scaled coordinate by its feature weight during the training; None multiplies by 1."""
        return self if weights is None else replace(self, deviation_D=self.deviation_D / np.array(weights))

    @property
    def transform(self) -> Transform:
        """The input transform of the finished network."""
        if self.terms is not None:
            return Derived(self.terms, self.offset, self.divisor)
        return Shift(self.offset) if self.offset else IDENTITY

    @property
    def offset(self) -> tuple[float, ...]:
        """The value that the finished network subtracts from each coordinate, in float64; empty if nothing."""
        if self.terms is not None:
            return tuple(self.mean_D.tolist())
        return tuple(self.offset_D.tolist()) if self.offset_D.any() else ()

    @property
    def divisor(self) -> tuple[float, ...]:
        """The divisor of each coordinate in the finished network, in float64; empty without derived inputs."""
        return () if self.terms is None else tuple(self.deviation_D.tolist())

    def inputs(self, points: LabelledPoints) -> LabelledPoints:
        """The points as the network in training sees them, float32 (N, I).

        Raises:
            InvalidInput: a derived input overflows float32.
        """
        if self.terms is not None:
            return replace(points, xy_ND=self.transform.points(points.xy_ND), feature_names=None)
        scaled_ND = (points.xy_ND.astype(np.float64) - self.mean_D) / self.deviation_D
        return replace(points, xy_ND=scaled_ND.astype(np.float32))

    def in_training_units(self, layout: Layout, state: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The inverse of `in_data_units`. A weight may overflow to infinity."""
        scaled = dict(state)
        if self.terms is not None:
            return scaled
        for layer in _input_layers(layout):
            weight_OD = state[layer.weight].T if layer.input_major else state[layer.weight]
            wide_OD = weight_OD.astype(np.float64)
            bias_O = state[layer.bias] + wide_OD @ (self.mean_D - self.offset_D)
            wide_OD *= self.deviation_D
            with np.errstate(over="ignore"):
                scaled[layer.weight] = np.ascontiguousarray(wide_OD.T if layer.input_major else wide_OD, np.float32)
                scaled[layer.bias] = bias_O.astype(np.float32)
        return scaled

    def in_data_units(self, layout: Layout, state: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """The state dict of the finished network, from the state dict in training."""
        finished = dict(state)
        if self.terms is not None:
            return finished
        for layer in _input_layers(layout):
            weight_OD = state[layer.weight].T if layer.input_major else state[layer.weight]
            wide_OD = weight_OD.astype(np.float64) / self.deviation_D
            bias_O = state[layer.bias] - wide_OD @ (self.mean_D - self.offset_D)
            finished[layer.weight] = np.ascontiguousarray(wide_OD.T if layer.input_major else wide_OD, np.float32)
            finished[layer.bias] = bias_O.astype(np.float32)
        return finished


def _input_layers(layout: Layout) -> list[LayerLayout]:
    """The layers that take the inputs of the network."""
    return [layout.stack[0], *([layout.skip] if layout.skip else [])]
