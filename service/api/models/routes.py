"""`/models`: the published models and their versions."""

from bisect import bisect_left, bisect_right
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request

from service.api.deps import MAX_VERSION, ModelPath, Services, ServicesDep, VersionPath
from service.api.models.schemas import Model, ModelList, ModelSettings, Version, VersionList, VersionSummary
from service.errors import JobNotFound, StoreUnavailable
from service.http.bodies import request_body
from service.http.pagination import Limit
from service.records import NAME_PATTERN
from service.registry.models import PublishedModel
from service.registry.propagation import wait_until_applied
from service.registry.refresh import resolve_fresh

router = APIRouter(tags=["models"])


@router.get("/models", response_model=ModelList)
async def list_models(
    services: ServicesDep,
    limit: Limit = 20,
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, description="`last_id` of the previous page.")] = None,
) -> ModelList:
    """Lists the models by name."""
    return await to_thread.run_sync(_list_models, services, limit, after)


def _list_models(services: Services, limit: int, after: str | None) -> ModelList:
    services.registry.refresh()
    models = services.registry.models()
    names = sorted(models)
    start = bisect_right(names, after) if after else 0
    page = names[start : start + limit]
    shown = {name: Model.of(models[name], services.registry) for name in page}
    return ModelList.of(shown, has_more=start + limit < len(names))


@router.get("/models/{name}", response_model=Model)
async def get_model(name: ModelPath, services: ServicesDep) -> Model:
    """Returns one model, its aliases, and the version that answers requests which name none."""
    return await to_thread.run_sync(Model.of, await _model(name, services), services.registry)


@router.put("/models/{name}", response_model=Model, openapi_extra=request_body.documented(ModelSettings))
async def put_model(name: ModelPath, request: Request, services: ServicesDep) -> Model:
    """Sets how many versions a model keeps, from its next publication on."""
    headers = request_body.headers_of(request.scope)
    body = await request_body.read(headers, request.receive, ModelSettings, services.bodies)

    def keep() -> None:
        seq = services.store.versions.keep(name, body.keep_versions)
        wait_until_applied(services.store, services.registry, seq)

    await to_thread.run_sync(keep, limiter=services.write_threads)
    return await to_thread.run_sync(Model.of, await _model(name, services), services.registry)


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
    model = await _model(name, services)
    return await to_thread.run_sync(_list_versions, services, model, limit, after)


def _list_versions(services: Services, model: PublishedModel, limit: int, after: int | None) -> VersionList:
    numbers = [*model.versions]
    end = len(numbers) if after is None else bisect_left(numbers, after)
    page = reversed(numbers[max(end - limit, 0) : end])
    shown = {str(number): VersionSummary.of(model.versions[number], services.registry) for number in page}
    return VersionList.of(shown, has_more=end > limit)


@router.get("/models/{name}/versions/{version}", response_model=Version)
async def get_version(name: ModelPath, version: VersionPath, services: ServicesDep) -> Version:
    """Returns one version: its network, data, training and metrics."""
    await resolve_fresh(services.registry, lambda: services.registry.published(name, version))
    return await to_thread.run_sync(_version, services, name, version)


def _version(services: Services, name: str, version: int) -> Version:
    found = services.registry.version(name, version)
    return Version.of(found, services.registry, has_job=_has_job(services, found.published.job_id))


def _has_job(services: Services, job_id: str | None) -> bool:
    """Whether a job exists, as far as is known: a version is shown even while the database is unavailable."""
    if job_id is None:
        return False
    try:
        services.store.jobs.get(job_id)
    except (JobNotFound, StoreUnavailable):
        return False
    return True


async def _model(name: str, services: Services) -> PublishedModel:
    return await resolve_fresh(services.registry, lambda: services.registry.model(name))
