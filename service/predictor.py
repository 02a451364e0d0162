"""Answers for published versions: classes of points. Boundary grids are in `service.boundaries`."""

from dataclasses import dataclass

from models import answers, forward
from models.datasets import FloatArray, IntArray
from models.specs import MAX_ANSWER_VALUES, MAX_ANSWER_WORK, InvalidInput
from service.registry import LoadedVersion


@dataclass(frozen=True)
class Prediction:
    """The classes of some points.

    Attributes:
        best_N: int64 (N,), the index of each point's most probable class.
        prob_NK: float32 (N, K), each row summing to 1.
    """

    best_N: IntArray
    prob_NK: FloatArray


def predict(version: LoadedVersion, xy_ND: FloatArray) -> Prediction:
    """The class of each point, float32 (N, D).

    Raises:
        InvalidInput: the points have another number of coordinates, or are too large for the network.
    """
    features = version.plan.features
    if xy_ND.shape[1] != features:
        raise InvalidInput("points", f"each point must have {features} coordinates, these have {xy_ND.shape[1]}")
    if work(version, len(xy_ND)) > MAX_ANSWER_WORK or len(xy_ND) * version.plan.classes > MAX_ANSWER_VALUES:
        raise InvalidInput("points", "too many at once for a network of this size: send them in several requests")
    prob_NK = answers.probabilities(version.plan, xy_ND)
    return Prediction(forward.predicted(prob_NK), prob_NK)


def work(version: LoadedVersion, points: int) -> int:
    """What answering for that many points costs, in multiplications."""
    return points * version.plan.parameters.size
