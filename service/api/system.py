"""`/health` and `/metrics`: for the operators of the service."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from service.api.deps import ServicesDep
from service.errors import NotReady
from service.http import metrics
from service.registry.registry import BrokenVersion

router = APIRouter(tags=["operation"])


class Live(BaseModel):
    """The process answers requests."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service is ready for requests."""

    status: Literal["ready"] = "ready"
    models: int = Field(description="Number of published models.")
    broken_versions: int = Field(description="Number of versions that cannot be served: their checkpoint is damaged.")


@router.get("/health/live", response_model=Live)
async def get_live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/health/ready", response_model=Ready)
async def get_ready(services: ServicesDep) -> Ready:
    """Whether to send requests here: 503 while the service stops, and until its seed models are trained."""
    if services.stopping.is_set():
        raise NotReady("The service is stopping. Send requests to another one.")
    if not services.seed_models.ready:
        done = ", ".join(f"{job.model} {job.progress:.0%}" for job in services.seed_models.pending)
        raise NotReady(f"The seed models of this data folder are being trained, which happens once. Progress: {done}.")
    models = services.registry.models()
    broken = sum(isinstance(version, BrokenVersion) for versions in models.values() for version in versions.values())
    return Ready(models=len(models), broken_versions=broken)


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
