"""Sound enclosures of a network's outputs on boxes, so that one look can tell the label of many points at once.

Forward linear relaxation (affine arithmetic: Stolfi and de Figueiredo 1997; for networks: Singh et al. 2018, "Fast and
effective robustness certification"). Every value in the network is held, on a box, as

    centre + the sum over coordinates d of reach_d t_d, plus or minus radius,   t_d = (x_d - mid_d) / half_d in [-1, 1]

A dense layer maps centres and reaches exactly, radii by the absolute weights. An activation f on [l, u] becomes a line
with the slope s of its chord; its radius is half the range of f(x) - s x, which the ends of [l, u] and the places where
f' = s decide. Where f' is continuous, the error of interpolation is at most max |f''| (u - l)^2 / 8: halving a box
quarters the radius.

What is enclosed is the answer *as computed*, in float32, by `models.forward` or the kernel:
    - a point is enclosed with what it becomes when it is cast to float32;
    - a sum of n products in any order errs by gamma_n = n u / (1 - n u) of the sum of their sizes, u = 2^-24 (Higham,
      Accuracy and Stability of Numerical Algorithms, 2002, section 3.1);
    - activations are approximations, see `ACTIVATION_ERRORS`.

float64, in which all this is reckoned, adds a billionth of that, which the constants leave room for. Where float32 may
overflow, nothing is proven.

Dimension letters beyond those of `models`: M boxes, I values of a layer, S a centre and its reaches (1 + D).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from models import answers, forward
from models.datasets import DoubleArray, FloatArray, IntArray
from models.plans import Dense, Plan
from models.specs import Activation

ACTIVATION_ERRORS: dict[Activation, tuple[float, float]] = {
    "identity": (0.0, 0.0),
    "relu": (0.0, 0.0),
    "leaky_relu": (1e-6, 0.0),
    "elu": (1e-6, 1e-36),
    "silu": (1e-6, 1e-6),
    "gelu": (2e-6, 2e-6),
    "softplus": (1e-6, 1e-36),
    "tanh": (0.0, 1e-6),
    "sigmoid": (1e-6, 1e-36),
}
"""How far an activation computed in float32 may be from the exact one: a share of its greatest size on the box, and a
constant. About twice what `models.kernel.functions` states and numpy does; those of silu and gelu hold the error of
`_turns` too, 4e-7."""

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
_DOUBLE = 1e-14  # generous for a handful of float64 operations


@dataclass(frozen=True)
class Enclosure:
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

    def margin(self, k: int | IntArray, level: float) -> "tuple[DoubleArray, DoubleArray, DoubleArray]":
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
        # one class's row behind fancy indices: (M, D)
        reach_ODM = self.reach_ODM[at, :, boxes].T - self.reach_ODM
        return centre_OM, reach_ODM, self.radius_OM[at, boxes] + self.radius_OM + DECISION_SLACK


def enclose(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray) -> Enclosure:
    """The outputs on boxes from `low_MD` to `high_MD`, data units. About (D + 2) P multiplications for each box."""
    widest = max(plan.widths) * (1 + plan.features)
    step = max(LEAST_BOXES, BLOCK_VALUES // widest)
    with np.errstate(all="ignore"):  # what overflows, or is not a number, proves nothing
        blocks = [
            _enclose(plan, low_MD[start : start + step].T, high_MD[start : start + step].T)
            for start in range(0, max(1, len(low_MD)), step)
        ]
    if len(blocks) == 1:
        return blocks[0]
    return Enclosure(*(np.concatenate([vars(part)[name] for part in blocks], axis=-1) for name in vars(blocks[0])))


def certain(plan: Plan, low_MD: DoubleArray, high_MD: DoubleArray, *, level: float = 0.0) -> IntArray:
    """The index of the class that every point of a box is proven to get as its label, or -1: int64 (M,).

    With one output, class 1 is where the logit is greater than `level`; with several, the greatest decides alone.
    """
    enclosure = enclose(plan, low_MD, high_MD)
    centre_OM = enclosure.centre_OM
    best_M = (centre_OM[0] > level).astype(np.int64) if len(centre_OM) == 1 else centre_OM.argmax(axis=0)
    with np.errstate(all="ignore"):
        lead_RM, reach_RDM, radius_RM = enclosure.margin(best_M, level)
        proven_M = (lead_RM > np.abs(reach_RDM).sum(axis=1) + radius_RM).all(axis=0)
    label_M: IntArray = np.where(proven_M, best_M, -1)
    return label_M


def labels_at(plan: Plan, xy_ND: FloatArray, *, level: float = 0.0) -> IntArray:
    """The labels that `certain` speaks of, computed: int64 (N,) for points float32 (N, D).

    They come from probabilities, of which the smaller is exact to its last digits, so that a level up to 80 on either
    side of 0 decides as it would on the logits.

    Raises:
        InvalidInput: the output of a point overflows float32.
    """
    prob_NK = answers.probabilities(plan, xy_ND)
    if plan.widths[-1] > 1:
        return forward.predicted(prob_NK)
    odds = np.exp(-abs(level))
    first_N, second_N = prob_NK.T.astype(np.float64)
    label_N: IntArray = (second_N * odds > first_N if level >= 0 else second_N > first_N * odds).astype(np.int64)
    return label_N


@dataclass(frozen=True)
class _Form:
    """Values of a layer on M boxes: `line_ISM` has their centres and, behind them, their reaches along each axis."""

    line_ISM: DoubleArray
    radius_IM: DoubleArray

    @property
    def spread(self) -> Any:
        """Half the widths of the ranges of the values: (I, M)."""
        return np.abs(self.line_ISM[:, 1:]).sum(axis=1) + self.radius_IM


def _enclose(plan: Plan, low_DM: DoubleArray, high_DM: DoubleArray) -> Enclosure:
    low_DM = np.minimum(low_DM, low_DM.astype(np.float32))
    high_DM = np.maximum(high_DM, high_DM.astype(np.float32))
    mid_DM = low_DM / 2 + high_DM / 2
    half_DM = np.maximum(high_DM - mid_DM, mid_DM - low_DM) * (1 + _DOUBLE)
    axes = range(plan.features)
    line_DSM = np.zeros((plan.features, 1 + plan.features, mid_DM.shape[1]))
    line_DSM[:, 0] = mid_DM
    line_DSM[axes, [1 + d for d in axes]] = half_DM
    points = form = _Form(line_DSM, np.zeros_like(mid_DM))
    safe_M = np.ones(mid_DM.shape[1], bool)
    for i, (layer, activation) in enumerate(zip(plan.layers, plan.activations, strict=False)):
        into = [(layer, form)]
        if plan.has_branch and i == len(plan.activations) - 1:
            into.append((plan.layers[-1], points))
        form, layer_safe_M = _sum(into)
        safe_M &= layer_safe_M
        form = _activate(form, activation)
    radius_OM = np.where(safe_M, form.radius_IM, np.inf)
    return Enclosure(mid_DM, half_DM, form.line_ISM[:, 0], form.line_ISM[:, 1:], radius_OM)


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
    """An activation by the line that errs least among those with the slope of its chord."""
    if activation == "identity":
        return form
    function, turns = _ACTIVATIONS[activation]
    centre_IM, spread_IM = form.line_ISM[:, 0], form.spread
    low_IM, high_IM = centre_IM - spread_IM, centre_IM + spread_IM
    at_low_IM, at_high_IM = function(low_IM), function(high_IM)
    slope_IM = np.where(high_IM > low_IM, (at_high_IM - at_low_IM) / (high_IM - low_IM), 0.0)
    rest_IM = at_low_IM - slope_IM * low_IM
    least_IM = greatest_IM = rest_IM
    for rest_IM in [at_high_IM - slope_IM * high_IM] + [
        function(turn_IM) - slope_IM * turn_IM
        for turn_IM in (np.clip(turn, low_IM, high_IM) for turn in turns(slope_IM))
    ]:
        least_IM, greatest_IM = np.minimum(least_IM, rest_IM), np.maximum(greatest_IM, rest_IM)
    size_IM = np.maximum(np.abs(at_low_IM), np.abs(at_high_IM))
    share, constant = ACTIVATION_ERRORS[activation]
    error_IM = (share + _DOUBLE) * size_IM + constant + _DOUBLE * np.abs(slope_IM) * (np.abs(centre_IM) + spread_IM)
    line_ISM = slope_IM[:, None] * form.line_ISM
    line_ISM[:, 0] += (least_IM + greatest_IM) / 2
    return _Form(line_ISM, np.abs(slope_IM) * form.radius_IM + (greatest_IM - least_IM) / 2 + error_IM)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _gelu_gate(x: Any) -> Any:
    """As in `models.kernel.functions`."""
    return _sigmoid(2 * _GELU * (x + 0.044715 * x * x * x))


_GELU = np.sqrt(2 / np.pi)
_LEAK = float(np.float32(0.01))


def _proper(share: Any) -> Any:
    """Between 0 and 1, where a rounding has left it at one of them or beyond."""
    return np.clip(share, 1e-300, 1 - 2.0**-53)


def _logit(y: Any) -> Any:
    return np.log(y / (1 - y))


def _sigmoid_turns(slope: Any) -> tuple[Any, Any]:
    """Where y (1 - y) is the slope; the smaller y without cancellation."""
    slope = _proper(slope)
    turn = _logit(2 * slope / (1 + np.sqrt(np.maximum(1 - 4 * slope, 0))))
    return turn, -turn


def _tanh_turns(slope: Any) -> tuple[Any, Any]:
    """Where 1 - y^2 is the slope."""
    turn = np.arctanh(np.sqrt(np.clip(1 - slope, 0, 1)))
    return turn, -turn


STEP = 1 / 1024
"""Between the arguments at which the slopes of silu and gelu are tabled."""


@cache
def _slopes(activation: Activation) -> tuple[DoubleArray, ...]:
    """Slopes of silu or gelu and their arguments, both ascending where it is convex; below, where it is not."""
    x = np.arange(-20, 20 + STEP, STEP)
    gate = _sigmoid(x) if activation == "silu" else _gelu_gate(x)
    inner = 1.0 if activation == "silu" else 2 * _GELU * (1 + 3 * 0.044715 * x * x)
    slope = gate + x * gate * (1 - gate) * inner
    first, last = slope.argmin(), slope.argmax()
    return slope[first : last + 1], x[first : last + 1], slope[: first + 1][::-1], x[: first + 1][::-1]


def _turns(activation: Activation) -> Callable[[Any], tuple[Any, Any]]:
    """Where silu or gelu has a slope, to within a step of the table.

    There f(x) - s x is level, so that it errs by |f''| / 2 of the step's square, 4e-7 at most. f(x) - f(-x) = x, so a
    slope above 1 is found where 1 minus it is found, on the other side.
    """

    def turns(slope: Any) -> tuple[Any, Any]:
        slope_C, x_C, below_B, x_B = _slopes(activation)
        outer = np.interp(np.minimum(slope, 1 - slope), below_B, x_B)
        return np.interp(slope, slope_C, x_C), np.where(slope > 0.5, -outer, outer)

    return turns


_ACTIVATIONS: dict[Activation, tuple[Callable[[Any], Any], Callable[[Any], tuple[Any, ...]]]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda slope: (0.0,)),
    "leaky_relu": (lambda x: np.maximum(x, _LEAK * x), lambda slope: (0.0,)),
    "elu": (lambda x: np.maximum(x, np.expm1(np.minimum(x, 0))), lambda slope: (np.log(_proper(slope)),)),
    "silu": (lambda x: x * _sigmoid(x), _turns("silu")),
    "gelu": (lambda x: x * _gelu_gate(x), _turns("gelu")),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), lambda slope: (_logit(_proper(slope)),)),
    "tanh": (np.tanh, _tanh_turns),
    "sigmoid": (_sigmoid, _sigmoid_turns),
}
"""Each activation, and the places where its slope is a given one, or where it has a kink."""
