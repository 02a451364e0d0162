"""`GET /boundary-grid`."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from models.limits import MAX_GRID_CELLS, MAX_GRID_VALUES
from service.api.deps import ServicesDep
from service.api.grids import schemas
from service.api.grids.formats import OFFERED, GridFormat
from service.api.grids.query import GridQuery
from service.api.grids.responses import RESPONSES
from service.api.references import NamedVersion
from service.http import content_negotiation, etags
from service.http.content_negotiation import Accept
from service.http.etags import IfNoneMatch
from service.inference import grids, overlays, windows
from service.inference.grids import BoundaryGrid
from service.inference.windows import PlacedWindow
from service.registry.loading import LoadedVersion
from service.registry.networks import LoadedNetwork
from service.render import headers
from service.store.files import Files

router = APIRouter(tags=["boundary"])


@router.get(
    "/boundary-grid",
    operation_id="getBoundaryGrid",
    summary="A model's response on a grid, or its decision boundary as lines",
    response_model=Annotated[
        schemas.BoundaryGrid | schemas.BoundaryProbabilities | schemas.BoundaryEmbedding, Field(discriminator="object")
    ],
    responses=RESPONSES,
)
async def boundary_grid(
    query: Annotated[GridQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Evaluates a model at every cell of a regular grid, or along a curve.

    Some parameters apply only to some responses and formats, as their descriptions say. A request that combines others
    is refused with 422, and the problem names the parameter.
    """
    query.check()
    form = content_negotiation.chosen(OFFERED[query.kind], accept, query.format)
    query.check_format(form)
    named = query.named
    network = await services.newest(named, request.receive)

    async def respond() -> Response:
        shown = await services.at_epoch(network, query.epoch, request.receive)
        make = _GridRequest(shown, query, form, services.files_of(shown)).respond
        return await services.heavy(make, request.receive)

    if network.validator is None:
        response = await respond()
        response.headers["Cache-Control"] = etags.NO_STORE
        return response
    asked = query.model_dump(exclude={"model", "version", "alias", "format"})
    release = request.app.version  # another release may round differently
    tag = etags.entity_tag(release, network.answered_by, network.validator, asked, form.name)
    is_current = None  # only the database knows the state of a job
    if isinstance(network, LoadedVersion) and isinstance(named, NamedVersion):
        is_current = partial(services.registry.is_current, network.published, named.reference)
    return await services.response_cache.answer(
        request.scope,
        respond,
        tag=tag,
        cache_control=etags.REVALIDATE if query.version is None else etags.FOR_EVER,
        if_none_match=if_none_match,
        is_current=is_current,
    )


@dataclass(frozen=True)
class _GridRequest:
    """A request whose network and format are known."""

    network: LoadedNetwork
    query: GridQuery
    form: GridFormat
    files: Files

    def respond(self) -> Response:
        """The response, without caching headers. It takes long, so call it in a thread."""
        query, form = self.query, self.form
        window = windows.place(self.network, query.window(form))
        if form.lines:
            lines = grids.boundary_lines(window, query.probabilities(), query.class_name)
            return self._encoded(window, form.lines(lines))
        if form.probabilities and query.kind == "probabilities":
            return self._probabilities(window)
        if query.layer is not None and query.unit is None:
            return self._layer(window, query.layer)
        return self._grid(window)

    def _probabilities(self, window: PlacedWindow) -> Response:
        query, form = self.query, self.form
        parts = query.overlay_parts()
        overlays.require_plane(window, parts)
        maps = grids.probability_maps(window, max_values=MAX_GRID_CELLS if form.has_fields else MAX_GRID_VALUES)
        if parts:
            assert form.probabilities_and_lines
            lines = grids.boundary_lines(window, query.probabilities(), query.class_name, known=maps.logits)
            return self._encoded(window, form.probabilities_and_lines(maps, lines))
        assert form.probabilities
        return self._encoded(window, form.probabilities(maps))

    def _grid(self, window: PlacedWindow) -> Response:
        query, form = self.query, self.form
        parts = query.overlay_parts()
        overlays.require_plane(window, parts)
        boundary = self._boundary(window, with_logits="line" in parts)
        if form.grid_and_lines and parts:
            lines = overlays.lines_over(boundary, query.probabilities())
            return self._encoded(window, form.grid_and_lines(boundary, lines), evaluated=boundary.evaluated)
        if form.grid:
            return self._encoded(window, form.grid(boundary), evaluated=boundary.evaluated)
        assert form.picture
        overlay = overlays.overlay(boundary, self.files, parts, within=query.within, levels=query.probabilities())
        picture = form.picture(boundary, overlay, query.transparent)
        about = headers.of_points(overlay.points) if overlay.points else {}
        response = self._encoded(window, picture.content, evaluated=boundary.evaluated, value_range=picture.range)
        response.headers.update(about)
        return response

    def _boundary(self, window: PlacedWindow, *, with_logits: bool) -> BoundaryGrid:
        query = self.query
        if query.layer is not None and query.unit is not None:
            return grids.activation_grid(window, query.layer, query.unit)
        if query.adaptive:
            return grids.adaptive_labels(window)
        response, class_name = query.response, query.class_name
        if response == "outside_training_range":
            return grids.outside_training_range(window, self.files)
        assert response != "activation"
        assert response != "embedding"
        assert response != "probabilities"
        return grids.response_grid(
            window, response=response, class_name=class_name, threshold=query.threshold, with_logits=with_logits
        )

    def _layer(self, window: PlacedWindow, layer: int) -> Response:
        if self.query.response == "embedding":
            assert self.form.embedding
            embedded = grids.embedding_grid(window, layer, self.query.coordinates)
            return self._encoded(window, self.form.embedding(embedded))
        maps = grids.activation_maps(window, layer)
        if self.form.layer:
            return self._encoded(window, self.form.layer(maps))
        assert self.form.tiles
        tiles = self.form.tiles(maps, self.query.transparent)
        return self._encoded(window, tiles.content, value_range=tiles.range)

    def _encoded(
        self,
        window: PlacedWindow,
        body: bytes,
        *,
        evaluated: int | None = None,
        value_range: tuple[float, float] | None = None,
    ) -> Response:
        form = self.form
        about = {} if form.has_fields else headers.of_grid(window, evaluated=evaluated, value_range=value_range)
        return Response(body, media_type=form.media_type, headers=about)
