"""The response schemas of jobs."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from models import specs
from models.specs import Preset
from service import records
from service.api.schemas import (
    DataDigest,
    DataInfo,
    Metrics,
    Promotion,
    RecipeDigest,
    ResolvedNetwork,
    ResolvedTraining,
    RestartResult,
    StartedFrom,
    Warnings,
    data_info,
    left_out,
)
from service.http.front.prefix import Link
from service.http.pagination import Page
from service.records import FailureCode, JobSpec, JobState

MAX_ESTIMATE_S = 30 * 24 * 3600.0
"""Longest training whose finish is estimated. No setting allows a longer one."""


class Progress(BaseModel):
    """The progress of a training."""

    epoch: int = Field(description="Epochs trained so far, summed over all restarts.")
    epochs: int | None = Field(
        description="Maximum number of epochs that the job trains, summed over all restarts. With `patience` it may "
        "stop early. Null until the preset `auto` has chosen the settings."
    )
    fraction: float = Field(description="`epoch` / `epochs`; 0 while `epochs` is null.")


class JobProblem(BaseModel):
    """Why a job failed, and what to do."""

    code: FailureCode = Field(description="The reason, as a stable identifier.")
    detail: str = Field(description="The reason, and what to do.")


class Figures(BaseModel):
    """How well a version classifies points."""

    log_loss: float = Field(description="Mean loss, in nats.")
    accuracy: float = Field(description="Share of the points that are classified correctly.")


class BeforeAndAfter(BaseModel):
    """The figures of both versions."""

    before: Figures = Field(description="The figures of the version that the training started from.")
    after: Figures = Field(description="The figures of the version that the job published.")


class CorrectedComparison(BaseModel):
    """How many corrections each version classifies correctly."""

    count: int = Field(description="Number of different corrected points.")
    correct_before: int = Field(
        description="Number that the version at the start of the training classifies correctly."
    )
    correct_after: int = Field(description="Number that the published version classifies correctly.")


class VersionComparison(BaseModel):
    """The published version beside the one that the training started from, on the data of the training."""

    training: BeforeAndAfter = Field(description="On the training points.")
    validation: BeforeAndAfter | None = Field(description="On the validation points; null without any.")
    disagreement: float = Field(description="Share of the points of the training whose labels differ.")
    corrections: CorrectedComparison | None = Field(description="Null if the job was not made of corrections.")


class JobLinks(BaseModel):
    """The links of a job."""

    self: Link = Field(description="This job.")
    events: Link = Field(description="Its events, as pages or as a stream.")
    version: Link | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The version that the job published."
    )
    checkpoint: Link | SkipJsonSchema[None] = Field(
        None, exclude_if=left_out, description="The latest checkpoint of a job that has not published a version."
    )


class _Submission(BaseModel):
    """What a client asked for, with all defaults resolved."""

    model: str | None = Field(description="The name of the model whose next version the job trains; null for none.")
    publish: bool = Field(description="Whether the result is published as a version.")
    data: DataInfo
    data_digest: DataDigest
    preset: Preset = Field(description="Where the settings that the client left open come from.")
    network: ResolvedNetwork | None = Field(description="Null until the preset `auto` has chosen it.")
    training: ResolvedTraining | None = Field(description="Null until the preset `auto` has chosen it.")
    started_from: StartedFrom | None = Field(description="Where the training began; null if at random weights.")
    recipe_digest: RecipeDigest
    promote_if: dict[str, str] | None = Field(
        description="The conditions under which `promote_to` moves; null without."
    )
    promote_to: str | None = Field(description="The alias that `promote_if` is about; null without.")
    metadata: dict[str, str] = Field(description="The client's own key-value pairs.")
    supersede: str | None = Field(description="The group of trainings of which only the newest counts; null without.")
    snapshots: list[int] | None = Field(
        description="The epochs whose weights a training that is not published keeps; null without."
    )


def _submitted(job: records.Job) -> dict[str, Any]:
    """The values of the fields of `_Submission`."""
    spec = job.spec
    network, training = job.settings or (None, None)
    return {
        "model": spec.model or None,
        "publish": spec.publishes,
        "data": data_info(spec.data),
        "data_digest": spec.data_digest,
        "preset": spec.preset,
        "network": network and specs.asdict(network),
        "training": training and specs.asdict(training),
        "started_from": spec.started_from,
        "recipe_digest": spec.recipe,
        "promote_if": spec.promote and spec.promote["conditions"],
        "promote_to": spec.promote and spec.promote["alias"],
        "metadata": spec.metadata,
        "supersede": spec.supersede,
        "snapshots": job.kept_epochs,
    }


class _ValidationKind(BaseModel):
    object: Literal["training.validation"] = "training.validation"


class _Identity(BaseModel):
    object: Literal["training.job"] = "training.job"
    id: str = Field(description="Random. Treat it as opaque.")
    status: JobState


class Validation(_Submission, _ValidationKind):  # the fields of the last base come first
    """A job as it would be submitted."""

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """The view of a job that is not submitted."""
        return cls.model_validate(_submitted(records.Job(spec)))


class Job(_Submission, _Identity):  # the fields of the last base come first
    """A training job."""

    version: int | None = Field(description="The version that the job published.")
    created_at: datetime = Field(description="When the job was submitted, in UTC.")
    started_at: datetime | None = Field(description="When a training process first started the job.")
    finished_at: datetime | None = Field(description="When the job ended.")
    estimated_finish_at: datetime | None = Field(
        description="While the job runs: when it will have trained all its epochs at the pace so far. With `patience` "
        "it may end earlier."
    )
    training_seconds: float = Field(description="Training time, summed over all attempts.")
    progress: Progress
    metrics: Metrics | None = Field(
        description="The latest metrics. Once the job has succeeded or diverged, the metrics of the saved weights."
    )
    restart_results: list[RestartResult] | None = Field(description="The result of each restart, once all have ended.")
    warnings: Warnings
    comparison: VersionComparison | None = Field(
        description="The published version beside the one that the training started from. Null without such, and until "
        "the job has succeeded."
    )
    promotion: Promotion | None = Field(
        description="Whether the alias moved; null until then, and without `promote_if`."
    )
    attempt: int = Field(description="How many times a training process has started the job.")
    retry_of: str | None = Field(description="The id of the job that this one retries.")
    superseded_by: str | None = Field(
        description="The id of the later job of its group that cancelled this one while it was queued."
    )
    expires_at: datetime | None = Field(
        description="When a training that is not published is removed, unless it is read before; null for others."
    )
    problem: JobProblem | None = Field(description="Why the job failed.")
    links: JobLinks

    @classmethod
    def of(cls, job: records.Job) -> Self:
        """The view of a job of the store."""
        spec, status = job.spec, job.status
        return cls.model_validate(
            {
                **_submitted(job),
                "id": spec.id,
                "status": status.state,
                "version": status.version,
                "created_at": _time(spec.created_at),
                "started_at": _time(status.started_at) if status.started_at else None,
                "finished_at": _time(status.finished_at) if status.finished_at else None,
                "estimated_finish_at": _estimated_finish(job),
                "training_seconds": round(status.ran_s, 3),
                "progress": Progress(epoch=status.epoch, epochs=job.max_epochs, fraction=job.progress),
                "metrics": status.metrics,
                "restart_results": status.restarts or None,
                "warnings": status.warnings or [],
                "comparison": status.comparison,
                "promotion": status.promotion,
                "attempt": status.attempt,
                "retry_of": spec.retry_of,
                "superseded_by": status.superseded_by,
                "expires_at": _time(status.expires_at) if status.expires_at else None,
                "problem": status.problem,
                "links": _links(job),
            }
        )


class JobList(Page[Job]):
    """A page of jobs, newest first."""


Submitted = Annotated[Job | Validation, Field(discriminator="object")]
"""The response to a submission."""


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _estimated_finish(job: records.Job) -> datetime | None:
    """The time of the end at the pace so far, to the second; None while the pace is unknown, or too slow."""
    ran_s, fraction = job.status.ran_s, job.progress
    if job.state != JobState.RUNNING or ran_s >= MAX_ESTIMATE_S * fraction:
        return None
    return _time(round(time.time() + ran_s * (1 - fraction) / fraction))


def _links(job: records.Job) -> JobLinks:
    link, version = f"/jobs/{job.id}", job.status.version
    return JobLinks(
        self=link,
        events=f"{link}/events",
        version=f"/models/{job.model}/versions/{version}" if version is not None else None,
        checkpoint=f"{link}/checkpoint" if job.status.checkpoint is not None else None,
    )
