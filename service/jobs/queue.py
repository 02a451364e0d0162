"""The job queue: checks and submits trainings, wakes the workers, and reclaims the jobs of lost ones."""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from models import specs
from models.datasets import LabelledPoints
from models.recipes import Recipe
from models.selection.candidates import Given
from models.specs import (
    DatasetSpec,
    InvalidInput,
    NetworkSpec,
    Preset,
    TrainingSpec,
    resolve_network,
    resolve_training,
)
from service import logs
from service.errors import (
    DatasetNotFound,
    FolderUnavailable,
    JobNotFound,
    KeyReused,
    QueueFull,
    StoreUnavailable,
    VersionNotFound,
    WrongState,
)
from service.jobs import promotion, training_data, warm_start
from service.jobs.engine import JobEngine
from service.jobs.training_data import Data
from service.jobs.warm_start import Start
from service.records import NAME_PATTERN, NAME_RULE, JobSpec, Origin
from service.store.files import Files
from service.store.points_file import DamagedData
from service.store.store import Store

logger = logging.getLogger(__name__)

RECONCILE_S = 0.25
"""How often to look for expired leases and queued jobs while jobs are queued: two small indexed queries."""

RECONCILE_IDLE_S = 2.0
"""How often to look while no job is queued. A job of another process whose training processes are all busy waits up to
this long for a free one of this process, and the job of a lost worker up to this much longer than its lease."""

UNPUBLISHED_PREFIX = "u"
"""How the ids of jobs begin that publish nothing. Those of all others are hexadecimal numbers."""

GRACE_S = 3.0
"""How long workers have to renew their leases after an outage of the database, or after this machine slept."""


@dataclass(frozen=True)
class NewJob:
    """A job that is not yet in the queue.

    Attributes:
        spec: what was asked for.
        data: what it is trained on.
        start: the file of the weights that it starts from; None if it starts from random ones.
    """

    spec: JobSpec
    data: Data
    start: Path | None = None


def save(files: Files, new: NewJob) -> None:
    """Stores what a job needs beside its row.

    Raises:
        DatasetNotFound: the dataset was deleted or replaced meanwhile.
        VersionNotFound: the version that the job starts from was deleted meanwhile.
        OSError: the disk is full or cannot be written.
    """
    try:
        if new.start is not None:
            files.link_starting_weights(new.start, new.spec.id)
    except FileNotFoundError as error:
        raise VersionNotFound("The version was deleted during the request. Start from another one.") from error
    try:
        training_data.save(files, new.spec.id, new.data)
    except FileNotFoundError as error:
        files.remove_starting_weights(new.spec.id)
        raise DatasetNotFound(
            "The dataset was deleted or replaced during the request. Send the request again."
        ) from error
    except OSError:
        files.remove_starting_weights(new.spec.id)
        raise


def remove(files: Files, job_id: str) -> None:
    """Removes what `save` has stored."""
    training_data.remove(files, job_id)
    files.remove_starting_weights(job_id)


