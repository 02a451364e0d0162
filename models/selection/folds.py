"""Folds: divisions of points into a part to train on and a part to score the trained network with."""

import numpy as np

from models.datasets import LabelledPoints, split, subset

Fold = tuple[LabelledPoints, LabelledPoints]
"""The points to train on, and those to score with."""

HELD_OUT = 0.2
"""Share of each class that a single fold scores with."""

_COUNTS = ((2_000, 5), (10_000, 3))


def fold_count(points: int) -> int:
    """Number of folds. With more points, a score depends less on the split, so fewer folds suffice."""
    return next((count for most, count in _COUNTS if points <= most), 1)


def folds(points: LabelledPoints, count: int, *, seed: int) -> list[Fold]:
    """Divides points into `count` folds. Each point that can be held out is held out once, or by chance if count is 1.

    The points of each class are dealt evenly, in an order drawn with `seed`. The only point of a class is never held
    out. Equal arguments give equal folds.

    Raises:
        InvalidInput: no point could be held out, because each class has only one.
    """
    if count == 1:
        kept, held_out = split(points, fraction=HELD_OUT, seed=seed)
        assert held_out is not None
        return [(kept, held_out)]
    fold_N = _deal(points, count, seed)
    return [(subset(points, fold_N != k), subset(points, fold_N == k)) for k in range(count) if (fold_N == k).any()]


def _deal(points: LabelledPoints, count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The number of the fold that holds each point out, int64 (N,); -1 for points that are never held out."""
    rng = np.random.default_rng(seed)
    fold_N = np.full(len(points.label_N), -1)
    next_fold = 0
    for k in range(len(points.classes)):
        members = rng.permutation(np.flatnonzero(points.label_N == k))
        if len(members) > 1:
            fold_N[members] = (next_fold + np.arange(len(members))) % count
            next_fold += len(members)
    return fold_N
