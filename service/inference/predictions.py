"""Predictions of published versions: the class of each point, and what else a request wants to know of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.boundary.certified import nearest as nearest_change
from models.boundary.certified.nearest import Nearest
from models.datasets import DoubleArray, FloatArray, IntArray, PointArray
from models.inference import dispatch, numpy_forward, scalar_codegen
from models.limits import MAX_ANSWER_VALUES, MAX_ANSWER_WORK, MAX_NEAREST_POINTS
from models.networks.plans import ensemble, single
from models.specs import InvalidInput
from service.inference.training_ranges import training_range
from service.inference.windows import default_range
from service.registry.networks import LoadedNetwork
from service.store.files import Files

LARGE_WORK = 500_000
"""Multiplications and values from which a prediction is made in a thread: a millisecond or two."""


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """What to compute for some points.

    Attributes:
        threshold: for two classes, the probability of the second class above which a point has its label; None is 0.5.
        logits: whether to return the network's output too.
        nearest: whether to find the nearest point with another label. Only for points in the plane.
        spread: whether to say how far the networks of an ensemble differ.
        outside: whether to mark points outside the training range.
        margin: of the window whose diagonal is the radius of that search, see `windows.default_range`.
    """

    threshold: float | None = None
    logits: bool = False
    nearest: bool = False
    spread: bool = False
    outside: bool = False
    margin: float | None = None

    @property
    def level(self) -> float:
        """The threshold as a logit."""
        return 0.0 if self.threshold is None else math.log(self.threshold / (1 - self.threshold))


@dataclass(frozen=True)
class Prediction:
    """The predicted classes of N points.

    Attributes:
        prob_NK: (N, K), each row summing to 1: float32, or float64 of a few points, see `predict_like_json`.
        level: the threshold of the request, as a logit.
        logit_NO: float32 (N, O), the network's output, with O = 1 for two classes; None if it was not requested.
        nearest: the nearest points with another label; None if they were not requested.
        spread_NK: float32 (N, K), the standard deviation of each probability over the networks of an ensemble; None if
            it was not requested.
        outside_N: (N,), whether each point is outside the training range; None if it was not requested.
    """

    prob_NK: FloatArray | DoubleArray
    level: float
    logit_NO: FloatArray | None
    nearest: Nearest | None
    spread_NK: FloatArray | None = None
    outside_N: npt.NDArray[np.bool_] | None = None

    @cached_property
    def best_N(self) -> IntArray:
        """Int64 (N,): the index of each point's class, the most probable one unless the threshold decides."""
        return numpy_forward.predicted(self.prob_NK, level=self.level)

    @property
    def margin_N(self) -> FloatArray:
        """Float32 (N,): the probability of each point's class minus the one of the most probable other class.

        It is negative where the threshold decides against the more probable class.
        """
        own_N1 = np.take_along_axis(self.prob_NK, self.best_N[:, None], axis=1)
        others_NK = self.prob_NK.copy()
        np.put_along_axis(others_NK, self.best_N[:, None], -np.inf, axis=1)
        margin_N: FloatArray = own_N1[:, 0] - others_NK.max(axis=1)
        return margin_N


_DEFAULT = PredictionRequest()


