"""Two versions that can be compared, and how often their labels agree."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.datasets import IntArray
from models.specs import InvalidInput
from models.wording import listed
from service.registry.registry import LoadedVersion

CLASS_WORK = 20
"""Cost of a point's class in multiplications: an exponential and a logarithm for each version."""


@dataclass(frozen=True)
class Pair:
    """Two versions with the same features and the same classes.

    Attributes:
        feature_D: for each feature of `a`, the number of the same feature in `b`.
        class_K: for each class of `a`, the index of the same class in `b`.
    """

    a: LoadedVersion
    b: LoadedVersion
    feature_D: tuple[int, ...]
    class_K: IntArray

    @classmethod
    def of(cls, a: LoadedVersion, b: LoadedVersion) -> "Pair":
        """Pairs two versions. Classes may be in another order, and so may features if both versions have names.

        Raises:
            InvalidInput: they have other classes or other features.
        """
        own, other = a.card.classes, b.card.classes
        if set(own) != set(other):
            what = _difference(tuple(map(repr, own)), tuple(map(repr, other)))
            raise InvalidInput("b", f"must have the classes of a, but {what}")
        return cls(a, b, _features(a, b), np.array([other.index(label) for label in own], np.int64))

    def labels_of_b(self, label_N: IntArray) -> IntArray:
        """Labels of `b` as indices of the classes of `a`."""
        class_of_a_K = np.argsort(self.class_K)
        of_a_N: IntArray = class_of_a_K[label_N]
        return of_a_N

    @property
    def work(self) -> int:
        """Cost of comparing one point, in multiplications."""
        return self.a.plan.work + self.b.plan.work + CLASS_WORK * len(self.class_K)


def _features(a: LoadedVersion, b: LoadedVersion) -> tuple[int, ...]:
    if a.card.features != b.card.features:
        raise InvalidInput("b", f"must have {a.card.features} features, as a has, but has {b.card.features}")
    own, other = a.card.feature_names, b.card.feature_names
    if own is None or other is None:
        return tuple(range(a.card.features))
    if set(own) != set(other):
        raise InvalidInput("b", f"must have the features of a, but {_difference(own, other)}")
    return tuple(other.index(name) for name in own)


def _difference(own: Sequence[str], other: Sequence[str]) -> str:
    """In words, which of the names of `a` and of `b` the other one lacks."""
    parts = []
    for who, names, others in (("a", own, other), ("b", other, own)):
        if alone := [name for name in names if name not in others]:
            parts.append(f"only {who} has {listed(alone)}")
    return " and ".join(parts)


@dataclass(frozen=True)
class Agreement:
    """How often the labels of two versions agree.

    Attributes:
        confusion_KK: int64 (K, K), the number of cells or points with the label `row` of `a` and `column` of `b`, in
            the order of the classes of `a`.
    """

    confusion_KK: IntArray

    @classmethod
    def of(cls, label_a_N: IntArray, label_b_N: IntArray, classes: int) -> "Agreement":
        """Counts labels, as indices of the classes of `a`."""
        counts = np.bincount((label_a_N * classes + label_b_N).ravel(), minlength=classes**2)
        return cls(counts.reshape(classes, classes))

    @property
    def compared(self) -> int:
        """The number of cells or points."""
        return int(self.confusion_KK.sum())

    @property
    def differing(self) -> int:
        """The number of those whose labels differ."""
        return self.compared - int(self.confusion_KK.trace())

    @property
    def share(self) -> float:
        """The share of those whose labels differ."""
        return self.differing / self.compared

    @property
    def differences(self) -> list[tuple[int, int, int]]:
        """The classes of `a` and `b` where they differ and how often, the most frequent first."""
        found = [(int(i), int(j), int(self.confusion_KK[i, j])) for i, j in np.argwhere(self.confusion_KK) if i != j]
        return sorted(found, key=lambda one: (-one[2], one[:2]))
