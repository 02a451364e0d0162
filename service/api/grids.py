"""`GET /boundary-grid`."""

from typing import Annotated, Literal

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models import colours
from models.grids import Grid
from models.specs import MAX_GRID_CELLS, MAX_RESOLUTION, ResponseKind
from service import predictor
from service.api import caching, formats, npy, png
from service.api.deps import ServicesDep, look_up
from service.api.patterns import RESOLUTION_PATTERN
from service.predictor import GridRequest
from service.records import NAME_PATTERN
from service.registry import LoadedVersion

router = APIRouter(tags=["boundary"])


class GridQuery(BaseModel):
    """Which grid."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(pattern=NAME_PATTERN, examples=["flower-sequential"])
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="The latest, if not given.")
    x_min: FiniteFloat | None = Field(None, description="Left edge; by default that of the training data, less 1.")
    x_max: FiniteFloat | None = Field(None, description="Right edge; by default that of the training data, plus 1.")
    y_min: FiniteFloat | None = Field(None, description="Lower edge; by default that of the training data, less 1.")
    y_max: FiniteFloat | None = Field(None, description="Upper edge; by default that of the training data, plus 1.")
    resolution: str = Field(
        "200",
        pattern=RESOLUTION_PATTERN,
        description=f"Columns and rows, `W` or `WxH`: each 2 to {MAX_RESOLUTION}, at most {MAX_GRID_CELLS} cells.",
    )
    response: ResponseKind | None = Field(
        None, description="By default the probability for two classes, the label for more."
    )
    class_name: str | None = Field(
        None,
        alias="class",
        max_length=64,
        description="Whose probability or logit; by default the second of two classes.",
    )

    format: Literal["json", "npy", "png"] | None = Field(
        None, description="`json`, `npy` or `png`; by default what `Accept` prefers, else JSON."
    )

    def request(self) -> GridRequest:
        """The same, as the predictor takes it."""
        width, _, height = self.resolution.partition("x")
        return GridRequest(
            x_min=self.x_min,
            x_max=self.x_max,
            y_min=self.y_min,
            y_max=self.y_max,
            width=int(width),
            height=int(height or width),
            response=self.response,
            class_name=self.class_name,
        )


class GridResponse(BaseModel):
    """A response on a regular grid."""

    model_config = ConfigDict(serialize_by_alias=True)

    model: str
    version: int = Field(description="The version that answered.")
    x: list[float] = Field(description="(W,) abscissa of each column, ascending, in data units.")
    y: list[float] = Field(description="(H,) ordinate of each row, ascending: row 0 is y_min.")
    shape: list[int] = Field(description="H and W.")
    response: ResponseKind
    class_label: int | str | None = Field(
        alias="class", description="Whose probability or logit the values are; null for labels."
    )
    classes: list[int] | list[str] = Field(description="The K classes, as they were called in the training data.")
    colours: list[str] = Field(description="The colour of each class in pictures, `#rrggbb`.")
    values: list[list[float]] = Field(description="(H, W) probabilities or logits; for labels, indices into `classes`.")


@router.get(
    "/boundary-grid",
    response_model=GridResponse,
    responses={
        200: {"content": {npy.MEDIA_TYPE: formats.BINARY, png.MEDIA_TYPE: formats.BINARY}},
        304: {"description": "The client has this answer: its `If-None-Match` names the `ETag`."},
    },
)
async def boundary_grid(
    query: Annotated[GridQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """A model's answer at every cell of a regular grid: its decision boundary as a map."""
    form = formats.chosen(("json", "npy", "png"), accept, query.format)
    version = await look_up(services.registry, lambda: services.registry.resolve(query.model, query.version))
    asked = query.model_dump(exclude={"model", "version", "format"})
    published = version.published
    release = request.app.version  # another may round otherwise
    tag = caching.entity_tag(release, published.model, published.version, published.card_digest, asked, form)
    headers = {
        "ETag": tag,
        "Cache-Control": caching.REVALIDATE if query.version is None else caching.FOR_EVER,
        "Vary": "Accept",
    }
    if caching.is_known(tag, request.headers):
        return Response(status_code=304, headers=headers)
    response = await to_thread.run_sync(_ANSWERS[form], version, query.request(), limiter=services.heavy)
    response.headers.update(headers)
    return response


def _npy(version: LoadedVersion, request: GridRequest) -> Response:
    grid = predictor.boundary_grid(version, request).grid
    return Response(npy.encode(grid.values_HW), media_type=npy.MEDIA_TYPE, headers=_headers(version, grid))


def _png(version: LoadedVersion, request: GridRequest) -> Response:
    boundary = predictor.boundary_grid(version, request)
    content = png.encode(boundary, len(version.card.classes), boundary.class_index)
    return Response(content, media_type=png.MEDIA_TYPE, headers=_headers(version, boundary.grid))


def _headers(version: LoadedVersion, grid: Grid) -> dict[str, str]:
    """What neither an array nor a picture can say: who answered, and for which window."""
    window = (grid.x_W[0], grid.x_W[-1], grid.y_H[0], grid.y_H[-1])
    return npy.headers(version) | {"Separatrix-Window": ",".join(repr(float(edge)) for edge in window)}


def _json(version: LoadedVersion, request: GridRequest) -> Response:
    boundary = predictor.boundary_grid(version, request)
    grid, classes = boundary.grid, version.card.classes
    content = orjson.dumps(
        {
            "model": version.published.model,
            "version": version.published.version,
            "x": grid.x_W,
            "y": grid.y_H,
            "shape": grid.values_HW.shape,
            "response": boundary.response,
            "class": None if boundary.class_index is None else classes[boundary.class_index],
            "classes": classes,
            "colours": colours.hexadecimal(colours.of_classes(len(classes))),
            "values": grid.values_HW,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Response(content, media_type="application/json")


_ANSWERS = {"json": _json, "npy": _npy, "png": _png}
