"""The parameters of `GET /boundary-grid`, and which of them go together."""

import math
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models.limits import (
    MAX_ADAPTIVE_RESOLUTION,
    MAX_COORDINATE,
    MAX_GRID_CELLS,
    MAX_LEVELS,
    MAX_RESOLUTION,
)
from models.specs import HiddenSpaceCoordinates, InvalidInput, ResponseKind
from service.http.content_negotiation import Format
from service.http.patterns import AXES_PATTERN, RESOLUTION_PATTERN, UNIT_PATTERN
from service.inference.grids import GridRequest, Window
from service.records import NAME_PATTERN

Kind = Literal["response", "unit", "layer", "warp"]

OFFERED: dict[Kind, tuple[Format, ...]] = {
    "response": ("json", "npy", "png", "geojson"),
    "unit": ("json", "npy", "png"),
    "layer": ("npy", "png"),  # as JSON a layer would be many megabytes of text
    "warp": ("json", "npy"),  # places are no colours
}
"""The formats of each kind of grid, the first by default."""

MAX_NUMBERS_LENGTH = 32_000
"""Characters of a list of numbers: a thousand features take no more."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


class GridQuery(BaseModel):
    """Which grid."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(pattern=NAME_PATTERN, description="Who answers.", examples=["flower-sequential"])
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The latest, if not given.")
    x_min: FiniteFloat | None = Field(None, description="Left edge; by default that of the training data, less 1.")
    x_max: FiniteFloat | None = Field(None, description="Right edge; by default that of the training data, plus 1.")
    y_min: FiniteFloat | None = Field(None, description="Lower edge; by default that of the training data, less 1.")
    y_max: FiniteFloat | None = Field(None, description="Upper edge; by default that of the training data, plus 1.")
    resolution: str = Field(
        "200",
        pattern=RESOLUTION_PATTERN,
        description=f"Columns and rows, `W` or `WxH`: each 2 to {MAX_RESOLUTION}, at most {MAX_GRID_CELLS} cells. A "
        "curve has `W` cells; as a picture it is a strip of W x H, by default an eighth as high as wide.",
    )
    axes: str | None = Field(
        None,
        pattern=AXES_PATTERN,
        description="The features along x and y, zero-based, such as `0,2`; one alone gives a curve. By default `0,1`, "
        "of a model of one feature `0`.",
    )
    at: str | None = Field(
        None,
        max_length=MAX_NUMBERS_LENGTH,
        description="The values of all other features, in their order, such as `0.5,-1`; by default the medians of the "
        "training data.",
    )
    response: ResponseKind | None = Field(
        None,
        description="`probability`, `label`, `logit`, or `entropy` of the class probabilities, in bits; by default the "
        "probability for two classes, the label for more.",
    )
    class_name: str | None = Field(
        None,
        alias="class",
        max_length=64,
        description="Whose probability or logit; by default the second of two classes.",
    )
    unit: str | None = Field(
        None,
        pattern=UNIT_PATTERN,
        description="The activation of one hidden unit in place of a response: `layer.index`, both zero-based; `0.3` "
        "is the fourth unit of the first hidden layer.",
    )
    layer: int | None = Field(
        None,
        ge=0,
        le=9_999,
        description="The activations of all units of a hidden layer, zero-based, as `npy` (U, H, W) or a sheet of "
        "pictures.",
    )
    warp: int | None = Field(
        None,
        ge=0,
        le=9_999,
        description="Where a hidden layer, zero-based, takes each cell: two coordinates, as `json` or `npy` (H, W, 2).",
    )
    coordinates: HiddenSpaceCoordinates | None = Field(
        None,
        description="Of `warp`: the activations of the `first` two units, or the `principal` components of all, which "
        "is the default for more than two.",
    )
    levels: str | None = Field(
        None,
        max_length=MAX_NUMBERS_LENGTH,
        description=f"Of `format=geojson`: the probabilities to draw lines at, such as `0.1,0.5,0.9`; at most "
        f"{MAX_LEVELS}, each greater than 0 and less than 1. By default the lines where classes part.",
    )
    points: bool = Field(False, description="Of a picture: with the training points over it.")
    line: bool = Field(False, description="Of a picture: with the decision boundary over it.")
    transparent: bool = Field(False, description="Of a picture: the less certain, the more transparent.")
    adaptive: bool = Field(
        False,
        description="Labels, most of them proven for whole blocks of cells rather than computed, at a cost that grows "
        f"with the boundary's length and not with the area: as a picture up to {MAX_ADAPTIVE_RESOLUTION} x "
        f"{MAX_ADAPTIVE_RESOLUTION}.",
    )
    format: Literal["json", "npy", "png", "geojson"] | None = Field(
        None, description="`json`, `npy`, `png` or `geojson`; by default what `Accept` prefers, else JSON."
    )

    @property
    def kind(self) -> Kind:
        """What the grid is of."""
        if self.unit is not None:
            return "unit"
        if self.layer is not None:
            return "layer"
        return "response" if self.warp is None else "warp"

    def check(self, form: Format) -> None:
        """Holds the parameters against each other and against the format that was chosen.

        Raises:
            InvalidInput: two of them exclude each other, or one has no part in what is asked for.
        """
        asked = [
            name for name in ("response", "class_name", "unit", "layer", "warp") if getattr(self, name) is not None
        ]
        if len(asked) > 1 and asked != ["response", "class_name"]:
            one, other = (name.removesuffix("_name") for name in (asked[-1], asked[0]))
            raise InvalidInput(one, f"not together with {other}: one of response (and class), unit, layer, warp")
        if self.coordinates is not None and self.warp is None:
            raise InvalidInput("coordinates", "only with warp")
        if self.levels is not None and form != "geojson":
            raise InvalidInput("levels", "only with format=geojson")
        if self.response is not None and form == "geojson":
            raise InvalidInput("response", "not with geojson: it has the lines where classes part, or those of levels")
        if self.class_name is not None and (self.adaptive or self.response in ("label", "entropy")):
            raise InvalidInput("class", "only of a probability or a logit: labels and entropies are of all classes")
        if self.adaptive and (self.kind != "response" or self.response not in (None, "label") or form == "geojson"):
            raise InvalidInput("adaptive", "only for response=label, as json, npy or png")
        for name in ("points", "line", "transparent"):
            if getattr(self, name) and form != "png":
                raise InvalidInput(name, "only with format=png")
            if getattr(self, name) and self.kind == "layer" and name != "transparent":
                raise InvalidInput(name, "not on the sheet of a layer: ask for the picture of a unit")

    def request(self, form: Format) -> GridRequest:
        """The response that is asked for, and where.

        Raises:
            InvalidInput: see `window`.
        """
        return GridRequest(**vars(self.window(form)), response=self.response, class_name=self.class_name)

    def window(self, form: Format) -> Window:
        """The cells that are asked for.

        Raises:
            InvalidInput: an axis is named twice, or a value is no number.
        """
        width, _, height = self.resolution.partition("x")
        return Window(
            x_min=self.x_min,
            x_max=self.x_max,
            y_min=self.y_min,
            y_max=self.y_max,
            width=int(width),
            height=int(height) if height else None,
            axes=self._axes(),
            at=None if self.at is None else _numbers("at", self.at),
            is_picture=form == "png",
            is_adaptive=self.adaptive,
        )

    def probabilities(self) -> tuple[float, ...]:
        """The levels to draw lines at; none where classes part.

        Raises:
            InvalidInput: they are too many, not distinct, or no probabilities that have log-odds.
        """
        if self.levels is None:
            return ()
        levels = _numbers("levels", self.levels)
        if not all(0 < level < 1 for level in levels):
            raise InvalidInput("levels", "each must be greater than 0 and less than 1")
        if not 1 <= len(levels) <= MAX_LEVELS or len(set(levels)) != len(levels):
            raise InvalidInput("levels", f"must be 1 to {MAX_LEVELS} different probabilities")
        return levels

    def unit_place(self) -> tuple[int, int]:
        """Layer and index of the unit asked for."""
        layer, _, index = (self.unit or "").partition(".")
        return int(layer), int(index)

    def _axes(self) -> tuple[int, ...] | None:
        if self.axes is None:
            return None
        axes = tuple(map(int, self.axes.split(",")))
        if len(set(axes)) != len(axes):
            raise InvalidInput("axes", "must be different features")
        return axes


def _numbers(field: str, text: str) -> tuple[float, ...]:
    """Numbers between commas; an empty text holds none."""
    parts = text.split(",") if text else []
    if not all(_NUMBER.fullmatch(part) for part in parts):
        raise InvalidInput(field, "must be numbers with commas between them, such as 0.5,-1")
    numbers = tuple(map(float, parts))
    if not all(math.isfinite(number) and abs(number) <= MAX_COORDINATE for number in numbers):
        raise InvalidInput(field, f"each must be between -{MAX_COORDINATE} and {MAX_COORDINATE}")
    return numbers
