"""Grids as JSON, and lines as GeoJSON: the schemas of the bodies, and the encoders of JSON."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from models.boundary.grids import GridAxes
from models.specs import AnyResponse, EmbeddingCoordinates
from service.api.schemas import left_out
from service.inference import grids
from service.inference.windows import PlacedWindow
from service.render import geojson, palette

ClassLabel = int | str
Colors = Annotated[list[str], Field(description="(K,) the color of each class in pictures, `#rrggbb`.")]


class Window(BaseModel):
    """The edges of a window, in data units along its axes."""

    x_min: float = Field(description="Left edge: the x of the first column.")
    x_max: float = Field(description="Right edge: the x of the last column.")
    y_min: float | None = Field(description="Lower edge: the y of row 0. Null for a curve.")
    y_max: float | None = Field(description="Upper edge: the y of the last row. Null for a curve.")


class _Placed(BaseModel):
    """The network that answered, and the window."""

    model_config = ConfigDict(serialize_by_alias=True)

    model: str | None = Field(description="The name of the model; null for a job that publishes nothing.")
    version: int | None = Field(description="The version that answered; null for a job without a version.")
    job_id: str | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The job that answered, if it has no version."
    )
    epoch: int | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The epoch of its training, if the request names one or a job."
    )
    axes: list[int] = Field(description="The features along x and y, zero-based; for a curve, the one along x.")
    axis_names: list[str] | None = Field(description="The names of these features; null without names.")
    at: list[float] = Field(description="The values of all other features, in their order.")
    window: Window


class _Cells(_Placed):
    """The cells of a grid."""

    x: list[float] = Field(description="(W,) the x of each column, ascending, in data units.")
    y: list[float] | None = Field(
        description="(H,) the y of each row, ascending: row 0 lies at `y_min`. Null for a curve, which has no H."
    )


class LineGeometry(BaseModel):
    """The vertices of a line."""

    type: Literal["LineString"]
    coordinates: list[Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        description="(V, 2) the vertices, in data units. A closed line ends with its first vertex."
    )


class LineProperties(BaseModel):
    """What a line separates."""

    classes: list[ClassLabel] = Field(
        description="The two classes that the line separates; at a `level` of one of more classes, that class alone."
    )
    level: float | None = Field(
        description="The probability along the line; null if it varies, between two of more than two classes."
    )
    closed: bool = Field(description="Whether the line is a ring.")
    color: str = Field(description="`#rrggbb`, mixed from the colors of the classes, as in SVG.")


class BoundaryLine(BaseModel):
    """One boundary line, a Feature of GeoJSON."""

    type: Literal["Feature"]
    properties: LineProperties
    geometry: LineGeometry


class _Lined(_Cells):
    """The cells of a grid, and with `overlay=line` the boundary."""

    lines: list[BoundaryLine] | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="With `overlay=line`: the boundary lines, as features of GeoJSON."
    )


class BoundaryGrid(_Lined):
    """A response, or the activation of a hidden unit, on a regular grid or along a curve."""

    object: Literal["boundary.grid"]
    response: Literal[AnyResponse, "activation", "outside_training_range"] = Field(description="What the values are.")
    class_label: ClassLabel | None = Field(
        alias="class",
        description="The class whose probability, logit or spread the values are; null for everything else.",
    )
    threshold: float | SkipJsonSchema[None] = Field(
        None,
        exclude_if=left_out,
        description="The probability above which a cell has the second label, if the request names one.",
    )
    layer: int | None = Field(description="The hidden layer of an activation, zero-based; null for everything else.")
    unit: int | None = Field(description="The hidden unit of an activation, zero-based; null for everything else.")
    shape: list[int] = Field(description="[H, W]; for a curve [W].")
    classes: list[ClassLabel] = Field(description="The K classes, as labeled in the training data.")
    colors: Colors
    evaluated: int = Field(
        description="The number of cells that the network computed: all cells, or with `adaptive` those not certified."
    )
    values: list[list[float]] | list[float] = Field(
        description="(H, W) probabilities, logits, entropies in bits, spreads, or activations; for labels, indices "
        "into `classes`; 1 outside the training range, and 0 within. For a curve (W,)."
    )


class BoundaryProbabilities(_Lined):
    """The probability of every class on a regular grid or along a curve."""

    object: Literal["boundary.probabilities"]
    response: Literal["probabilities"]
    shape: list[int] = Field(description="[K, H, W]; for a curve [K, W].")
    classes: list[ClassLabel] = Field(description="The K classes, as labeled in the training data.")
    colors: Colors
    values: list[list[list[float]]] | list[list[float]] = Field(
        description="(K, H, W) probabilities, which sum to 1 over the classes. For a curve (K, W)."
    )


class BoundaryEmbedding(_Cells):
    """Where a hidden layer maps the cells of a grid or a curve."""

    object: Literal["boundary.embedding"]
    response: Literal["embedding"]
    layer: int = Field(description="The hidden layer, zero-based.")
    coordinates: EmbeddingCoordinates = Field(
        description="`first`: the activations of the first two units. `principal`: the principal components of all."
    )
    shape: list[int] = Field(description="[H, W, 2]; for a curve [W, 2].")
    mean: list[float] | None = Field(
        description="(U,) the mean activation of each unit over the cells; null for `first`."
    )
    components: list[list[float]] | None = Field(
        description="(2, U) the principal components: values = components (activations - mean). Null for `first`."
    )
    explained: list[float] | None = Field(
        description="(2,) the share of the variance over the cells that each component explains; null for `first`."
    )
    classes: list[ClassLabel] = Field(description="The K classes, as labeled in the training data.")
    colors: Colors
    values: list[list[list[float]]] | list[list[float]] = Field(
        description="(H, W, 2) the two coordinates of each cell. For a curve (W, 2)."
    )


class BoundaryLines(_Placed):
    """The decision boundary as lines, a FeatureCollection of GeoJSON (RFC 7946) in data units in place of degrees."""

    type: Literal["FeatureCollection"]
    bbox: Annotated[list[float], Field(min_length=4, max_length=4)] = Field(
        description="The window as [x_min, y_min, x_max, y_max]."
    )
    class_label: ClassLabel | None = Field(
        alias="class", description="The class whose probability the levels are; null for lines between more classes."
    )
    classes: list[ClassLabel] = Field(description="The K classes, as labeled in the training data.")
    colors: Colors
    features: list[BoundaryLine] = Field(description="The lines.")


def encode_grid(boundary: grids.BoundaryGrid, lines: grids.BoundaryLines | None = None) -> bytes:
    """The body of a `BoundaryGrid`."""
    window, grid = boundary.window, boundary.grid
    classes, k = window.network.card.classes, boundary.class_index
    return _dumped(
        {
            "object": "boundary.grid",
            **window.network.answered_by,
            "response": boundary.response,
            "class": None if k is None else classes[k],
            **({} if boundary.threshold is None else {"threshold": boundary.threshold}),
            "layer": boundary.layer,
            "unit": boundary.unit,
            **_cells(window, grid, grid.values_HW.shape),
            **_classes(window),
            "evaluated": boundary.evaluated,
            **_lines(lines),
            "values": grid.values_HW,
        }
    )


def encode_probabilities(maps: grids.ProbabilityMaps, lines: grids.BoundaryLines | None = None) -> bytes:
    """The body of a `BoundaryProbabilities`."""
    window = maps.window
    return _dumped(
        {
            "object": "boundary.probabilities",
            **window.network.answered_by,
            "response": "probabilities",
            **_cells(window, maps.logits, maps.values_KHW.shape),
            **_classes(window),
            **_lines(lines),
            "values": maps.values_KHW,
        }
    )


def encode_embedding(grid: grids.EmbeddingGrid) -> bytes:
    """The body of a `BoundaryEmbedding`."""
    window, embedding = grid.window, grid.embedding
    return _dumped(
        {
            "object": "boundary.embedding",
            **window.network.answered_by,
            "response": "embedding",
            "layer": grid.layer,
            "coordinates": embedding.coordinates,
            **_cells(window, embedding, embedding.values_HW2.shape),
            "mean": embedding.mean_U,
            "components": embedding.components_2U,
            "explained": embedding.explained_2,
            **_classes(window),
            "values": embedding.values_HW2,
        }
    )


def _classes(window: PlacedWindow) -> dict[str, Any]:
    classes = window.network.card.classes
    return {"classes": classes, "colors": palette.class_codes(len(classes))}


def _lines(lines: grids.BoundaryLines | None) -> dict[str, Any]:
    return {} if lines is None else {"lines": geojson.features(lines)}


def _cells(window: PlacedWindow, axes: GridAxes, shape: tuple[int, ...]) -> dict[str, Any]:
    return {**window.position, "shape": shape, "x": axes.x_W, "y": axes.y_H}


def _dumped(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
