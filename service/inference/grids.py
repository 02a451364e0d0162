"""Grids of published versions: responses, activations of hidden layers, and boundary lines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from models.boundary import contours, embeddings, grids, slices
from models.boundary.certified import quadtree
from models.boundary.certified.quadtree import AdaptiveGrid
from models.boundary.contours import Line
from models.boundary.embeddings import Embedding
from models.boundary.grids import Grid, Outputs
from models.datasets import FloatArray, Label, class_indices
from models.inference import numpy_forward
from models.limits import MAX_ANSWER_WORK, MAX_GRID_VALUES
from models.networks.plans import Plan, ensemble, single
from models.specs import AnyResponse, EmbeddingCoordinates, InvalidInput
from service.inference import training_ranges
from service.inference.windows import PlacedWindow
from service.store.files import Files

OF_ONE_CLASS = ("probability", "logit", "spread")
"""The responses that are about one class."""


@dataclass(frozen=True)
class BoundaryGrid:
    """One value for each cell of a window.

    Attributes:
        response: what the values are.
        class_index: the class whose probability, logit or spread they are; None for everything else.
        layer, unit: the hidden unit whose activation they are, both zero-based; None for everything else.
        logits: the logits that the response was computed from, if they were asked for.
        threshold: the probability above which a cell has the second label of two; None for 0.5.
    """

    window: PlacedWindow
    grid: Grid
    response: Literal[AnyResponse, "activation", "outside_training_range"]
    class_index: int | None = None
    layer: int | None = None
    unit: int | None = None
    logits: Outputs | None = None
    threshold: float | None = None

    @property
    def evaluated(self) -> int:
        """The number of cells that the network computed: all cells, or those that could not be certified."""
        return self.grid.evaluated if isinstance(self.grid, AdaptiveGrid) else self.window.spec.cells


@dataclass(frozen=True)
class ProbabilityMaps:
    """The probability of every class for each cell of a window: float32 (K, H, W), for a curve (K, W).

    Attributes:
        logits: what the probabilities were computed from.
    """

    window: PlacedWindow
    logits: Outputs
    values_KHW: FloatArray


@dataclass(frozen=True)
class ActivationMaps:
    """The activations of all units of a hidden layer for each cell of a window."""

    window: PlacedWindow
    outputs: Outputs


@dataclass(frozen=True)
class EmbeddingGrid:
    """Where a hidden layer, zero-based, maps each cell of a window."""

    window: PlacedWindow
    layer: int
    embedding: Embedding


@dataclass(frozen=True)
class BoundaryLines:
    """The decision boundary as lines.

    Attributes:
        class_index: the class whose probability the levels of the lines are; None for lines without levels.
    """

    window: PlacedWindow
    lines: list[Line]
    class_index: int | None


def response_grid(
    window: PlacedWindow,
    *,
    response: AnyResponse | None = None,
    class_name: str | None = None,
    threshold: float | None = None,
    with_logits: bool = False,
) -> BoundaryGrid:
    """A version's response on a grid, or along a curve.

    Args:
        window: where.
        response: by default the probability for two classes or if a class is named, else the label.
        class_name: the class whose probability or logit it is; by default the second of two.
        threshold: for labels of two classes: the probability above which a cell has the second label.
        with_logits: whether to keep the logits of the same evaluation. Only for a grid of the plane.

    Raises:
        InvalidInput: the model has no such class, a class is needed, or there are too many cells.
    """
    classes = window.network.card.classes
    if threshold is not None:
        if len(classes) > 2:
            raise InvalidInput(
                "threshold", f"must be left out: it needs two classes, but this model has {len(classes)}"
            )
        odds = response_grid(window, response="probability", with_logits=with_logits)
        label_HW = (odds.grid.values_HW > threshold).astype(np.uint8)
        return replace(
            odds,
            grid=replace(odds.grid, values_HW=label_HW),
            response="label",
            class_index=None,
            threshold=threshold,
        )
    response = response or ("probability" if len(classes) == 2 or class_name is not None else "label")
    k = _class_index(classes, class_name, response)
    if response == "spread":
        ensemble(window.plan, field="response")
    if with_logits:
        _check_values(window.plan.outputs, window.spec.cells)
    _check_work(window, window.plan.work)
    logits = None
    if with_logits:
        grid, logits = grids.evaluate_with_outputs(window.plan, window.spec, response=response, class_index=k)
    else:
        grid = grids.evaluate(window.plan, window.spec, response=response, class_index=k)
    return BoundaryGrid(window, grid, response, k if response in OF_ONE_CLASS else None, logits=logits)


def probability_maps(window: PlacedWindow, *, max_values: int = MAX_GRID_VALUES) -> ProbabilityMaps:
    """The probability of every class on a grid, or along a curve.

    Args:
        window: where.
        max_values: maximum number of values, classes x cells.

    Raises:
        InvalidInput: there are too many cells.
    """
    _check_values(window.plan.classes, window.spec.cells, most=max_values)
    found = logits(window)
    outputs, *cells = found.values_OHW.shape
    prob_NK = numpy_forward.probabilities(np.ascontiguousarray(found.values_OHW.reshape(outputs, -1).T))
    return ProbabilityMaps(window, found, np.ascontiguousarray(prob_NK.T).reshape(-1, *cells))


def outside_training_range(window: PlacedWindow, files: Files) -> BoundaryGrid:
    """Which cells of a grid, or of a curve, are outside the training range of a version: 1 outside, else 0.

    Raises:
        InvalidInput: the range is not known, or there are too many cells.
        VersionBroken: its file cannot be read.
    """
    known = training_ranges.training_range(window.network, files, field="response")
    return BoundaryGrid(window, training_ranges.outside_grid(window, known), "outside_training_range")


def adaptive_labels(window: PlacedWindow) -> BoundaryGrid:
    """A version's labels on a grid of the plane, most of them certified for many cells at once.

    Raises:
        InvalidInput: see `models.boundary.certified.quadtree.labels`.
    """
    plan = single(window.plan, field="adaptive", what="a grid of certified labels")
    return BoundaryGrid(window, quadtree.labels(plan, grids.axes_of(window.spec)), "label")


def activation_grid(window: PlacedWindow, layer: int, unit: int) -> BoundaryGrid:
    """The activation of one hidden unit on a grid, or along a curve.

    Raises:
        InvalidInput: the model has no such unit, or there are too many cells.
    """
    plan, units = _layer(window, layer)
    if unit >= units:
        raise InvalidInput("unit", f"must be 0 to {units - 1}: layer {layer} has {units} units")
    up_to = slices.unit(plan, layer, unit)
    _check_work(window, up_to.parameters.size)
    grid = grids.evaluate(up_to, window.spec, response="logit", class_index=1)
    return BoundaryGrid(window, grid, "activation", layer=layer, unit=unit)


def activation_maps(window: PlacedWindow, layer: int) -> ActivationMaps:
    """The activations of all units of a hidden layer on a grid, or along a curve.

    Raises:
        InvalidInput: the model has no such layer, or there are too many cells.
    """
    plan, units = _layer(window, layer)
    _check_values(units, window.spec.width * window.rows)
    up_to = slices.hidden(plan, layer)
    _check_work(window, up_to.parameters.size)
    return ActivationMaps(window, grids.outputs(up_to, window.spec))


def embedding_grid(window: PlacedWindow, layer: int, coordinates: EmbeddingCoordinates | None = None) -> EmbeddingGrid:
    """Where a hidden layer maps the cells of a grid, or of a curve.

    Raises:
        InvalidInput: the model has no such layer, it has a single unit, or there are too many cells.
    """
    plan, units = _layer(window, layer)
    _check_values(units, window.spec.cells)
    _check_work(window, embeddings.work_per_cell(plan, layer))
    return EmbeddingGrid(window, layer, embeddings.embed(plan, window.spec, layer, coordinates))


def boundary_lines(
    window: PlacedWindow,
    levels: Sequence[float] = (),
    class_name: str | None = None,
    *,
    known: Outputs | None = None,
) -> BoundaryLines:
    """The lines between classes, or with levels, the lines along which the probability of a class has these levels.

    Args:
        window: the window to trace.
        levels: the probabilities, each greater than 0 and less than 1.
        class_name: the class whose probability it is; by default the second of two.
        known: the logits, if they have been computed.

    Raises:
        InvalidInput: the window is a curve, a class is needed or not allowed, the model has no such class, or there are
            too many cells.
    """
    if window.spec.is_curve:
        message = "lines need two axes, but this window is a curve along one: ask for a format that shows values"
        raise InvalidInput("format", message)
    classes = window.network.card.classes
    if class_name is not None and len(classes) > 2 and not levels:
        raise InvalidInput("class", "needs levels, because the model has more than two classes")
    k = _class_index(classes, class_name, "probability" if levels else "label")
    found = known or logits(window)
    if not levels:
        return BoundaryLines(window, contours.between_classes(found), None)
    return BoundaryLines(window, contours.at_levels(found, k, levels), k)


def logits(window: PlacedWindow) -> Outputs:
    """A version's logits at every cell of a window.

    Raises:
        InvalidInput: there are too many cells.
    """
    _check_values(window.plan.outputs, window.spec.cells)
    _check_work(window, window.plan.work)
    return grids.outputs(window.plan, window.spec)


def _class_index(classes: tuple[Label, ...], name: str | None, response: AnyResponse) -> int:
    if name is not None:
        (k,) = class_indices([name], classes)
        if k is None:
            raise InvalidInput(
                "class", "must be one of the model's classes; GET /models/{name}/versions/{v} lists them"
            )
        return k
    if response in OF_ONE_CLASS and len(classes) > 2:
        raise InvalidInput("class", f"must name one of the model's {len(classes)} classes, or ask for response=label")
    return 1


def _layer(window: PlacedWindow, layer: int) -> tuple[Plan, int]:
    """The network, and the number of units of a hidden layer."""
    plan = single(window.plan, field="response", what="a hidden layer")
    widths = slices.hidden_widths(plan)
    if not widths:
        raise InvalidInput("layer", "this model has no hidden layers")
    if layer >= len(widths):
        available = ", ".join(f"{number} of {units} units" for number, units in enumerate(widths))
        raise InvalidInput("layer", f"must be one of the model's hidden layers: {available}")
    return plan, widths[layer]


def _check_work(window: PlacedWindow, per_cell: int) -> None:
    if window.spec.cells * per_cell > MAX_ANSWER_WORK:
        raise InvalidInput("resolution", "must be smaller: so many cells take too long for a network of this size")


def _check_values(outputs: int, cells: int, most: int = MAX_GRID_VALUES) -> None:
    if outputs * cells > most:
        message = f"must have at most {most // outputs:,} cells, because each has {outputs:,} values"
        raise InvalidInput("resolution", message)
