"""`POST /train` and the jobs it makes."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Discriminator, FailFast, Field, FiniteFloat, Tag

from models import specs
from models.datasets import from_rows
from models.specs import (
    MAX_CLASSES,
    MAX_EPOCHS,
    MAX_FEATURES,
    MAX_HIDDEN_LAYERS,
    MAX_LABEL_LENGTH,
    MAX_LABEL_NUMBER,
    MAX_LEARNING_RATE,
    MAX_NOISE,
    MAX_POINTS,
    MAX_RESTARTS,
    MAX_SEED,
    MAX_WEIGHT_DECAY,
    MAX_WIDTH,
    Activation,
    DatasetName,
    DatasetSpec,
    ImplementationChoice,
    NetworkKind,
    NetworkSpec,
    Optimizer,
)
from service.api import bodies
from service.api.bodies import Body
from service.api.deps import Services, ServicesDep
from service.api.downloads import CheckpointFile, checkpoint_download
from service.api.pages import Page
from service.api.patterns import JOB_ID_PATTERN
from service.errors import NothingKept
from service.records import NAME_PATTERN, Job, JobState
from service.trainer import new_job

router = APIRouter(tags=["training"])

MAX_WAIT_S = 60
"""Longest that `Prefer: wait` holds a request; proxies tend to cut longer ones."""

LOOK_S = 0.25
"""How often a waiting request looks at its row unrung: for jobs of other processes, and for clients that have gone."""


class GeneratedData(Body):
    """Points that a generator makes."""

    dataset: DatasetName
    n: int = Field(400, ge=2, le=MAX_POINTS, description="How many points.")
    noise: FiniteFloat | None = Field(
        None, ge=0, le=MAX_NOISE, description="In data units; GET /datasets has the defaults."
    )
    seed: int = Field(1, ge=0, le=MAX_SEED)
    classes: int = Field(2, ge=2, le=MAX_CLASSES, description="More than 2 for `spirals` and `gaussians` only.")


def _kind_of_label(value: Any) -> str:
    return "string" if isinstance(value, str) else "integer"


Label = Annotated[
    Annotated[int, Field(ge=-MAX_LABEL_NUMBER, le=MAX_LABEL_NUMBER), Tag("integer")]
    | Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH), Tag("string")],
    Discriminator(_kind_of_label),
]


class GivenData(Body):
    """Points of your own: N of D coordinates, and as many labels, all integers or all strings, 2 classes or more."""

    points: Annotated[
        list[Annotated[list[FiniteFloat], FailFast(), Field(min_length=1, max_length=MAX_FEATURES)]], FailFast()
    ] = Field(min_length=2, max_length=MAX_POINTS)
    labels: Annotated[
        list[Label],
        FailFast(),
    ] = Field(min_length=2, max_length=MAX_POINTS)


def _kind_of_data(value: Any) -> str:
    return "generated" if isinstance(value, dict) and "dataset" in value else "given"


Data = Annotated[
    Annotated[GeneratedData, Tag("generated")] | Annotated[GivenData, Tag("given")], Discriminator(_kind_of_data)
]


class NetworkSettings(Body):
    """The architecture; the data decide how many inputs and outputs there are."""

    kind: NetworkKind = "sequential"
    hidden: list[Annotated[int, Field(ge=1, le=MAX_WIDTH)]] | None = Field(
        None,
        max_length=MAX_HIDDEN_LAYERS,
        description="Width of each hidden layer: by default [4], none for `logistic`; exactly one for `two_layer`.",
    )
    activation: Activation = "tanh"


class TrainingSettings(Body):
    """How to train; what is not given is as the tutorial has it for that kind of network."""

    epochs: int | None = Field(None, ge=1, le=MAX_EPOCHS, description="By default 10000, for `logistic` 100.")
    optimizer: Optimizer | None = Field(None, description="By default `sgd`.")
    learning_rate: FiniteFloat | None = Field(
        None, gt=0, le=MAX_LEARNING_RATE, description="By default 1.0, for `logistic` 0.1, for `adam` 0.01."
    )
    momentum: FiniteFloat | None = Field(None, ge=0, lt=1, description="Of `sgd`; by default 0.")
    weight_decay: FiniteFloat | None = Field(None, ge=0, le=MAX_WEIGHT_DECAY, description="By default 0.")
    batch_size: int | None = Field(None, ge=1, le=MAX_POINTS, description="By default all points at once.")
    validation_fraction: FiniteFloat | None = Field(
        None, ge=0, le=0.9, description="Share of each class kept out of training; by default 0."
    )
    patience: int | None = Field(
        None, ge=1, le=MAX_EPOCHS, description="Epochs without improvement after which to stop; by default never."
    )
    min_delta: FiniteFloat | None = Field(
        None, ge=0, le=MAX_LEARNING_RATE, description="Least decrease of the loss that counts; by default 0.0001."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of weights, split and batches; by default 0.")
    restarts: int | None = Field(
        None,
        ge=1,
        le=MAX_RESTARTS,
        description="Train so many networks, from `seed`, `seed` + 1, ..., on all cores, and keep the one with the "
        "least validation loss, without validation the least training loss; by default 1.",
    )
    implementation: ImplementationChoice | None = Field(
        None, description="`compiled`, `torch`, or by default `auto`, the faster of the two."
    )


class TrainRequest(Body):
    """What to train, on what, and under which name to publish it."""

    model: str = Field(pattern=NAME_PATTERN, description="The result becomes its next version.", examples=["my-flower"])
    data: Data = Field(examples=[{"dataset": "flower"}])
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()


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
    progress: Progress
    metrics: dict[str, float | None] | None = Field(
        description="The latest figures; once the job has ended, those of the weights that were kept."
    )
    data: dict[str, Any]
    data_digest: str = Field(description="SHA-256 of points, labels and class names.")
    network: dict[str, Any]
    training: dict[str, Any] = Field(description="Every setting, resolved.")
    recipe: str = Field(description="SHA-256 of data, network and training: equal recipes give equal weights.")
    restarts: list[RestartView] | None = Field(description="What came of each restart, once all have ended.")
    attempt: int = Field(description="How many times a training process took the job.")
    problem: JobProblem | None = Field(description="Why it failed.")
    links: dict[str, str]

    @classmethod
    def of(cls, job: Job) -> "JobView":
        """The view of a job's row."""
        return cls(
            id=job.id,
            status=job.state,
            model=job.model,
            version=job.version,
            created_at=_time(job.created_at),
            started_at=_time(job.started_at) if job.started_at else None,
            finished_at=_time(job.finished_at) if job.finished_at else None,
            progress=Progress(epoch=job.epoch, epochs=job.epochs, fraction=job.epoch / job.epochs),
            metrics=job.metrics,
            data=job.data,
            data_digest=job.data_digest,
            network=job.network,
            training=job.training,
            recipe=job.recipe,
            restarts=[RestartView(**restart) for restart in job.restarts] if job.restarts else None,
            attempt=job.attempt,
            problem=JobProblem(**job.problem) if job.problem else None,
            links=_links(job),
        )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _links(job: Job) -> dict[str, str]:
    links = {"self": f"/jobs/{job.id}"}
    if job.version is not None:
        links["version"] = f"/models/{job.model}/versions/{job.version}"
    if job.checkpoint is not None:
        links["checkpoint"] = f"/jobs/{job.id}/checkpoint"
    return links


