"""`/health`: for whoever runs the service."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from service.api.deps import ServicesDep
from service.errors import NotReady
from service.registry.registry import BrokenVersion

router = APIRouter(prefix="/health", tags=["health"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """The service serves what it will."""

    status: Literal["ready"] = "ready"
    models: int = Field(description="How many models have been published.")
    broken_versions: int = Field(description="How many versions cannot be served because their checkpoint is damaged.")


@router.get("/live", response_model=Live)
async def live() -> Live:
    """Whether the process answers at all."""
    return Live()


@router.get("/ready", response_model=Ready)
async def ready(services: ServicesDep) -> Ready:
    """Whether to send requests here: 503 while it stops, and on the very first start until its networks are trained."""
    if services.stopping.is_set():
        raise NotReady("The service is stopping.")
    if not services.seed_models.ready:
        done = ", ".join(f"{job.model} {job.progress:.0%}" for job in services.seed_models.pending)
        raise NotReady(f"The tutorial's networks are being trained, once for this data folder: {done}.")
    models = services.registry.models()
    broken = sum(isinstance(version, BrokenVersion) for versions in models.values() for version in versions.values())
    return Ready(models=len(models), broken_versions=broken)
