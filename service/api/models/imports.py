"""`POST /models/{name}/versions`: a checkpoint from elsewhere becomes the next version of a model."""

import logging
import re
import tempfile
from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response

from models.checkpoints import atomic
from models.imports.options import ImportOptions
from models.specs import InvalidInput
from service.api.deps import Services, ServicesDep
from service.api.models.import_query import ImportQuery
from service.api.models.schemas import Version
from service.errors import FolderUnavailable, UnsupportedMediaType
from service.http import documentation
from service.http.bodies import body_file, request_body
from service.http.problems import InvalidParameter
from service.imports.publishing import TASK, new_checkpoint, publish
from service.records import NAME_PATTERN, NAME_RULE

logger = logging.getLogger(__name__)

router = APIRouter(tags=["models"])

BODY = "body"

MEDIA_TYPES = (
    "application/octet-stream",
    "application/zip",
    "application/x-safetensors",
    "application/x-onnx",
    request_body.JSON,
)
"""The content decides what a file is, so any of these will do. Types that a page of another site may send without being
asked for it are not among them."""

_REQUEST = {
    "requestBody": {
        "required": True,
        "content": dict.fromkeys(MEDIA_TYPES, documentation.BINARY)
        | {request_body.JSON: {"schema": {"type": "object", "additionalProperties": True}}},
    }
}
_CREATED: dict[int | str, dict[str, Any]] = {
    201: {"headers": {"Location": documentation.header("The path of the version.", example="/models/iris/versions/1")}}
}


@router.post(
    "/models/{name}/versions",
    response_model=Version,
    status_code=201,
    responses=_CREATED,
    openapi_extra=_REQUEST,
)
async def import_version(
    name: Annotated[str, Path(description="1 to 63 of the characters a-z, 0-9, '.', '_' and '-'.")],
    request: Request,
    query: Annotated[ImportQuery, Query()],
    services: ServicesDep,
    response: Response,
) -> Version:
    """Publishes a network from a file: a PyTorch checkpoint, TorchScript, torch.export, safetensors or an export.

    Nothing of the file is executed. `card.imported` says how it was read. The model is created if it does not exist.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidParameter("name", NAME_RULE, place="path")
    try:
        checkpoint_id, written = await _written(request, query.options(), services)
    except InvalidInput as error:
        raise _located(error) from None
    publish = partial(_publish, services, name, checkpoint_id, written)
    version = await to_thread.run_sync(publish, limiter=services.write_threads)
    response.headers["Location"] = version.links.self
    return version


async def _written(request: Request, options: ImportOptions, services: Services) -> tuple[str, bytes]:
    """Writes the body of a request as a checkpoint. Returns its id and what the task returned.

    Raises:
        UnsupportedMediaType: the `Content-Type` is not one of a file.
        InvalidInput: the body cannot be read as a network, or an option is missing or wrong.
        BodyTooLarge, BodyTooSlow, ClientDisconnect: see `body_file.receive_into`.
        TaskFailed: reading the file takes too long or too much memory.
        DataFolderFull: the data folder has reached the setting `max_data_bytes`.
        FolderUnavailable: the data folder cannot be written.
    """
    headers, settings, files = request_body.headers_of(request.scope), services.settings, services.files
    if request_body.media_type(headers) not in MEDIA_TYPES:
        raise UnsupportedMediaType(f"Send the file with Content-Type: {MEDIA_TYPES[0]}.")
    services.disk.require_room(request_body.declared_bytes(headers))
    try:
        files.checkpoints_folder.mkdir(exist_ok=True)
        # with the prefix of unfinished checkpoints: what a killed process leaves is removed like those
        with tempfile.NamedTemporaryFile(dir=files.checkpoints_folder.absolute(), prefix=atomic.PREFIX) as file:
            await body_file.receive_into(
                file,
                headers,
                request.receive,
                max_bytes=settings.max_checkpoint_bytes,
                timeout_s=settings.body_timeout_s,
            )
            with new_checkpoint(files) as checkpoint_id:
                folder = str(files.checkpoint_folder(checkpoint_id).absolute())
                return checkpoint_id, await services.torch_tasks.run(TASK, file.name, folder, options)
    except OSError as error:
        logger.error("a checkpoint could not be stored: %s", error)
        raise FolderUnavailable("The data folder cannot be written now. The log of the service says why.") from error


def _publish(services: Services, model: str, checkpoint_id: str, written: bytes) -> Version:
    published = publish(
        services.store,
        services.files,
        services.registry,
        model=model,
        checkpoint_id=checkpoint_id,
        written=written,
        keep_versions=services.settings.keep_versions,
    )
    found = services.registry.version(model, published.version)
    return Version.of(found, services.registry, has_job=False)


def _located(error: InvalidInput) -> InvalidInput:
    """An error of the reader as one of a query parameter, or of the body."""
    if error.field in ImportQuery.model_fields:
        return InvalidParameter(error.field, error.reason)
    return InvalidInput(BODY, error.reason)
