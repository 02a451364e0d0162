"""The history of a training: how its loss and accuracy developed, of a version or a job."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from models.limits import MAX_ENSEMBLE
from models.specs import InvalidInput
from models.training.runs import NO_HISTORY
from service.api.deps import JobPath, ModelPath, ServicesDep, VersionPath
from service.errors import TrainingUnknown
from service.http import etags
from service.http.bodies import request_body
from service.http.etags import IfNoneMatch
from service.registry import refresh

router = APIRouter(tags=["training"])

Column = list[float | None]
"""A figure at each epoch of a history; null where it is not a finite number."""


class History(BaseModel):
    """How the figures of a training developed: columns of one length, for about a hundred log-spaced epochs."""

    object: Literal["training.history"] = "training.history"
    model: str | None = Field(description="The name of the model; null for a job that publishes nothing.")
    version: int | None = Field(description="The version of the training; null without one.")
    job_id: str | None = Field(description="The job of the training.")
    n_networks: int = Field(
        description="How many networks have a history: all networks of an ensemble, else at most 1."
    )
    member: int = Field(description="Which of them this is, counted from 0.")
    epoch: list[int] = Field(description="The epochs, ascending. The last one is the last that the training reached.")
    training_loss: Column = Field(
        description="Mean loss of the training points, in nats, computed in each step of the epoch before it "
        "changes the weights; for `lbfgs`, after the epoch."
    )
    training_accuracy: Column = Field(description="Share of the training points that were classified correctly then.")
    validation_loss: Column | None = Field(
        description="Mean loss of the validation points after the epoch; null without validation points."
    )
    validation_accuracy: Column | None = Field(description="Share of them that were classified correctly.")


_CACHING = etags.documented(is_negotiated=False)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"headers": _CACHING},
    304: etags.not_modified(_CACHING),
}

Member = Annotated[int, Query(ge=0, lt=MAX_ENSEMBLE, description="The network of an ensemble, counted from 0.")]


@router.get("/models/{name}/versions/{version}/history", response_model=History, responses=_RESPONSES)
async def get_version_history(
    name: ModelPath, version: VersionPath, services: ServicesDep, member: Member = 0, if_none_match: IfNoneMatch = ""
) -> Response:
    """Returns how the loss and the accuracy of a version developed during its training."""
    found = await refresh.resolve(services.registry, name, version)
    if found.job_id is None:
        raise TrainingUnknown
    about = {"model": name, "version": found.published.version, "job_id": found.job_id}
    return _respond(about, found.card.history, member, if_none_match)


@router.get("/jobs/{job_id}/history", response_model=History, responses=_RESPONSES)
async def get_job_history(
    job_id: JobPath, services: ServicesDep, member: Member = 0, if_none_match: IfNoneMatch = ""
) -> Response:
    """Returns how the loss and the accuracy of a training have developed so far.

    While several networks are trained, it is the history of the first.
    """
    job = await to_thread.run_sync(services.job, job_id)
    histories = await to_thread.run_sync(services.spaces.of(job_id).store.jobs.histories, job_id)
    about = {"model": job.model or None, "version": job.status.version, "job_id": job_id}
    return _respond(about, histories, member, if_none_match)


def _respond(about: dict[str, Any], histories: Sequence[dict[str, Any]], member: int, known: str) -> Response:
    """The history of one of the networks; without rows if none is recorded.

    Raises:
        InvalidInput: there are fewer networks.
    """
    if member and member >= len(histories):
        raise InvalidInput("member", f"must be less than the number of networks with a history, {len(histories)}")
    columns = histories[member] if histories else NO_HISTORY.to_json()
    body = History(**about, n_networks=len(histories), member=member, **columns).model_dump_json()
    return etags.respond(body, etags.entity_tag(body), known, media_type=request_body.JSON)
