"""The search for the best candidate. Its work is bounded by a model of the cost, so it is deterministic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from models import specs
from models.datasets import DoubleArray, LabelledPoints, split
from models.networks.layouts import layout
from models.recipes import Recipe
from models.selection import calibration, relevance
from models.selection.candidates import Architecture, Candidate, Given
from models.selection.cross_validation import ScaledFold, StoppedError, cost_s, fold_results, held_out_labels
from models.selection.folds import Fold, fold_count, folds
from models.specs import InvalidInput, NetworkSpec, TrainingSpec
from models.training.evaluation import Evaluation

MAX_SEARCH_S = 30.0
"""Maximum work of a search, in seconds of one core by the cost model."""

MIN_POINTS = 20
"""Fewer points do not tell which candidate is better."""

TOLERANCE = 0.25
"""In standard errors; see `_simplest_of_the_best`."""

CLEAR = 2.0
"""A difference of losses is clear if it exceeds this many of its standard errors. If logistic regression is clearly
worse than hidden units, both with the first weight decay, it is not tried with other weight decays. If feature weights
clearly decrease the loss, they are computed again from the networks that were trained with them."""

MIN_WEIGHTED = 3
"""Smallest number of features that are weighted by their relevance."""

MAX_WEIGHTINGS = 5
"""Largest number of times that the features are weighted."""


@dataclass(frozen=True, eq=False)
class Score:
    """How well a candidate predicts points that it was not trained on.

    Attributes:
        candidate: a network and its settings.
        weights: number of parameters of the network.
        temperature: the calibration of its probabilities.
        evaluation: of the held-out points of all folds, with these probabilities.
        loss_N: of each of these points, see `calibration.losses`.
        norm_FI: float64 (F, I), the norm of the weights of each scaled input in the network of each fold.
    """

    candidate: Candidate
    weights: int
    temperature: float
    evaluation: Evaluation
    loss_N: DoubleArray
    norm_FI: DoubleArray

    @property
    def loss(self) -> float:
        """The loss by which candidates are compared."""
        return float(self.loss_N.mean())

    def to_json(self) -> dict[str, Any]:
        """The candidate and its figures."""
        figures = {"log_loss": self.evaluation.log_loss, "accuracy": self.evaluation.accuracy}
        return {**self.candidate.to_json(), "temperature": self.temperature, "loss": self.loss, **figures}


@dataclass(frozen=True)
class Choice:
    """The settings that a search has chosen.

    Attributes:
        network, training: all settings, resolved.
        search: how they were chosen, as JSON: `folds`, `candidates`, the index of the `winner`, and the `reason`. None
            if all were given.
        cross_validation: how the winner classifies points that it was not trained on, as JSON.
    """

    network: NetworkSpec
    training: TrainingSpec
    search: dict[str, Any] | None
    cross_validation: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in the row of a job."""
        return {**vars(self), "network": specs.asdict(self.network), "training": specs.asdict(self.training)}


def choose(
    points: LabelledPoints,
    given: Given,
    *,
    validation: LabelledPoints | None = None,
    threads: int,
    should_stop: Callable[[], bool] = lambda: False,
    on_score: Callable[[Score], object] = lambda score: None,
) -> Choice | None:
    """Chooses what `given` leaves open, or returns None once `should_stop` is true.

    Points for validation, which are `validation` or held out by `given`, take no part in the search. The result does
    not depend on `threads`. `on_score` is called with the score of each candidate.

    Raises:
        InvalidInput: a given value is out of bounds, or the training would take too much work.
    """
    default = given.default(points, validation)
    kept, _ = split(points, fraction=default.training.validation_fraction, seed=default.training.seed)

    def check(candidate: Candidate) -> None:
        Recipe(points, candidate.network, candidate.training, validation)

    search = _Search(kept, given, default, threads, check, should_stop, on_score)
    try:
        search.run()
    except StoppedError:
        return None
    return search.choice()


