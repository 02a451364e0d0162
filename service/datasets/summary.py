"""What is known about the points of a dataset, as JSON."""

from typing import Any

import numpy as np

from models.categories import to_json
from models.datasets import Array, Categories, IntArray, Label, PointArray, blocks


def summary(
    xy_ND: PointArray,
    label_N: IntArray,
    classes: tuple[Label, ...],
    feature_names: tuple[str, ...] | None,
    categories: Categories,
    *,
    label: str | None,
    understood: tuple[str, ...],
    warnings: tuple[str, ...],
) -> dict[str, Any]:
    """The summary of points.

    `n_points`; `feature_names`, or null; `categories`, if there are text columns; `min`, `max` and `mean` of each
    feature; `classes` and their `counts`; the name of the column of labels, or null; and the report on the file:
    `understood` and `warnings`.
    """
    low_D, high_D = xy_ND[0].astype(np.float64), xy_ND[0].astype(np.float64)
    sum_D = np.zeros(xy_ND.shape[1])
    for block_ND in blocks(xy_ND):
        low_D = np.minimum(low_D, block_ND.min(axis=0))
        high_D = np.maximum(high_D, block_ND.max(axis=0))
        sum_D += block_ND.sum(axis=0, dtype=np.float64)
    return {
        "n_points": len(xy_ND),
        "n_features": xy_ND.shape[1],
        "feature_names": list(feature_names) if feature_names else None,
        "min": _list(low_D),
        "max": _list(high_D),
        "mean": _list(sum_D / len(xy_ND)),
        "classes": list(classes),
        "counts": np.bincount(label_N, minlength=len(classes)).tolist(),
        "label": label,
        "understood": list(understood),
        "warnings": list(warnings),
        **to_json(categories),
    }


def _list(values_D: Array) -> list[float]:
    numbers: list[float] = values_D.tolist()
    return numbers
