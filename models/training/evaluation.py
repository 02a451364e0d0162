"""How well a trained network classifies points, class by class, and warnings about it. Imports no torch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.datasets import FloatArray, IntArray, Label, LabelledPoints
from models.inference import dispatch, numpy_forward
from models.networks.plans import AnyPlan

MAX_WARNINGS = 5
"""Maximum number of classes with a separate warning."""


@dataclass(frozen=True)
class Evaluation:
    """How points are classified.

    Attributes:
        confusion_KK: int64 (K, K), the number of points of class `row` that get the label `column`.
        log_loss: mean negative logarithm of the probability of each point's class, in nats.
    """

    confusion_KK: IntArray
    log_loss: float

    @classmethod
    def of(cls, plan: AnyPlan, points: LabelledPoints) -> "Evaluation":
        """Evaluates a network or an ensemble on points.

        Raises:
            InvalidInput: the output for one overflows float32.
        """
        return cls.of_logits(dispatch.logits(plan, points.xy_ND), points.label_N)

    @classmethod
    def of_logits(cls, logit_NO: FloatArray, label_N: IntArray) -> "Evaluation":
        """Evaluates the logits (N, O) of points of the classes `label_N`."""
        prob_NK = numpy_forward.probabilities(logit_NO)
        classes = prob_NK.shape[1]
        counts = np.bincount(label_N * classes + numpy_forward.predicted(prob_NK), minlength=classes**2)
        return cls(counts.reshape(classes, classes), numpy_forward.log_loss(logit_NO, label_N))

    @property
    def accuracy(self) -> float:
        """Share of the points that get the label of their class."""
        return float(self.confusion_KK.trace() / self.confusion_KK.sum())

    @property
    def points_K(self) -> IntArray:
        """Number of points of each class."""
        points_K: IntArray = self.confusion_KK.sum(axis=1)
        return points_K

    def to_json(self) -> dict[str, Any]:
        """All figures, with two shares for each class; a share of no points is None.

        `recall` is the share of the points of a class that get its label, `precision` the share of the points with the
        label that are of the class.
        """
        right_K = self.confusion_KK.diagonal()
        return {
            "log_loss": self.log_loss,
            "accuracy": self.accuracy,
            "confusion": self.confusion_KK.tolist(),
            "recall": _shares(right_K, self.points_K),
            "precision": _shares(right_K, self.confusion_KK.sum(axis=0)),
        }

    def warnings(self, classes: tuple[Label, ...], kind: str) -> list[str]:
        """What a user should know before using the network; `kind` of points is `training` or `validation`."""
        right_K, points_K = self.confusion_KK.diagonal(), self.points_K
        most = int(points_K.argmax())
        if right_K.sum() <= points_K[most]:
            share = f"{points_K[most] / points_K.sum():.0%}"
            no_better = (
                f"The {kind} points are classified no better than by always answering {classes[most]!r} ({share})."
            )
            return [f"{no_better} Try more epochs, more hidden units or, except for lbfgs, another learning_rate."]
        rare = [k for k in range(len(classes)) if points_K[k] and right_K[k] < points_K[k] / 2]
        return [
            f"{f'Only {right_K[k]}' if right_K[k] else 'None'} of {points_K[k]} {kind} points of the class "
            f"{classes[k]!r} {'get' if right_K[k] > 1 else 'gets'} that label."
            for k in rare[:MAX_WARNINGS]
        ]


def _shares(part_K: IntArray, whole_K: IntArray) -> list[float | None]:
    pairs = zip(part_K.tolist(), whole_K.tolist(), strict=True)
    return [part / whole if whole else None for part, whole in pairs]
