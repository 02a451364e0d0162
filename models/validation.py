"""Separate validation sets: validation points that are not held out of the training points."""

from dataclasses import replace

import numpy as np

from models.categories import names
from models.datasets import LabelledPoints, class_indices, hashes
from models.sent_points import SentPoints
from models.specs import InvalidInput
from models.wording import listed

_SUSPICIOUS_SHARE = 0.5
"""Share of validation points that are also training points from which this is unlikely to be chance."""


def matched(validation: LabelledPoints, training: LabelledPoints, *, field: str) -> LabelledPoints:
    """Validation points with the features and the classes of the training points, in their order.

    Features are matched by name if both sides have names, else by position. A value of a text column that occurs in
    the training points only is 0 in all validation points. `field` is the name of these in a request.

    Raises:
        InvalidInput: the features differ, or a label is not among the labels of the training points.
    """
    xy_ND, given = validation.xy_ND, [*(validation.feature_names or ())]
    known = {column: training.categories[column] for column in validation.categories if column in training.categories}
    if absent := {name for column, values in known.items() for name in names(column, values)}.difference(given):
        xy_ND = np.hstack([xy_ND, np.zeros((len(xy_ND), len(absent)), xy_ND.dtype)])
    sent = SentPoints(xy_ND, (*given, *absent) or None)
    xy_ND = sent.placed(training.features, training.feature_names, {}, field=field)
    indices = class_indices(validation.classes, training.classes)
    if None in indices:
        labels, unknown = listed(map(repr, training.classes)), validation.classes[indices.index(None)]
        raise InvalidInput(field, f"must have labels of the training data, {labels}, but has {unknown!r}")
    class_K = np.array(indices, np.int64)
    label_N = class_K[validation.label_N]
    return replace(training, xy_ND=xy_ND, label_N=label_N)


def about_overlap(training: LabelledPoints, validation: LabelledPoints | None) -> list[str]:
    """Returns a warning if many validation points are also training points. Labels are not compared."""
    if validation is None:
        return []
    both = (validation, training)
    is_single = any(points.xy_ND.dtype == np.float32 for points in both)
    validation_N, training_N = (
        hashes(points.xy_ND.astype(np.float32) if is_single else points.xy_ND) for points in both
    )
    seen_N = np.isin(validation_N, training_N)
    if seen_N.mean() < _SUSPICIOUS_SHARE:
        return []
    total = len(seen_N)
    share = f"All {total:,}" if seen_N.all() else f"{seen_N.sum():,} of {total:,}"
    what = f"{share} validation points are also training points, so their figures say little about new points."
    return [f"{what} Validate on points that are not trained on."]
