"""The points of a training with their split and what the network predicts, of a version or a job."""

import csv
import hashlib
import io
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from models.limits import MAX_POINTS
from models.specs import InvalidInput
from service.api.deps import JobPath, ModelPath, Services, ServicesDep, VersionPath
from service.api.epochs import Epoch
from service.api.references import Named, NamedJob, NamedVersion
from service.http import content_negotiation, documentation, etags
from service.http.bodies import request_body
from service.http.content_negotiation import Accept, Format
from service.http.etags import IfNoneMatch
from service.inference.training_points import TrainingPoints, training_points
from service.render import csv_predictions, headers, npy, palette

router = APIRouter(tags=["training"])

JSON = Format("json", request_body.JSON)
CSV = Format("csv", csv_predictions.MEDIA_TYPE)
NPY = Format("npy", npy.MEDIA_TYPE)
FORMATS = (JSON, CSV, NPY)

Array = Literal["points", "labels", "predicted_labels", "probabilities", "validation"]


class TrainingPointsQuery(BaseModel):
    """Which points to return, and how."""

    model_config = ConfigDict(extra="forbid")

    epoch: Epoch = None
    limit: int = Field(
        MAX_POINTS,
        ge=1,
        le=MAX_POINTS,
        description="Maximum number of points of the page. A page of many features or classes has fewer.",
    )
    offset: int = Field(0, ge=0, le=10**9, description="How many points to skip.")
    format: str | None = Field(None, description="`json`, `csv` or `npy`. By default as `Accept` prefers.")
    array: Array | None = Field(
        None,
        description="As `.npy`: which array to return, by default the points. Labels are indices of classes, and "
        "`validation` is true for validation points.",
    )


class TrainingPointsPage(BaseModel):
    """A page of the points of a training, in the order in which they were sent."""

    object: Literal["training.points"] = "training.points"
    model: str | None = Field(description="The name of the model; null for a job that publishes nothing.")
    version: int | None = Field(description="The version that answered; null for a job without a version.")
    job_id: str | None = Field(None, description="The job that answered, if it has no version.")
    epoch: int | None = Field(None, description="The epoch of its weights, if the request names one or a job.")
    feature_names: list[str] | None = Field(description="The name of each coordinate; null without names.")
    classes: list[int] | list[str] = Field(description="The K classes, in the order of the probabilities.")
    colors: list[str] = Field(description="(K,) the color of each class in pictures, `#rrggbb`.")
    n_points: int = Field(description="Number of points of the training, validation points included.")
    offset: int = Field(description="How many points were skipped.")
    has_more: bool = Field(
        description="Whether points follow; request them with `offset` plus the points of this page."
    )
    points: list[list[float]] = Field(description="N points of D coordinates each.")
    labels: list[int] | list[str] = Field(description="The class of each point in the data.")
    split: list[Literal["training", "validation"]] = Field(
        description="What each point was for. Points of a separate validation dataset come last."
    )
    predicted_labels: list[int] | list[str] = Field(description="The most likely class of each point.")
    probabilities: list[list[float]] = Field(description="(N, K), in the order of `classes`; each row sums to 1.")


_HEADERS = {
    **etags.documented("Revalidate before each use; `no-store`, without an `ETag`, for a running job."),
    "Separatrix-Model": documentation.header("Unless it is JSON: the model that answered."),
    "Separatrix-Version": documentation.header("Unless it is JSON: the version that answered.", kind="integer"),
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {CSV.media_type: {"schema": {"type": "string"}}, NPY.media_type: documentation.BINARY},
        "headers": _HEADERS,
    },
    304: etags.not_modified(_HEADERS),
}


