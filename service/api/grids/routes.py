"""`GET /boundary-grid`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response

from service.api.deps import ServicesDep
from service.api.grids import schemas
from service.api.grids.query import OFFERED, GridQuery
from service.api.grids.schemas import GridResponse, WarpResponse
from service.http import content_negotiation, etags, request_body, response_cache
from service.http.content_negotiation import Format
from service.http.response_cache import CachedResponse
from service.inference import grids
from service.inference.grids import BoundaryGrid, Place
from service.registry.refresh import resolve_fresh
from service.registry.registry import LoadedVersion
from service.render import geojson, npy, png
from service.render.png import Picture
from service.store.files import Files

router = APIRouter(tags=["boundary"])

_NOTHING: Mapping[str, str] = {}

MAX_HEADER_LENGTH = 4_000
"""Characters of the values of features that are not on an axis: more would be too much for some proxies."""


@router.get(
    "/boundary-grid",
    response_model=GridResponse | WarpResponse,
    responses={
        200: {
            "content": {
                npy.MEDIA_TYPE: content_negotiation.BINARY,
                png.MEDIA_TYPE: content_negotiation.BINARY,
                geojson.MEDIA_TYPE: {"schema": {"type": "object", "description": "A FeatureCollection, RFC 7946."}},
            }
        },
        304: {"description": "The client has this answer: its `If-None-Match` names the `ETag`."},
    },
)
async def boundary_grid(
    query: Annotated[GridQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Annotated[str | None, Header()] = None,  # noqa: ARG001  # for the document: it may be sent in several lines
) -> Response:
    """A model's answer at every cell of a regular grid: its decision boundary as a map, or as lines."""
    sent = request_body.headers_of(request.scope)
    form = content_negotiation.chosen(OFFERED[query.kind], request_body.header(sent, b"accept"), query.format)
    query.check(form)
    registry, model, number = services.registry, query.model, query.version
    version = await resolve_fresh(registry, lambda: registry.resolve(model, number))
    asked = query.model_dump(exclude={"model", "version", "format"})
    published = version.published
    release = request.app.version  # another may round otherwise
    tag = etags.entity_tag(release, published.model, published.version, published.card_digest, asked, form)
    headers = {
        "ETag": tag,
        "Cache-Control": etags.REVALIDATE if query.version is None else etags.FOR_EVER,
        "Vary": "Accept",
    }
    response = Response(status_code=304, headers=headers)
    kept = CachedResponse(
        response_cache.key(request.scope, sent),
        tag,
        lambda: registry.loaded(model, number) is version,
        response.raw_headers,
    )
    if not etags.is_known(tag, request_body.header(sent, b"if-none-match")):
        how = _ANSWERS["lines" if form == "geojson" else query.kind]
        grid_request = _Asked(version, query, form, services.files)
        response = await to_thread.run_sync(how, grid_request, limiter=services.heavy_threads)
        response.headers.update(headers)
        kept = replace(kept, headers=response.raw_headers, body=bytes(response.body))
    services.response_cache.keep(kept)
    return response


@dataclass(frozen=True)
class _Asked:
    """Everything that an answer is made from."""

    version: LoadedVersion
    query: GridQuery
    form: Format
    files: Files


def _response(asked: _Asked) -> Response:
    return _map(asked, grids.boundary_grid(asked.version, asked.query.request(asked.form)))


def _unit(asked: _Asked) -> Response:
    window = asked.query.window(asked.form)
    return _map(asked, grids.unit_map(asked.version, window, *asked.query.unit_place()))


def _map(asked: _Asked, boundary: BoundaryGrid) -> Response:
    version, query = asked.version, asked.query
    grid, place = boundary.grid, boundary.place
    if asked.form == "json":
        return Response(schemas.grid(version, boundary), media_type=request_body.JSON)
    if asked.form == "npy":
        values = grid.values_HW.astype(np.int64, copy=False) if boundary.response == "label" else grid.values_HW
        return _array(version, place, values, _evaluated(boundary))
    over = grids.overlay(version, asked.files, place, points=query.points, line=query.line)
    picture = png.encode(boundary, len(version.card.classes), over, query.transparent)
    return _picture(version, place, picture, _evaluated(boundary))


def _evaluated(boundary: BoundaryGrid) -> dict[str, str]:
    return {"Separatrix-Evaluated": str(boundary.evaluated)}


def _layer(asked: _Asked) -> Response:
    assert asked.query.layer is not None
    maps = grids.layer_maps(asked.version, asked.query.window(asked.form), asked.query.layer)
    if asked.form == "npy":
        return _array(asked.version, maps.place, maps.outputs.values_OHW)
    return _picture(asked.version, maps.place, png.encode_sheet(maps, asked.query.transparent))


def _warp(asked: _Asked) -> Response:
    version, query = asked.version, asked.query
    assert query.warp is not None
    warped = grids.warped_grid(version, query.window(asked.form), query.warp, query.coordinates)
    if asked.form == "json":
        return Response(schemas.warp(version, warped, query.warp), media_type=request_body.JSON)
    return _array(version, warped.place, warped.warp.values_HW2)


def _lines(asked: _Asked) -> Response:
    version, query = asked.version, asked.query
    lines = grids.boundary_lines(version, query.window(asked.form), query.probabilities(), query.class_name)
    content = geojson.encode(lines, version.card.classes, schemas.about(version, lines.place))
    return Response(content, media_type=geojson.MEDIA_TYPE)


_ANSWERS = {"response": _response, "unit": _unit, "layer": _layer, "warp": _warp, "lines": _lines}


def _array(
    version: LoadedVersion, place: Place, values: npt.NDArray[Any], also: Mapping[str, str] = _NOTHING
) -> Response:
    return Response(npy.encode(values), media_type=npy.MEDIA_TYPE, headers={**_headers(version, place), **also})


def _picture(version: LoadedVersion, place: Place, picture: Picture, also: Mapping[str, str] = _NOTHING) -> Response:
    headers = {**_headers(version, place), **also}
    if picture.range is not None:
        headers["Separatrix-Range"] = ",".join(map(repr, picture.range))
    return Response(picture.content, media_type=png.MEDIA_TYPE, headers=headers)


def _headers(version: LoadedVersion, place: Place) -> dict[str, str]:
    """What neither an array nor a picture can say: who answered, and for which part of which axes."""
    spec = place.spec
    edges = (edge for edge in (spec.x_min, spec.x_max, spec.y_min, spec.y_max) if edge is not None)
    headers = npy.headers(version) | {
        "Separatrix-Window": ",".join(repr(float(edge)) for edge in edges),
        "Separatrix-Axes": schemas.axes_text(place),
    }
    at = schemas.at_text(place)
    if 0 < len(at) <= MAX_HEADER_LENGTH:
        headers["Separatrix-At"] = at
    return headers