class JobQueue:
    """Accepts jobs for an engine's workers."""

    def __init__(
        self,
        store: Store,
        files: Files,
        engine: JobEngine,
        *,
        max_queued_jobs: int,
        max_own_jobs: int | None = None,
        ttl_s: float | None = None,
    ) -> None:
        """Makes a queue of jobs.

        Args:
            store: of the jobs.
            files: of the same service.
            engine: works on the jobs.
            max_queued_jobs: how many jobs may be queued at a time.
            max_own_jobs: how many of them one owner may have, whatever limit the owner has; None for all.
            ttl_s: how long the jobs are kept, see `Jobs.add`.
        """
        self._store = store
        self._files = files
        self._engine = engine
        self._max_queued_jobs = max_queued_jobs
        self._max_own_jobs = max_queued_jobs if max_own_jobs is None else max_own_jobs
        self._ttl_s = ttl_s
        self._reconciled_at = 0.0  # by the monotonic clock, which stands still while the machine sleeps
        self._reconciled_at_time = 0.0  # by the wall clock
        self._grace_until = 0.0

    @property
    def can_start_workers(self) -> bool:
        """See `JobEngine.can_start`."""
        return self._engine.can_start

    def submit(self, new: NewJob, *, max_own: int | None = None, key: str | None = None) -> str:
        """Submits a job and returns its id. Once this returns, the job is not lost.

        `max_own` bounds how many jobs of its owner may be queued at a time. If an equal job was submitted under the
        same idempotency `key`, returns that job's id.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState: as `Jobs.add`.
            DatasetNotFound: the dataset was deleted or replaced meanwhile.
            VersionNotFound: the version that the job starts from was deleted meanwhile.
            FolderUnavailable: the points cannot be stored.
        """
        new = replace(new, spec=replace(new.spec, traceparent=logs.traceparent.get()))
        spec = new.spec
        # before any points are stored
        earlier = self.find_submitted(spec, max_own=max_own, key=key)
        if earlier is not None:
            return earlier
        try:
            save(self._files, new)
            job_id = self._store.jobs.add(
                spec, max_queued=self._max_queued_jobs, max_own=self._most_own(max_own), key=key, ttl_s=self._ttl_s
            )
        except OSError as error:
            logger.error("the points of a job could not be stored: %s", error)
            raise FolderUnavailable(
                "The data folder cannot be written now. The log of the service says why."
            ) from error
        except (JobNotFound, KeyReused, QueueFull, WrongState):  # after any other error the job may be in the queue
            remove(self._files, spec.id)
            raise
        if job_id != spec.id:  # the same request arrived twice at once
            remove(self._files, spec.id)
        self._engine.wake()
        return job_id

    def find_submitted(self, spec: JobSpec, *, max_own: int | None = None, key: str | None = None) -> str | None:
        """Returns the id of the existing job that `submit` would return; None if it would submit another one.

        Raises:
            QueueFull, KeyReused, JobNotFound, WrongState: as `Jobs.find_added`.
        """
        return self._store.jobs.find_added(
            spec, max_queued=self._max_queued_jobs, max_own=self._most_own(max_own), key=key
        )

    def _most_own(self, max_own: int | None) -> int | None:
        """How many queued jobs an owner with this limit may have here; None for an owner without one."""
        return None if max_own is None else min(max_own, self._max_own_jobs)

    def submit_seed_models(self, trainings: Mapping[str, tuple[DatasetSpec, NetworkSpec, TrainingSpec]]) -> None:
        """Submits trainings by model name, under the conditions of `Jobs.add_seed_jobs`."""
        self._store.jobs.add_seed_jobs([new_spec(model, *recipe, origin="seed") for model, recipe in trainings.items()])
        self._engine.wake()

    def resume(self, job_id: str, *, max_own: int | None = None) -> None:
        """Puts a paused job back in the queue.

        Raises:
            JobNotFound, QueueFull, WrongState: as `Jobs.resume`.
        """
        self._store.jobs.resume(job_id, max_queued=self._max_queued_jobs, max_own=self._most_own(max_own))
        self._engine.wake()

    def prepare_retry(self, job_id: str) -> NewJob:
        """Returns a job that retries another one, for `submit`.

        Raises:
            JobNotFound: the job does not exist.
            WrongState: its points cannot be read back.
        """
        job = self._store.jobs.get(job_id)
        try:
            data = training_data.read_back(self._files, job.spec)
        except (DamagedData, OSError) as error:
            raise WrongState(
                job.state, "The points of the job cannot be read back. Submit the training again."
            ) from error
        spec = replace(job.spec, id=_new_id(publishes=job.spec.publishes), retry_of=job_id, created_at=time.time())
        start = None if spec.started_from is None else self._files.starting_weights_file(job_id)
        return NewJob(spec, data, start)

    def delete(self, job_id: str) -> None:
        """Deletes a job that has ended, and its files. A version that it published stays, with its points.

        Raises:
            JobNotFound, WrongState: as `Jobs.delete`.
        """
        job = self._store.jobs.delete(job_id)
        if job.status.version is None:
            remove(self._files, job_id)
        in_use = self._store.jobs.checkpoints_in_use(job_id)
        for name in self._files.checkpoints_of(job_id):
            if name not in in_use:
                self._files.remove_checkpoint(name)

    def reconcile(self) -> float:
        """Reclaims jobs whose lease has expired, whichever engine's they are, and wakes this engine if a job is queued.

        Returns:
            After how many seconds to call it again.
        """
        now, clock = time.monotonic(), time.time()
        passed_s = max(now - self._reconciled_at, abs(clock - self._reconciled_at_time))
        # the first call, or this process stood still, or the machine slept, or its clock was set
        if passed_s > GRACE_S:
            self._grace_until = now + GRACE_S
        self._reconciled_at, self._reconciled_at_time = now, clock
        try:
            if now >= self._grace_until:
                self._reclaim_expired()
            any_queued = self._store.jobs.any_queued()
            if any_queued:
                self._engine.wake()
        except StoreUnavailable:
            self._grace_until = time.monotonic() + GRACE_S
            raise
        return RECONCILE_S if any_queued else RECONCILE_IDLE_S

    def _reclaim_expired(self) -> None:
        for job in self._store.leases.reclaim_expired():
            logger.error("job %s: its worker stopped responding and has lost the job", job.id)
            if job.status.worker is not None:
                self._engine.kill_worker(job.status.worker)


