"""The schemas of models and their versions."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from models import specs
from service.api.schemas import (
    DataDigest,
    DataInfo,
    Evaluation,
    Metrics,
    RecipeDigest,
    ResolvedNetwork,
    ResolvedTraining,
    RestartResult,
    Search,
    Warnings,
    data_info,
    left_out,
)
from service.http.front.prefix import Link
from service.http.pagination import Page
from service.registry import registry
from service.registry.registry import BrokenVersion, LoadedVersion


class VersionSummaryLinks(BaseModel):
    """The links of a version in a list."""

    self: Link = Field(description="This version.")


class _VersionHead(BaseModel):
    object: Literal["model.version"] = "model.version"
    model: str = Field(description="The name of the model.")
    version: int = Field(description="The number of the version, counted from 1.")
    status: Literal["served", "broken"] = Field(description="A broken version's checkpoint is damaged.")
    created_at: datetime = Field(description="When it was published, in UTC.")
    metrics: Metrics | None = Field(description="Null if the version is broken.")


def _head(version: registry.Version) -> dict[str, Any]:
    """The values of the fields of `_VersionHead`."""
    published = version.published
    return {
        "model": published.model,
        "version": published.version,
        "status": "served" if isinstance(version, LoadedVersion) else "broken",
        "created_at": datetime.fromtimestamp(published.created_at, UTC),
        "metrics": (version.card.metrics or None) if isinstance(version, LoadedVersion) else None,
    }


class VersionSummary(_VersionHead):
    """The summary of one version of a model."""

    links: VersionSummaryLinks

    @classmethod
    def of(cls, version: registry.Version) -> "VersionSummary":
        """The summary of a version."""
        return cls.model_validate({**_head(version), "links": {"self": link(version)}})


class VersionList(Page[VersionSummary]):
    """A page of the versions of a model, newest first. The id of a version is its number."""


class ModelLinks(BaseModel):
    """The links of a model."""

    self: Link = Field(description="This model.")
    versions: Link = Field(description="Its versions, newest first.")
    latest: Link | SkipJsonSchema[None] = Field(None, exclude_if=left_out, description="Only if a version is served.")


class Model(BaseModel):
    """A model: a name and its versions."""

    object: Literal["model"] = "model"
    name: str = Field(description="The name of the model.")
    version_count: int = Field(description="Number of versions.")
    newest_version: int = Field(description="The newest version, served or broken.")
    served_version: int | None = Field(
        description="The newest version that is served: it answers requests that name no version. Null if none is."
    )
    latest: VersionSummary | None = Field(description="The summary of `served_version`.")
    links: ModelLinks

    @classmethod
    def of(cls, name: str, versions: Mapping[int, registry.Version]) -> "Model":
        """The view of a model; `versions` by number, ascending."""
        served = next((one for one in reversed([*versions.values()]) if isinstance(one, LoadedVersion)), None)
        own = f"/models/{name}"
        return cls(
            name=name,
            version_count=len(versions),
            newest_version=max(versions),
            served_version=served.published.version if served else None,
            latest=VersionSummary.of(served) if served else None,
            links=ModelLinks(self=own, versions=f"{own}/versions", latest=link(served) if served else None),
        )


class ModelList(Page[Model]):
    """A page of the models, by name. The id of a model is its name."""


class DataSummary(BaseModel):
    """Statistics of each coordinate of the data, in data units."""

    min: list[float] = Field(description="The least value of each coordinate.")
    max: list[float] = Field(description="The greatest value of each coordinate.")
    median: list[float] | None = Field(description="Null for versions that were published by old releases.")


class Card(BaseModel):
    """How a version was trained."""

    network: ResolvedNetwork
    n_features: int = Field(description="Number of coordinates of a point.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    classes: list[int] | list[str] = Field(description="The classes, as named in the data.")
    data: DataInfo
    data_digest: DataDigest
    data_summary: DataSummary
    offset: list[float] | None = Field(
        description="What the network subtracts from each coordinate, in double precision, before it rounds to single "
        "precision; null if nothing."
    )
    divisor: list[float] | None = Field(
        description="What it then divides each coordinate by, in double precision, before it computes derived inputs; "
        "null without derived inputs."
    )
    training: ResolvedTraining
    recipe_digest: RecipeDigest
    stop_reason: Literal["completed", "early_stopped", "converged"] = Field(
        description="Whether all epochs ran, the training stopped early, or `lbfgs` found no further decrease."
    )
    epochs_run: int = Field(description="Number of epochs that ran.")
    metrics: Metrics | None = Field(description="Of the weights that were published; null if their loss is not finite.")
    evaluation: Evaluation | None = Field(description="Null for versions that were published by old releases.")
    search: Search | None = Field(description="How the settings were chosen; null unless the preset was `auto`.")
    warnings: Warnings
    implementation: Literal["compiled", "torch"] = Field(description="What trained the version.")
    restart_results: list[RestartResult] = Field(
        description="All networks that were trained; the best one was published."
    )
    software: dict[str, str] = Field(description="The version of each program that took part, by its name.")
    files: dict[str, str] = Field(description="SHA-256 of each file, by name.")

    @classmethod
    def of(cls, version: LoadedVersion) -> "Card":
        """The view of a version's card."""
        card = version.card
        return cls.model_validate(
            {
                "network": specs.asdict(card.network),
                "n_features": card.features,
                "feature_names": card.feature_names,
                "classes": list(card.classes),
                "data": data_info(card.data),
                "data_digest": card.data_digest,
                "data_summary": {"min": card.low, "max": card.high, "median": card.median or None},
                "offset": card.offset or None,
                "divisor": card.divisor or None,
                "training": specs.asdict(card.training),
                "recipe_digest": card.recipe,
                "stop_reason": card.stop_reason,
                "epochs_run": card.epochs,
                "metrics": card.metrics,
                "evaluation": _evaluation(card.evaluation) if card.evaluation else None,
                "search": card.search,
                "warnings": card.warnings,
                "implementation": card.implementation,
                "restart_results": list(card.restarts),
                "software": card.software,
                "files": card.files,
            }
        )


