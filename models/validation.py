"""Separate validation sets: validation points that are not held out of the training points."""

from dataclasses import replace

import numpy as np

from models.datasets import LabelledPoints, class_indices
from models.sent_points import SentPoints
from models.specs import InvalidInput
from models.wording import listed


def matched(validation: LabelledPoints, training: LabelledPoints, *, field: str) -> LabelledPoints:
    """Validation points with the features and the classes of the training points, in their order.

    Features are matched by name if both sides have names, else by position. `field` is the name of the validation
    points in a request.

    Raises:
        InvalidInput: the features differ, or a label is not among the labels of the training points.
    """
    sent = SentPoints(validation.xy_ND, validation.feature_names)
    xy_ND = sent.placed(training.features, training.feature_names, {}, field=field)
    indices = class_indices(validation.classes, training.classes)
    if None in indices:
        known, unknown = listed(map(repr, training.classes)), validation.classes[indices.index(None)]
        raise InvalidInput(field, f"must have labels of the training data, {known}, but has {unknown!r}")
    class_K = np.array(indices, np.int64)
    label_N = class_K[validation.label_N]
    return replace(training, xy_ND=xy_ND, label_N=label_N)