class _Search:
    """The search among the points that are not held out for validation."""

    def __init__(
        self,
        points: LabelledPoints,
        given: Given,
        default: Candidate,
        threads: int,
        check: Callable[[Candidate], None],
        should_stop: Callable[[], bool],
        on_score: Callable[[Score], object],
    ) -> None:
        """Prepares a search on `points`.

        `default` wins if no candidate can be scored. `check` raises `InvalidInput` if a candidate is out of bounds for
        all points.
        """
        self._points = points
        self._given = given
        self._default = default
        self._threads = threads
        self._check = check
        self._should_stop = should_stop
        self._on_score = on_score
        self._left_s = MAX_SEARCH_S
        self._folds = self._make_folds()
        self._count = len(points.label_N)
        self.scores: list[Score] = []

    def _make_folds(self) -> list[Fold]:
        if len(self._points.label_N) < MIN_POINTS or np.bincount(self._points.label_N).max() < 2:
            return []
        training = self._given.training
        count = training.get("validation_folds") or fold_count(len(self._points.label_N))
        return folds(self._points, count, seed=training.get("seed", 0))

    @cached_property
    def _scaled_folds(self) -> list[ScaledFold]:
        """The folds, scaled. Candidates share them, because they have the same scale and the same inputs.

        Raises:
            InvalidInput: see `ScaledFold.of`.
        """
        return [ScaledFold.of(fold, self._default.for_scoring()) for fold in self._folds]

    def run(self) -> None:
        """Scores candidates: small architectures with several weight decays, and a larger one if hidden units help.

        The last candidates have weighted features, which can help even where logistic regression was best before.
        """
        architectures = self._given.architectures(self._count)
        logistic = [one for one in architectures if not one.hidden]
        with_hidden = [one for one in architectures if one.hidden]
        linear, hidden = self._first(logistic), self._first(with_hidden)
        if linear is not None and (hidden is None or not _is_worse(linear, hidden, CLEAR)):
            linear = self._best_decay(linear)
        if hidden is not None:
            hidden = self._best_decay(hidden)
            if linear is None or hidden.loss < linear.loss:
                for architecture in with_hidden[1:]:  # wider networks need about the same weight decay
                    self._score(self._candidate(architecture, hidden.candidate.training.weight_decay))
            self._weigh_features()

    def _weigh_features(self) -> None:
        """Scores the best candidate with hidden layers again, with each feature weighted by its relevance.

        Repeats this with the relevance to the new networks as long as the loss clearly decreases.
        """
        if self._points.features < MIN_WEIGHTED or self._given.network.keys() & {"inputs", "feature_weights"}:
            return
        best = min((score for score in self.scores if score.candidate.network.widths), key=lambda score: score.loss)
        for _ in range(MAX_WEIGHTINGS):
            factor_FD = relevance.factors(best.norm_FI)
            network = replace(best.candidate.network, feature_weights=relevance.combined(factor_FD))
            score = self._score(replace(best.candidate, network=network), factor_FD)
            if score is None or not _is_worse(best, score, CLEAR):
                return
            best = score

    def _first(self, architectures: Sequence[Architecture]) -> Score | None:
        """Scores the first architecture with the first weight decay; None without a candidate or a score."""
        decay = self._given.first_weight_decay(self._count)
        return self._score(self._candidate(architectures[0], decay)) if architectures else None

    def _best_decay(self, first: Score) -> Score:
        """The best of an architecture: goes from one weight decay to the next as long as the loss decreases."""
        network, decays = first.candidate.network, self._given.weight_decays
        architecture = Architecture(network.kind, network.widths, network.activation)
        at = decays.index(first.candidate.training.weight_decay)
        best = first
        for direction in (1, -1):
            i = at + direction
            while 0 <= i < len(decays):
                score = self._score(self._candidate(architecture, decays[i]))
                if score is None or score.loss >= best.loss:
                    break
                best, i = score, i + direction
            if i != at + direction:  # it decreased, so it cannot decrease in the other direction too
                break
        return best

    def _candidate(self, architecture: Architecture, weight_decay: float) -> Candidate:
        return self._given.candidate(architecture, weight_decay, count=self._count)

    def _score(self, candidate: Candidate, factor_FD: DoubleArray | None = None) -> Score | None:
        """Scores a candidate; None if it is too much work, or if its logits overflow.

        `factor_FD` has the feature weights for each fold, computed without its held-out points. They are used in place
        of the candidate's own weights, which are computed from all folds.
        """
        try:
            self._check(candidate)
            candidate = candidate.for_scoring()
            network = layout(candidate.network, self._points.features, len(self._points.classes))
            work_s = sum(cost_s(network, len(kept.label_N), candidate.training) for kept, _ in self._folds)
            if not self._folds or work_s > self._left_s:
                return None
            self._left_s -= work_s
            parts = self._scaled_folds
            if factor_FD is not None:
                parts = [fold.weighted(factor_D) for fold, factor_D in zip(parts, factor_FD, strict=True)]
            logit_NO, norm_FI = fold_results(
                candidate,
                self._points.features,
                parts,
                threads=self._threads,
                should_stop=self._should_stop,
            )
        except InvalidInput:
            return None
        label_N = held_out_labels(self._scaled_folds)
        is_given = "temperature" in self._given.training  # then the logits are divided by it already
        temperature = candidate.training.temperature if is_given else calibration.temperature(logit_NO, label_N)
        calibrated_NO = logit_NO if is_given else logit_NO / np.float32(temperature)
        evaluation = Evaluation.of_logits(calibrated_NO, label_N)
        loss_N = calibration.losses(calibrated_NO, label_N)
        scaled_norm_FI = norm_FI if factor_FD is None else factor_FD * norm_FI
        score = Score(candidate, network.weights, temperature, evaluation, loss_N, scaled_norm_FI)
        self.scores.append(score)
        self._on_score(score)
        return score

    def choice(self) -> Choice:
        """The best candidate, or the default one if none could be compared."""
        if not self.scores:
            reason = "Comparing candidates is too much work." if self._folds else "There are too few points to compare."
            search = {"folds": 0, "candidates": [], "winner": None, "reason": reason}
            return Choice(self._default.network, self._default.training, search, None)
        winner = _simplest_of_the_best(self.scores)
        given = self._given.training
        training = replace(
            winner.candidate.training,
            temperature=winner.temperature,
            validation_fraction=given.get("validation_fraction", 0.0),
            validation_folds=given.get("validation_folds"),
            restarts=given.get("restarts", 1),
            ensemble=given.get("ensemble", 1),
        )
        search = {
            "folds": len(self._folds),
            "candidates": [score.to_json() for score in self.scores],
            "winner": self.scores.index(winner),
            "reason": _reason(winner, self.scores),
        }
        return Choice(winner.candidate.network, training, search, winner.evaluation.to_json())


