"""The routes of `/datasets`: list, store, show and delete datasets, and return their points."""

import hashlib
import re
from dataclasses import replace
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Query, Request, Response

from models.datasets import LabelledPoints, generate
from models.specs import DATASET_NAMES, DatasetName, DatasetSpec, InvalidInput
from service.api.datasets import points as pages
from service.api.datasets import uploads
from service.api.datasets.points import PointsPage, page_size
from service.api.datasets.schemas import (
    Dataset,
    DatasetItem,
    DatasetList,
    DatasetPoints,
    GeneratedDataset,
    PointsQuery,
    StoredDataset,
    StoredDatasetSummary,
)
from service.api.datasets.uploads import StoreQuery
from service.api.deps import DatasetPath, Services, ServicesDep
from service.http import content_negotiation, documentation, etags
from service.http.bodies import request_body
from service.http.content_negotiation import Accept
from service.http.etags import IfNoneMatch
from service.http.front.prefix import prefixed
from service.http.pagination import Limit
from service.http.problems import InvalidParameter
from service.records import NAME_PATTERN, NAME_RULE

router = APIRouter(tags=["data sets"])

_GENERATOR_PARAMETERS = ("n", "noise", "seed", "n_classes")

_UNNEGOTIATED = etags.documented(is_negotiated=False)
_DATASET: dict[int | str, dict[str, Any]] = {
    200: {"headers": _UNNEGOTIATED},
    304: etags.not_modified(_UNNEGOTIATED),
}
_CACHING = etags.documented()
_POINTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {pages.CSV.media_type: {"schema": {"type": "string"}}, pages.NPY.media_type: documentation.BINARY},
        "headers": _CACHING,
    },
    304: etags.not_modified(_CACHING),
}
_LOCATION = {"Location": documentation.header("The path of the dataset.", example="/datasets/iris")}
_STORED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": StoredDataset,
        "description": "The dataset was replaced, or had the same content already.",
        "headers": _LOCATION,
    },
    201: {"headers": _LOCATION},
}


def _generator(name: str) -> DatasetName | None:
    return next((known for known in DATASET_NAMES if known == name), None)


@router.get("/datasets", response_model=DatasetList)
async def list_datasets(
    services: ServicesDep,
    limit: Limit = 20,
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, description="`last_id` of the previous page.")] = None,
) -> DatasetList:
    """Lists the datasets: first the generators, then the stored ones by name."""
    start = 0 if after is None else DATASET_NAMES.index(after) + 1 if _generator(after) else len(DATASET_NAMES)
    items: dict[str, DatasetItem] = {name: GeneratedDataset.of(name) for name in DATASET_NAMES[start : start + limit]}
    last = after if after and not _generator(after) else ""

    def page() -> DatasetList:
        stored, has_more = services.store.datasets.page(limit=limit - len(items), after=last)
        items.update({one.name: StoredDatasetSummary.of(one) for one in stored})
        return DatasetList.of(items, has_more=has_more)

    return await to_thread.run_sync(page)


@router.post(
    "/datasets/{name}",
    response_model=StoredDataset,
    status_code=201,
    responses=_STORED,
    openapi_extra=uploads.REQUEST,
)
async def create_dataset(
    name: Annotated[str, Path(description="1 to 63 of the characters a-z, 0-9, '.', '_' and '-'.")],
    request: Request,
    query: Annotated[StoreQuery, Query()],
    services: ServicesDep,
    response: Response,
) -> StoredDataset:
    """Stores a dataset under a name. Content that is there already changes nothing; other content is refused."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidParameter("name", NAME_RULE, place="path")
    dataset, is_new = await uploads.store(name, request, query, services)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = prefixed(f"/datasets/{name}")
    return StoredDataset.of(dataset)


@router.get("/datasets/{name}", response_model=Dataset, responses=_DATASET)
async def get_dataset(name: DatasetPath, services: ServicesDep, if_none_match: IfNoneMatch = "") -> Response:
    """Returns one dataset: its features, classes, and how its file was understood."""
    known = _generator(name)
    view = (
        GeneratedDataset.of(known)
        if known
        else StoredDataset.of(await to_thread.run_sync(services.store.datasets.get, name))
    )
    body = view.model_dump_json()
    return etags.respond(body, etags.entity_tag(body), if_none_match, media_type=request_body.JSON)


@router.delete("/datasets/{name}", status_code=204)
async def delete_dataset(name: DatasetPath, services: ServicesDep) -> Response:
    """Deletes a stored dataset. Jobs and versions keep the points that they were trained on."""
    await to_thread.run_sync(services.datasets.delete, name, limiter=services.write_threads)
    return Response(status_code=204)


@router.get("/datasets/{name}/points", response_model=DatasetPoints, responses=_POINTS)
async def get_dataset_points(
    name: DatasetPath,
    query: Annotated[PointsQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Returns a page of points. For a generator, a training with the same parameters uses the same points."""
    kind = content_negotiation.chosen(pages.FORMATS, accept, query.format)
    if query.array is not None and kind is not pages.NPY:
        raise InvalidInput("array", "needs format=npy")

    def respond() -> Response:
        page = _page(name, query, services)
        if query.offset and query.offset >= page.total:
            raise InvalidInput("offset", f"must be less than the number of points, {page.total:,}")
        body = page.encode(kind, query.array or "points")
        tag = etags.entity_tag(hashlib.sha256(body).hexdigest(), kind.name)
        return etags.respond(body, tag, if_none_match, media_type=kind.media_type, headers={"Vary": "Accept"})

    return await services.heavy(respond, request.receive)


def _page(name: str, query: PointsQuery, services: Services) -> PointsPage:
    first = query.offset
    if known := _generator(name):
        points = _generated(known, query)
        last = first + page_size(query.limit, points.features)
        part = replace(points, xy_ND=points.xy_ND[first:last], label_N=points.label_N[first:last])
        return PointsPage(name, part, len(points.xy_ND), first)
    for parameter in _GENERATOR_PARAMETERS:
        if parameter in query.model_fields_set:
            raise InvalidInput(parameter, "is for generators only")
    with services.datasets.opened(name) as (dataset, file):
        total, features = file.shape
        first = min(first, total)
        part = file.rows(first, min(total, first + page_size(query.limit, features)))
        return PointsPage(name, replace(part, feature_names=dataset.feature_names), total, first)


def _generated(name: DatasetName, query: PointsQuery) -> LabelledPoints:
    try:
        return generate(
            DatasetSpec(dataset=name, n=query.n, noise=query.noise, seed=query.seed, n_classes=query.n_classes)
        )
    except InvalidInput as error:  # it names a field of the `data` of a training; here each field is a parameter
        raise InvalidInput(error.field.removeprefix("data."), error.reason) from None
