"""Stores the body of a request as a dataset."""

import logging
import tempfile
from dataclasses import asdict
from functools import partial
from typing import IO, Any

from anyio import to_thread
from fastapi import Request
from pydantic import Field

from service.api.csv_bodies import BODY, table_errors
from service.api.deps import Services
from service.api.table_query import TableQuery
from service.datasets import formats, isolated, reading
from service.datasets.formats import Format
from service.datasets.reading import Task
from service.datasets.stored import require_free
from service.errors import FolderUnavailable, UnsupportedMediaType
from service.http import documentation
from service.http.bodies import body_file, request_body
from service.records import StoredDataset

logger = logging.getLogger(__name__)

APART_BYTES = 2**20
"""Length above which a file is read in a separate process, which takes half a second to start."""


class StoreQuery(TableQuery):
    """How to read a dataset, and whether to replace another one."""

    replace: bool = Field(False, description="Replace other content under this name, which is refused otherwise.")


_OBJECT = {"type": "object", "additionalProperties": True}

REQUEST: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            request_body.JSON: {
                "schema": {
                    "anyOf": [_OBJECT, {"type": "array", "items": _OBJECT}],
                    "description": "Points and labels, columns, or records.",
                }
            },
            **{
                media_type: documentation.BINARY
                for media_type in (*formats.MEDIA_TYPES, formats.UNKNOWN)
                if not media_type.startswith("text/") and media_type != request_body.JSON
            },
        },
    }
}
"""The `openapi_extra` of the route."""


async def store(name: str, request: Request, query: StoreQuery, services: Services) -> tuple[StoredDataset, bool]:
    """Stores the body of a request under a name. Returns the dataset, and whether the name is new.

    Raises:
        UnsupportedMediaType: the `Content-Type` is not one of a dataset.
        InvalidInput: the body cannot be read as a dataset.
        DatasetReserved, DatasetExists, DatasetsFull: see `StoredDatasets.add`.
        BodyTooLarge, BodyTooSlow, ClientDisconnect: see `body_file.receive_into`.
        DataFolderFull: the data folder has reached the setting `max_data_bytes`.
        FolderUnavailable: the data folder cannot be written.
    """
    require_free(name)
    headers, settings = request_body.headers_of(request.scope), services.settings
    kind = _kind(request_body.media_type(headers))
    services.disk.require_room(request_body.declared_bytes(headers))
    max_bytes = settings.max_body_bytes if kind is formats.JSON else settings.max_dataset_bytes
    folder = services.files.points_folder
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file, table_errors():
            await body_file.receive_into(
                file, headers, request.receive, max_bytes=max_bytes, timeout_s=settings.body_timeout_s
            )
            async with services.upload_threads:
                dataset = await _read(name, file, kind, query, services)
    except OSError as error:
        logger.error("a dataset could not be stored: %s", error)
        raise FolderUnavailable("The data folder cannot be written now. The log of the service says why.") from error
    add = partial(services.datasets.add, dataset, replace=query.replace)
    return await to_thread.run_sync(add, limiter=services.write_threads)


def _kind(media_type: str) -> Format | None:
    """The format that a `Content-Type` names; None if the first bytes decide."""
    if media_type == formats.UNKNOWN:
        return None
    if media_type not in formats.MEDIA_TYPES:
        raise UnsupportedMediaType(
            f"Send the dataset with Content-Type: {', '.join(formats.MEDIA_TYPES)} or {formats.UNKNOWN}."
        )
    return formats.MEDIA_TYPES[media_type]


async def _read(
    name: str, file: IO[bytes], kind: Format | None, query: StoreQuery, services: Services
) -> StoredDataset:
    kind = kind or formats.of_content(file)
    length = file.seek(0, 2)
    file.seek(0)
    if kind is formats.JSON and length > services.settings.max_body_bytes:
        raise request_body.too_large(services.settings.max_body_bytes)
    task = Task(
        name=name,
        title=BODY,
        format=kind.name,
        options=asdict(query.options()),
        folder=str(services.files.points_folder.absolute()),
    )
    if length > APART_BYTES or kind.may_expand(file):
        return await isolated.run(task, file)
    return await to_thread.run_sync(reading.run, task, file)