def _evaluation(evaluation: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The evaluation of a card with null for all that it does not have."""
    figures = {kind: {"log_loss": None, "accuracy": None, **one} for kind, one in evaluation.items()}
    return {"validation": None, "cross_validation": None, **figures}


class VersionLinks(BaseModel):
    """The links of a version."""

    self: Link = Field(description="This version.")
    checkpoint: Link = Field(description="Its `state_dict` as a download.")
    boundary_grid: Link = Field(description="Its decision boundary on a grid.")
    job: Link | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The job that published the version, until it is deleted."
    )


class Version(_VersionHead):
    """One immutable version of a model."""

    reason: str | None = Field(description="What is damaged, if the version is broken.")
    job_id: str = Field(description="The job that published the version. It may be deleted by now.")
    card: Card | None = Field(description="Null if the version is broken.")
    links: VersionLinks

    @classmethod
    def of(cls, version: registry.Version, *, has_job: bool) -> "Version":
        """The view of a version; `has_job` says whether its job still exists."""
        published, own = version.published, link(version)
        return cls.model_validate(
            {
                **_head(version),
                "reason": version.reason if isinstance(version, BrokenVersion) else None,
                "job_id": published.job_id,
                "card": Card.of(version) if isinstance(version, LoadedVersion) else None,
                "links": VersionLinks(
                    self=own,
                    checkpoint=f"{own}/checkpoint",
                    boundary_grid=f"/boundary-grid?model={published.model}&version={published.version}",
                    job=f"/jobs/{published.job_id}" if has_job else None,
                ),
            }
        )


def link(version: registry.Version) -> str:
    """The path of a version."""
    return f"/models/{version.published.model}/versions/{version.published.version}"