JobPath = Annotated[str, Path(pattern=JOB_ID_PATTERN, description="A job's id.")]
PreferHeader = Annotated[
    str | None,
    Header(description=f"`wait=S`: answer when the job has ended, or after S seconds; at most {MAX_WAIT_S}."),
]


@router.post("/train", status_code=202, response_model=JobView, openapi_extra=bodies.documented(TrainRequest))
async def train(request: Request, response: Response, services: ServicesDep, prefer: PreferHeader = None) -> JobView:
    """Puts a training in the queue. Once this has answered, the job is not lost, whatever goes down."""
    headers = bodies.headers_of(request.scope)
    body = await bodies.read(headers, request.receive, TrainRequest, max_bytes=services.settings.max_body_bytes)
    job_id = await to_thread.run_sync(_submit, services, body)
    job = await _look(services, job_id, prefer, request, response)
    response.headers["Location"] = f"/jobs/{job_id}"
    return JobView.of(job)


def _submit(services: Services, body: TrainRequest) -> str:
    data = (
        DatasetSpec(**body.data.model_dump())
        if isinstance(body.data, GeneratedData)
        else from_rows(body.data.points, body.data.labels)
    )
    network = NetworkSpec(**body.network.model_dump())
    training = specs.resolve_training(body.network.kind, body.training.model_dump(exclude_none=True))
    return services.trainer.submit(new_job(body.model, data, network, training, origin="http"), data)


