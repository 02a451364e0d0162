"""What is told of a job."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.records import Job, JobState

MAX_ESTIMATE_S = 30 * 24 * 3600.0
"""Longest training that is foretold: no setting lets one take longer."""


class Progress(BaseModel):
    """How far a training is."""

    epoch: int = Field(description="Passes made, by all restarts together.")
    epochs: int = Field(description="At most, all restarts together; a stalled training stops early if asked to.")
    fraction: float


class JobProblem(BaseModel):
    """Why a job failed, and what to try."""

    code: str
    detail: str


class RestartView(BaseModel):
    """One of the networks that a job trained."""

    seed: int
    ending: str = Field(description="`finished`, `stalled` or `diverged`.")
    epochs: int = Field(description="Passes made.")
    metrics: dict[str, float | None] | None


Network = Annotated[dict[str, Any], Field(description="The architecture, every setting resolved.")]
Settings = Annotated[dict[str, Any], Field(description="Every setting, resolved.")]
DataDigest = Annotated[str, Field(description="SHA-256 of points, labels and class names.")]
RecipeDigest = Annotated[
    str, Field(description="SHA-256 of data, network and training: equal recipes give equal weights.")
]
Metadata = Annotated[dict[str, str], Field(description="Whatever the client wants to know the job by.")]


class ValidationView(BaseModel):
    """What a training would be, of which there is no job."""

    model_config = ConfigDict(from_attributes=True)

    object: str = "training.validation"
    model: str
    data: dict[str, Any]
    data_digest: DataDigest
    network: Network
    training: Settings
    recipe: RecipeDigest
    metadata: Metadata


class JobView(BaseModel):
    """A training job."""

    id: str
    object: str = "training.job"
    status: JobState
    model: str
    version: int | None = Field(description="The version that the job published.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    estimated_finish: datetime | None = Field(
        description="While it runs: when it will have made all its epochs at the pace so far; `patience` may end it "
        "sooner."
    )
    training_seconds: float = Field(description="How long training processes have been at it, all attempts together.")
    progress: Progress
    metrics: dict[str, float | None] | None = Field(
        description="The latest figures; once the job has succeeded or diverged, those of the weights that were kept."
    )
    data: dict[str, Any]
    data_digest: DataDigest
    network: Network
    training: Settings
    recipe: RecipeDigest
    metadata: Metadata
    restarts: list[RestartView] | None = Field(description="What came of each restart, once all have ended.")
    attempt: int = Field(description="How many times a training process took the job.")
    retry_of: str | None = Field(description="The job that this one tries again.")
    problem: JobProblem | None = Field(description="Why it failed.")
    links: dict[str, str] = Field(
        description="`self` and `events`; `version` if it published one; `checkpoint` if weights are kept with the job."
    )

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """The view of a job's row."""
        spec, status = job.spec, job.status
        return cls(
            id=spec.id,
            status=status.state,
            model=spec.model,
            version=status.version,
            created_at=_time(spec.created_at),
            started_at=_time(status.started_at) if status.started_at else None,
            finished_at=_time(status.finished_at) if status.finished_at else None,
            estimated_finish=_estimated_finish(job),
            training_seconds=round(status.ran_s, 3),
            progress=Progress(epoch=status.epoch, epochs=spec.max_epochs, fraction=job.progress),
            metrics=status.metrics,
            data=spec.data,
            data_digest=spec.data_digest,
            network=spec.network,
            training=spec.training,
            recipe=spec.recipe,
            metadata=spec.metadata,
            restarts=[RestartView(**restart) for restart in status.restarts] if status.restarts else None,
            attempt=status.attempt,
            retry_of=spec.retry_of,
            problem=JobProblem(**status.problem) if status.problem else None,
            links=_links(job),
        )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _estimated_finish(job: Job) -> datetime | None:
    """At the pace so far, to the second; None if there is no pace yet, or none to speak of."""
    ran_s, fraction = job.status.ran_s, job.progress
    if job.state != JobState.RUNNING or ran_s >= MAX_ESTIMATE_S * fraction:
        return None
    return _time(round(time.time() + ran_s * (1 - fraction) / fraction))


def _links(job: Job) -> dict[str, str]:
    links = {"self": f"/jobs/{job.id}", "events": f"/jobs/{job.id}/events"}
    if job.status.version is not None:
        links["version"] = f"/models/{job.model}/versions/{job.status.version}"
    if job.status.checkpoint is not None:
        links["checkpoint"] = f"/jobs/{job.id}/checkpoint"
    return links
