"""Grids as JSON: the schemas of the bodies, and their encoders."""

from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from models.boundary.grids import GridAxes
from models.specs import EmbeddingCoordinates, ResponseKind
from service.inference.grids import BoundaryGrid, EmbeddingGrid
from service.inference.windows import PlacedWindow
from service.render import palette


class Window(BaseModel):
    """The edges of a window, in data units along its axes."""

    x_min: float = Field(description="Left edge: the x of the first column.")
    x_max: float = Field(description="Right edge: the x of the last column.")
    y_min: float | None = Field(description="Lower edge: the y of row 0. Null for a curve.")
    y_max: float | None = Field(description="Upper edge: the y of the last row. Null for a curve.")


class _Cells(BaseModel):
    """Which version answered, and where the cells are."""

    model: str
    version: int = Field(description="The version that answered.")
    axes: list[int] = Field(description="The features along x and y, zero-based; for a curve, the one along x.")
    at: list[float] = Field(description="The values of all other features, in their order.")
    window: Window
    x: list[float] = Field(description="(W,) the x of each column, ascending, in data units.")
    y: list[float] | None = Field(
        description="(H,) the y of each row, ascending: row 0 lies at `y_min`. Null for a curve, which has no H."
    )


class GridResponse(_Cells):
    """A response, or the activation of a hidden unit, on a regular grid or along a curve."""

    model_config = ConfigDict(serialize_by_alias=True)

    shape: list[int] = Field(description="[H, W]; for a curve [W].")
    response: Literal[ResponseKind, "activation"] = Field(description="What the values are.")
    class_label: int | str | None = Field(
        alias="class", description="The class whose probability or logit the values are; null for everything else."
    )
    layer: int | None = Field(description="The hidden layer of an activation; null for everything else.")
    unit: int | None = Field(description="The hidden unit of an activation; null for everything else.")
    classes: list[int] | list[str] = Field(description="The K classes, as labelled in the training data.")
    colors: list[str] = Field(description="(K,) the color of each class in pictures, `#rrggbb`.")
    evaluated: int = Field(
        description="The number of cells that the network computed: all cells, or with `adaptive` those not certified."
    )
    values: list[list[float]] | list[float] = Field(
        description="(H, W) probabilities, logits, entropies in bits, or activations; for labels, indices into "
        "`classes`."
    )


class EmbeddingResponse(_Cells):
    """Where a hidden layer maps the cells of a grid or a curve."""

    shape: list[int] = Field(description="[H, W, 2]; for a curve [W, 2].")
    response: Literal["embedding"]
    layer: int = Field(description="The hidden layer.")
    coordinates: EmbeddingCoordinates
    mean: list[float] | None = Field(
        description="(U,) the mean activation of each unit over the cells; null for `first`."
    )
    components: list[list[float]] | None = Field(
        description="(2, U) the principal components: values = components (activations - mean). Null for `first`."
    )
    explained: list[float] | None = Field(
        description="(2,) the share of the variance over the cells that each component explains; null for `first`."
    )
    values: list[list[list[float]]] | list[list[float]] = Field(description="(H, W, 2) the two coordinates.")


def encode_grid(boundary: BoundaryGrid) -> bytes:
    """The body of a `GridResponse`."""
    classes, k = boundary.window.version.card.classes, boundary.class_index
    return _dumped(
        _cells(boundary.window, boundary.grid)
        | {
            "shape": boundary.grid.values_HW.shape,
            "response": boundary.response,
            "class": None if k is None else classes[k],
            "layer": boundary.layer,
            "unit": boundary.unit,
            "classes": classes,
            "colors": palette.class_codes(len(classes)),
            "evaluated": boundary.evaluated,
            "values": boundary.grid.values_HW,
        }
    )


def encode_embedding(grid: EmbeddingGrid) -> bytes:
    """The body of an `EmbeddingResponse`."""
    return _dumped(
        _cells(grid.window, grid.embedding)
        | {
            "shape": grid.embedding.values_HW2.shape,
            "response": "embedding",
            "layer": grid.layer,
            "coordinates": grid.embedding.coordinates,
            "mean": grid.embedding.mean_U,
            "components": grid.embedding.components_2U,
            "explained": grid.embedding.explained_2,
            "values": grid.embedding.values_HW2,
        }
    )


def _cells(window: PlacedWindow, axes: GridAxes) -> dict[str, Any]:
    return window.answered_by | window.position | {"x": axes.x_W, "y": axes.y_H}


def _dumped(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
