"""Cross-validation: predictions of networks for points that they were not trained on."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from models.datasets import DoubleArray, FloatArray, IntArray, LabelledPoints
from models.inference import numpy_forward
from models.networks.layouts import Layout
from models.networks.modules import Builder
from models.networks.plans import Plan, plan_of
from models.recipes import Recipe
from models.selection import relevance
from models.selection.candidates import Candidate
from models.selection.folds import Fold, folds
from models.specs import TrainingSpec
from models.training.compiled_run import CompiledRun
from models.training.cost_model import compiled_step_s
from models.training.evaluation import Evaluation

EVALUATIONS = 150
"""Approximate number of steps of a training whose steps take all points."""

SHORT_S = 0.002
"""If the training of a fold takes at most this long by the cost model, in seconds, one thread trains all folds. Several
threads would spend more time waiting for the interpreter lock than they save."""


class StoppedError(Exception):
    """The cross-validation was stopped."""


@dataclass(frozen=True, eq=False)
class ScaledFold:
    """A fold as networks in training see it: scaled by the points to train on.

    Attributes:
        kept: the points to train on, as inputs of a network: float32 (N, I).
        held_out: the other points, scaled in the same way.
    """

    kept: LabelledPoints
    held_out: LabelledPoints

    @classmethod
    def of(cls, fold: Fold, candidate: Candidate) -> "ScaledFold":
        """Scales a fold for a candidate. All candidates with the same scale and the same inputs can use the result.

        Raises:
            InvalidInput: the candidate cannot be trained on the points, or an input overflows float32.
        """
        kept, held_out = fold
        scaling = Recipe(kept, candidate.network, candidate.training).scaling
        return cls(scaling.inputs(kept), scaling.inputs(held_out))

    def weighted(self, factor_D: DoubleArray) -> "ScaledFold":
        """The fold with each scaled coordinate multiplied by its factor."""
        factor32_D = factor_D.astype(np.float32)
        return ScaledFold(*(replace(part, xy_ND=part.xy_ND * factor32_D) for part in (self.kept, self.held_out)))


class FoldResults(NamedTuple):
    """The results of one or several folds.

    Attributes:
        logit_NO: float32 (N, O), of the held-out points, fold by fold.
        norm_FI: float64 (F, I), the `relevance.norms` of the network of each fold.
    """

    logit_NO: FloatArray
    norm_FI: DoubleArray


def cross_validated(
    recipe: Recipe, *, threads: int, should_stop: Callable[[], bool] = lambda: False
) -> Evaluation | None:
    """Evaluates a recipe by cross-validation in its `validation_folds`, or returns None once `should_stop` is true.

    Raises:
        InvalidInput: the logits of a held-out point overflow float32.
    """
    points, training = recipe.points, recipe.training
    assert training.validation_folds is not None
    candidate = Candidate(recipe.network, training).for_scoring()
    parts = folds(points, training.validation_folds, seed=training.seed)
    scaled = [ScaledFold.of(fold, candidate) for fold in parts]
    try:
        found = fold_results(candidate, points.features, scaled, threads=threads, should_stop=should_stop)
    except StoppedError:
        return None
    return Evaluation.of_logits(found.logit_NO, held_out_labels(scaled))


def held_out_labels(parts: Sequence[ScaledFold]) -> IntArray:
    """The class of each held-out point, int64 (N,), fold by fold."""
    return np.concatenate([fold.held_out.label_N for fold in parts])


def fold_results(
    candidate: Candidate,
    features: int,
    parts: Sequence[ScaledFold],
    *,
    threads: int,
    should_stop: Callable[[], bool],
) -> FoldResults:
    """Trains a network for each fold, on the other folds, and evaluates it on the points of the fold.

    All networks begin at the same weights. The result does not depend on `threads`.

    Args:
        candidate: the network and its settings.
        features: number of coordinates of a point.
        parts: the folds.
        threads: the largest number of threads to use.
        should_stop: asked every few milliseconds whether to stop.

    Raises:
        InvalidInput: a logit overflows float32.
        StoppedError: `should_stop` was true.
    """
    builder = Builder(candidate.network, features, len(parts[0].kept.classes))
    initial = plan_of(builder.layout, builder.weights(candidate.training.seed))
    train = partial(_result, initial, candidate.training, should_stop=should_stop)
    if cost_s(builder.layout, len(parts[0].kept.label_N), candidate.training) <= SHORT_S:
        results = [train(fold) for fold in parts]
    else:
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(train, parts))
    return FoldResults(*map(np.concatenate, zip(*results, strict=True)))


def cost_s(layout: Layout, count: int, training: TrainingSpec) -> float:
    """The time that a training on `count` points takes on one core by the cost model, in seconds."""
    batch = training.batch_size
    if batch is None or batch >= count:
        return EVALUATIONS * compiled_step_s(layout, count)
    return training.epochs * math.ceil(count / batch) * compiled_step_s(layout, batch)


def _result(initial: Plan, training: TrainingSpec, fold: ScaledFold, *, should_stop: Callable[[], bool]) -> FoldResults:
    """Trains by the kernel even if torch will train the winner: both compute the same."""
    run = CompiledRun(initial, fold.kept, None, training, order_seed=training.seed)
    stop_reason = None
    while stop_reason is None:
        if should_stop():
            raise StoppedError
        _, stop_reason = run.advance()
    if stop_reason == "diverged":
        run.restore_last_finite()
    run.divide_logits(training.temperature)
    plan = replace(initial, parameters=run.weights)
    return FoldResults(numpy_forward.logits(plan, fold.held_out.xy_ND), relevance.norms(plan)[np.newaxis])
