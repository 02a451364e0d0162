"""`/models`: the published models, their versions and checkpoints."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from models import specs
from models.training.runs import ENDINGS
from service.api.deps import ModelPath, ServicesDep, VersionPath
from service.api.downloads import CheckpointFile, checkpoint_download
from service.http.pagination import Page
from service.records import NAME_PATTERN
from service.registry.refresh import resolve_fresh
from service.registry.registry import BrokenVersion, LoadedVersion, Version

router = APIRouter(tags=["models"])


class VersionSummary(BaseModel):
    """The summary of one version of a model."""

    version: int
    status: Literal["served", "broken"] = Field(description="A broken version's checkpoint is damaged.")
    created_at: datetime
    training_accuracy: float | None = Field(description="Share of training points that are classified correctly.")
    validation_accuracy: float | None = Field(description="The same on points that were held out of training.")
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
    latest: int = Field(description="The newest version, served or broken.")
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
    """How a version was trained."""

    network: dict[str, Any]
    features: int = Field(description="Number of coordinates of a point.")
    classes: list[int] | list[str]
    data: dict[str, Any]
    data_digest: str
    low: list[float] = Field(description="Smallest value of each coordinate of the data.")
    high: list[float] = Field(description="Largest value of each coordinate of the data.")
    median: list[float] = Field(
        description="Median of each coordinate of the data; empty for versions published by old releases."
    )
    training: dict[str, Any]
    recipe: str
    ending: str = Field(description="`finished`: all epochs ran. `stalled`: training stopped early.")
    epochs: int = Field(description="Number of epochs that ran.")
    metrics: dict[str, float | None] | None
    implementation: str = Field(description="What trained the version: `compiled` or `torch`.")
    restarts: list[dict[str, Any]] = Field(description="All networks that were trained; the best one was published.")
    software: dict[str, str]
    files: dict[str, str] = Field(description="SHA-256 of each file, by name.")


class VersionView(BaseModel):
    """One immutable version of a model."""

    model: str
    version: int
    object: str = "model.version"
    status: Literal["served", "broken"]
    reason: str | None = Field(description="What is damaged, if the version is broken.")
    created_at: datetime
    job_id: str
    card: VersionCard | None = Field(description="Null if the version is broken.")
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
        ending=ENDINGS[card.stop_reason],
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
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, description="`last_id` of the previous page.")] = None,
) -> Page[ModelView]:
    """Lists the models by name."""
    await to_thread.run_sync(services.registry.refresh)
    models = services.registry.models()
    names = sorted(models)
    start = bisect_right(names, after) if after else 0
    page = names[start : start + limit]
    views = {name: ModelView.of(name, list(models[name].values())) for name in page}
    return Page.of(views, has_more=start + limit < len(names))


@router.get("/models/{name}", response_model=ModelView)
async def show_model(name: ModelPath, services: ServicesDep) -> ModelView:
    """Returns one model and its versions."""
    versions = await resolve_fresh(services.registry, lambda: services.registry.versions(name))
    return ModelView.of(name, list(versions.values()))


@router.get("/models/{name}/versions/{number}", response_model=VersionView)
async def show_version(name: ModelPath, number: VersionPath, services: ServicesDep) -> VersionView:
    """Returns one version: its network, data, training and metrics."""
    return VersionView.of(await resolve_fresh(services.registry, lambda: services.registry.version(name, number)))


@router.get("/models/{name}/versions/{number}/checkpoint", response_class=CheckpointFile)
async def download_checkpoint(name: ModelPath, number: VersionPath, services: ServicesDep) -> CheckpointFile:
    """Downloads the `state_dict` of a version as a `.pth` file for `torch.load(file, weights_only=True)`."""
    version = await resolve_fresh(services.registry, lambda: services.registry.resolve(name, number))
    return await checkpoint_download(services, version.published.checkpoint_id, filename=f"{name}-v{number}.pth")
