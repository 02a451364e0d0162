"""Certified bounds of a network's outputs on boxes: one evaluation can prove the label of all points of a box.

The method is forward linear relaxation by affine arithmetic (Stolfi and de Figueiredo 1997; for networks: Singh et al.
2018, "Fast and effective robustness certification"). On a box, every value in the network lies within

    center + the sum over coordinates d of coef_d t_d, plus or minus radius,   t_d = (x_d - mid_d) / half_d in [-1, 1]

A dense layer maps centers and coefficients exactly, and radii by the absolute weights. An activation is replaced by a
line and a radius (`models.boundary.certified.relaxations`).

The bounds hold for the outputs *as computed* in float32, by `models.inference.numpy_forward` or the kernel. They cover:
    - the rounding of a point's inputs to float32, and the terms of derived inputs;
    - the rounding of sums: a sum of n products, in any order, has an error of at most gamma_n = n u / (1 - n u) times
      the sum of their absolute values, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 2002,
      section 3.1);
    - the approximation of activations in float32, by the error bounds that the relaxations add.

The bounds themselves are computed in float64, whose rounding is a billionth of that; the constants leave room for it.
Where float32 may overflow, nothing is proven.

Dimension letters beyond those of `models`: M boxes, I values of a layer, S a center and its coefficients (1 + D).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models import interruption
from models.boundary.certified.relaxations import DOUBLE, linear_relaxation
from models.datasets import DoubleArray, IntArray, PointArray
from models.inference import dispatch, numpy_forward
from models.networks.plans import Dense, Plan
from models.specs import Activation

DECISION_SLACK = 2e-6
"""Least difference between logits, or between a logit and the level, that proves a label. Labels are taken from float32
probabilities, whose relative errors are below 4e-7: those of closer logits may be equal."""

BLOCK_VALUES = 2**15
"""Centres and coefficients of a layer that are computed at once: a few hundred KiB, which stay in the CPU cache."""

MIN_BLOCK_BOXES = 128
"""Least number of boxes that are computed at once: matrix products of fewer are slow. 3 MiB for 1,024 neurons."""

_UNIT = 2.0**-24 * (1 + 1e-6)
_TINY = 1e-37  # a product that underflows float32 loses less
_SAFE = 1e38  # sums up to here do not overflow float32


@dataclass(frozen=True)
class CertifiedBounds:
    """Bounds of a plan's outputs on boxes: center + coef . (x - mid) / half, plus or minus radius; all float64.

    The radius is infinite or NaN where nothing is proven.

    Attributes:
        mid_DM, half_DM: midpoints and half-widths of the boxes in centered coordinates, see
            `models.networks.transforms.Identity.boxes`.
        center_OM, coef_ODM, radius_OM: see above, for each output.
    """

    mid_DM: DoubleArray
    half_DM: DoubleArray
    center_OM: DoubleArray
    coef_ODM: DoubleArray
    radius_OM: DoubleArray

    def margin(self, k: int | IntArray, level: float) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """Bounds of the margin of class k over each of R rivals: centers (R, M), coefficients (R, D, M), radii (R, M).

        `k` may differ from box to box (M,). With one output, the only rival is the other class, and the margin is the
        distance of the logit from `level`. With several, all classes are rivals; the margin of k over itself is
        infinite.
        """
        if len(self.center_OM) == 1:
            sign_M = np.where(k, 1.0, -1.0)
            return sign_M * (self.center_OM - level), sign_M * self.coef_ODM, self.radius_OM + DECISION_SLACK
        at = np.broadcast_to(k, self.center_OM.shape[1:])
        boxes = np.arange(len(at))
        center_OM = self.center_OM[at, boxes] - self.center_OM
        center_OM[at, boxes] = np.inf
        coef_ODM = self.coef_ODM[at, :, boxes].T - self.coef_ODM
        return center_OM, coef_ODM, self.radius_OM[at, boxes] + self.radius_OM + DECISION_SLACK


def output_bounds(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray) -> CertifiedBounds:
    """Bounds of the outputs on boxes from `low_MD` to `high_MD`, in data units.

    It takes about (D + 2) P multiplications for each box.
    """
    blocks = list(_in_blocks(plan, low_MD, high_MD))
    if len(blocks) == 1:
        return blocks[0]
    return CertifiedBounds(
        *(np.concatenate([vars(block)[name] for block in blocks], axis=-1) for name in vars(blocks[0]))
    )


def certified_labels(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray, *, level: float = 0.0) -> IntArray:
    """The class index that every point of a box is proven to have as its label, or -1 if unproven: int64 (M,).

    With one output, the label is 1 where the logit is greater than `level`; with several, it is the greatest output.
    Memory beyond the result does not grow with M.
    """
    return np.concatenate([_certify(bounds, level) for bounds in _in_blocks(plan, low_MD, high_MD)])


def _certify(bounds: CertifiedBounds, level: float) -> IntArray:
    center_OM = bounds.center_OM
    best_M = (center_OM[0] > level).astype(np.int64) if len(center_OM) == 1 else center_OM.argmax(axis=0)
    with np.errstate(all="ignore"):
        margin_RM, coef_RDM, radius_RM = bounds.margin(best_M, level)
        proven_M = (margin_RM > np.abs(coef_RDM).sum(axis=1) + radius_RM).all(axis=0)
    label_M: IntArray = np.where(proven_M, best_M, -1)
    return label_M


def computed_labels(plan: Plan, xy_ND: PointArray, *, level: float = 0.0) -> IntArray:
    """The labels of points (N, D), computed instead of proven: int64 (N,). See `certified_labels`.

    Raises:
        InvalidInput: the output of a point overflows float32.
    """
    level = level if plan.widths[-1] == 1 else 0.0
    return numpy_forward.predicted(dispatch.probabilities(plan, xy_ND), level=level)


def _in_blocks(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray) -> Iterator[CertifiedBounds]:
    widest = max(plan.widths) * (1 + plan.features)
    step = max(MIN_BLOCK_BOXES, BLOCK_VALUES // widest)
    for start in range(0, max(1, len(low_MD)), step):
        interruption.check()
        with np.errstate(all="ignore"):  # an overflow or NaN proves nothing
            bounds = _propagate(plan, low_MD[start : start + step].T, high_MD[start : start + step].T)
        yield bounds


@dataclass(frozen=True)
class _AffineForm:
    """Values of a layer on M boxes: `line_ISM` holds their centers, then their coefficients for each coordinate."""

    line_ISM: DoubleArray
    radius_IM: DoubleArray

    @property
    def deviation(self) -> Any:
        """The greatest distance of each value from its center: (I, M)."""
        return np.abs(self.line_ISM[:, 1:]).sum(axis=1) + self.radius_IM


def _propagate(plan: Plan, low_DM: DoubleArray, high_DM: DoubleArray) -> CertifiedBounds:
    """Propagates boxes through the layers."""
    low_DM, high_DM = plan.transform.boxes(low_DM, high_DM)
    mid_DM = low_DM / 2 + high_DM / 2
    half_DM = np.maximum(high_DM - mid_DM, mid_DM - low_DM) * (1 + DOUBLE)
    inputs = form = _AffineForm(*plan.transform.affine_forms(mid_DM, half_DM))
    safe_M = np.ones(mid_DM.shape[1], bool)
    for layer in plan.layers:
        terms = [(layer, form)]
        if plan.skip and layer is plan.layers[-1]:
            terms.append((plan.skip, inputs))
        form, layer_safe_M = _sum(terms)
        safe_M &= layer_safe_M
        form = _activate(form, layer.activation)
    radius_OM = np.where(safe_M, form.radius_IM, np.inf)
    return CertifiedBounds(mid_DM, half_DM, form.line_ISM[:, 0], form.line_ISM[:, 1:], radius_OM)


def _sum(terms: list[tuple[Dense, _AffineForm]]) -> tuple[_AffineForm, Any]:
    """The sum of dense layers, without activation, and for which boxes it cannot overflow float32: bool (M,)."""
    count = sum(layer.weight_OI.shape[1] + 2 for layer, _ in terms)
    gamma = count * _UNIT / (1 - count * _UNIT)
    line_OSM: Any = 0.0
    radius_OM: Any = count * _TINY
    for layer, form in terms:
        weight_OI = layer.weight_OI.astype(np.float64)
        inputs, values, boxes = form.line_ISM.shape
        part_OSM = (weight_OI @ form.line_ISM.reshape(inputs, values * boxes)).reshape(len(weight_OI), values, boxes)
        part_OSM[:, 0] += layer.bias_O1
        line_OSM = line_OSM + part_OSM
        size_IM = np.abs(form.line_ISM[:, 0]) + form.deviation
        radius_OM = radius_OM + np.abs(weight_OI) @ (form.radius_IM + gamma * size_IM) + gamma * np.abs(layer.bias_O1)
    # the radius is at least gamma times the sizes of the terms
    return _AffineForm(line_OSM, radius_OM), (radius_OM <= gamma * _SAFE).all(axis=0)


def _activate(form: _AffineForm, activation: Activation) -> _AffineForm:
    if activation == "identity":
        return form
    center_IM, deviation_IM = form.line_ISM[:, 0], form.deviation
    slope_IM, offset_IM, radius_IM = linear_relaxation(activation, center_IM - deviation_IM, center_IM + deviation_IM)
    line_ISM = slope_IM[:, None] * form.line_ISM
    line_ISM[:, 0] += offset_IM
    return _AffineForm(line_ISM, np.abs(slope_IM) * form.radius_IM + radius_IM)
