"""`/datasets`: the built-in data sets and their points."""

from typing import Annotated, Any

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from models.datasets import catalogue, describe, generate
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


class DatasetView(BaseModel):
    """A built-in data set, generated from its parameters."""

    name: str
    object: str = "dataset"
    description: str
    features: int = Field(description="Number of coordinates of a point.")
    classes: list[int] | list[str] = Field(description="The classes that it has by default.")
    max_classes: int
    defaults: dict[str, Any] = Field(
        description="The values of `n`, `noise` and `seed` if not given; `noise` in data units."
    )


class PointsQuery(BaseModel):
    """Which points to generate."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(400, ge=2, le=MAX_POINTS)
    noise: FiniteFloat | None = Field(None, ge=0, le=MAX_NOISE, description="In data units.")
    seed: int = Field(1, ge=0, le=MAX_SEED)
    classes: int = Field(2, ge=2, le=MAX_CLASSES)


class PointsView(BaseModel):
    """Labelled points. `POST /train` accepts `points` and `labels` as data."""

    dataset: str
    classes: list[int] | list[str]
    points: list[list[float]] = Field(description="N points of D coordinates each.")
    labels: list[int] | list[str] = Field(description="The class of each point.")


DatasetPath = Annotated[str, Path(description="The name of a data set.")]


def _known(name: str) -> DatasetName:
    for known in DATASET_NAMES:
        if known == name:
            return known
    raise DatasetNotFound


@router.get("/datasets", response_model=Page[DatasetView])
async def list_datasets() -> Page[DatasetView]:
    """Lists the data sets."""
    return Page.of({one["name"]: DatasetView(**one) for one in catalogue()}, has_more=False)


@router.get("/datasets/{name}", response_model=DatasetView)
async def show_dataset(name: DatasetPath) -> DatasetView:
    """Returns one data set."""
    return DatasetView(**describe(_known(name)))


@router.get("/datasets/{name}/points", response_model=PointsView)
async def dataset_points(name: DatasetPath, query: Annotated[PointsQuery, Query()], services: ServicesDep) -> Response:
    """Generates the points that a training on this data set with the same parameters uses."""
    try:
        spec = DatasetSpec(dataset=_known(name), **query.model_dump())
    except InvalidInput as error:  # it names a field of the `data` of a training; here each field is a parameter
        raise InvalidInput(error.field.removeprefix("data."), error.reason) from None
    return await to_thread.run_sync(_points, spec, limiter=services.heavy_threads)


def _points(spec: DatasetSpec) -> Response:
    points = generate(spec)
    content = orjson.dumps(
        {
            "dataset": spec.dataset,
            "classes": points.classes,
            "points": points.xy_ND,
            "labels": [points.classes[k] for k in points.label_N.tolist()],
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Response(content, media_type=request_body.JSON)
