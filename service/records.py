"""The records that the store reads and writes. Times are seconds since the epoch, UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from models import categories
from models.datasets import Categories
from models.specs import NetworkSpec, Preset, TrainingSpec

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""The valid names of models and datasets; `NAME_RULE` says the same in words."""

NAME_RULE = "must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and start with a letter or digit"

LATEST = "latest"
"""The alias of the version that answers requests which name none. Every model has it."""

ALIAS_PATTERN = r"^[a-z][a-z0-9._-]{0,62}$"
"""The valid aliases: names that cannot be taken for the number of a version."""

ALIAS_RULE = "must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and start with a letter"

SHARE_CONDITION_PATTERN = r"^(>=|<=|>|<) ?(0(\.[0-9]{1,20})?|1(\.0{1,20})?)$"
SHARE_CONDITION_RULE = "must be >=, >, <= or < and a number between 0 and 1, such as >=0.95"
LOSS_CONDITION_PATTERN = r"^(>=|<=|>|<) ?[0-9]{1,7}(\.[0-9]{1,20})?$"
LOSS_CONDITION_RULE = "must be >=, >, <= or < and a number that is not negative, such as <=0.2"
"""The forms of the conditions of `promote_if`, and the same in words."""

Reference = int | str | None
"""How a request names a version: by its number or an alias. None is `LATEST`."""

Origin = Literal["http", "cli", "seed"]

FailureCode = Literal["damaged-data", "diverged", "internal", "out-of-memory", "storage", "time-limit", "worker-died"]
"""Why a job failed."""


class JobState(StrEnum):
    """`queued -> running -> succeeded | failed | cancelled`; `paused` jobs return to the queue when resumed.

    A running job is `pausing` or `cancelling` from the request until its worker stops. It may also end before that.
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
    def leased(self) -> bool:
        """Whether a worker holds the job."""
        return self in (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING)

    @property
    def stopping(self) -> bool:
        """Whether the worker has been asked to stop and has not stopped yet."""
        return self in (JobState.PAUSING, JobState.CANCELLING)


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a client asked for. Never changes. `data`, `network` and `training` alone decide the result.

    Attributes:
        id: random, never reused.
        model: the name under which the result is published; empty if it is not.
        origin: who submitted the job.
        data: a `DatasetSpec` as JSON, or `{"n_points": N, "n_features": D}` for points that are stored as a file, with
            `feature_names` if they have some, and the name of their dataset as `stored` if they come from one.
            If the job has separate validation points, `validation` describes them in this way, with their `digest`.
        data_digest: `LabelledPoints.digest`.
        preset: what decides the settings that the client left open.
        network, training: `NetworkSpec` and `TrainingSpec` as JSON, with all defaults resolved. With the preset `auto`
            only the settings that the client decided.
        started_from: the version at whose weights the training begins, and what is needed to begin there; see
            `service.jobs.warm_start.describe`. None if it begins at random weights.
        recipe: `Recipe.digest`, or with the preset `auto` the digest of `models.selection.candidates.Given`.
        metadata: free key-value pairs of the client.
        retry_of: the id of the job that this one retries.
        promote: an alias, and the conditions under which it moves to the version, see `service.jobs.promotion`. None
            without conditions.
        supersede: a group of jobs: this one cancels those of its owner that are queued. None without a group.
        snapshots: the epochs after which an unpublished training keeps its weights, ascending; None for none.
        owner: the name of the key that submitted it; None in a service without keys.
        traceparent: the trace that its request is part of (W3C trace context); None without a trace.
    """

    id: str
    model: str
    origin: Origin
    data: dict[str, Any]
    data_digest: str
    network: dict[str, Any]
    training: dict[str, Any]
    recipe: str
    preset: Preset = "tutorial"
    started_from: dict[str, Any] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    retry_of: str | None = None
    promote: dict[str, Any] | None = None
    supersede: str | None = None
    snapshots: list[int] | None = None
    owner: str | None = None
    traceparent: str | None = None
    created_at: float

    @property
    def publishes(self) -> bool:
        """Whether the result is published as a version."""
        return bool(self.model)

    @property
    def is_generated(self) -> bool:
        """Whether the points come from a generator."""
        return "dataset" in self.data


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """The state and the results of a job.

    Attributes:
        state: see `JobState`.
        attempt: how many times a worker has claimed the job. A worker's write applies only to its own attempt.
        crash_count: how many workers in a row crashed or let the lease expire since the last checkpoint.
        worker: the name of the worker that holds the job.
        choice: the settings that the preset `auto` has chosen, or given ones that were evaluated in folds, before the
            training: a `models.selection.search.Choice` as JSON.
        epoch: epochs trained so far, summed over all restarts.
        metrics: the latest metrics of the training. Once it has ended, the metrics of the kept weights.
        ran_s: training time in seconds, summed over all attempts.
        checkpoint: the name of the folder with the job's latest checkpoint. A published version has its own folder.
        version: the number of the version that the job published.
        restarts: the result of each restart (`models.training.runs.Restart` as JSON), once the training has ended.
        warnings: what the client should know about the version that the job published.
        promotion: what became of `JobSpec.promote`: `{"alias", "promoted", "reason"}`; None without.
        comparison: of this version with the one that the training started from; see `service.jobs.warm_start.compare`.
        problem: `{"code", "detail"}` of a failed job; the code is a `FailureCode`.
        superseded_by: the id of the job that cancelled this one, see `JobSpec.supersede`.
        expires_at: when the job is removed unless somebody reads it before; None if it is published.
        events: how many events the job has, which is also the number of the last one.
    """

    state: JobState = JobState.QUEUED
    attempt: int = 0
    crash_count: int = 0
    worker: str | None = None
    choice: dict[str, Any] | None = None
    epoch: int = 0
    metrics: dict[str, float | None] | None = None
    ran_s: float = 0.0
    checkpoint: str | None = None
    version: int | None = None
    restarts: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None
    promotion: dict[str, Any] | None = None
    comparison: dict[str, Any] | None = None
    problem: dict[str, str] | None = None
    superseded_by: str | None = None
    expires_at: float | None = None
    events: int = 0
    started_at: float | None = None
    finished_at: float | None = None


