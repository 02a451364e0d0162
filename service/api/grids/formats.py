"""The formats of grids: the only place that lists them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from service.api.grids import schemas
from service.http import documentation
from service.http.bodies import request_body
from service.http.content_negotiation import Format
from service.inference.grids import ActivationMaps, BoundaryGrid, BoundaryLines, EmbeddingGrid, ProbabilityMaps
from service.inference.overlays import Overlay
from service.render import csv_cells, geojson, npy, png, svg
from service.render.png import Picture

Kind = Literal["response", "probabilities", "unit", "layer", "embedding"]


@dataclass(frozen=True, eq=False, kw_only=True)
class GridFormat(Format):
    """A format, and an encoder for each kind of grid that it can show; None if it cannot show that kind.

    Attributes:
        grid: encodes the values of a response, or of the activation of a hidden unit.
        probabilities: encodes the probabilities of all classes.
        layer: encodes the activations of a hidden layer.
        embedding: encodes where a hidden layer maps the cells.
        grid_and_lines, probabilities_and_lines: encode the boundary lines beside the values, for `overlay=line`.
        lines: encodes the boundary lines in place of the response. A curve has none.
        picture: draws a response, or the activation of a hidden unit, with an overlay.
        tiles: draws the activations of a hidden layer, one tile for each unit.
        has_fields: whether bodies say which version answered and where, so no `Separatrix-` headers are needed.
        content: the OpenAPI media type object.
    """

    grid: Callable[[BoundaryGrid], bytes] | None = None
    probabilities: Callable[[ProbabilityMaps], bytes] | None = None
    layer: Callable[[ActivationMaps], bytes] | None = None
    embedding: Callable[[EmbeddingGrid], bytes] | None = None
    grid_and_lines: Callable[[BoundaryGrid, BoundaryLines], bytes] | None = None
    probabilities_and_lines: Callable[[ProbabilityMaps, BoundaryLines], bytes] | None = None
    lines: Callable[[BoundaryLines], bytes] | None = None
    picture: Callable[[BoundaryGrid, Overlay, bool], Picture] | None = None
    tiles: Callable[[ActivationMaps, bool], Picture] | None = None
    has_fields: bool = False
    content: Mapping[str, Any]

    def shows(self, kind: Kind) -> bool:
        """Whether the format can show a kind of grid."""
        encoders: dict[Kind, tuple[object, ...]] = {
            "response": (self.grid, self.picture, self.lines),
            "probabilities": (self.probabilities,),
            "unit": (self.grid, self.picture),
            "layer": (self.layer, self.tiles),
            "embedding": (self.embedding,),
        }
        return any(encoders[kind])


FORMATS = (
    GridFormat(
        "json",
        request_body.JSON,
        grid=schemas.encode_grid,  # no layer: it would be many megabytes of text
        probabilities=schemas.encode_probabilities,
        embedding=schemas.encode_embedding,
        grid_and_lines=schemas.encode_grid,
        probabilities_and_lines=schemas.encode_probabilities,
        has_fields=True,
        content={},  # FastAPI adds the response model
    ),
    GridFormat(
        "npy",
        npy.MEDIA_TYPE,
        grid=npy.encode_grid,
        probabilities=npy.encode_probabilities,
        layer=npy.encode_activations,
        embedding=npy.encode_embedding,
        content=documentation.BINARY,
    ),
    GridFormat("png", png.MEDIA_TYPE, picture=png.encode, tiles=png.encode_tiles, content=documentation.BINARY),
    GridFormat(
        "geojson",
        geojson.MEDIA_TYPE,
        lines=geojson.encode,
        has_fields=True,
        content={"schema": {"$ref": "#/components/schemas/BoundaryLines"}},
    ),
    GridFormat(
        "csv",
        csv_cells.MEDIA_TYPE,
        grid=csv_cells.encode,
        content={"schema": {"type": "string", "description": "`x,y,value`, or `x,value` for a curve, then the cells."}},
    ),
    GridFormat(
        "svg",
        svg.MEDIA_TYPE,
        lines=svg.encode,
        content={"schema": {"type": "string", "description": "A path for each line, in data units."}},
    ),
)
"""The first of the formats that can show a kind of grid is the default."""

OFFERED: dict[Kind, tuple[GridFormat, ...]] = {
    kind: tuple(one for one in FORMATS if one.shows(kind)) for kind in get_args(Kind)
}

PICTURES = tuple(one for one in FORMATS if one.picture)
WITH_LINES = tuple(one for one in FORMATS if one.picture or one.grid_and_lines)
LINES = tuple(one for one in FORMATS if one.lines)
