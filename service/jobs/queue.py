"""Takes trainings in: checks what is asked for, writes the job's row, and sees to it that workers look at the queue."""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace

from models import specs
from models.datasets import LabelledPoints
from models.recipes import Recipe
from models.specs import DatasetSpec, InvalidInput, NetworkSpec, TrainingSpec
from service.errors import FolderUnavailable, JobNotFound, KeyReused, QueueFull, StoreUnavailable, WrongState
from service.jobs import training_data
from service.jobs.engine import JobEngine
from service.records import NAME_PATTERN, NAME_RULE, JobSpec, Origin
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""How often to look for jobs without a worker: two small indexed queries."""

PATIENCE_S = 3.0
"""How long workers have to speak again after the database was away, or this machine slept, before they are silent."""


class JobQueue:
    """The way into the queue."""

    def __init__(self, store: Store, files: Files, engine: JobEngine, *, max_queued_jobs: int) -> None:
        """All parts are given; `max_queued_jobs` bounds how many jobs may wait."""
        self._store = store
        self._files = files
        self._engine = engine
        self._max_queued_jobs = max_queued_jobs
        self._reconciled = self._clock = 0.0  # by the clock that stands still while the machine sleeps, and the other
        self._patient_until = 0.0

    def submit(self, spec: JobSpec, data: DatasetSpec | LabelledPoints, *, key: str | None = None) -> str:
        """Puts a new job in the queue and gives its id. Once this returns, the job is not lost.

        With an idempotency `key` under which such a job was submitted before, the id is that job's.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState: as `Jobs.add`.
            FolderUnavailable: the data cannot be kept.
        """
        earlier = self._store.jobs.added(spec, max_queued=self._max_queued_jobs, key=key)  # before the data are kept
        if earlier is not None:
            return earlier
        try:
            training_data.keep(self._files, spec.id, data)
            job_id = self._store.jobs.add(spec, max_queued=self._max_queued_jobs, key=key)
        except OSError as error:
            logger.error("the points of a job could not be kept: %s", error)
            raise FolderUnavailable("Nothing can be kept there now; the service's log says why.") from error
        except (JobNotFound, KeyReused, QueueFull, WrongState):  # else it may be in the queue all the same
            self._files.remove_points(spec.id)
            raise
        if job_id != spec.id:  # sent twice at once
            self._files.remove_points(spec.id)
        self._engine.wake()
        return job_id

    def submit_seed_models(self, trainings: Mapping[str, tuple[DatasetSpec, NetworkSpec, TrainingSpec]]) -> None:
        """Puts trainings in the queue, by model name; see `Jobs.add_starters` for when."""
        self._store.jobs.add_seed_jobs(
            [new_spec(model, *recipe, origin="starter") for model, recipe in trainings.items()]
        )
        self._engine.wake()

    def resume(self, job_id: str) -> None:
        """Has a paused job go on.

        Raises:
            JobNotFound, QueueFull, WrongState: as `Jobs.resume`.
        """
        self._store.jobs.resume(job_id, max_queued=self._max_queued_jobs)
        self._engine.wake()

    def again(self, job_id: str) -> tuple[JobSpec, DatasetSpec | LabelledPoints]:
        """A new job that retries another one, not yet submitted, and its data.

        Raises:
            JobNotFound: the job does not exist.
            WrongState: its data cannot be read back.
        """
        spec = self._store.jobs.get(job_id).spec
        try:
            data = training_data.of_job(self._files, spec)
        except (DamagedData, OSError) as error:
            raise WrongState("Its points cannot be read back; send the training again.") from error
        return replace(spec, id=_new_id(), retry_of=job_id, created_at=time.time()), data

    def delete(self, job_id: str) -> None:
        """Forgets a job that has ended, and what is kept with it. A version that it published stays, with its data.

        Raises:
            JobNotFound, WrongState: as `Jobs.delete`.
        """
        job = self._store.jobs.delete(job_id)
        if job.status.version is None:
            self._files.remove_points(job_id)
        in_use = self._store.jobs.checkpoints_in_use(job_id)
        for name in self._files.checkpoints_of(job_id):
            if name not in in_use:
                self._files.remove_checkpoint(name)

    def reconcile(self) -> float:
        """Takes jobs from workers that have fallen silent, whoever had them, and wakes ours if any job waits.

        Returns:
            After how many seconds to do so again.
        """
        now, clock = time.monotonic(), time.time()
        passed_s = max(now - self._reconciled, abs(clock - self._clock))
        # the first time, or this process stood still, or the machine slept, or its clock was set
        if passed_s > PATIENCE_S:
            self._patient_until = now + PATIENCE_S
        self._reconciled, self._clock = now, clock
        try:
            if now >= self._patient_until:
                self._take_back()
            if self._store.jobs.any_waits():
                self._engine.wake()
        except StoreUnavailable:
            self._patient_until = time.monotonic() + PATIENCE_S
            raise
        return LOOK_S

    def _take_back(self) -> None:
        for job in self._store.jobs.take_back_silent():
            logger.error("the worker of job %s is silent; the job is taken from it", job.id)
            if job.status.worker is not None:
                self._engine.end_worker(job.status.worker)


def new_spec(
    model: str,
    data: DatasetSpec | LabelledPoints,
    network: NetworkSpec,
    training: TrainingSpec,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None = None,
) -> JobSpec:
    """A job that nobody has yet put anywhere.

    Raises:
        InvalidInput: the name is none, or data, network and settings together are out of bounds.
    """
    if not re.fullmatch(NAME_PATTERN, model):
        raise InvalidInput("model", NAME_RULE)
    points = training_data.points_of(data)
    return JobSpec(
        id=_new_id(),
        model=model,
        origin=origin,
        data=training_data.describe(data),
        data_digest=points.digest,
        network=specs.asdict(network),
        training=specs.asdict(training),
        recipe=Recipe(points, network, training).digest,
        metadata=dict(metadata or {}),
        created_at=time.time(),
    )


def _new_id() -> str:
    return secrets.token_hex(12)
