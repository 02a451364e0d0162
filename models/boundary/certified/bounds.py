"""Sound enclosures of a network's outputs on boxes, so that one look can tell the label of many points at once.

Forward linear relaxation (affine arithmetic: Stolfi and de Figueiredo 1997; for networks: Singh et al. 2018, "Fast and
effective robustness certification"). Every value in the network is held, on a box, as

    centre + the sum over coordinates d of reach_d t_d, plus or minus radius,   t_d = (x_d - mid_d) / half_d in [-1, 1]

A dense layer maps centres and reaches exactly, radii by the absolute weights; an activation becomes a line and a radius
(`models.boundary.certified.relaxations`).

What is enclosed is the answer *as computed*, in float32, by `models.inference.numpy_forward` or the kernel:
    - a point is enclosed with what it becomes when it is cast to float32;
    - a sum of n products in any order errs by gamma_n = n u / (1 - n u) of the sum of their sizes, u = 2^-24 (Higham,
      Accuracy and Stability of Numerical Algorithms, 2002, section 3.1);
    - activations are approximations, see `models.boundary.certified.relaxations.ERRORS`.

float64, in which all this is reckoned, adds a billionth of that, which the constants leave room for. Where float32 may
overflow, nothing is proven.

Dimension letters beyond those of `models`: M boxes, I values of a layer, S a centre and its reaches (1 + D).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.boundary.certified.relaxations import DOUBLE, line
from models.datasets import DoubleArray, FloatArray, IntArray
from models.inference import dispatch, numpy_forward
from models.networks.plans import Dense, Plan
from models.specs import Activation

DECISION_SLACK = 2e-6
"""How far logits must be apart, or from the level, for a label taken from float32 probabilities to be sure: these have
relative errors below 4e-7, and what differs less may become equal."""

BLOCK_VALUES = 2**15
"""Centres and reaches of a layer that are worked on at once: a few hundred KiB, which stay in the processor's cache."""

LEAST_BOXES = 128
"""Boxes worked on at once at least: with fewer, products of matrices are slow. Of 1,024 neurons, 3 MiB."""

_UNIT = 2.0**-24 * (1 + 1e-6)
_TINY = 1e-37  # a product that underflows float32 loses less
_SAFE = 1e38  # sums up to here do not overflow float32


@dataclass(frozen=True)
class CertifiedBounds:
    """Outputs of a plan on boxes: centre + reach . (x - mid) / half, plus or minus radius; float64.

    A radius is infinite or NaN where nothing is known.

    Attributes:
        mid_DM, half_DM: the boxes, float32 roundings of their points included.
        centre_OM, reach_ODM, radius_OM: the outputs.
    """

    mid_DM: DoubleArray
    half_DM: DoubleArray
    centre_OM: DoubleArray
    reach_ODM: DoubleArray
    radius_OM: DoubleArray

    def margin(self, k: int | IntArray, level: float) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """By how much class k leads each other class: centres (R, M), reaches (R, D, M) and radii (R, M) of R rivals.

        `k` may differ from box to box (M,). With one output the only rival is the other class, and the lead is the
        logit's distance from `level`; with several, the row of k itself leads by infinity.
        """
        if len(self.centre_OM) == 1:
            sign_M = np.where(k, 1.0, -1.0)
            return sign_M * (self.centre_OM - level), sign_M * self.reach_ODM, self.radius_OM + DECISION_SLACK
        at = np.broadcast_to(k, self.centre_OM.shape[1:])
        boxes = np.arange(len(at))
        centre_OM = self.centre_OM[at, boxes] - self.centre_OM
        centre_OM[at, boxes] = np.inf
        reach_ODM = self.reach_ODM[at, :, boxes].T - self.reach_ODM
        return centre_OM, reach_ODM, self.radius_OM[at, boxes] + self.radius_OM + DECISION_SLACK


def enclose(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray) -> CertifiedBounds:
    """The outputs on boxes from `low_MD` to `high_MD`, data units. About (D + 2) P multiplications for each box."""
    blocks = list(_in_blocks(plan, low_MD, high_MD))
    if len(blocks) == 1:
        return blocks[0]
    return CertifiedBounds(
        *(np.concatenate([vars(part)[name] for part in blocks], axis=-1) for name in vars(blocks[0]))
    )


def certain(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray, *, level: float = 0.0) -> IntArray:
    """The index of the class that every point of a box is proven to get as its label, or -1: int64 (M,).

    With one output, class 1 is where the logit is greater than `level`; with several, the greatest decides alone.
    Memory beyond the answer does not grow with M.
    """
    return np.concatenate([_decided(enclosure, level) for enclosure in _in_blocks(plan, low_MD, high_MD)])


