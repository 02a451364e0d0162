"""The response schemas of jobs."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.records import Job, JobState

MAX_ESTIMATE_S = 30 * 24 * 3600.0
"""Longest training whose finish is estimated. No setting allows a longer one."""


class Progress(BaseModel):
    """The progress of a training."""

    epoch: int = Field(description="Epochs trained so far, summed over all restarts.")
    epochs: int = Field(
        description="Most epochs that the job trains, summed over all restarts. With `patience` it may stop early."
    )
    fraction: float = Field(description="`epoch` / `epochs`.")


class JobProblem(BaseModel):
    """Why a job failed, and what to do."""

    code: str
    detail: str


class RestartView(BaseModel):
    """One restart of a job."""

    seed: int
    ending: str = Field(description="`finished`, `stalled` or `diverged`.")
    epochs: int = Field(description="Epochs trained.")
    metrics: dict[str, float | None] | None


Network = Annotated[dict[str, Any], Field(description="The architecture, with all defaults resolved.")]
Settings = Annotated[dict[str, Any], Field(description="The training settings, with all defaults resolved.")]
DataDigest = Annotated[str, Field(description="SHA-256 of the points, labels and class names.")]
RecipeDigest = Annotated[
    str, Field(description="SHA-256 of data, network and training. Equal recipes give equal weights.")
]
Metadata = Annotated[dict[str, str], Field(description="The client's own key-value pairs.")]


class ValidationView(BaseModel):
    """A job as it would be submitted."""

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
        description="While the job runs: when it will have trained all its epochs at the pace so far. With `patience` "
        "it may end earlier."
    )
    training_seconds: float = Field(description="Training time, summed over all attempts.")
    progress: Progress
    metrics: dict[str, float | None] | None = Field(
        description="The latest metrics. Once the job has succeeded or diverged, those of the weights that were saved."
    )
    data: dict[str, Any]
    data_digest: DataDigest
    network: Network
    training: Settings
    recipe: RecipeDigest
    metadata: Metadata
    restarts: list[RestartView] | None = Field(description="The result of each restart, once all have ended.")
    attempt: int = Field(description="How many times a training process has started the job.")
    retry_of: str | None = Field(description="The id of the job that this one retries.")
    problem: JobProblem | None = Field(description="Why the job failed.")
    links: dict[str, str] = Field(
        description="`self` and `events`; `version` if the job published one; `checkpoint` if it has one of its own."
    )

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """The view of a job of the store."""
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
    """Assumes the pace so far, to the second. None while the pace is unknown, or too slow."""
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
