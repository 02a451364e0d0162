"""`/models`: the published models, their versions and checkpoints."""

from bisect import bisect_left, bisect_right
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query

from service.api.deps import MAX_VERSION, ModelPath, Services, ServicesDep, VersionPath
from service.api.downloads import CHECKPOINT, CheckpointFile, checkpoint_download
from service.api.models.schemas import Model, ModelList, Version, VersionList, VersionSummary
from service.errors import JobNotFound, StoreUnavailable
from service.http.pagination import Limit
from service.records import NAME_PATTERN
from service.registry.refresh import resolve_fresh

router = APIRouter(tags=["models"])


@router.get("/models", response_model=ModelList)
async def list_models(
    services: ServicesDep,
    limit: Limit = 20,
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, description="`last_id` of the previous page.")] = None,
) -> ModelList:
    """Lists the models by name."""
    await to_thread.run_sync(services.registry.refresh)
    models = services.registry.models()
    names = sorted(models)
    start = bisect_right(names, after) if after else 0
    page = names[start : start + limit]
    return ModelList.of({name: Model.of(name, models[name]) for name in page}, has_more=start + limit < len(names))


@router.get("/models/{name}", response_model=Model)
async def get_model(name: ModelPath, services: ServicesDep) -> Model:
    """Returns one model, with the newest version that is served."""
    return Model.of(name, await resolve_fresh(services.registry, lambda: services.registry.versions(name)))


@router.get("/models/{name}/versions", response_model=VersionList)
async def list_versions(
    name: ModelPath,
    services: ServicesDep,
    limit: Limit = 20,
    after: Annotated[
        int | None, Query(ge=1, le=MAX_VERSION, description="`last_id` of the previous page, a version.")
    ] = None,
) -> VersionList:
    """Lists the versions of a model, newest first."""
    versions = await resolve_fresh(services.registry, lambda: services.registry.versions(name))
    numbers = [*versions]
    end = len(numbers) if after is None else bisect_left(numbers, after)
    page = {str(number): VersionSummary.of(versions[number]) for number in reversed(numbers[max(end - limit, 0) : end])}
    return VersionList.of(page, has_more=end > limit)


@router.get("/models/{name}/versions/{version}", response_model=Version)
async def get_version(name: ModelPath, version: VersionPath, services: ServicesDep) -> Version:
    """Returns one version: its network, data, training and metrics."""
    found = await resolve_fresh(services.registry, lambda: services.registry.version(name, version))
    return Version.of(found, has_job=await to_thread.run_sync(_has_job, services, found.published.job_id))


def _has_job(services: Services, job_id: str) -> bool:
    """Whether a job exists, as far as is known: a version is shown even while the database is unavailable."""
    try:
        services.store.jobs.get(job_id)
    except (JobNotFound, StoreUnavailable):
        return False
    return True


@router.get("/models/{name}/versions/{version}/checkpoint", response_class=CheckpointFile, responses=CHECKPOINT)
async def get_version_checkpoint(name: ModelPath, version: VersionPath, services: ServicesDep) -> CheckpointFile:
    """Downloads the `state_dict` of a version as a `.pth` file for `torch.load(file, weights_only=True)`."""
    found = await resolve_fresh(services.registry, lambda: services.registry.resolve(name, version))
    return await checkpoint_download(services, found.published.checkpoint_id, filename=f"{name}-v{version}.pth")