def _simplest_of_the_best(scores: Sequence[Score]) -> Score:
    """The simplest candidate that is not clearly worse than the one with the least loss.

    It is clearly worse if its loss is greater by more than `TOLERANCE` standard errors of the difference. Of networks
    of the same size, the one with more weight decay is simpler, then the one without feature weights.
    """
    best = min(scores, key=lambda score: score.loss)
    close = [score for score in scores if not _is_worse(score, best, TOLERANCE)]
    return min(close, key=_complexity)


def _complexity(score: Score) -> tuple[int, float, bool]:
    """Orders candidates from simple to complex."""
    candidate = score.candidate
    return score.weights, -candidate.training.weight_decay, candidate.network.feature_weights is not None


def _is_worse(score: Score, other: Score, errors: float) -> bool:
    """Whether a candidate's loss is greater by more than this many standard errors of the difference."""
    difference_N = score.loss_N - other.loss_N
    return bool(difference_N.mean() > errors * difference_N.std() / np.sqrt(len(difference_N)))


def _reason(winner: Score, scores: Sequence[Score]) -> str:
    if len(scores) == 1:
        return "It is the only candidate."
    if winner.loss == min(score.loss for score in scores):
        return f"It has the least loss of {len(scores)} candidates."
    return f"It is the simplest of {len(scores)} candidates that is not clearly worse than the best."
