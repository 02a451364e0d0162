"""`/datasets`: the built-in data sets and their points."""

from typing import Annotated, Literal

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models.datasets import describe, generate
from models.limits import (
    MAX_CLASSES,
    MAX_NOISE,
    MAX_POINTS,
    MAX_SEED,
)
from models.specs import (
    DATASET_NAMES,
    DatasetName,
    DatasetSpec,
    InvalidInput,
)
from service.api.deps import ServicesDep
from service.errors import DatasetNotFound
from service.http import request_body
from service.http.pagination import Page

router = APIRouter(tags=["data sets"])


class DatasetDefaults(BaseModel):
    """The values of parameters that are not given."""

    n: int = Field(description="Number of points.")
    noise: float = Field(description="In data units.")
    seed: int = Field(description="Seed of the points.")
    n_classes: int = Field(description="Number of classes.")


class DatasetLinks(BaseModel):
    """The links of a data set."""

    self: str = Field(description="This data set.")
    points: str = Field(description="Its points, with the default parameters.")


class Dataset(BaseModel):
    """A built-in data set, generated from its parameters."""

    object: Literal["dataset"] = "dataset"
    name: str = Field(description="The name, as in `data.dataset` of a training.")
    description: str = Field(description="What the points look like.")
    n_features: int = Field(description="Number of coordinates of a point.")
    classes: list[int] | list[str] = Field(description="The classes that it has by default.")
    max_classes: int = Field(description="The largest `n_classes`.")
    defaults: DatasetDefaults
    links: DatasetLinks

    @classmethod
    def of(cls, name: DatasetName) -> "Dataset":
        """The view of a data set."""
        about = describe(name)
        spec = DatasetSpec(dataset=name)
        return cls(
            name=name,
            description=about["description"],
            n_features=about["features"],
            classes=about["classes"],
            max_classes=about["max_classes"],
            defaults=DatasetDefaults(n=spec.n, noise=spec.noise_level, seed=spec.seed, n_classes=spec.n_classes),
            links=DatasetLinks(self=f"/datasets/{name}", points=f"/datasets/{name}/points"),
        )


class DatasetList(Page[Dataset]):
    """All data sets. The id of a data set is its name."""


class PointsQuery(BaseModel):
    """Which points to generate."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(400, ge=2, le=MAX_POINTS, description="Number of points.")
    noise: FiniteFloat | None = Field(
        None, ge=0, le=MAX_NOISE, description="In data units; by default that of the data set."
    )
    seed: int = Field(1, ge=0, le=MAX_SEED, description="Seed of the points.")
    n_classes: int = Field(2, ge=2, le=MAX_CLASSES, description="At most `max_classes` of the data set.")


class DatasetPoints(BaseModel):
    """Labelled points. `POST /train` accepts `points` and `labels` as data."""

    object: Literal["points"] = "points"
    dataset: str = Field(description="The name of the data set.")
    classes: list[int] | list[str] = Field(description="The K classes, in the order of the outputs of a network.")
    points: list[list[float]] = Field(description="N points of D coordinates each.")
    labels: list[int] | list[str] = Field(description="The class of each point.")


DatasetPath = Annotated[str, Path(description="The name of a data set.")]


def _known(name: str) -> DatasetName:
    for known in DATASET_NAMES:
        if known == name:
            return known
    raise DatasetNotFound


@router.get("/datasets", response_model=DatasetList)
async def list_datasets() -> DatasetList:
    """Lists the data sets."""
    return DatasetList.of({name: Dataset.of(name) for name in DATASET_NAMES}, has_more=False)


@router.get("/datasets/{name}", response_model=Dataset)
async def get_dataset(name: DatasetPath) -> Dataset:
    """Returns one data set."""
    return Dataset.of(_known(name))


@router.get("/datasets/{name}/points", response_model=DatasetPoints)
async def get_dataset_points(
    name: DatasetPath, query: Annotated[PointsQuery, Query()], services: ServicesDep
) -> Response:
    """Generates the points that a training on this data set with the same parameters uses."""
    try:
        spec = DatasetSpec(
            dataset=_known(name), n=query.n, noise=query.noise, seed=query.seed, n_classes=query.n_classes
        )
    except InvalidInput as error:  # it names a field of the `data` of a training; here each field is a parameter
        raise InvalidInput(error.field.removeprefix("data."), error.reason) from None
    return await to_thread.run_sync(_points, spec, limiter=services.heavy_threads)


def _points(spec: DatasetSpec) -> Response:
    points = generate(spec)
    content = orjson.dumps(
        {
            "object": "points",
            "dataset": spec.dataset,
            "classes": points.classes,
            "points": points.xy_ND,
            "labels": [points.classes[k] for k in points.label_N.tolist()],
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Response(content, media_type=request_body.JSON)
