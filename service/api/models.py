"""`/models`: what is published."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from models import specs
from service.api.deps import NamePath, ServicesDep, VersionPath, look_up
from service.api.downloads import CheckpointFile, checkpoint_download
from service.http.pagination import Page
from service.records import NAME_PATTERN
from service.registry.registry import BrokenVersion, LoadedVersion, Version

router = APIRouter(tags=["models"])


class VersionSummary(BaseModel):
    """One version of a model, in short."""

    version: int
    status: Literal["served", "broken"] = Field(description="A broken version's checkpoint is damaged.")
    created_at: datetime
    training_accuracy: float | None = Field(description="Share of right answers on the training points.")
    validation_accuracy: float | None = Field(description="Share of right answers on points kept out of training.")
    link: str

    @classmethod
    def of(cls, version: Version) -> "VersionSummary":
        """The summary of a version."""
        metrics = (version.card.metrics or {}) if isinstance(version, LoadedVersion) else {}
        return cls(
            version=version.published.version,
            status=_status(version),
            created_at=datetime.fromtimestamp(version.published.created_at, UTC),
            training_accuracy=metrics.get("training_accuracy"),
            validation_accuracy=metrics.get("validation_accuracy"),
            link=_link(version),
        )


class ModelView(BaseModel):
    """A model: a name and its versions."""

    name: str
    object: str = "model"
    latest: int = Field(description="The newest version, served or not.")
    versions: list[VersionSummary] = Field(description="Oldest first.")

    @classmethod
    def of(cls, name: str, versions: list[Version]) -> "ModelView":
        """The view of a model."""
        return cls(
            name=name,
            latest=versions[-1].published.version,
            versions=[VersionSummary.of(version) for version in versions],
        )


class VersionCard(BaseModel):
    """How a version came to be."""

    network: dict[str, Any]
    features: int = Field(description="Coordinates of a point.")
    classes: list[int] | list[str]
    data: dict[str, Any]
    data_digest: str
    low: list[float] = Field(description="Least value of each coordinate of the data.")
    high: list[float] = Field(description="Greatest value of each coordinate of the data.")
    median: list[float] = Field(description="Of each coordinate of the data; empty for versions of old.")
    training: dict[str, Any]
    recipe: str
    ending: str = Field(description="`finished` all epochs, or `stalled` and was stopped early.")
    epochs: int = Field(description="Passes made.")
    metrics: dict[str, float | None] | None
    implementation: str = Field(description="What trained it: `compiled` or `torch`.")
    restarts: list[dict[str, Any]] = Field(description="All that were trained; this is the best of them.")
    software: dict[str, str]
    files: dict[str, str] = Field(description="SHA-256 by file name.")


class VersionView(BaseModel):
    """One immutable version of a model."""

    model: str
    version: int
    object: str = "model.version"
    status: Literal["served", "broken"]
    reason: str | None = Field(description="What is damaged, if it is broken.")
    created_at: datetime
    job_id: str
    card: VersionCard | None = Field(description="Null if it is broken.")
    links: dict[str, str]

    @classmethod
    def of(cls, version: Version) -> "VersionView":
        """The view of a version."""
        published = version.published
        return cls(
            model=published.model,
            version=published.version,
            status=_status(version),
            reason=version.reason if isinstance(version, BrokenVersion) else None,
            created_at=datetime.fromtimestamp(published.created_at, UTC),
            job_id=published.job_id,
            card=_card(version) if isinstance(version, LoadedVersion) else None,
            links={
                "self": _link(version),
                "checkpoint": f"{_link(version)}/checkpoint",
                "job": f"/jobs/{published.job_id}",
                "boundary_grid": f"/boundary-grid?model={published.model}&version={published.version}",
            },
        )


def _status(version: Version) -> Literal["served", "broken"]:
    return "served" if isinstance(version, LoadedVersion) else "broken"


def _link(version: Version) -> str:
    return f"/models/{version.published.model}/versions/{version.published.version}"


def _card(version: LoadedVersion) -> VersionCard:
    card = version.card
    return VersionCard(
        network=specs.asdict(card.network),
        features=card.features,
        classes=list(card.classes),
        data=card.data,
        data_digest=card.data_digest,
        low=list(card.low),
        high=list(card.high),
        median=list(card.median),
        training=specs.asdict(card.training),
        recipe=card.recipe,
        ending=card.ending,
        epochs=card.epochs,
        metrics=card.metrics,
        implementation=card.implementation,
        restarts=list(card.restarts),
        software=card.software,
        files=card.files,
    )


@router.get("/models", response_model=Page[ModelView])
async def list_models(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, description="`last_id` of the page before.")] = None,
) -> Page[ModelView]:
    """The models, by name."""
    await to_thread.run_sync(services.registry.refresh)
    models = services.registry.models()
    names = sorted(models)
    start = bisect_right(names, after) if after else 0
    page = names[start : start + limit]
    views = {name: ModelView.of(name, list(models[name].values())) for name in page}
    return Page.of(views, has_more=start + limit < len(names))


@router.get("/models/{name}", response_model=ModelView)
async def show_model(name: NamePath, services: ServicesDep) -> ModelView:
    """One model and its versions."""
    versions = await look_up(services.registry, lambda: services.registry.versions(name))
    return ModelView.of(name, list(versions.values()))


@router.get("/models/{name}/versions/{number}", response_model=VersionView)
async def show_version(name: NamePath, number: VersionPath, services: ServicesDep) -> VersionView:
    """One version: its network, data, training and metrics."""
    return VersionView.of(await look_up(services.registry, lambda: services.registry.version(name, number)))


@router.get("/models/{name}/versions/{number}/checkpoint", response_class=CheckpointFile)
async def download_checkpoint(name: NamePath, number: VersionPath, services: ServicesDep) -> CheckpointFile:
    """The version's `state_dict` as `.pth`: `torch.load(file, weights_only=True)` reads it."""
    version = await look_up(services.registry, lambda: services.registry.resolve(name, number))
    return await checkpoint_download(services, version.published.checkpoint_id, filename=f"{name}-v{number}.pth")
