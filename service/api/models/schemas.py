"""The schemas of models and their versions."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from models import specs
from models.limits import MAX_KEPT_VERSIONS
from service.api.schemas import (
    DataDigest,
    DataInfo,
    Evaluation,
    Metrics,
    Promotion,
    RecipeDigest,
    ResolvedNetwork,
    ResolvedTraining,
    RestartResult,
    Search,
    StartedFrom,
    Warnings,
    data_info,
    left_out,
)
from service.errors import ServiceError
from service.http.front.prefix import Link
from service.http.pagination import Page
from service.http.schema import WHOLE, Body
from service.records import PublishedVersion
from service.registry import registry
from service.registry.models import PublishedModel
from service.registry.registry import BrokenVersion, LoadedVersion, Registry


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
    aliases: list[str] = Field(description="The aliases that name the version.")
    promotion: Promotion | None = Field(description="Null unless the training had `promote_if`.")


def _head(published: PublishedVersion, registry: Registry) -> dict[str, Any]:
    """The values of the fields of `_VersionHead`. May read files."""
    summary = registry.summary(published)
    model = registry.models().get(published.model)
    return {
        "model": published.model,
        "version": published.version,
        "status": "broken" if summary is None else "served",
        "created_at": datetime.fromtimestamp(published.created_at, UTC),
        "metrics": (summary["metrics"] or None) if summary else None,
        "aliases": model.aliases_of(published) if model else [],
        "promotion": published.promotion,
    }


class VersionSummary(_VersionHead):
    """The summary of one version of a model."""

    links: VersionSummaryLinks

    @classmethod
    def of(cls, published: PublishedVersion, registry: Registry) -> "VersionSummary":
        """The summary of a version. May read files."""
        return cls.model_validate({**_head(published, registry), "links": {"self": link(published)}})


class VersionList(Page[VersionSummary]):
    """A page of the versions of a model, newest first. The id of a version is its number."""


class ModelLinks(BaseModel):
    """The links of a model."""

    self: Link = Field(description="This model.")
    versions: Link = Field(description="Its versions, newest first.")
    aliases: Link = Field(description="Its aliases.")
    latest: Link | SkipJsonSchema[None] = Field(None, exclude_if=left_out, description="Only if a version is served.")


class Model(BaseModel):
    """A model: a name and its versions."""

    object: Literal["model"] = "model"
    name: str = Field(description="The name of the model.")
    version_count: int = Field(description="Number of versions.")
    newest_version: int = Field(description="The newest version, served or broken.")
    served_version: int | None = Field(
        description="The version that answers requests which name none: the one that the alias `latest` names, or if "
        "that is broken the next older one. Null if there is none."
    )
    latest: VersionSummary | None = Field(description="The summary of `served_version`.")
    aliases: dict[str, int] = Field(description="The version that each alias names.")
    keep_versions: int | None = Field(
        description="How many versions the model keeps, 0 for all; null for the setting `keep_versions` of the service."
    )
    links: ModelLinks

    @classmethod
    def of(cls, model: PublishedModel, registry: Registry) -> "Model":
        """The view of a model. May read files."""
        served = _served(model, registry)
        own = f"/models/{model.name}"
        return cls(
            name=model.name,
            version_count=len(model.versions),
            newest_version=model.newest.version,
            served_version=served.version if served else None,
            latest=VersionSummary.of(served, registry) if served else None,
            aliases=dict(sorted(model.aliases.items())),
            keep_versions=model.keep_versions,
            links=ModelLinks(
                self=own,
                versions=f"{own}/versions",
                aliases=f"{own}/aliases",
                latest=link(served) if served else None,
            ),
        )


def _served(model: PublishedModel, registry: Registry) -> PublishedVersion | None:
    """The version that answers requests which name none, as far as the files are known."""
    with suppress(ServiceError):
        return registry.published(model.name)
    return None


class ModelList(Page[Model]):
    """A page of the models, by name. The id of a model is its name."""


class ModelSettings(Body):
    """The settings of a model."""

    keep_versions: Annotated[int, Field(ge=0, le=MAX_KEPT_VERSIONS), WHOLE] | None = Field(
        description="How many versions the model keeps, the newest ones; 0 keeps all, null is the setting "
        "`keep_versions` of the service. Each publication deletes older versions, except those that an alias names."
    )


class DataSummary(BaseModel):
    """Statistics of each coordinate of the data, in data units."""

    min: list[float] = Field(description="The least value of each coordinate.")
    max: list[float] = Field(description="The greatest value of each coordinate.")
    median: list[float] | None = Field(description="Null for versions that were published by old releases.")


class ImportedFile(BaseModel):
    """The file that a version was imported from."""

    format: str = Field(description="Its format, such as `torch` or `safetensors`.")
    digest: str = Field(description="SHA-256 of the file.")
    size_bytes: int = Field(description="Length of the file.")
    understood: list[str] = Field(description="How the file was read, in sentences.")


class Card(BaseModel):
    """How a version was trained, or where it was imported from. What is unknown of an imported version is null."""

    imported: ImportedFile | None = Field(description="The file of an imported version; null if it was trained here.")
    network: ResolvedNetwork
    n_networks: int = Field(description="Number of networks; more than 1 for an ensemble.")
    n_features: int = Field(description="Number of coordinates of a point.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    classes: list[int] | list[str] = Field(description="The classes, as named in the data.")
    data: DataInfo | None = Field(description="The training data.")
    data_digest: DataDigest | None = Field(description="SHA-256 of the points, labels and class names.")
    data_summary: DataSummary | None = Field(description="Null if it is unknown: pictures show an assumed range.")
    offset: list[float] | None = Field(
        description="What the network subtracts from each coordinate, in double precision, before it rounds to single "
        "precision; null if nothing."
    )
    divisor: list[float] | None = Field(
        description="What it then divides each coordinate by, in double precision, before it computes derived inputs; "
        "null without derived inputs."
    )
    training: ResolvedTraining | None = Field(description="The training settings, with all defaults resolved.")
    started_from: StartedFrom | None = Field(
        description="Where the training began; null if at random weights, or if it is not known."
    )
    recipe_digest: RecipeDigest | None = Field(
        description="SHA-256 of data, network and training. Equal recipes give equal weights, bit for bit."
    )
    stop_reason: Literal["completed", "early_stopped", "converged"] | None = Field(
        description="Whether all epochs ran, the training stopped early, or `lbfgs` found no further decrease."
    )
    epochs_run: int | None = Field(description="Number of epochs that ran.")
    metrics: Metrics | None = Field(
        description="The metrics of the published weights; null if their loss is not finite or they were imported."
    )
    evaluation: Evaluation | None = Field(description="Null for versions that were published by old releases.")
    search: Search | None = Field(description="How the settings were chosen; null unless the preset was `auto`.")
    warnings: Warnings
    implementation: Literal["compiled", "torch"] | None = Field(description="What trained the version.")
    restart_results: list[RestartResult] = Field(
        description="All networks that were trained; the best one was published, or all of an ensemble."
    )
    software: dict[str, str] = Field(description="The version of each program that took part, by its name.")
    files: dict[str, str] = Field(description="SHA-256 of each file, by name.")

    @classmethod
    def of(cls, version: LoadedVersion) -> "Card":
        """The view of a version's card."""
        card = version.card
        return cls.model_validate(
            {
                "imported": card.imported,
                "network": specs.asdict(card.network),
                "n_networks": card.networks,
                "n_features": card.features,
                "feature_names": card.feature_names,
                "classes": list(card.classes),
                "data": data_info(card.data) if card.data else None,
                "data_digest": card.data_digest,
                "data_summary": None
                if card.range_is_assumed
                else {"min": card.low, "max": card.high, "median": card.median or None},
                "offset": card.offset or None,
                "divisor": card.divisor or None,
                "training": specs.asdict(card.training) if card.training else None,
                "started_from": card.started_from,
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
    job_id: str | None = Field(
        description="The job that published the version. It may be deleted by now. Null if the version was imported."
    )
    card: Card | None = Field(description="Null if the version is broken.")
    links: VersionLinks

    @classmethod
    def of(cls, version: registry.Version, all_versions: Registry, *, has_job: bool) -> "Version":
        """The view of a version; `has_job` says whether its job still exists."""
        published, own = version.published, link(version.published)
        return cls.model_validate(
            {
                **_head(published, all_versions),
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


def link(published: PublishedVersion) -> str:
    """The path of a version."""
    return f"/models/{published.model}/versions/{published.version}"