def requested_job(
    model: str | None,
    data: Data,
    preset: Preset | None,
    given: Given,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None = None,
    start: Start | None = None,
    promote: dict[str, Any] | None = None,
) -> NewJob:
    """Returns the job that a client wants, not yet submitted. `promote` is `JobSpec.promote`.

    Without a `model`, the result is not published.

    Without a preset, settings are taken from the version at which the training starts. Without that too, they are
    chosen by a search if the points are the client's own and no setting is given.

    Raises:
        InvalidInput: the model's name is invalid, or a given setting is out of bounds, also for this data; or there are
            conditions, but no points for validation.
    """
    if start is not None:
        new = _warm_started(model, data, preset or "version", given, start, origin=origin, metadata=metadata)
    elif preset == "version":
        raise InvalidInput("preset", "must be tutorial or auto: version needs training.from")
    else:
        new = NewJob(_requested_spec(model, data, preset, given, origin=origin, metadata=metadata), data)
    new = replace(new, spec=replace(new.spec, promote=promote))
    promotion.require_validation(new.spec)
    return new


def _warm_started(
    model: str | None,
    data: Data,
    preset: Preset,
    given: Given,
    start: Start,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None,
) -> NewJob:
    card = start.version.card
    if preset == "auto":
        raise InvalidInput(
            "preset", "must be version or tutorial: with training.from, the network is taken from the version"
        )
    points = training_data.points_of(data)
    warm_start.check_data(card, points)
    network = warm_start.network(card, given.network)
    training = warm_start.training(card, given.training, as_version=preset == "version")
    recipe = Recipe(points, network, training, training_data.validation_of(data, points), start.weights)
    settings = {
        "preset": preset,
        "network": specs.asdict(network),
        "training": specs.asdict(training),
        "recipe": recipe.digest,
        "started_from": warm_start.describe(start),
    }
    return NewJob(_spec(model, data, points, origin, metadata, **settings), data, start.file)


def _requested_spec(
    model: str | None,
    data: Data,
    preset: Preset | None,
    given: Given,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None,
) -> JobSpec:
    is_generated = training_data.is_generated(data)
    if preset is None:
        preset = "tutorial" if is_generated or given.network or given.training else "auto"
    if preset == "auto":
        scale = resolve_network(given.network, is_generated=is_generated).scale
        given = replace(given, network={**given.network, "scale": scale})
        return new_auto_spec(model, data, given, origin=origin, metadata=metadata)
    network = resolve_network(given.network, is_generated=is_generated)
    training = resolve_training(network.kind, given.training)
    return new_spec(model, data, network, training, origin=origin, metadata=metadata)


def new_spec(
    model: str | None,
    data: Data,
    network: NetworkSpec,
    training: TrainingSpec,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None = None,
) -> JobSpec:
    """Returns the spec of a new job, not yet submitted.

    Raises:
        InvalidInput: the model's name is invalid, or data, network and settings together are out of bounds.
    """
    points = training_data.points_of(data)
    validation = training_data.validation_of(data, points)
    spec = {
        "network": specs.asdict(network),
        "training": specs.asdict(training),
        "recipe": Recipe(points, network, training, validation).digest,
    }
    return _spec(model, data, points, origin, metadata, **spec)


def new_auto_spec(
    model: str | None,
    data: Data,
    given: Given,
    *,
    origin: Origin,
    metadata: Mapping[str, str] | None = None,
) -> JobSpec:
    """Returns the spec of a new job with the preset `auto`, not yet submitted.

    Raises:
        InvalidInput: the model's name is invalid, or a given setting is out of bounds, also for this data.
    """
    points = training_data.points_of(data)
    validation = training_data.validation_of(data, points)
    given.default(points, validation)  # raises
    spec = {
        "preset": "auto",
        "network": given.network,
        "training": given.training,
        "recipe": given.digest(points, validation),
    }
    return _spec(model, data, points, origin, metadata, **spec)


def _spec(
    model: str | None,
    data: Data,
    points: LabelledPoints,
    origin: Origin,
    metadata: Mapping[str, str] | None,
    **settings: Any,
) -> JobSpec:
    if model is not None and not re.fullmatch(NAME_PATTERN, model):
        raise InvalidInput("model", NAME_RULE)
    return JobSpec(
        id=_new_id(publishes=model is not None),
        model=model or "",
        origin=origin,
        data=training_data.describe(data),
        data_digest=points.digest,
        metadata=dict(metadata or {}),
        created_at=time.time(),
        **settings,
    )


def _new_id(*, publishes: bool) -> str:
    return ("" if publishes else UNPUBLISHED_PREFIX) + secrets.token_hex(12)
