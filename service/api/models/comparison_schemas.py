"""Comparisons as JSON: the schemas of the body, and its encoders."""

from dataclasses import fields
from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from models.training.evaluation import Evaluation
from service.api.grids.schemas import ClassLabel, Colors
from service.api.grids.schemas import Window as WindowEdges
from service.api.schemas import ClassEvaluation, Metrics
from service.inference.comparison import PointsComparison, WindowComparison
from service.inference.pairs import Agreement, Pair
from service.registry.registry import LoadedVersion
from service.render import comparison_png, palette


class ComparedVersion(BaseModel):
    """One of the versions."""

    model: str = Field(description="The name of the model.")
    version: int = Field(description="The version.")
    metrics: Metrics | None = Field(description="The metrics of its training; null if they are not known.")
    evaluation: ClassEvaluation | None = Field(
        description="The evaluation on the compared points, with the classes in the order of this response; null for a "
        "window."
    )


class ComparedWindow(BaseModel):
    """The grid on which the versions were compared."""

    axes: list[int] = Field(description="The features along x and y, zero-based, by their numbers in `a`.")
    axis_names: list[str] | None = Field(description="The names of these features; null without names.")
    at: list[float] = Field(description="The values of all other features, in the order of `a`.")
    window: WindowEdges
    shape: list[int] = Field(description="[H, W]; for a curve [W].")


class ClassPair(BaseModel):
    """Two classes that the versions give the same cells or points."""

    a: ClassLabel = Field(description="The class that `a` gives.")
    b: ClassLabel = Field(description="The class that `b` gives.")
    count: int = Field(description="The number of cells or points.")
    color: str = Field(description="The color of such cells in the picture, `#rrggbb`.")


class Flip(BaseModel):
    """A point whose label differs."""

    index: int = Field(description="The number of the point in the dataset, counted from 0.")
    point: list[float] = Field(description="Its coordinates, in the order of the features of `a`.")
    a: ClassLabel = Field(description="The label that `a` gives.")
    b: ClassLabel = Field(description="The label that `b` gives.")
    label: ClassLabel = Field(description="The label in the dataset.")


class Comparison(BaseModel):
    """How the labels of two versions differ."""

    object: Literal["comparison"]
    a: ComparedVersion
    b: ComparedVersion
    classes: list[ClassLabel] = Field(description="The K classes, in the order of `a`.")
    colors: Colors
    window: ComparedWindow | None = Field(description="Where the versions were compared; null for points.")
    dataset: str | None = Field(description="The dataset on which they were compared; null for anything else.")
    training_data: Literal["a", "b"] | None = Field(
        description="The version on whose training data they were compared; null for anything else."
    )
    compared: int = Field(description="The number of cells or points.")
    differing: int = Field(description="The number of those whose labels differ.")
    disagreement: float = Field(description="`differing` divided by `compared`.")
    confusion: list[list[int]] = Field(
        description="(K, K) cells or points with the label `row` of `a` and the label `column` of `b`."
    )
    differences: list[ClassPair] = Field(description="The pairs of classes that differ, the most frequent first.")
    flips: list[Flip] | None = Field(
        description="The points whose labels differ, in their order, at most `limit`. Null for a window."
    )
    has_more: bool = Field(description="Whether there are more of these points than listed.")


def encode_window(compared: WindowComparison) -> bytes:
    """The body of a `Comparison` in a window."""
    window = {**compared.window.position, "shape": compared.label_a_HW.shape}
    return _encoded(compared.pair, compared.agreement, (None, None), window=window)


def encode_points(compared: PointsComparison, *, dataset: str | None, training_data: str | None) -> bytes:
    """The body of a `Comparison` on points, from `dataset` or from the training data that `training_data` names."""
    classes, flips = compared.pair.a.card.classes, compared.flips
    columns = (getattr(flips, field.name) for field in fields(flips))
    return _encoded(
        compared.pair,
        compared.agreement,
        (compared.evaluation_a, compared.evaluation_b),
        dataset=dataset,
        training_data=training_data,
        flips=[
            {"index": index, "point": x_D, "a": classes[i], "b": classes[j], "label": classes[k]}
            for index, x_D, i, j, k in zip(*columns, strict=True)
        ],
        has_more=len(flips.index_F) < compared.agreement.differing,
    )


_ABSENT = {"window": None, "dataset": None, "training_data": None, "flips": None, "has_more": False}
"""The fields that only a comparison in a window or only one on points has."""


def _encoded(
    pair: Pair, agreement: Agreement, evaluations: tuple[Evaluation, Evaluation] | tuple[None, None], **own: Any
) -> bytes:
    classes = pair.a.card.classes
    body = {
        "object": "comparison",
        "a": _version(pair.a, evaluations[0]),
        "b": _version(pair.b, evaluations[1]),
        "classes": classes,
        "colors": palette.class_codes(len(classes)),
        **_ABSENT,
        **own,
        "compared": agreement.compared,
        "differing": agreement.differing,
        "disagreement": agreement.share,
        "confusion": agreement.confusion_KK.tolist(),
        "differences": [
            {"a": classes[i], "b": classes[j], "count": count, "color": _color(len(classes), i, j)}
            for i, j, count in agreement.differences
        ],
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _version(version: LoadedVersion, evaluation: Evaluation | None) -> dict[str, Any]:
    published = version.published
    return {
        "model": published.model,
        "version": published.version,
        "metrics": version.card.metrics,
        "evaluation": evaluation.to_json() if evaluation else None,
    }


def _color(classes: int, a: int, b: int) -> str:
    return palette.hex_codes(comparison_png.color_of(classes, a, b)[None])[0]