@dataclass(frozen=True)
class Job:
    """A training job: what was asked for, and what has become of it."""

    spec: JobSpec
    status: JobStatus = field(default_factory=JobStatus)

    @property
    def id(self) -> str:
        """The job's id."""
        return self.spec.id

    @property
    def model(self) -> str:
        """The model whose next version the job trains."""
        return self.spec.model

    @property
    def state(self) -> JobState:
        """The current state."""
        return self.status.state

    @property
    def settings(self) -> tuple[NetworkSpec, TrainingSpec] | None:
        """All settings; None until the preset `auto` has chosen them."""
        if self.spec.preset == "auto" and self.status.choice is None:
            return None
        chosen = self.status.choice or {"network": self.spec.network, "training": self.spec.training}
        return NetworkSpec(**chosen["network"]), TrainingSpec(**chosen["training"])

    @property
    def max_epochs(self) -> int | None:
        """Maximum number of epochs that the job trains, summed over all restarts; None until these are known."""
        if self.settings is None:
            return None
        _, training = self.settings
        return training.epochs * training.networks

    @property
    def progress(self) -> float:
        """The fraction of the epochs that is trained, 0 to 1."""
        most = self.max_epochs
        return self.status.epoch / most if most else 0.0

    @property
    def kept_epochs(self) -> list[int] | None:
        """The epochs whose weights the job keeps, see `JobSpec.snapshots`; once it has ended those that it reached."""
        epochs = self.spec.snapshots
        if epochs is None or not self.state.ended:
            return epochs
        last = self.status.epoch
        return sorted({epoch for epoch in epochs if epoch < last} | {last}) if self.state == JobState.SUCCEEDED else []

    @property
    def checkpoint_id(self) -> str:
        """The folder name for this attempt's result. It is unique per attempt, so two attempts never collide."""
        return f"{self.id}-{self.status.attempt}"


EventKind = Literal["status", "metrics", "checkpoint", "done"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a job. `number` counts from 1 within the job, without gaps.

    `data` is the same as in the event of the HTTP API, see `service.api.jobs.events`.
    """

    job_id: str
    number: int
    kind: EventKind
    created_at: float
    data: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The current weights of a running training, for clients that watch it.

    Attributes:
        serial: increases within the job.
        epoch: the epoch of the weights.
        weights: a state dict in the safetensors format.
    """

    serial: int
    epoch: int
    weights: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedVersion:
    """One immutable version of a model.

    Attributes:
        seq: of the registry change that published the version; see `RegistryChange`.
        version: counts from 1 within its model. Never reused.
        job_id: the job that trained it; None if it was imported.
        checkpoint_id: see `Job.checkpoint_id`.
        card_digest: SHA-256 of the card, in hex.
        summary: what lists show of the card, see `Card.summary`. None in old rows.
        promotion: see `JobStatus.promotion`.
    """

    seq: int
    model: str
    version: int
    job_id: str | None
    checkpoint_id: str
    card_digest: str
    summary: dict[str, Any] | None = None
    promotion: dict[str, Any] | None = None
    created_at: float

    @property
    def may_be_latest(self) -> bool:
        """Whether `LATEST` may move here by itself."""
        return may_be_latest(self.promotion)


def may_be_latest(promotion: Mapping[str, Any] | None) -> bool:
    """Whether `LATEST` may move by itself to a version: not if the conditions for that alias did not hold."""
    return promotion is None or promotion["alias"] != LATEST or bool(promotion["promoted"])


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A name of a version. It can move to another version of the model."""

    model: str
    alias: str
    version: int
    moved_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRows:
    """What the database has of one model: its versions by number, ascending, and the version that each alias names.

    Attributes:
        newest: the highest number that a version of the model has ever had.
        keep_versions: how many versions the model keeps; None for the setting of the service.
    """

    newest: int
    versions: dict[int, PublishedVersion]
    aliases: dict[str, int]
    keep_versions: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryChange:
    """What may have changed in the registry: a version, an alias, or with neither the whole model.

    Attributes:
        seq: counts all changes, without gaps.
        model, version, alias: what has changed.
        published: the version as it is now; None if it does not exist.
        target: the version that the alias names now; None if it does not exist.
    """

    seq: int
    model: str
    version: int | None
    alias: str | None
    published: PublishedVersion | None
    target: int | None


@dataclass(frozen=True, kw_only=True)
class StoredDataset:
    """A dataset that a client has stored under a name.

    Attributes:
        name: may be given to other content later.
        file: the name of the file of its points in the data folder. Random, never reused.
        digest: `LabelledPoints.digest`.
        size_bytes: of the file.
        summary: what is known about the points, as JSON; see `service.datasets.summary`.
    """

    name: str
    file: str
    digest: str
    size_bytes: int
    summary: dict[str, Any]
    created_at: float

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The name of each feature; None if they have no names."""
        names = self.summary["feature_names"]
        return tuple(names) if names else None

    @property
    def categories(self) -> Categories:
        """The values of the text columns among the features."""
        return categories.from_json(self.summary.get("categories"))
