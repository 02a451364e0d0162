"""The points of a training as its network sees them: which were held out, and what it predicts for each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.datasets import FloatArray, IntArray, LabelledPoints, held_out
from models.inference import dispatch, numpy_forward
from models.limits import MAX_ANSWER_VALUES, MAX_ANSWER_WORK
from models.specs import InvalidInput
from service.errors import TrainingUnknown, VersionBroken
from service.jobs import training_data
from service.registry.networks import LoadedNetwork
from service.store.files import Files
from service.store.points_file import DamagedData


@dataclass(frozen=True)
class TrainingPoints:
    """Some points of a training, in the order in which they were sent; separate validation points come last.

    Attributes:
        network: the network.
        points: the N points of this part.
        is_validation_N: which of them are validation points.
        prob_NK: the probability of each class, float32.
        total: the number of points in all.
        offset: how many of them precede this part.
    """

    network: LoadedNetwork
    points: LabelledPoints
    is_validation_N: npt.NDArray[np.bool_]
    prob_NK: FloatArray
    total: int
    offset: int

    @property
    def predicted_N(self) -> IntArray:
        """The index of the most likely class of each point."""
        return numpy_forward.predicted(self.prob_NK)

    @property
    def has_more(self) -> bool:
        """Whether points follow."""
        return self.offset + len(self.points.label_N) < self.total


def training_points(network: LoadedNetwork, files: Files, *, offset: int, limit: int) -> TrainingPoints:
    """Some points of the training of a network, with its predictions.

    Args:
        network: of a version or of a job.
        files: has the points.
        offset: how many points to leave out.
        limit: maximum number of points to return; fewer if they have many features or classes, or the network is large.

    Raises:
        TrainingUnknown: the network was imported.
        VersionBroken: the points cannot be read.
        InvalidInput: there are no more points than `offset`, or the output for one overflows float32.
    """
    points, is_validation_N = _all(network, files)
    total = len(points.label_N)
    if offset and offset >= total:
        raise InvalidInput("offset", f"must be less than the number of points, {total:,}")
    plan = network.plan
    most = min(limit, MAX_ANSWER_VALUES // (plan.features + plan.classes), MAX_ANSWER_WORK // plan.work)
    shown = slice(offset, offset + max(1, most))
    part = LabelledPoints(
        points.xy_ND[shown], points.label_N[shown], points.classes, points.feature_names, points.categories
    )
    prob_NK = dispatch.probabilities(plan, part.xy_ND)
    return TrainingPoints(network, part, is_validation_N[shown], prob_NK, total, offset)


def _all(network: LoadedNetwork, files: Files) -> tuple[LabelledPoints, npt.NDArray[np.bool_]]:
    """All points, and which of them are validation points."""
    card, job_id, spec = network.card, network.job_id, network.card.training
    if job_id is None or card.data is None or card.data_digest is None or spec is None:
        raise TrainingUnknown
    try:
        points = training_data.load(files, job_id, card.data, card.data_digest)
        own = training_data.load_validation(files, job_id, card.data, points)
    except (DamagedData, OSError) as error:
        raise VersionBroken(
            "The training points of the version cannot be read. Tell the operator of the service."
        ) from error
    if own is None:
        return points, held_out(points, fraction=spec.validation_fraction, seed=spec.seed)
    counts = len(points.label_N), len(own.label_N)
    joined = LabelledPoints(
        np.concatenate([points.xy_ND, own.xy_ND]),
        np.concatenate([points.label_N, own.label_N]),
        points.classes,
        points.feature_names,
        points.categories,
    )
    return joined, np.repeat([False, True], counts)
