"""Answers for published versions: classes of points, and boundary grids."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models import answers, forward, grids
from models import nearest as nearest_change
from models.datasets import FloatArray, IntArray, Label
from models.grids import Grid
from models.nearest import Nearest
from models.specs import MAX_ANSWER_VALUES, MAX_ANSWER_WORK, MAX_NEAREST_POINTS, GridSpec, InvalidInput, ResponseKind
from service.registry import LoadedVersion


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """What somebody wants to know of some points.

    Attributes:
        threshold: of two classes, the probability of the second above which a point is given its label; None is 0.5.
        logits: whether the network's output itself is wanted.
        nearest: whether the nearest point of another label is wanted, of points in the plane.
    """

    threshold: float | None = None
    logits: bool = False
    nearest: bool = False

    @property
    def level(self) -> float:
        """The threshold as a logit."""
        return 0.0 if self.threshold is None else math.log(self.threshold / (1 - self.threshold))


@dataclass(frozen=True)
class Prediction:
    """The classes of some points.

    Attributes:
        prob_NK: float32 (N, K), each row summing to 1.
        threshold: of the request.
        logit_NO: float32 (N, O), the network's output, O = 1 for two classes; None if it was not wanted.
        nearest: the nearest points of another label; None if they were not wanted.
    """

    prob_NK: FloatArray
    threshold: float | None
    logit_NO: FloatArray | None
    nearest: Nearest | None

    @cached_property
    def best_N(self) -> IntArray:
        """Int64 (N,): the index of each point's class, the most probable or what the threshold says."""
        if self.threshold is None:
            return forward.predicted(self.prob_NK)
        return (self.prob_NK[:, 1] > np.float32(self.threshold)).astype(np.int64)

    @property
    def margin_N(self) -> FloatArray:
        """Float32 (N,): how much more probable each point's class is than the likeliest other.

        Negative where a threshold overrules the more probable class.
        """
        own_N1 = np.take_along_axis(self.prob_NK, self.best_N[:, None], axis=1)
        others_NK = self.prob_NK.copy()
        np.put_along_axis(others_NK, self.best_N[:, None], -np.inf, axis=1)
        margin_N: FloatArray = own_N1[:, 0] - others_NK.max(axis=1)
        return margin_N


_DEFAULT = PredictionRequest()


def predict(version: LoadedVersion, xy_ND: FloatArray, request: PredictionRequest = _DEFAULT) -> Prediction:
    """The class of each point, float32 (N, D).

    Raises:
        InvalidInput: the points have another number of coordinates, are too many or too large for the network, or
            a threshold or the nearest points are wanted of a model that has none.
    """
    plan = version.plan
    if work(version, len(xy_ND)) > MAX_ANSWER_WORK or len(xy_ND) * plan.classes > MAX_ANSWER_VALUES:
        raise InvalidInput("points", "too many at once for a network of this size: send them in several requests")
    if request.threshold is not None and plan.classes > 2:
        raise InvalidInput("threshold", f"is for models of two classes, this one has {plan.classes}")
    nearest = _nearest(version, xy_ND, request.level) if request.nearest else None
    logit_NO = None
    if request.logits:
        logit_NO = answers.logits(plan, xy_ND)
        prob_NK = forward.probabilities(logit_NO)
    else:
        prob_NK = answers.probabilities(plan, xy_ND)
    return Prediction(prob_NK, request.threshold, logit_NO, nearest)


def _nearest(version: LoadedVersion, xy_ND: FloatArray, level: float) -> Nearest:
    """Looked for as far as the window of the version's grids is wide, from corner to corner."""
    if version.plan.features != 2:
        raise InvalidInput("nearest", f"is for points in the plane, this model's have {version.plan.features} features")
    if len(xy_ND) > MAX_NEAREST_POINTS:
        raise InvalidInput("nearest", f"at most {MAX_NEAREST_POINTS:,} points at once: each takes a search")
    x_min, x_max, y_min, y_max = grids.padded_window(version.card.low, version.card.high)
    radius = math.hypot(x_max - x_min, y_max - y_min)
    return nearest_change.nearest(version.plan, xy_ND.astype(np.float64), level=level, radius=radius)


def work(version: LoadedVersion, points: int) -> int:
    """What answering for that many points costs, in multiplications."""
    return points * version.plan.parameters.size


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """The grid that somebody wants; what is None depends on the version that answers.

    Attributes:
        x_min, x_max, y_min, y_max: the window, in data units; by default the training data's range and 1 around it.
        width, height: columns and rows.
        response: by default the probability for two classes, the label for more.
        class_name: whose probability or logit, as a string; by default the second of two classes.
    """

    x_min: float | None = None
    x_max: float | None = None
    y_min: float | None = None
    y_max: float | None = None
    width: int
    height: int
    response: ResponseKind | None = None
    class_name: str | None = None


@dataclass(frozen=True)
class BoundaryGrid:
    """A grid and what its values are: `class_index` is whose probability or logit, None for labels."""

    grid: Grid
    response: ResponseKind
    class_index: int | None


def boundary_grid(version: LoadedVersion, request: GridRequest) -> BoundaryGrid:
    """A version's response on a grid.

    Raises:
        InvalidInput: the window or the resolution is out of bounds, the class is none of the model's or is not given
            though there are more than two, or the model's points are not in the plane.
    """
    grids.check_plane(version.plan.features)
    defaults = grids.padded_window(version.card.low, version.card.high)
    given = (request.x_min, request.x_max, request.y_min, request.y_max)
    x_min, x_max, y_min, y_max = (
        default if value is None else value for value, default in zip(given, defaults, strict=True)
    )
    spec = GridSpec(x_min=x_min, x_max=x_max, y_min=y_min, y_max=y_max, width=request.width, height=request.height)
    classes = version.card.classes
    response = request.response or ("probability" if len(classes) == 2 else "label")
    k = _class_index(classes, request.class_name, response)
    if work(version, spec.width * spec.height) > MAX_ANSWER_WORK:
        raise InvalidInput("resolution", "too many cells for a network of this size")
    grid = grids.evaluate(version.plan, spec, response=response, class_index=k)
    return BoundaryGrid(grid, response, None if response == "label" else k)


def _class_index(classes: tuple[Label, ...], name: str | None, response: ResponseKind) -> int:
    names = [str(label) for label in classes]
    if name is not None and name not in names:
        raise InvalidInput("class", "must be one of the model's classes; GET /models/{name}/versions/{v} lists them")
    if name is not None:
        return names.index(name)
    if response != "label" and len(classes) > 2:
        raise InvalidInput("class", f"must say which of the model's {len(classes)} classes, or ask for response=label")
    return 1
