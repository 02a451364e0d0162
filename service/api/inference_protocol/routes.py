"""`/v2`: the routes of the Open Inference Protocol."""

from importlib.metadata import version as version_of
from typing import Annotated, Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response

from models.specs import InvalidInput
from service.api.deps import Services, ServicesDep
from service.api.inference_protocol import metadata
from service.api.inference_protocol.endpoint import PATHS, reference
from service.api.inference_protocol.schemas import (
    IndexRequest,
    InferRequest,
    InferResponse,
    ModelConfig,
    ModelMetadata,
    ModelReady,
    ModelStatisticsList,
    NothingMore,
    RepositoryIndex,
    RepositoryRequest,
    ServerHealth,
    ServerMetadata,
)
from service.api.system import require_ready
from service.errors import NotReady, Unsupported
from service.http import documentation
from service.http.bodies import request_body
from service.registry import refresh
from service.registry.registry import LoadedVersion

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/ProtocolError"}}}
_TENSORS = {"application/octet-stream": documentation.BINARY}
_LENGTH = documentation.header("With binary tensors: how many bytes the JSON before them has.", kind="integer")

router = APIRouter(
    tags=["inference protocol"],
    responses={
        "4XX": {
            "description": "The request is at fault.",
            "content": _ERROR,
            "headers": {"Allow": documentation.header("With 405: the methods of the path.")},
        },
        "5XX": {
            "description": "The service is at fault, or does not support this (501).",
            "content": _ERROR,
            "headers": {
                "Retry-After": documentation.header(
                    "With most errors 503: after how many seconds to try again.", kind="integer"
                )
            },
        },
    },
)

ModelName = Annotated[str, Path(alias="model", description="The name of a model.")]
VersionName = Annotated[str, Path(alias="version", description="A version of the model, by number or alias.")]


@router.get("/v2/health/live", response_model=ServerHealth)
async def get_server_live(services: ServicesDep) -> ServerHealth:
    """Whether the process answers requests."""
    try:
        require_ready(services)
    except NotReady:
        return ServerHealth(live=True, ready=False)
    return ServerHealth(live=True, ready=True)


@router.get("/v2/health/ready", response_model=ServerHealth)
async def get_server_ready(services: ServicesDep) -> ServerHealth:
    """Whether to send requests here: 503 while the service stops, and until its seed models are trained."""
    require_ready(services)
    return ServerHealth(live=True, ready=True)


@router.get("/v2", response_model=ServerMetadata)
async def get_server_metadata() -> ServerMetadata:
    """The name and the version of the server, and which extensions of the protocol it has."""
    return ServerMetadata(name="separatrix", version=version_of("separatrix"), extensions=metadata.EXTENSIONS)


@router.get("/v2/models/stats", response_model=ModelStatisticsList)
async def list_statistics(services: ServicesDep) -> Response:
    """The statistics of all versions that this process was asked for since its start.

    With several processes, each has its own statistics.
    """
    return _json({"model_stats": services.inference_statistics.to_json()})


@router.get("/v2/models/{model}/stats", response_model=ModelStatisticsList)
async def get_model_statistics(model: ModelName, services: ServicesDep) -> Response:
    """The statistics of the versions of a model that this process was asked for, and of its latest version."""
    services.inference_statistics.of(await _version(services, model))
    return _json({"model_stats": services.inference_statistics.to_json(model)})


@router.get("/v2/models/{model}/versions/{version}/stats", response_model=ModelStatisticsList)
async def get_version_statistics(model: ModelName, version: VersionName, services: ServicesDep) -> Response:
    """The statistics of one version in this process."""
    found = await _version(services, model, version)
    services.inference_statistics.of(found)
    return _json({"model_stats": services.inference_statistics.to_json(model, found.published.version)})


@router.get("/v2/models/{model}", response_model=ModelMetadata)
async def get_model_metadata(model: ModelName, services: ServicesDep) -> Response:
    """The inputs and outputs of the latest version of a model."""
    return _json(metadata.model(await _version(services, model), services.registry))


@router.get("/v2/models/{model}/versions/{version}", response_model=ModelMetadata)
async def get_version_metadata(model: ModelName, version: VersionName, services: ServicesDep) -> Response:
    """The inputs and outputs of one version."""
    found = await _version(services, model, version)
    return _json(metadata.model(found, services.registry))


