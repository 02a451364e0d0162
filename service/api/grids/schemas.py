"""Grids as JSON: the bodies, and what the other formats say in headers or beside their features."""

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from models.specs import HiddenSpaceCoordinates, ResponseKind
from service.inference.grids import BoundaryGrid, Place, WarpedGrid
from service.registry.registry import LoadedVersion
from service.render import palette


class _Cells(BaseModel):
    """What all bodies say of where their values are."""

    model: str
    version: int = Field(description="The version that answered.")
    axes: str = Field(description="The features along x and y, or along x alone for a curve, as the query takes them.")
    at: str = Field(description="The values of all other features, in their order; empty if there are none.")
    x: list[float] = Field(description="(W,) abscissa of each column, ascending, in data units.")
    y: list[float] | None = Field(
        description="(H,) ordinate of each row, ascending: row 0 is y_min. Null for a curve, whose arrays have no H."
    )


class GridResponse(_Cells):
    """A response, or the activation of a hidden unit, on a regular grid or along a curve."""

    model_config = ConfigDict(serialize_by_alias=True)

    shape: list[int] = Field(description="H and W; for a curve W.")
    response: ResponseKind | None = Field(description="Null for a unit.")
    unit: str | None = Field(description="The hidden unit, `layer.index`, or null for a response.")
    class_label: int | str | None = Field(
        alias="class", description="Whose probability or logit the values are; null for all else."
    )
    classes: list[int] | list[str] = Field(description="The K classes, as they were called in the training data.")
    colours: list[str] = Field(description="The colour of each class in pictures, `#rrggbb`.")
    evaluated: int = Field(description="Cells that the network computed: all, or with `adaptive` those not proven.")
    values: list[list[float]] | list[float] = Field(
        description="(H, W) probabilities, logits, bits of entropy or activations; for labels, indices into `classes`."
    )


class WarpResponse(_Cells):
    """Where a hidden layer takes the cells of a grid or a curve."""

    shape: list[int] = Field(description="H, W and 2; for a curve W and 2.")
    warp: int = Field(description="The hidden layer.")
    coordinates: HiddenSpaceCoordinates
    mean: list[float] | None = Field(description="(U,) mean activation of each unit over the cells; null for `first`.")
    components: list[list[float]] | None = Field(
        description="(2, U) the principal directions: values = components (activations - mean). Null for `first`."
    )
    explained: list[float] | None = Field(
        description="(2,) the share of the cells' variance that each direction accounts for; null for `first`."
    )
    values: list[list[list[float]]] | list[list[float]] = Field(description="(H, W, 2) the two coordinates.")


def grid(version: LoadedVersion, boundary: BoundaryGrid) -> bytes:
    """The body of a `GridResponse`."""
    classes, k, unit = version.card.classes, boundary.class_index, boundary.unit
    return _dumped(
        _cells(version, boundary.place, boundary.grid.x_W, boundary.grid.y_H)
        | {
            "shape": boundary.grid.values_HW.shape,
            "response": boundary.response,
            "unit": None if unit is None else f"{unit[0]}.{unit[1]}",
            "class": None if k is None else classes[k],
            "classes": classes,
            "colours": palette.hexadecimal(palette.of_classes(len(classes))),
            "evaluated": boundary.evaluated,
            "values": boundary.grid.values_HW,
        }
    )


def warp(version: LoadedVersion, warped: WarpedGrid, layer: int) -> bytes:
    """The body of a `WarpResponse`."""
    found = warped.warp
    return _dumped(
        _cells(version, warped.place, found.x_W, found.y_H)
        | {
            "shape": found.values_HW2.shape,
            "warp": layer,
            "coordinates": found.coordinates,
            "mean": found.mean_U,
            "components": found.components_2U,
            "explained": found.explained_2,
            "values": found.values_HW2,
        }
    )


def about(version: LoadedVersion, place: Place) -> dict[str, Any]:
    """Who answered, and over which axes."""
    published = version.published
    return {"model": published.model, "version": published.version, "axes": axes_text(place), "at": at_text(place)}


def axes_text(place: Place) -> str:
    """The axes as the query takes them."""
    return ",".join(map(str, place.axes))


def at_text(place: Place) -> str:
    """The values of the other features as the query takes them, to the last bit."""
    return ",".join(map(repr, map(float, place.at)))


def _cells(version: LoadedVersion, place: Place, x_W: Any, y_H: Any) -> dict[str, Any]:
    return about(version, place) | {"x": x_W, "y": y_H}


def _dumped(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
