"""Two versions compared: in which cells of a window, or on which points, their labels differ."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.boundary import contours, slices
from models.boundary.contours import Line
from models.datasets import FloatArray, IntArray, LabelledPoints, PointArray, generate
from models.inference import dispatch, numpy_forward
from models.limits import MAX_ANSWER_WORK
from models.networks.plans import AnyPlan
from models.specs import DATASET_NAMES, DatasetSpec, InvalidInput
from models.training.evaluation import Evaluation
from models.validation import matched
from service.datasets.stored import StoredDatasets
from service.errors import VersionBroken
from service.inference import features, grids, windows
from service.inference.pairs import Agreement, Pair
from service.inference.windows import PlacedWindow, Window
from service.jobs import training_data
from service.registry.registry import LoadedVersion
from service.store.files import Files
from service.store.points_file import DamagedData

BLOCK_VALUES = 2**20
"""Coordinates, or probabilities, of the points that are compared at a time: a few MB for each array."""


@dataclass(frozen=True)
class WindowComparison:
    """The labels of two versions in a window.

    Attributes:
        window: placed on `a`.
        label_a_HW, label_b_HW: int64 (H, W), indices of the classes of `a`; for a curve (W,).
        lines_a, lines_b: the decision boundary of each version, if it was asked for.
    """

    pair: Pair
    window: PlacedWindow
    label_a_HW: IntArray
    label_b_HW: IntArray
    lines_a: Sequence[Line] = ()
    lines_b: Sequence[Line] = ()

    @property
    def agreement(self) -> Agreement:
        """How often the labels agree."""
        return Agreement.of(self.label_a_HW, self.label_b_HW, len(self.pair.class_K))


def over_window(pair: Pair, window: Window, *, with_lines: bool = False) -> WindowComparison:
    """Compares the labels at every cell of a window, by default one that has the default windows of both versions.

    Args:
        pair: the versions. `window` uses the names and numbers of the features of `a`.
        window: where.
        with_lines: whether to trace the boundaries. A curve has none.

    Raises:
        InvalidInput: see `windows.place` and `grids.response_grid`.
    """
    on_a, on_b = _placed(pair, window)
    with_lines = with_lines and not on_a.spec.is_curve
    of_a, of_b = (grids.response_grid(one, response="label", with_logits=with_lines) for one in (on_a, on_b))
    lines_a, lines_b = (contours.between_classes(one.logits) if one.logits else () for one in (of_a, of_b))
    label_a_HW, label_b_HW = (one.grid.values_HW.astype(np.int64) for one in (of_a, of_b))
    return WindowComparison(pair, on_a, label_a_HW, pair.labels_of_b(label_b_HW), lines_a, lines_b)


def _placed(pair: Pair, window: Window) -> tuple[PlacedWindow, PlacedWindow]:
    """The same window on both versions."""
    axes_of_a = features.axes(pair.a.card, window.axes)
    axes = tuple(pair.feature_D[d] for d in axes_of_a)
    ranges = [_range(pair, d, window.margin) for d in axes_of_a]
    on_a = windows.place(pair.a, window, ranges=ranges)
    fixed = [d for d in range(pair.a.card.features) if d not in on_a.axes]
    value_of_b = {pair.feature_D[d]: value for d, value in zip(fixed, on_a.at, strict=True)}
    at = tuple(value_of_b[d] for d in sorted(value_of_b))
    plan = slices.sliced(pair.b.plan, axes, at)
    return on_a, replace(on_a, network=pair.b, plan=plan, axes=axes, at=at)


def _range(pair: Pair, d: int, margin: float | None) -> tuple[float, float]:
    """The default window along a feature of `a`: the union of both, or the window of the one whose data are known."""
    sides = ((pair.a.card, d), (pair.b.card, pair.feature_D[d]))
    known = [one for one in sides if not one[0].range_is_assumed] or sides
    edges = [windows.default_range(card, feature, margin=margin) for card, feature in known]
    return min(low for low, _ in edges), max(high for _, high in edges)


@dataclass(frozen=True)
class Flips:
    """Points whose label differs between two versions, in their order, all as far as a limit allows.

    Attributes:
        index_F: int64 (F,), the number of each point in its dataset, counted from 0.
        xy_FD: (F, D), in the order of the features of `a`.
        label_a_F, label_b_F, label_F: int64 (F,), the labels of both versions and the label of the dataset, as indices
            of the classes of `a`.
    """

    index_F: IntArray
    xy_FD: PointArray
    label_a_F: IntArray
    label_b_F: IntArray
    label_F: IntArray


@dataclass(frozen=True)
class PointsComparison:
    """The labels of two versions on labeled points. The evaluations are in the order of the classes of `a`."""

    pair: Pair
    agreement: Agreement
    evaluation_a: Evaluation
    evaluation_b: Evaluation
    flips: Flips


def over_dataset(pair: Pair, name: str, datasets: StoredDatasets, *, max_flips: int) -> PointsComparison:
    """Compares the labels of a stored dataset, or of a generator with its default settings; see `over_points`.

    Raises:
        InvalidInput: see `over_points`.
        DatasetNotFound, DatasetBroken: as `StoredDatasets.opened`.
    """
    if name in DATASET_NAMES:
        points = generate(DatasetSpec(dataset=name))
        return over_points(pair, [points], count=len(points.label_N), max_flips=max_flips, field="dataset")
    with datasets.opened(name) as (dataset, file):
        count, step = file.shape[0], block_size(pair)
        rows = (file.rows(first, min(first + step, count)) for first in range(0, count, step))
        parts = (replace(part, feature_names=dataset.feature_names, categories=dataset.categories) for part in rows)
        return over_points(pair, parts, count=count, max_flips=max_flips, field="dataset")


def over_training_data(pair: Pair, version: LoadedVersion, files: Files, *, max_flips: int) -> PointsComparison:
    """Compares the labels of the points that one of the versions was trained on; see `over_points`.

    Raises:
        InvalidInput: the version was imported; or see `over_points`.
        VersionBroken: the points cannot be read.
    """
    job_id, card = version.published.job_id, version.card
    if job_id is None or card.data is None or card.data_digest is None:
        raise InvalidInput("training_data", "must name a version that was trained here: this one was imported")
    try:
        points = training_data.load(files, job_id, card.data, card.data_digest)
    except (DamagedData, OSError) as error:
        raise VersionBroken(
            "The training points of the version cannot be read. Compare the versions on a dataset."
        ) from error
    return over_points(pair, [points], count=len(points.label_N), max_flips=max_flips, field="training_data")


def over_points(
    pair: Pair, parts: Iterable[LabelledPoints], *, count: int, max_flips: int, field: str
) -> PointsComparison:
    """Compares the labels of points, and how well they fit the labels of the data.

    Args:
        pair: the versions.
        parts: the points, some at a time, in at least one part. Features are matched by name if both sides have names,
            else by position.
        count: their number in all, not 0.
        max_flips: maximum number of points to list.
        field: what the request calls the points.

    Raises:
        InvalidInput: the points have other features or other classes, they are too many, or a network overflows.
    """
    if count * pair.work > MAX_ANSWER_WORK:
        raise InvalidInput(field, "must have fewer points for networks of this size: store a sample")
    compared: list[_Part] = []
    first, room = 0, max_flips
    for part in parts:
        compared.append(_part(pair, matched(part, _like(pair), field=field), first=first, room=room, field=field))
        first += len(part.label_N)
        room -= len(compared[-1].flips.index_F)
    return PointsComparison(
        pair,
        Agreement(np.sum([one.agreement.confusion_KK for one in compared], axis=0)),
        _summed([one.evaluation_a for one in compared]),
        _summed([one.evaluation_b for one in compared]),
        Flips(*(np.concatenate([getattr(one.flips, name) for one in compared]) for name in vars(compared[0].flips))),
    )


def block_size(pair: Pair) -> int:
    """How many points to compare at a time."""
    return max(1, BLOCK_VALUES // max(pair.a.card.features, len(pair.class_K)))


def _like(pair: Pair) -> LabelledPoints:
    """No points, with the features and the classes of `a`."""
    card = pair.a.card
    nothing = np.empty((0, card.features), np.float32), np.empty(0, np.int64)
    return LabelledPoints(*nothing, card.classes, card.feature_names, categories=card.categories)


@dataclass(frozen=True)
class _Part:
    """The comparison on some of the points, see `PointsComparison`."""

    agreement: Agreement
    evaluation_a: Evaluation
    evaluation_b: Evaluation
    flips: Flips


def _part(pair: Pair, points: LabelledPoints, *, first: int, room: int, field: str) -> _Part:
    """Compares points of which the first has the number `first`, and lists at most `room` of them."""
    label_N = points.label_N
    logit_a_NO = _logits(pair.a.plan, points.xy_ND, field)
    logit_b_NO = _logits(pair.b.plan, points.xy_ND[:, np.argsort(pair.feature_D)], field)
    of_b = Evaluation.of_logits(logit_b_NO, pair.class_K[label_N])
    label_a_N, label_b_N = _labels(logit_a_NO), pair.labels_of_b(_labels(logit_b_NO))
    index_F = np.flatnonzero(label_a_N != label_b_N)[:room]
    return _Part(
        Agreement.of(label_a_N, label_b_N, len(pair.class_K)),
        Evaluation.of_logits(logit_a_NO, label_N),
        Evaluation(of_b.confusion_KK[np.ix_(pair.class_K, pair.class_K)], of_b.log_loss),
        Flips(first + index_F, points.xy_ND[index_F], label_a_N[index_F], label_b_N[index_F], label_N[index_F]),
    )


def _logits(plan: AnyPlan, xy_ND: PointArray, field: str) -> FloatArray:
    try:
        return dispatch.logits(plan, xy_ND)
    except InvalidInput as error:
        raise InvalidInput(field, "must have smaller numbers: the output of a network overflows float32") from error


def _labels(logit_NO: FloatArray) -> IntArray:
    return numpy_forward.predicted(numpy_forward.probabilities(logit_NO))


def _summed(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of all points, from evaluations of some at a time."""
    confusion_KK = np.sum([part.confusion_KK for part in parts], axis=0)
    loss = sum(part.log_loss * int(part.confusion_KK.sum()) for part in parts)
    return Evaluation(confusion_KK, loss / int(confusion_KK.sum()))
