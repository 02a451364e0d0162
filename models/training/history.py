"""How the figures of a training developed, at about a hundred of its epochs. No torch."""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from models.datasets import DoubleArray, IntArray
from models.training.runs import NO_HISTORY, Epochs, History

POINTS = 128
"""Maximum number of epochs of a history, without the last. It has fewer where rounding makes some of them equal."""


@lru_cache
def recorded_epochs(epochs: int) -> IntArray:
    """The epochs that are recorded of a training of at most `epochs`, ascending: the first, and log-spaced ones.

    They depend on nothing else, so equal recipes have equal histories.
    """
    if epochs <= POINTS:
        return np.arange(1, epochs + 1)
    return np.unique(np.rint(np.geomspace(1, epochs, POINTS)).astype(np.int64))


class Recorder:
    """Records the history of one training, at a cost of some microseconds for each call."""

    def __init__(self, epochs: int, before: History | None = None) -> None:
        """Continues a history, if there is one. `epochs` is the most that the training has."""
        self._recorded_E = recorded_epochs(epochs)
        self._parts: list[DoubleArray] = []  # float64 (5, E) each: the number and the figures of some epochs
        self._last: DoubleArray | None = None  # of the last epoch, (5, 1)
        self.has_grown = False
        if before is not None and before.epoch:
            known = _array(before)
            self._parts.append(known[:, np.isin(known[0], self._recorded_E)])
            self._last = known[:, -1:]

    def take(self, epochs: Epochs) -> None:
        """Takes the next epochs of the training."""
        start, end = np.searchsorted(self._recorded_E, [epochs.first, epochs.first + len(epochs)])
        if end > start:
            self._parts.append(_picked(epochs, self._recorded_E[start:end]))
            self.has_grown = True
        self._last = _picked(epochs, np.array([epochs.first + len(epochs) - 1]))

    def history(self) -> History:
        """The history up to now, which always ends with the last epoch."""
        return self.so_far()()

    def so_far(self) -> Callable[[], History]:
        """A function that makes the history up to now, at any later time and in any thread."""
        self.has_grown = False
        return partial(_history, self._parts.copy(), self._last)


def _history(parts: list[DoubleArray], last: DoubleArray | None) -> History:
    """The history of some parts of a training and its last epoch; see `Recorder`."""
    if last is None:
        return NO_HISTORY
    if not parts or not parts[-1].size or parts[-1][0, -1] < last[0, 0]:
        parts = [*parts, last]
    numbers, *figures = np.concatenate(parts, axis=1)
    loss, accuracy, *validation = (_finite(column) for column in figures)
    is_validated = not np.isnan(last[4, 0])
    return History(tuple(map(int, numbers)), loss, accuracy, *(validation if is_validated else ()))


def _picked(epochs: Epochs, number_E: IntArray) -> DoubleArray:
    """Some of the epochs, by their numbers, float64 (5, E). NaN stands for validation figures that there are not."""
    picked = np.full((5, len(number_E)), np.nan)
    picked[0] = number_E
    columns = epochs.loss_E, epochs.accuracy_E, epochs.validation_loss_E, epochs.validation_accuracy_E
    for row, column_E in zip(picked[1:], columns, strict=True):
        if column_E is not None:
            row[:] = column_E[number_E - epochs.first]
    return picked


def _array(history: History) -> DoubleArray:
    """The columns of a history, float64 (5, E)."""
    without = [None] * len(history.epoch)
    columns = [without if column is None else column for column in vars(history).values()]
    return np.array(columns, np.float64)


def _finite(column: DoubleArray) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in column.tolist())
