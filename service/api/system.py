"""`/health` and `/metrics`: for the operators of the service."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from service.api.deps import Services, ServicesDep
from service.errors import NotReady
from service.http import metrics

router = APIRouter(tags=["operation"])


class Live(BaseModel):
    """The process answers requests."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service is ready for requests."""

    status: Literal["ready"] = "ready"
    models: int = Field(description="Number of published models.")
    broken_versions: int = Field(
        description="Number of versions that are known to be damaged and cannot be served. If there are very many "
        "versions, some are read only after the start."
    )


@router.get("/health/live", response_model=Live)
async def get_live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/health/ready", response_model=Ready)
async def get_ready(services: ServicesDep) -> Ready:
    """Whether to send requests here: 503 while the service stops, and until its seed models are trained."""
    require_ready(services)
    registry = services.registry
    return Ready(models=len(registry.models()), broken_versions=registry.loader.broken_count)


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
    """The metrics of the service, in the text format of Prometheus."""
    return Response(services.metrics.exposition(), media_type=metrics.MEDIA_TYPE)
