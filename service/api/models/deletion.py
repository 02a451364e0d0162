"""`DELETE /models/{name}` and `DELETE /models/{name}/versions/{version}`."""

from collections.abc import Callable

from anyio import to_thread
from fastapi import APIRouter, Response

from service.api.deps import ModelPath, Services, ServicesDep, VersionPath
from service.registry.propagation import wait_until_applied
from service.store.versions import Deletion

router = APIRouter(tags=["models"])


@router.delete("/models/{name}/versions/{version}", status_code=204)
async def delete_version(name: ModelPath, version: VersionPath, services: ServicesDep) -> Response:
    """Deletes a version, with its files. Refused while an alias other than `latest` names it.

    If `latest` names it, that moves to the next older version that it may name, else to the newest. The number of the
    version is not used again.
    """
    return await to_thread.run_sync(
        _delete, services, lambda: services.store.versions.delete(name, version), limiter=services.write_threads
    )


@router.delete("/models/{name}", status_code=204)
async def delete_model(name: ModelPath, services: ServicesDep) -> Response:
    """Deletes all versions of a model, with their files. Refused while an alias other than `latest` names one.

    Jobs stay. A job of the model that goes on publishes its version, with the next number.
    """
    return await to_thread.run_sync(
        _delete, services, lambda: services.store.versions.delete_model(name), limiter=services.write_threads
    )


def _delete(services: Services, delete: Callable[[], Deletion]) -> Response:
    deleted = delete()
    wait_until_applied(services.store, services.registry, deleted.seq)
    services.files.remove_versions(deleted.versions)
    return Response(status_code=204)
