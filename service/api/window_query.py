"""The query parameters that say where a grid lies, which several routes share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models.limits import (
    MAX_COORDINATE,
    MAX_FEATURES,
    MAX_GRID_CELLS,
    MAX_MARGIN,
    MAX_NAME_LENGTH,
    MAX_RESOLUTION,
    MAX_WINDOW,
)
from service.http.patterns import RESOLUTION_PATTERN
from service.http.query_parameters import list_of
from service.inference.windows import Window

Edge = Annotated[FiniteFloat, Field(ge=-MAX_WINDOW, le=MAX_WINDOW)]


Axes = Annotated[
    list[str],  # `features.axes` splits it, because a name may contain a comma
    list_of(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_FEATURES - 1},
                {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH},
            ]
        },
        minItems=1,
        maxItems=2,
        uniqueItems=True,
    ),
]
Coordinates = Annotated[
    list[str],  # `features.position` splits it
    list_of(
        {
            "anyOf": [
                {"type": "number", "minimum": -MAX_COORDINATE, "maximum": MAX_COORDINATE},
                {"type": "string", "minLength": 3, "description": "`name=value`"},
            ]
        },
        maxItems=MAX_FEATURES,
    ),
]


class WindowQuery(BaseModel):
    """A window on the features of a model, and its cells."""

    model_config = ConfigDict(extra="forbid")

    x_min: Edge | None = Field(None, description="Left edge, less than `x_max`; by default from the default window.")
    x_max: Edge | None = Field(None, description="Right edge; by default from the default window.")
    y_min: Edge | None = Field(
        None, description="Lower edge, less than `y_max`; by default from the default window. Not for a curve."
    )
    y_max: Edge | None = Field(None, description="Upper edge; by default from the default window. Not for a curve.")
    margin: FiniteFloat | None = Field(
        None,
        ge=0,
        le=MAX_MARGIN,
        description="What the default window adds to the range of the training data on each side, as a share of that "
        "range: 0.1 adds a tenth. By default an eighth; for generated data it adds 1, in data units. Applies to the "
        "edges that are not given.",
    )
    resolution: str = Field(
        "200",
        pattern=RESOLUTION_PATTERN,
        description=f"Columns and rows, `W` or `WxH`: each 2 to {MAX_RESOLUTION}, at most {MAX_GRID_CELLS} cells. A "
        "curve has `W` cells; its picture is a strip of W x H pixels, by default an eighth as high as wide.",
    )
    axes: Axes | None = Field(
        None,
        description="The features along x and y, by zero-based number or by name; a single one gives a curve. By "
        "default the first two that vary in the data, or the only one. A name that contains a comma, or that is the "
        "number of another feature, is written in double quotes.",
        examples=[[0, 1]],
    )
    at: Coordinates | None = Field(
        None,
        description="The values of all other features, in their order, such as `0.5,-1`; or of some of them, such as "
        "`petal width=1.5`. By default the medians of the training data.",
    )

    def as_window(self, *, is_picture: bool, is_adaptive: bool = False) -> Window:
        """The window of a grid, or of a picture of one."""
        width, _, height = self.resolution.partition("x")
        return Window(
            x_min=self.x_min,
            x_max=self.x_max,
            y_min=self.y_min,
            y_max=self.y_max,
            margin=self.margin,
            width=int(width),
            height=int(height) if height else None,
            axes=self.axes,
            at=self.at,
            is_picture=is_picture,
            is_adaptive=is_adaptive,
        )
