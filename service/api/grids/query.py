"""The parameters of `GET /boundary-grid`, and which of them can be combined."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, FiniteFloat, WithJsonSchema

from models.limits import (
    MAX_ADAPTIVE_RESOLUTION,
    MAX_DISTANCE,
    MAX_HIDDEN_LAYERS,
    MAX_LEVELS,
    MAX_WIDTH,
)
from models.specs import AnyResponse, EmbeddingCoordinates, InvalidInput
from service.api.epochs import Epoch
from service.api.grids.formats import FORMATS, LINES, PICTURES, WITH_LINES, GridFormat, Kind
from service.api.predictions.requests import Threshold
from service.api.references import AliasName, JobName, Named, named
from service.api.window_query import WindowQuery
from service.http.content_negotiation import either
from service.http.query_parameters import CommaList, list_of
from service.inference import features
from service.inference.grids import OF_ONE_CLASS
from service.inference.overlays import OverlayPart
from service.inference.windows import Window
from service.records import NAME_PATTERN

FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": [one.name for one in FORMATS]})]
"""The name of a format. `content_negotiation.chosen` refuses every other string."""

Levels = Annotated[
    CommaList,
    list_of(
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        minItems=1,
        maxItems=MAX_LEVELS,
        uniqueItems=True,
    ),
]
Overlay = Annotated[CommaList, list_of({"type": "string", "enum": get_args(OverlayPart)}, minItems=1, uniqueItems=True)]


class _Answering(BaseModel):
    """The version or the job that answers."""

    model: str | None = Field(
        None,
        pattern=NAME_PATTERN,
        description="The model that answers. Required without `job`.",
        examples=["flower-sequential"],
    )
    version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Its version; by default the one that the alias `latest` names."
    )
    alias: AliasName = None
    job: JobName = None
    epoch: Epoch = None


class GridQuery(WindowQuery, _Answering):
    """A grid, and the format to show it in."""

    response: Literal[AnyResponse, "probabilities", "activation", "embedding", "outside_training_range"] | None = Field(
        None,
        description="`probability` of a class, `probabilities` of all K classes, (K, H, W), `label`, `logit`, or "
        "`entropy` of the class probabilities, in bits; `spread`, the "
        "standard deviation of the probability over the networks of an ensemble; `outside_training_range`, 1 for cells "
        "far from all training points, else 0; "
        "`activation` of the units of a hidden `layer`; or `embedding`, where a hidden `layer` maps each cell: two "
        "coordinates, (H, W, 2). By default the probability for two classes, the label for more. "
        f"Not for the formats {either(LINES)}.",
    )
    class_name: str | None = Field(
        None,
        alias="class",
        max_length=64,
        description="The class whose probability, logit or spread to show, or to draw lines of; by default the second "
        "of two. Not for any other response, and not with `adaptive`.",
    )
    threshold: Threshold = Field(
        None,
        description="For labels of two classes, and their overlay: a cell gets the second label if its probability is "
        "above the threshold. By default 0.5. Not with `adaptive`; lines take `levels`.",
    )
    layer: int | None = Field(
        None,
        ge=0,
        le=MAX_HIDDEN_LAYERS - 1,
        description="For an activation or an embedding, which require it: the hidden layer, zero-based.",
    )
    unit: int | None = Field(
        None,
        ge=0,
        le=MAX_WIDTH - 1,
        description="For an activation: the unit of the layer, zero-based. By default all U units: an array (U, H, W), "
        "or a picture of tiles.",
    )
    coordinates: EmbeddingCoordinates | None = Field(
        None,
        description="For an embedding: the activations of the `first` two units, or the `principal` components of "
        "all units, which is the default for more than two.",
    )
    levels: Levels | None = Field(
        None,
        description=f"For the formats {either(LINES)}, and with `overlay=line`: the probabilities to draw lines at, "
        "such as `0.1,0.5,0.9`. By default the lines between classes.",
    )
    overlay: Overlay | None = Field(
        None,
        description="For a picture, except of a whole layer: what to draw on top, the training `points`, the "
        "decision boundary as a `line`, or both: `points,line`. For JSON, except of an embedding: `line` adds the "
        "boundary as `lines`.",
    )
    within: FiniteFloat | None = Field(
        None,
        ge=0,
        le=MAX_DISTANCE,
        description="With `overlay=points`: show only points within this distance of the plane. The distance is the "
        "root mean square of the differences in standard deviations, over the features that are not on an axis: about "
        "1 for a typical point, and 0 for all points of a model of two features. By default all points are shown. They "
        "fade with the distance.",
    )
    transparent: bool = Field(False, description="For a picture: make uncertain cells more transparent.")
    adaptive: bool = Field(
        False,
        description="Labels that are certified for many cells at once where possible, at a cost that grows with the "
        "length of the boundary and not with the area. A picture may then have up to "
        f"{MAX_ADAPTIVE_RESOLUTION} x {MAX_ADAPTIVE_RESOLUTION} cells.",
    )
    format: FormatName | None = Field(
        None, description="By default the format that `Accept` prefers, else the first that can show the grid."
    )

    @property
    def named(self) -> Named:
        """What answers.

        Raises:
            InvalidInput: see `references.named`.
        """
        return named(self.model, self.version, self.alias, self.job)

    @property
    def kind(self) -> Kind:
        """The kind of grid."""
        if self.response == "activation":
            return "layer" if self.unit is None else "unit"
        if self.response == "probabilities" or self.response == "embedding":
            return self.response
        return "response"

    def check(self) -> None:
        """Checks the parameters against each other.

        Raises:
            InvalidInput: a parameter is missing, is malformed, or does not apply to the response.
        """
        self.overlay_parts()
        is_hidden = self.response in ("activation", "embedding")
        if is_hidden and self.layer is None:
            raise InvalidInput("layer", f"is required for response={self.response}")
        if self.layer is not None and not is_hidden:
            raise InvalidInput("layer", "needs response=activation or response=embedding")
        if self.unit is not None and self.response != "activation":
            raise InvalidInput("unit", "needs response=activation and a layer")
        if self.coordinates is not None and self.response != "embedding":
            raise InvalidInput("coordinates", "needs response=embedding")
        if self.class_name is not None and (self.adaptive or self.response not in (None, *OF_ONE_CLASS)):
            raise InvalidInput("class", "needs response=probability, response=logit or response=spread")

        if self.threshold is not None and (self.adaptive or self.response not in (None, "label")):
            raise InvalidInput("threshold", "needs response=label without adaptive")
        if self.threshold is not None and self.class_name is not None:
            raise InvalidInput("class", "cannot be combined with threshold, which makes the response labels")

    def check_format(self, form: GridFormat) -> None:
        """Checks the parameters against the format.

        Raises:
            InvalidInput: the format does not show what a parameter asks for.
        """
        if self.levels is not None and not (form.lines or "line" in self.overlay_parts()):
            raise InvalidInput("levels", f"needs format={either(LINES)}, or overlay=line")
        if self.levels is not None and self.threshold is not None:
            raise InvalidInput(
                "levels", "cannot be combined with threshold, which already decides where the line is drawn"
            )
        if self.threshold is not None and form.lines:
            raise InvalidInput("threshold", f"cannot be combined with format={form.name}: give it as levels")
        if self.response is not None and form.lines:
            raise InvalidInput(
                "response", f"cannot be combined with format={form.name}, which returns lines and no values"
            )
        if self.adaptive and (self.response not in (None, "label") or form.lines):
            values = [one for one in FORMATS if one.grid or one.picture]
            raise InvalidInput("adaptive", f"needs response=label and format={either(values)}")
        self._check_overlay(form)

    def _check_overlay(self, form: GridFormat) -> None:
        if self.transparent and not form.picture:
            raise InvalidInput("transparent", f"needs format={either(PICTURES)}")
        parts = self.overlay_parts()
        if "points" in parts and not form.picture:
            raise InvalidInput("overlay", f"points needs format={either(PICTURES)}")
        if "line" in parts and form not in WITH_LINES:
            raise InvalidInput("overlay", f"line needs format={either(WITH_LINES)}")
        if self.within is not None and "points" not in parts:
            raise InvalidInput("within", "needs overlay=points")
        if parts and self.kind == "layer":
            raise InvalidInput("overlay", "cannot be combined with all units of a layer: choose one unit")
        if parts and self.kind == "embedding":
            raise InvalidInput("overlay", "cannot be combined with response=embedding")

    def window(self, form: GridFormat) -> Window:
        """The window of the grid."""
        return self.as_window(is_picture=form.picture is not None, is_adaptive=self.adaptive)

    def overlay_parts(self) -> tuple[str, ...]:
        """What to draw over a picture.

        Raises:
            InvalidInput: a part is unknown, or named twice.
        """
        if self.overlay is None:
            return ()
        parts = tuple(self.overlay)
        if not set(parts) <= set(get_args(OverlayPart)) or len(set(parts)) != len(parts):
            raise InvalidInput("overlay", "must be points, line, or points,line")
        return parts

    def probabilities(self) -> tuple[float, ...]:
        """The levels to draw lines at; empty for the lines between classes.

        Raises:
            InvalidInput: there are too many levels, two are equal, or one is not between 0 and 1.
        """
        if self.levels is None:
            return ()
        levels = features.numbers("levels", self.levels)
        if not all(0 < level < 1 for level in levels):
            raise InvalidInput("levels", "each must be greater than 0 and less than 1")
        if not 1 <= len(levels) <= MAX_LEVELS or len(set(levels)) != len(levels):
            raise InvalidInput("levels", f"must be 1 to {MAX_LEVELS} different probabilities")
        return levels
