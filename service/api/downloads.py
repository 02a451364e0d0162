"""Checkpoints as file downloads."""

from typing import Any

from anyio import to_thread
from fastapi import Response

from models.checkpoints.cards import NETWORK_FILE
from service.errors import VersionBroken
from service.http import documentation
from service.store.files import Files


def disposition(example: str) -> dict[str, Any]:
    """The header objects of a download, for the OpenAPI document."""
    return {
        "Content-Disposition": documentation.header(
            "The name of the file.", example=f'attachment; filename="{example}"'
        )
    }


CHECKPOINT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The `state_dict` of the network, as `torch.save` writes it.",
        "content": {"application/octet-stream": documentation.BINARY},
        "headers": disposition("my-flower-3f9d2c.pth"),
    }
}
"""The `responses` of a route that sends a checkpoint, for the OpenAPI document."""


class CheckpointFile(Response):
    """A `state_dict` as a `.pth` file."""

    media_type = "application/octet-stream"


async def checkpoint_download(files: Files, checkpoint_id: str, *, filename: str) -> CheckpointFile:
    """The `.pth` file of a checkpoint.

    Raises:
        VersionBroken: the file has disappeared since the checkpoint was loaded.
    """
    content = await read_checkpoint(files, checkpoint_id)
    return CheckpointFile(content, headers={"Content-Disposition": attachment(filename)})


async def read_checkpoint(files: Files, checkpoint_id: str) -> bytes:
    """The `.pth` file of a checkpoint, read into memory: it has at most 16 MB.

    Raises:
        VersionBroken: the file has disappeared since the checkpoint was loaded.
    """
    path = files.checkpoint_folder(checkpoint_id) / NETWORK_FILE
    try:
        return await to_thread.run_sync(path.read_bytes)
    except OSError:
        raise VersionBroken("The checkpoint file cannot be read. Tell the operator of the service.") from None


def attachment(filename: str) -> str:
    """The header `Content-Disposition` of a download."""
    return f'attachment; filename="{filename}"'