def predict(
    version: LoadedNetwork, xy_ND: PointArray, request: PredictionRequest = _DEFAULT, *, files: Files | None = None
) -> Prediction:
    """Predicts the class of each point (N, D). Marks points outside the training range only with the `files` of it.

    Raises:
        InvalidInput: the points have the wrong number of coordinates, there are too many, the network overflows, the
            margin is out of bounds, or the model has not what is requested.
        VersionBroken: the file of the training range cannot be read.
    """
    plan = version.plan
    if work(version, len(xy_ND)) > MAX_ANSWER_WORK or len(xy_ND) * plan.classes > MAX_ANSWER_VALUES:
        raise InvalidInput("points", "must be fewer for a network of this size; send them in several requests")
    if request.threshold is not None and plan.classes > 2:
        raise InvalidInput("threshold", f"must be left out: it needs two classes, but this model has {plan.classes}")
    nearest = _nearest(version, xy_ND, request) if request.nearest else None
    logit_NO = None
    if request.logits:
        logit_NO = dispatch.logits(plan, xy_ND)
        prob_NK = numpy_forward.probabilities(logit_NO)
    else:
        prob_NK = dispatch.probabilities(plan, xy_ND)
    spread_NK = dispatch.spread(ensemble(plan, field="outputs"), xy_ND) if request.spread else None
    outside_N = _outside(version, xy_ND, files) if request.outside and files else None
    return Prediction(prob_NK, request.level, logit_NO, nearest, spread_NK, outside_N)


def _outside(version: LoadedNetwork, xy_ND: PointArray, files: Files) -> npt.NDArray[np.bool_]:
    known = training_range(version, files, field="outputs")
    if len(xy_ND) * known.work > MAX_ANSWER_WORK:
        raise InvalidInput("points", "must be fewer for this training range; send them in several requests")
    return known.outside(xy_ND)


def _nearest(version: LoadedNetwork, xy_ND: PointArray, request: PredictionRequest) -> Nearest:
    """Searches within the length of the diagonal of the default window of a grid."""
    features = version.plan.features
    if features != 2:
        raise InvalidInput("outputs", f"must not contain nearest: it needs two features, this model has {features}")
    if len(xy_ND) > MAX_NEAREST_POINTS:
        raise InvalidInput("outputs", f"may contain nearest for at most {MAX_NEAREST_POINTS:,} points in one request")
    window = [default_range(version.card, d, margin=request.margin) for d in range(features)]
    radius = math.hypot(*(high - low for low, high in window))
    plan = single(version.plan, field="outputs", what="nearest")
    most = nearest_change.max_points(plan)
    if len(xy_ND) > most:
        few = f"may contain nearest for at most {most:,} points in one request, for a network of this size"
        limit = few if most else "must not contain nearest: the network is too large"
        raise InvalidInput("outputs", limit)
    try:
        return nearest_change.nearest(plan, xy_ND.astype(np.float64), level=request.level, radius=radius)
    except InvalidInput:
        raise InvalidInput(
            "points", "must be smaller numbers: the output of the network overflows float32 near them"
        ) from None


def work(version: LoadedNetwork, points: int) -> int:
    """The cost of predicting this many points, in multiplications."""
    return points * version.plan.work


def is_large(version: LoadedNetwork, points: int) -> bool:
    """Whether predicting this many points, with their decoding and encoding, would hold up other requests."""
    values = points * (version.plan.features + version.plan.classes)
    return work(version, points) + 10 * values > LARGE_WORK


def of_few(version: LoadedNetwork, points: Sequence[Sequence[float]]) -> list[list[float]] | None:
    """The probabilities (N, K) of a few points in float64, by code that is generated for a small network.

    None if there are too many points, the network is not small, or the code cannot compute a point.
    """
    if len(points) > scalar_codegen.MAX_POINTS:
        return None
    probabilities = scalar_codegen.function(version.plan)
    if probabilities is None:
        return None
    try:
        return [probabilities(*x_D) for x_D in points]
    except (TypeError, OverflowError):
        return None


def predict_like_json(version: LoadedNetwork, xy_ND: PointArray, request: PredictionRequest = _DEFAULT) -> Prediction:
    """As `predict`, but with the bits of `POST /predict` in JSON: from `of_few` for a few points without options.

    Raises:
        InvalidInput: see `predict`.
    """
    is_few = len(xy_ND) <= scalar_codegen.MAX_POINTS and request == _DEFAULT
    few = of_few(version, xy_ND.tolist()) if is_few else None
    return predict(version, xy_ND, request) if few is None else Prediction(np.array(few), request.level, None, None)