@router.get("/v2/models/{model}/ready", response_model=ModelReady)
async def get_model_ready(model: ModelName, services: ServicesDep) -> ModelReady:
    """Whether a model answers requests."""
    await _version(services, model)
    return ModelReady(name=model, ready=True)


@router.get("/v2/models/{model}/versions/{version}/ready", response_model=ModelReady)
async def get_version_ready(model: ModelName, version: VersionName, services: ServicesDep) -> ModelReady:
    """Whether a version answers requests."""
    await _version(services, model, version)
    return ModelReady(name=model, ready=True)


@router.get("/v2/models/{model}/config", response_model=ModelConfig)
async def get_model_config(model: ModelName, services: ServicesDep) -> Response:
    """The configuration of the latest version of a model, in the form that Triton gives it."""
    return _json(metadata.config(await _version(services, model)))


@router.get("/v2/models/{model}/versions/{version}/config", response_model=ModelConfig)
async def get_version_config(model: ModelName, version: VersionName, services: ServicesDep) -> Response:
    """The configuration of one version, in the form that Triton gives it."""
    return _json(metadata.config(await _version(services, model, version)))


@router.post(
    "/v2/repository/index",
    response_model=RepositoryIndex,
    openapi_extra=request_body.documented(IndexRequest, required=False),
)
async def list_repository(request: Request, services: ServicesDep) -> Response:
    """Lists every version of every model. The body may be empty."""
    wanted = await _body(request, services)
    ready = wanted.get("ready", False)
    if not isinstance(ready, bool):
        raise InvalidInput("ready", "must be true or false")
    await to_thread.run_sync(services.registry.refresh)
    return _json(metadata.index(services.registry, ready=ready))


@router.post(
    "/v2/repository/models/{model}/load",
    response_model=NothingMore,
    openapi_extra=request_body.documented(RepositoryRequest, required=False),
)
async def load_model(model: ModelName, request: Request, services: ServicesDep) -> NothingMore:
    """Makes sure that the latest version of a model answers. Published versions are found without it, too."""
    parameters = (await _body(request, services)).get("parameters")
    if parameters:
        raise InvalidInput("parameters", "must be empty: the configuration and the files of a model cannot be replaced")
    await to_thread.run_sync(services.registry.refresh)
    await _version(services, model)
    return NothingMore()


@router.post(
    "/v2/repository/models/{model}/unload",
    response_model=NothingMore,
    openapi_extra=request_body.documented(RepositoryRequest, required=False),
)
async def unload_model(model: ModelName, services: ServicesDep) -> NothingMore:
    """Not supported, 501: a published model always answers."""
    await _version(services, model)
    raise Unsupported("Published models are always available. They do not need to be unloaded.")


_INFER: dict[str, Any] = {
    "response_model": InferResponse,
    "openapi_extra": request_body.documented(InferRequest, also=_TENSORS),
    "responses": {200: {"content": _TENSORS, "headers": {"Inference-Header-Content-Length": _LENGTH}}},
}


@router.post(PATHS[0], **_INFER)
async def infer(model: ModelName) -> None:
    """Classifies points by the latest version of a model.

    The body is JSON, or with the header `Inference-Header-Content-Length` JSON of that length and then the values of
    the tensors, little-endian. With the header 0 the whole body is the values of `points`.
    """
    raise NotImplementedError  # for the OpenAPI document and for 405; the middleware calls `InferEndpoint` instead


@router.post(PATHS[1], **_INFER)
async def infer_version(model: ModelName, version: VersionName) -> None:
    """Classifies points by one version of a model."""
    raise NotImplementedError  # as above


async def _version(services: Services, model: str, version: str | None = None) -> LoadedVersion:
    """The version that a path names, or the latest of the model.

    Raises:
        ModelNotFound, VersionNotFound, AliasNotFound, VersionBroken, StoreUnavailable: see `refresh.resolve`.
    """
    return await refresh.resolve(services.registry, model, reference(version))


async def _body(request: Request, services: Services) -> dict[str, Any]:
    """The JSON object of a body, which may be empty."""
    headers = request_body.headers_of(request.scope)
    text = await request_body.content(headers, request.receive, services.bodies)
    request_body.check_size(text)
    try:
        found = orjson.loads(text or b"{}")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("body", "must be a JSON object, or empty")
    request_body.check_keys(text)
    return found


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type=request_body.JSON)
