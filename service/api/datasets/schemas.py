"""The schemas of datasets."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models.datasets import describe
from models.limits import MAX_CLASSES, MAX_NOISE, MAX_POINTS, MAX_SEED
from models.specs import DatasetName, DatasetSpec
from service import records
from service.http.front.prefix import Link
from service.http.pagination import Page


class DatasetDefaults(BaseModel):
    """The values of parameters that are not given."""

    n: int = Field(description="Number of points.")
    noise: float = Field(description="In data units.")
    seed: int = Field(description="Seed of the points.")
    n_classes: int = Field(description="Number of classes.")


class DatasetLinks(BaseModel):
    """The links of a dataset."""

    self: Link = Field(description="This dataset.")
    points: Link = Field(description="Its points; for a generator, with the default parameters.")

    @classmethod
    def of(cls, name: str) -> "DatasetLinks":
        """The links of the dataset of this name."""
        return cls(self=f"/datasets/{name}", points=f"/datasets/{name}/points")


class GeneratedDataset(BaseModel):
    """A built-in dataset, generated from its parameters."""

    object: Literal["dataset"] = "dataset"
    type: Literal["generated"] = "generated"
    name: str = Field(description="The name, as in `data.dataset` of a training.")
    description: str = Field(description="What the points look like.")
    n_features: int = Field(description="Number of coordinates of a point.")
    classes: list[int] | list[str] = Field(description="The classes that it has by default.")
    max_classes: int = Field(description="The largest `n_classes`.")
    defaults: DatasetDefaults
    links: DatasetLinks

    @classmethod
    def of(cls, name: DatasetName) -> "GeneratedDataset":
        """The view of a generator."""
        about = describe(name)
        spec = DatasetSpec(dataset=name)
        return cls(
            name=name,
            description=about["description"],
            n_features=about["features"],
            classes=about["classes"],
            max_classes=about["max_classes"],
            defaults=DatasetDefaults(n=spec.n, noise=spec.noise_level, seed=spec.seed, n_classes=spec.n_classes),
            links=DatasetLinks.of(name),
        )


class FeatureSummary(BaseModel):
    """One feature of a dataset."""

    name: str | None = Field(description="Its name; null without names.")
    min: float = Field(description="Its smallest value.")
    max: float = Field(description="Its largest value.")
    mean: float = Field(description="Its mean.")


class ClassSummary(BaseModel):
    """One class of a dataset."""

    label: int | str = Field(description="The label.")
    count: int = Field(description="Number of points of the class.")


class _StoredHead(BaseModel):
    object: Literal["dataset"] = "dataset"
    type: Literal["stored"] = "stored"
    name: str = Field(description="The name, as in `data.dataset` of a training.")
    n_points: int = Field(description="Number of points.")
    n_features: int = Field(description="Number of coordinates of a point.")
    n_classes: int = Field(description="Number of classes.")
    digest: str = Field(description="SHA-256 of the points, labels and class names: `data_digest` of a training on it.")
    size_bytes: int = Field(description="Size of its file in the data folder.")
    created_at: datetime = Field(description="When it was stored, in UTC.")


class StoredDatasetSummary(_StoredHead):
    """The summary of a stored dataset."""

    links: DatasetLinks

    @classmethod
    def of(cls, dataset: records.StoredDataset) -> "StoredDatasetSummary":
        """The summary of a dataset."""
        return cls(**_head(dataset), links=DatasetLinks.of(dataset.name))


class StoredDataset(_StoredHead):
    """A dataset that a client has stored."""

    features: list[FeatureSummary] = Field(description="The features, in the order of the coordinates.")
    categories: dict[str, list[str]] | None = Field(
        description="The values of each text column that became features, by its name. Null without such columns."
    )
    classes: list[ClassSummary] = Field(description="The classes, in the order of the outputs of a network.")
    label: str | None = Field(description="The name of the column of labels, if it had one.")
    understood: list[str] = Field(description="How the file was understood, and what was left out.")
    warnings: list[str] = Field(description="What may be a mistake.")
    links: DatasetLinks

    @classmethod
    def of(cls, dataset: records.StoredDataset) -> "StoredDataset":
        """The view of a dataset."""
        about = dataset.summary
        names = dataset.feature_names or [None] * about["n_features"]
        columns = zip(names, about["min"], about["max"], about["mean"], strict=True)
        return cls(
            **_head(dataset),
            features=[FeatureSummary(name=name, min=low, max=high, mean=mean) for name, low, high, mean in columns],
            categories=about.get("categories"),
            classes=[
                ClassSummary(label=label, count=count)
                for label, count in zip(about["classes"], about["counts"], strict=True)
            ],
            label=about["label"],
            understood=about["understood"],
            warnings=about["warnings"],
            links=DatasetLinks.of(dataset.name),
        )


def _head(dataset: records.StoredDataset) -> dict[str, Any]:
    about = dataset.summary
    return {
        "name": dataset.name,
        "n_points": about["n_points"],
        "n_features": about["n_features"],
        "n_classes": len(about["classes"]),
        "digest": dataset.digest,
        "size_bytes": dataset.size_bytes,
        "created_at": datetime.fromtimestamp(dataset.created_at, UTC),
    }


Dataset = Annotated[GeneratedDataset | StoredDataset, Field(discriminator="type")]
"""A dataset of either type."""

DatasetItem = Annotated[GeneratedDataset | StoredDatasetSummary, Field(discriminator="type")]


class DatasetList(Page[DatasetItem]):
    """A page of datasets: first the generators, then the stored ones by name. The id of a dataset is its name."""


class PointsQuery(BaseModel):
    """Which points to return."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(
        MAX_POINTS,
        ge=1,
        le=MAX_POINTS,
        description="Maximum number of points of the page. A page of many features has fewer.",
    )
    offset: int = Field(0, ge=0, le=10**9, description="How many points to skip.")
    format: str | None = Field(None, description="`json`, `csv` or `npy`. By default as `Accept` prefers.")
    array: Literal["points", "labels"] | None = Field(
        None, description="As `.npy`: which array to return. By default the points."
    )
    n: int = Field(400, ge=2, le=MAX_POINTS, description="Generators only: number of points.")
    noise: FiniteFloat | None = Field(
        None, ge=0, le=MAX_NOISE, description="Generators only: in data units; by default the noise of the dataset."
    )
    seed: int = Field(1, ge=0, le=MAX_SEED, description="Generators only: seed of the points.")
    n_classes: int = Field(
        2, ge=2, le=MAX_CLASSES, description="Generators only: at most `max_classes` of the dataset."
    )


class DatasetPoints(BaseModel):
    """A page of labeled points. `POST /train` accepts `points` and `labels` as data. Text columns are numbers here."""

    object: Literal["points"] = "points"
    dataset: str = Field(description="The name of the dataset.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    classes: list[int] | list[str] = Field(description="The K classes, in the order of the outputs of a network.")
    n_points: int = Field(description="Number of points of the whole dataset.")
    offset: int = Field(description="How many points were skipped.")
    has_more: bool = Field(
        description="Whether points follow; request them with `offset` plus the points of this page."
    )
    points: list[list[float]] = Field(description="N points of D coordinates each.")
    labels: list[int] | list[str] = Field(description="The class of each point.")
