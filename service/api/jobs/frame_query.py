"""The query parameters of boundary frames, which both routes of events share."""

import re
from typing import Annotated, Literal

from fastapi import Depends, Query
from pydantic import FiniteFloat, WithJsonSchema

from models.limits import MAX_HIDDEN_LAYERS, MAX_MARGIN
from models.specs import InvalidInput
from service.api.predictions.requests import Threshold
from service.live.frames import ALL_LAYERS, LAYER_CELLS, MAX_CELLS, MAX_LAYER_CELLS, MIN_CELLS, FrameView

LayerName = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_HIDDEN_LAYERS - 1},
                {"type": "string", "const": "all"},
            ]
        }
    ),
]


def _view(
    boundary: Annotated[
        int | None,
        Query(
            ge=MIN_CELLS,
            le=MAX_CELLS,
            description="Streams only: also send `boundary` events while the network trains, with its output on a grid "
            "of this many columns and rows. The points of the jobs must have two coordinates.",
        ),
    ] = None,
    margin: Annotated[
        FiniteFloat | None,
        Query(
            ge=0,
            le=MAX_MARGIN,
            description="For `boundary` events: the margin of their window, as in `GET /boundary-grid`.",
        ),
    ] = None,
    threshold: Annotated[
        Threshold,
        Query(
            description="For `boundary` events of two classes: send labels, the second one above this probability.",
        ),
    ] = None,
    layer: Annotated[
        LayerName | None,
        Query(
            description="For `boundary` events: also send the activations of all units of a hidden layer, zero-based, "
            "or of `all` hidden layers.",
        ),
    ] = None,
    layer_cells: Annotated[
        int | None,
        Query(
            ge=MIN_CELLS,
            le=MAX_LAYER_CELLS,
            description=f"With `layer`: the columns and rows of the activations. By default {LAYER_CELLS}.",
        ),
    ] = None,
) -> FrameView | None:
    """The frames that a stream sends.

    Raises:
        InvalidInput: a parameter is given without another one that it needs.
    """
    if boundary is None:
        given = {"margin": margin, "threshold": threshold, "layer": layer, "layer_cells": layer_cells}
        for name, value in given.items():
            if value is not None:
                raise InvalidInput(name, "needs boundary")
        return None
    if layer is None and layer_cells is not None:
        raise InvalidInput("layer_cells", "needs layer")
    return FrameView(boundary, margin, threshold, _layer(layer), layer_cells or LAYER_CELLS)


def _layer(name: str | None) -> int | Literal["all"] | None:
    """The layer that a request names.

    Raises:
        InvalidInput: it is neither a number nor all.
    """
    if name is None or name == ALL_LAYERS:
        return name
    if re.fullmatch("[0-9]{1,2}", name) is None:
        raise InvalidInput("layer", "must be the number of a hidden layer, or all")
    return int(name)


FrameViewDep = Annotated[FrameView | None, Depends(_view)]
