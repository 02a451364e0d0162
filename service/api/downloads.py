"""Checkpoints as files to download."""

from anyio import to_thread
from fastapi import Response

from models.checkpoints.cards import NETWORK_FILE
from service.api.deps import Services
from service.errors import VersionBroken


class CheckpointFile(Response):
    """A `state_dict` as `.pth`."""

    media_type = "application/octet-stream"


async def checkpoint_download(services: Services, checkpoint_id: str, *, filename: str) -> CheckpointFile:
    """The `.pth` of a checkpoint, whole: it is 16 MB at most.

    Raises:
        VersionBroken: the file has gone since it was loaded.
    """
    path = services.files.checkpoint_folder(checkpoint_id) / NETWORK_FILE
    try:
        content = await to_thread.run_sync(path.read_bytes)
    except OSError:
        raise VersionBroken("Its file cannot be read; the service's log says more at the next start.") from None
    return CheckpointFile(content, headers={"Content-Disposition": f'attachment; filename="{filename}"'})