def _decided(enclosure: CertifiedBounds, level: float) -> IntArray:
    centre_OM = enclosure.centre_OM
    best_M = (centre_OM[0] > level).astype(np.int64) if len(centre_OM) == 1 else centre_OM.argmax(axis=0)
    with np.errstate(all="ignore"):
        lead_RM, reach_RDM, radius_RM = enclosure.margin(best_M, level)
        proven_M = (lead_RM > np.abs(reach_RDM).sum(axis=1) + radius_RM).all(axis=0)
    label_M: IntArray = np.where(proven_M, best_M, -1)
    return label_M


def labels_at(plan: Plan, xy_ND: FloatArray, *, level: float = 0.0) -> IntArray:
    """The labels that `certain` speaks of, computed: int64 (N,) for points float32 (N, D).

    Raises:
        InvalidInput: the output of a point overflows float32.
    """
    level = level if plan.widths[-1] == 1 else 0.0  # of several outputs the greatest decides alone
    return numpy_forward.predicted(dispatch.probabilities(plan, xy_ND), level=level)


def _in_blocks(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray) -> Iterator[CertifiedBounds]:
    widest = max(plan.widths) * (1 + plan.features)
    step = max(LEAST_BOXES, BLOCK_VALUES // widest)
    for start in range(0, max(1, len(low_MD)), step):
        with np.errstate(all="ignore"):  # what overflows, or is not a number, proves nothing
            enclosure = _enclose(plan, low_MD[start : start + step].T, high_MD[start : start + step].T)
        yield enclosure


@dataclass(frozen=True)
class _Form:
    """Values of a layer on M boxes: `line_ISM` has their centres and, behind them, their reaches along each axis."""

    line_ISM: DoubleArray
    radius_IM: DoubleArray

    @property
    def spread(self) -> Any:
        """Half the widths of the ranges of the values: (I, M)."""
        return np.abs(self.line_ISM[:, 1:]).sum(axis=1) + self.radius_IM


def _enclose(plan: Plan, low_DM: DoubleArray, high_DM: DoubleArray) -> CertifiedBounds:
    low_DM, high_DM = plan.transform.boxes(low_DM, high_DM)
    mid_DM = low_DM / 2 + high_DM / 2
    half_DM = np.maximum(high_DM - mid_DM, mid_DM - low_DM) * (1 + DOUBLE)
    axes = range(plan.features)
    line_DSM = np.zeros((plan.features, 1 + plan.features, mid_DM.shape[1]))
    line_DSM[:, 0] = mid_DM
    line_DSM[axes, [1 + d for d in axes]] = half_DM
    points = form = _Form(line_DSM, np.zeros_like(mid_DM))
    safe_M = np.ones(mid_DM.shape[1], bool)
    for layer in plan.layers:
        into = [(layer, form)]
        if plan.skip and layer is plan.layers[-1]:
            into.append((plan.skip, points))
        form, layer_safe_M = _sum(into)
        safe_M &= layer_safe_M
        form = _activate(form, layer.activation)
    radius_OM = np.where(safe_M, form.radius_IM, np.inf)
    return CertifiedBounds(mid_DM, half_DM, form.line_ISM[:, 0], form.line_ISM[:, 1:], radius_OM)


def _sum(into: list[tuple[Dense, _Form]]) -> tuple[_Form, Any]:
    """Dense layers added up, without activation, and on which boxes their sums cannot overflow float32."""
    terms = sum(layer.weight_OI.shape[1] + 2 for layer, _ in into)
    gamma = terms * _UNIT / (1 - terms * _UNIT)
    line_OSM: Any = 0.0
    radius_OM: Any = terms * _TINY
    for layer, form in into:
        weight_OI = layer.weight_OI.astype(np.float64)
        line_ISM = form.line_ISM
        columns = line_ISM.shape[1] * line_ISM.shape[2]
        part_OSM = (weight_OI @ line_ISM.reshape(len(line_ISM), columns)).reshape(len(weight_OI), *line_ISM.shape[1:])
        part_OSM[:, 0] += layer.bias_O1
        line_OSM = line_OSM + part_OSM
        size_IM = np.abs(form.line_ISM[:, 0]) + form.spread
        radius_OM = radius_OM + np.abs(weight_OI) @ (form.radius_IM + gamma * size_IM) + gamma * np.abs(layer.bias_O1)
    # the radius is gamma times the sizes of the terms, or more
    return _Form(line_OSM, radius_OM), (radius_OM <= gamma * _SAFE).all(axis=0)


def _activate(form: _Form, activation: Activation) -> _Form:
    if activation == "identity":
        return form
    centre_IM, spread_IM = form.line_ISM[:, 0], form.spread
    slope_IM, offset_IM, radius_IM = line(activation, centre_IM - spread_IM, centre_IM + spread_IM)
    line_ISM = slope_IM[:, None] * form.line_ISM
    line_ISM[:, 0] += offset_IM
    return _Form(line_ISM, np.abs(slope_IM) * form.radius_IM + radius_IM)
