"""`/health` and `/metrics`: for the operators of the service."""

import asyncio
from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from pydantic import BaseModel, Field

from service.api.deps import Services, ServicesDep
from service.errors import NotReady
from service.http import metrics
from service.records import JobState
from service.store.jobs import JobCounts

router = APIRouter(tags=["operation"])

HEALTH_S = 0.5
"""How long a health check waits for the database and the disk. Kubernetes by default waits 1 s for its response."""

METRICS_S = 3.0
"""How long metrics wait for each of them. Prometheus by default waits 10 s for all metrics."""


class Live(BaseModel):
    """The process answers requests."""

    status: Literal["live"] = "live"


class MissingPart(BaseModel):
    """A part of the service that does not work at present."""

    part: Literal["database", "disk", "trainings"] = Field(
        description="`database` or `disk`: requests that write are refused. `trainings`: jobs stay in the queue."
    )
    reason: str = Field(description="What is wrong, for the operator.")


class Ready(BaseModel):
    """The service is ready for requests."""

    status: Literal["ready"] = "ready"
    models: int = Field(description="Number of published models.")
    broken_versions: int = Field(
        description="Number of versions that are known to be damaged and cannot be served. If there are very many "
        "versions, some are read only after the start."
    )
    missing: list[MissingPart] = Field(
        description="The parts that do not work at present; empty if all work. Predictions and grids need none of them."
    )


@router.get("/health/live", response_model=Live)
async def get_live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/health/ready", response_model=Ready)
async def get_ready(services: ServicesDep) -> Ready:
    """Whether to send requests here: 503 while the service stops, and until its seed models are trained.

    If the database or the disk fails, the status is still 200, because predictions work without them. `missing` names
    what fails.
    """
    require_ready(services)
    registry = services.registry
    missing = await _missing(services)
    return Ready(models=len(registry.models()), broken_versions=registry.loader.broken_count, missing=missing)


async def _missing(services: Services) -> list[MissingPart]:
    missing = []
    # both at a time: a lost network disk delays each of them
    any_queued, free_bytes = await asyncio.gather(
        services.database_probe.answer(HEALTH_S), services.disk_probe.answer(HEALTH_S)
    )
    if any_queued is None:
        missing.append(MissingPart(part="database", reason=f"The database does not answer within {HEALTH_S:g} s."))
    if free_bytes is None:
        reason = f"The disk of the data folder does not answer within {HEALTH_S:g} s."
        missing.append(MissingPart(part="disk", reason=reason))
    elif free_bytes < services.settings.min_free_bytes:
        free = f"{free_bytes / 2**20:,.0f} MiB"
        reason = f"{free} can be written to the data folder. Free some space, or make the folder writable."
        missing.append(MissingPart(part="disk", reason=reason))
    elif services.disk.used_bytes >= services.settings.max_data_bytes:
        reason = "The data folder has reached max_data_bytes. Delete versions or datasets, or raise that setting."
        missing.append(MissingPart(part="disk", reason=reason))
    if not services.spaces.can_start_workers:
        reason = "No training process can be started. The log of the service says why."
        missing.append(MissingPart(part="trainings", reason=reason))
    return missing


def require_ready(services: Services) -> None:
    """Checks that the service is ready for requests.

    Raises:
        NotReady: it stops, or its seed models are not trained yet.
    """
    if services.stopping.is_set():
        raise NotReady("The service is stopping. Send requests to another one.")
    if not services.seed_models.ready:
        done = ", ".join(f"{job.model} {job.progress:.0%}" for job in services.seed_models.pending)
        raise NotReady(f"The seed models of this data folder are being trained, which happens once. Progress: {done}.")


UNENDED = tuple(state for state in JobState if not state.ended)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "The metrics, in the text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
    },
)
async def get_metrics(services: ServicesDep) -> Response:
    """The metrics of the service, in the text format of Prometheus.

    If several processes answer requests, the figures are for all of them together, up to a second old.
    """
    counts, free_bytes = await asyncio.gather(
        services.counts_probe.answer(METRICS_S), services.disk_probe.answer(METRICS_S)
    )
    content = services.shared_metrics.exposition(_service_metrics(services, counts, free_bytes))
    return Response(content, media_type=metrics.MEDIA_TYPE)


def _service_metrics(services: Services, counts: JobCounts | None, free_bytes: int | None) -> Iterator[Metric]:
    """The metrics that are the same for all processes of a service.

    Without `counts`, the database is unavailable; without `free_bytes`, the disk.
    """
    published = services.registry.models().values()
    loader = services.registry.loader
    is_available = counts is not None
    yield GaugeMetricFamily("separatrix_database_available", "1 if the database answers, else 0.", value=is_available)
    yield GaugeMetricFamily("separatrix_models", "Models that are served.", value=len(published))
    versions = sum(len(model.versions) for model in published)
    yield GaugeMetricFamily("separatrix_versions", "Versions that are published.", value=versions)
    broken = loader.broken_count
    yield GaugeMetricFamily("separatrix_broken_versions", "Versions that are known to be damaged.", value=broken)
    used = "Bytes of the disk that the data folder takes."
    yield GaugeMetricFamily("separatrix_data_bytes", used, value=services.disk.used_bytes)
    free = "Bytes that are free on the disk of the data folder: 0 if it does not answer."
    yield GaugeMetricFamily("separatrix_disk_free_bytes", free, value=free_bytes or 0)
    can_train = services.spaces.can_start_workers
    yield GaugeMetricFamily("separatrix_training_available", "1 if training processes start, else 0.", value=can_train)
    if counts is None:
        return
    jobs = GaugeMetricFamily("separatrix_jobs", "Jobs that have not ended, by status.", labels=["status"])
    for state in UNENDED:
        jobs.add_metric([state.value], counts.present.get(state, 0))
    yield jobs
    ended = CounterMetricFamily("separatrix_jobs_ended", "Jobs that have ended, by status.", labels=["status"])
    for state, count in counts.ended.items():
        ended.add_metric([state.value], count)
    yield ended
    training = "Time that jobs trained which have ended."
    yield CounterMetricFamily("separatrix_training_seconds", training, value=counts.training_s)