@router.get("/models/{name}/versions/{version}/points", response_model=TrainingPointsPage, responses=_RESPONSES)
async def get_version_points(
    name: ModelPath,
    version: VersionPath,
    query: Annotated[TrainingPointsQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Returns a page of the points that a version was trained on, with their split and its predictions."""
    return await _respond(NamedVersion(name, version), query, services, request, accept, if_none_match)


@router.get("/jobs/{job_id}/points", response_model=TrainingPointsPage, responses=_RESPONSES)
async def get_job_points(
    job_id: JobPath,
    query: Annotated[TrainingPointsQuery, Query()],
    services: ServicesDep,
    request: Request,
    accept: Accept = None,
    if_none_match: IfNoneMatch = "",
) -> Response:
    """Returns a page of the points of a job, with their split and the predictions of its network.

    That is the network of its version, or of the newest weights of a running job.
    """
    return await _respond(NamedJob(job_id), query, services, request, accept, if_none_match)


async def _respond(
    named: Named,
    query: TrainingPointsQuery,
    services: Services,
    request: Request,
    accept: str | None,
    if_none_match: str,
) -> Response:
    form = content_negotiation.chosen(FORMATS, accept, query.format)
    if query.array is not None and form is not NPY:
        raise InvalidInput("array", "needs format=npy")
    network = await services.answering(named, query.epoch, request.receive)

    def encode() -> Response:
        found = training_points(network, services.files_of(network), offset=query.offset, limit=query.limit)
        body = _ENCODERS[form.name](found, query.array or "points")
        about = {"Vary": "Accept"} | ({} if form is JSON else headers.of_version(network))
        if network.validator is None:
            return Response(body, media_type=form.media_type, headers=about | {"Cache-Control": etags.NO_STORE})
        tag = etags.entity_tag(hashlib.sha256(body).hexdigest(), form.name, network.answered_by)
        return etags.respond(body, tag, if_none_match, media_type=form.media_type, headers=about)

    return await services.heavy(encode, request.receive)


def _json(found: TrainingPoints, _: Array) -> bytes:
    points, classes = found.points, found.points.classes
    content = {
        "object": "training.points",
        **found.network.answered_by,
        "feature_names": points.feature_names,
        "classes": classes,
        "colors": palette.class_codes(len(classes)),
        "n_points": found.total,
        "offset": found.offset,
        "has_more": found.has_more,
        "points": points.xy_ND,
        "labels": [classes[k] for k in points.label_N.tolist()],
        "split": ["validation" if is_held_out else "training" for is_held_out in found.is_validation_N.tolist()],
        "predicted_labels": [classes[k] for k in found.predicted_N.tolist()],
        "probabilities": found.prob_NK,
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _csv(found: TrainingPoints, _: Array) -> bytes:
    """A heading, then for each point its coordinates, label, split, predicted label and probabilities."""
    points, classes = found.points, found.points.classes
    headings = [*(points.feature_names or (f"x{d + 1}" for d in range(points.features)))]
    for name in ("label", "split", "predicted label", *(f"p({label})" for label in classes)):
        headings.append(csv_predictions.unlike(name, headings))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(headings)
    columns = points.label_N.tolist(), found.is_validation_N.tolist(), found.predicted_N.tolist()
    for xy_D, k, is_held_out, predicted, prob_K in zip(
        _fewest_digits(points.xy_ND), *columns, _fewest_digits(found.prob_NK), strict=True
    ):
        split = "validation" if is_held_out else "training"
        writer.writerow([*xy_D, classes[k], split, classes[predicted], *prob_K])
    return file.getvalue().encode()


def _fewest_digits(array: npt.NDArray[np.generic]) -> list[list[float]]:
    """The numbers as floats that print the fewest digits of a float32, which orjson writes."""
    rows: list[list[float]] = orjson.loads(orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY))
    return rows


def _npy(found: TrainingPoints, array: Array) -> bytes:
    match array:
        case "points":
            return npy.encode(np.ascontiguousarray(found.points.xy_ND))
        case "labels":
            return npy.encode(found.points.label_N.astype(np.uint8))  # `MAX_CLASSES` is less than 256
        case "predicted_labels":
            return npy.encode(found.predicted_N.astype(np.uint8))
        case "probabilities":
            return npy.encode(found.prob_NK)
        case "validation":
            return npy.encode(found.is_validation_N)


_ENCODERS: dict[str, Callable[[TrainingPoints, Array], bytes]] = {"json": _json, "csv": _csv, "npy": _npy}