@router.get("/jobs", response_model=Page[JobView])
async def list_jobs(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=JOB_ID_PATTERN, description="`last_id` of the page before.")] = None,
    status: Annotated[JobState | None, Query(description="Only jobs in that state.")] = None,
) -> Page[JobView]:
    """The jobs, newest first."""
    jobs, has_more = await to_thread.run_sync(lambda: services.store.jobs.page(limit=limit, after=after, state=status))
    return Page.of({job.id: JobView.of(job) for job in jobs}, has_more=has_more)


@router.get("/jobs/{job_id}", response_model=JobView)
async def show_job(
    job_id: JobPath, request: Request, response: Response, services: ServicesDep, prefer: PreferHeader = None
) -> JobView:
    """One job."""
    return JobView.of(await _look(services, job_id, prefer, request, response))


@router.get("/jobs/{job_id}/checkpoint", response_class=CheckpointFile)
async def download_kept_checkpoint(job_id: JobPath, services: ServicesDep) -> CheckpointFile:
    """The last finite weights of a training that diverged: a `state_dict`, as `.pth`."""
    job = await to_thread.run_sync(services.store.jobs.get, job_id)
    if job.checkpoint is None:
        raise NothingKept("Only a training that diverged keeps one; others publish a version or nothing.")
    return await checkpoint_download(services, job.checkpoint, filename=f"{job.model}-{job.id}.pth")


async def _look(services: Services, job_id: str, prefer: str | None, request: Request, response: Response) -> Job:
    """The job as it is now, or, if the client prefers to wait, as it is when it has ended or the time is up.

    A job that is reported as succeeded is served by then.
    """
    wait_s = _wait_s(prefer)
    if wait_s is not None and services.waits.available_tokens >= 1:
        response.headers["Preference-Applied"] = f"wait={wait_s}"
        async with services.waits:
            job = await _wait(services, job_id, request, wait_s)
    else:
        job = await to_thread.run_sync(services.store.jobs.get, job_id)
    if job.version is not None:
        await to_thread.run_sync(services.registry.refresh)
    if not job.state.ended:
        response.headers["Retry-After"] = "1"
    return job


async def _wait(services: Services, job_id: str, request: Request, wait_s: int) -> Job:
    """The job when it has ended, or the time is up, or the service stops, or the client has gone."""
    until = time.monotonic() + wait_s
    while True:
        ring = services.bell.next
        job = await to_thread.run_sync(services.store.jobs.get, job_id)
        if job.state.ended or time.monotonic() >= until or services.stopping.is_set():
            return job
        if await request.is_disconnected():
            return job
        with anyio.move_on_after(min(LOOK_S, until - time.monotonic())):
            await ring.wait()


def _wait_s(prefer: str | None) -> int | None:
    """The seconds of `Prefer: wait=S` (RFC 7240), bounded; other preferences are not for us."""
    found = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\b", prefer or "", re.IGNORECASE)
    return min(int(found[1]), MAX_WAIT_S) if found else None
