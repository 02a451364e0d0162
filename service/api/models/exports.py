"""`GET /models/{name}/versions/{version}/checkpoint`: a version as a file for other programs."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Query, Request, Response
from pydantic import WithJsonSchema

from models.exports.formats import FORMATS, ExportFormat
from service.api.deps import ModelPath, Services, ServicesDep, VersionPath
from service.api.downloads import attachment, disposition, read_checkpoint
from service.api.models.network_document import EnsembleDocument, NetworkDocument
from service.http import content_negotiation, documentation, etags
from service.http.bodies import request_body
from service.http.content_negotiation import Accept, Format
from service.http.etags import IfNoneMatch
from service.registry.networks import LoadedNetwork
from service.registry.refresh import resolve

router = APIRouter(tags=["models"])

FormatName = Annotated[str, WithJsonSchema({"type": "string", "enum": [one.name for one in FORMATS]})]
"""The name of a format. `content_negotiation.chosen` refuses every other string."""


@dataclass(frozen=True, eq=False)
class Offered(Format):
    """A format of exports as `content_negotiation` chooses it."""

    export: ExportFormat


OFFERED = tuple(Offered(one.name, one.media_type, one) for one in FORMATS)
"""The formats of networks as files. The first one, `pth`, is the default."""

_CACHING = etags.documented()

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file. " + " ".join(f"`{one.name}`: {one.content}" for one in FORMATS),
        "content": {
            **{one.media_type: documentation.BINARY for one in FORMATS},
            request_body.JSON: {
                "schema": {
                    "oneOf": [
                        {"$ref": f"#/components/schemas/{document.__name__}"}
                        for document in (NetworkDocument, EnsembleDocument)
                    ]
                }
            },
        },
        "headers": disposition("my-flower-v1.pth") | _CACHING,
    },
    304: etags.not_modified(_CACHING),
}


@router.get("/models/{name}/versions/{version}/checkpoint", response_class=Response, responses=RESPONSES)
async def get_version_checkpoint(
    name: ModelPath,
    version: VersionPath,
    services: ServicesDep,
    request: Request,
    format_name: Annotated[
        FormatName | None,
        Query(alias="format", description="By default the format that `Accept` prefers, else `pth`."),
    ] = None,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Downloads a version as a file, by default the `state_dict` for `torch.load(file, weights_only=True)`."""
    form = content_negotiation.chosen(OFFERED, accept, format_name)
    found = await resolve(services.registry, name, version)
    published = found.published
    # another release may write other files
    tag = etags.entity_tag(request.app.version, name, published.version, published.card_digest, form.name)
    if etags.is_known(tag, if_none_match):
        content = b""  # `respond` sends none
    else:
        content = await encoded(services, found, form.export)
    filename = f"{name}-v{published.version}{form.export.suffix}"
    headers = {"Content-Disposition": attachment(filename), "Vary": "Accept"}
    return etags.respond(content, tag, if_none_match, media_type=form.media_type, headers=headers)


async def encoded(services: Services, network: LoadedNetwork, form: ExportFormat) -> bytes:
    """The file of a network whose training has ended.

    Raises:
        InvalidInput: the format cannot hold it.
        TaskFailed: torch could not write it.
        VersionBroken: its checkpoint cannot be read.
    """
    if form.torch_function:
        return await services.torch_tasks.run(form.torch_function, network.exported)
    if form.encode:
        return await to_thread.run_sync(partial(form.encode, network.exported), limiter=services.heavy_threads)
    return await read_checkpoint(services.files_of(network), network.key)
