"""The service's nouns, as the store keeps them. Times are seconds since the epoch, UTC."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""What a model may be called; `NAME_RULE` says the same in words."""

NAME_RULE = "must be 1 to 63 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit"

Origin = Literal["http", "cli", "starter"]


class JobState(StrEnum):
    """`queued -> running -> succeeded | failed | cancelled`, and `paused`, from where a job goes back to the queue.

    `pausing` and `cancelling` are what a running job is from the asking until its worker has done it; it may also end
    meanwhile.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the state is final."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    @property
    def held(self) -> bool:
        """Whether a worker has the job."""
        return self in (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING)

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to stop, and has yet to."""
        return self in (JobState.PAUSING, JobState.CANCELLING)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A training that was asked for. Everything that decides its result is in `data`, `network` and `training`.

    Attributes:
        id: random, and never used again.
        model: the name under which the result is published.
        origin: who asked.
        data: a `DatasetSpec` as JSON, or `{"points": N, "features": D}` for data kept as a file.
        data_digest: `LabelledPoints.digest`.
        network, training: `NetworkSpec` and `TrainingSpec` as JSON, all defaults resolved.
        recipe: `Recipe.digest`.
        metadata: whatever the client wants to know it by.
        retry_of: the id of the job that it tries again.
        state: see `JobState`.
        attempt: how many times a worker took the job; each write of a worker holds only for its own attempt.
        deaths: how many workers in a row died or fell silent with it, since it last came to a checkpoint.
        worker: who has it.
        epoch: passes made so far, by all restarts together.
        metrics: the latest figures of the training; once it has ended, those of the weights that were kept.
        ran_s: how long workers have been at it, all attempts together.
        checkpoint: the folder of the last weights that are kept with the job, to go on from while it has not ended. A
            published version has a folder of its own.
        version: the number of the version it published.
        restarts: what came of each restart, once the training has ended: `training.Restart` as JSON.
        problem: `{"code", "detail"}` of a failed job.
        events: how many it has; the number of the last one.
    """

    id: str
    model: str
    origin: Origin
    data: dict[str, Any]
    data_digest: str
    network: dict[str, Any]
    training: dict[str, Any]
    recipe: str
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: str | None = None
    state: JobState = JobState.QUEUED
    attempt: int = 0
    deaths: int = 0
    worker: str | None = None
    epoch: int = 0
    metrics: dict[str, float | None] | None = None
    ran_s: float = 0.0
    checkpoint: str | None = None
    version: int | None = None
    restarts: list[dict[str, Any]] | None = None
    problem: dict[str, str] | None = None
    events: int = 0
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def epochs(self) -> int:
        """Passes it may make, all restarts together."""
        return int(self.training["epochs"]) * int(self.training.get("restarts", 1))

    @property
    def checkpoint_id(self) -> str:
        """The name of the folder for this attempt's checkpoint: no two attempts ever write in one place."""
        return f"{self.id}-{self.attempt}"


EventKind = Literal["status", "metrics", "checkpoint", "done"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a job has come to. `number` counts from 1 within the job, without gaps."""

    job_id: str
    number: int
    kind: EventKind
    created_at: float
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The weights of a training that goes on, for whoever watches.

    Attributes:
        serial: ascends within the job.
        epoch: of the training that they are from.
        weights: a state dict, as safetensors.
    """

    serial: int
    epoch: int
    weights: bytes


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """One immutable version of a model.

    Attributes:
        seq: ascends with every publication, over all models.
        version: counts from 1 within its model.
        checkpoint_id: see `Job.checkpoint_id`.
        card_digest: SHA-256 (hex) of its card.
    """

    seq: int
    model: str
    version: int
    job_id: str
    checkpoint_id: str
    card_digest: str
    created_at: float
