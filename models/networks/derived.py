"""Derived inputs: the transform whose inputs are terms of the scaled coordinates, such as `x^2` or `sin x`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.networks.terms import Function, Term
from models.specs import InvalidInput

BLOCK_VALUES = 2**16
"""Values in float64 that are computed at once: half a MiB, which stays in the processor's cache."""

ROUNDING = 1e-14
"""A generous bound of the relative error of a few float64 operations."""

_UNIT = 2.0**-24 * (1 + 1e-6)  # the relative error of a rounding to float32
_TINY = 1e-37  # a rounding to float32 that underflows loses less
_LARGEST = 3e38  # numbers up to here do not overflow float32


@dataclass(frozen=True)
class Derived:
    """Computes terms of the coordinates `s = (x - offset) / divisor` in float64, and then rounds to float32.

    So the square of 5334000.25 keeps its digits: it is the square of the distance from the mean, in deviations.

    Attributes:
        terms: one for each of the I inputs of the first layer.
        offset: for each of the D coordinates, in data units.
        divisor: for each of the D coordinates, in data units, positive.
    """

    terms: tuple[Term, ...]
    offset: tuple[float, ...]
    divisor: tuple[float, ...]

    def features(self, _: int) -> int:
        """See `Identity.features`."""
        return len(self.offset)

    def points(self, xy_ND: PointArray) -> FloatArray:
        """See `Identity.points`. Memory beyond the result does not grow with N.

        Raises:
            InvalidInput: an input overflows float32.
        """
        input_NI = np.empty((len(xy_ND), len(self.terms)), np.float32)
        step = max(1, BLOCK_VALUES // (len(self.terms) + len(self.offset)))
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            for start in range(0, len(xy_ND), step):
                block = slice(start, start + step)
                input_NI[block] = self.of_scaled(self.scaled(xy_ND[block])).T
        if not np.isfinite(input_NI).all():
            raise InvalidInput("points", "must be smaller numbers: the derived inputs overflow float32")
        return input_NI

    def scaled(self, xy_ND: PointArray) -> DoubleArray:
        """The scaled coordinates of points (N, D), float64 (D, N)."""
        scaled_DN: DoubleArray = self.centered_points(xy_ND).T / self._divisor_D1
        return scaled_DN

    def of_scaled(self, s_DN: DoubleArray) -> DoubleArray:
        """The inputs of N points before they are rounded, float64 (I, N), from their scaled coordinates."""
        input_IN = np.empty((len(self.terms), s_DN.shape[1]))
        input_IN[self._singles.inputs] = s_DN[self._singles.of[0]]
        input_IN[self._pairs.inputs] = s_DN[self._pairs.of[0]] * s_DN[self._pairs.of[1]]
        input_IN[self._sines.inputs] = np.sin(s_DN[self._sines.of[0]])
        input_IN[self._cosines.inputs] = np.cos(s_DN[self._cosines.of[0]])
        return input_IN

    def boxes(self, low_DM: DoubleArray, high_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """See `Identity.boxes`. The differences are monotonic in the coordinates, and so is their rounding."""
        offset_D1 = np.array(self.offset)[:, None]
        return low_DM - offset_D1, high_DM - offset_D1

    def affine_forms(self, mid_DM: DoubleArray, half_DM: DoubleArray) -> tuple[DoubleArray, DoubleArray]:
        """See `Identity.affine_forms`.

        With `s = m + h t` and |t| <= 1, a product is `m n + h n t + m k u + h k t u`, whose last part is at most `h k`;
        for a square it lies between 0 and `h^2`. By Taylor's theorem, the sine differs from `sin m + h cos m t` by at
        most `h^2 / 2` times the greatest sine on the box, which is at most `|sin m| + h` and at most 1. The cosine is
        the sine of `s + pi / 2`. All radii also cover the rounding of float64 and of the inputs to float32.
        """
        m_DM, h_DM = mid_DM / self._divisor_D1, half_DM / self._divisor_D1
        size_DM = np.abs(m_DM) + h_DM
        features, boxes = mid_DM.shape
        line_ISM = np.zeros((len(self.terms), 1 + features, boxes))
        radius_IM = np.zeros((len(self.terms), boxes))

        inputs, (d,) = self._singles.inputs, self._singles.of
        line_ISM[inputs, 0], line_ISM[inputs, 1 + d] = m_DM[d], h_DM[d]
        radius_IM[inputs] = ROUNDING * size_DM[d]

        inputs, (d, e) = self._pairs.inputs, self._pairs.of
        is_square_I1 = (d == e)[:, None]
        rest_IM = np.where(is_square_I1, 0.5, 1.0) * h_DM[d] * h_DM[e]
        line_ISM[inputs, 0] = m_DM[d] * m_DM[e] + np.where(is_square_I1, rest_IM, 0.0)
        line_ISM[inputs, 1 + d] += h_DM[d] * m_DM[e]
        line_ISM[inputs, 1 + e] += m_DM[d] * h_DM[e]
        radius_IM[inputs] = rest_IM + ROUNDING * size_DM[d] * size_DM[e]

        for group, value, slope in (
            (self._sines, np.sin, np.cos),
            (self._cosines, np.cos, lambda m: -np.sin(m)),
        ):
            inputs, (d,) = group.inputs, group.of
            center_IM, h_IM = value(m_DM[d]), h_DM[d]
            part_IM = h_IM**2 / 2 * np.minimum(np.abs(center_IM) + h_IM, 1) + ROUNDING * (size_DM[d] + 1)
            is_wide_IM = ~(part_IM < 1)  # or not a number: then the whole range from -1 to 1
            line_ISM[inputs, 0] = np.where(is_wide_IM, 0.0, center_IM)
            line_ISM[inputs, 1 + d] = np.where(is_wide_IM, 0.0, slope(m_DM[d]) * h_IM)
            radius_IM[inputs] = np.where(is_wide_IM, 1 + ROUNDING, part_IM)

        size_IM = np.abs(line_ISM).sum(axis=1) + radius_IM
        return line_ISM, np.where(size_IM <= _LARGEST, radius_IM + _UNIT * size_IM + _TINY, np.inf)

    def statements(self, names: list[str]) -> tuple[list[str], list[str]]:
        """See `Identity.statements`."""
        scaled = [
            f"{name} = ({name} - {float(offset)!r}) / {float(divisor)!r}"
            for name, offset, divisor in zip(names, self.offset, self.divisor, strict=True)
        ]
        inputs = [f"i{i}" for i in range(len(self.terms))]
        formulas = [
            " * ".join(names[d] for d in term.of)
            if term.function == "product"
            else f"{term.function}({names[term.of[0]]})"
            for term in self.terms
        ]
        return [*scaled, *(f"{name} = {formula}" for name, formula in zip(inputs, formulas, strict=True))], inputs

    @property
    def centered(self) -> "Derived":
        """See `Identity.centered`."""
        return replace(self, offset=(0.0,) * len(self.offset))

    def centered_points(self, xy_ND: PointArray) -> DoubleArray:
        """See `Identity.centered_points`."""
        centered_ND: DoubleArray = xy_ND - np.array(self.offset)
        return centered_ND

    def data_units(self, centered_ND: DoubleArray) -> DoubleArray:
        """See `Identity.data_units`."""
        xy_ND: DoubleArray = centered_ND + np.array(self.offset)
        return xy_ND

    def representable(self, centered_ND: DoubleArray) -> DoubleArray:
        """See `Identity.representable`."""
        return self.centered_points(self.data_units(centered_ND))

    def along(self, axes: Sequence[int], at_D: DoubleArray) -> tuple["Derived", DoubleArray]:
        """See `Identity.along`. A term of free and fixed coordinates is a multiple of one of free coordinates alone.

        Raises:
            InvalidInput: a constant overflows float32.
        """
        scaled = self.scaled(at_D[None])[:, 0].tolist()
        place = {axis: a for a, axis in enumerate(axes)}
        parts = [_part(term, place, scaled) for term in self.terms]
        # a network needs an input, even if nothing depends on the free coordinates
        terms = tuple(dict.fromkeys(term for term, _ in parts if term)) or (Term("product", (0,)),)
        map_IS = np.zeros((len(parts), 1 + len(terms)))
        for i, (term, factor) in enumerate(parts):
            map_IS[i, 1 + terms.index(term) if term else 0] = factor
        if not (np.abs(map_IS) <= _LARGEST).all():
            raise InvalidInput("at", "must be smaller numbers: the derived inputs overflow float32")
        known = [axis < len(self.offset) for axis in axes]
        offset, divisor = (
            tuple(values[axis] if is_known else default for axis, is_known in zip(axes, known, strict=True))
            for values, default in ((self.offset, 0.0), (self.divisor, 1.0))
        )
        return Derived(terms, offset, divisor), map_IS

    @cached_property
    def _divisor_D1(self) -> DoubleArray:
        return np.array(self.divisor)[:, None]

    @cached_property
    def _singles(self) -> "_Group":
        return _Group.of_terms(self.terms, "product", 1)

    @cached_property
    def _pairs(self) -> "_Group":
        return _Group.of_terms(self.terms, "product", 2)

    @cached_property
    def _sines(self) -> "_Group":
        return _Group.of_terms(self.terms, "sin", 1)

    @cached_property
    def _cosines(self) -> "_Group":
        return _Group.of_terms(self.terms, "cos", 1)


@dataclass(frozen=True)
class _Group:
    """The terms of one form: which inputs they are, int64 (G,), and their first and second coordinates, (G,) each."""

    inputs: IntArray
    of: tuple[IntArray, ...]

    @classmethod
    def of_terms(cls, terms: Sequence[Term], function: Function, coordinates: int) -> "_Group":
        chosen = [i for i, term in enumerate(terms) if term.function == function and len(term.of) == coordinates]
        of = tuple(np.array([terms[i].of[c] for i in chosen], np.int64) for c in range(coordinates))
        return cls(np.array(chosen, np.int64), of)


def _part(term: Term, place: dict[int, int], scaled: Sequence[float]) -> tuple[Term | None, float]:
    """A term as a multiple of a term of free coordinates, or as a constant.

    `place` has the new index of each free coordinate, `scaled` the value of each of the others.
    """
    free = tuple(sorted(place[d] for d in term.of if d in place))
    fixed = [scaled[d] for d in term.of if d not in place]
    if term.function == "product":
        return (Term("product", free) if free else None), math.prod(fixed)
    if free:
        return Term(term.function, free), 1.0
    return None, math.sin(fixed[0]) if term.function == "sin" else math.cos(fixed[0])
