"""The epochs after which a training keeps its weights."""

from collections.abc import Sequence

import numpy as np

from models.limits import MAX_SNAPSHOT_BYTES, MAX_SNAPSHOTS
from models.specs import InvalidInput, TrainingSpec

FIELD = "training.snapshots"


def snapshot_epochs(asked: int | Sequence[int], training: TrainingSpec, *, weights: int) -> list[int]:
    """The epochs after which a training of one network keeps its weights, ascending. `weights` is their number.

    A number asks for this many epochs, spaced logarithmically from 0 to the last one: fewer if there are fewer.

    Raises:
        InvalidInput: an epoch is after the last one, the training has several networks or divides its logits at the
            end, or these are too many weights.
    """
    if training.networks > 1:
        raise InvalidInput(FIELD, "cannot be combined with restarts or an ensemble")
    if training.temperature != 1:
        raise InvalidInput(FIELD, "cannot be combined with temperature, which applies to the trained network only")
    epochs = _spaced(asked, training.epochs) if isinstance(asked, int) else sorted(set(asked))
    if epochs[-1] > training.epochs:
        raise InvalidInput(FIELD, f"must be at most {training.epochs:,}, the last epoch of the training")
    if len(epochs) > MAX_SNAPSHOTS:
        raise InvalidInput(FIELD, f"must be {MAX_SNAPSHOTS} or fewer epochs")
    if len(epochs) * weights * 4 > MAX_SNAPSHOT_BYTES:
        raise InvalidInput(FIELD, f"must be {MAX_SNAPSHOT_BYTES // (4 * weights)} or fewer for a network of this size")
    return epochs


def _spaced(count: int, last: int) -> list[int]:
    """At most `count` epochs from 0 to the last one. Early ones come one by one, later ones in equal ratios."""
    first = 1 if count > 2 else last
    candidates = np.unique(np.rint(np.geomspace(first, last, max(1, count - 1))).astype(np.int64))
    return [0, *candidates.tolist()] if count > 1 else [last]
