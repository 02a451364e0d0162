"""One job from claim to end: what every worker does, whichever engine started it."""

import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

import numpy as np
import safetensors.numpy

from models.checkpoints import torch_files
from models.checkpoints.cards import Card, DamagedCheckpoint
from models.datasets import FloatArray, LabelledPoints
from models.limits import MAX_BATCH_VALUES
from models.networks.modules import build
from models.recipes import batch_values
from models.specs import NetworkSpec, TrainingSpec
from models.training.resume_state import ResumeState
from models.training.runs import (
    Epoch,
    Epochs,
    Outcome,
    Restart,
)
from models.training.train import (
    Best,
    Observer,
    Trained,
    train_best,
)
from service.errors import StoreUnavailable
from service.jobs import training_data
from service.jobs.monitor import TELL_SHARE, Monitor
from service.records import Job, JobState
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

CHECKPOINT_S = 1.0
"""How often a training is kept to go on from, at most: as much of it is lost with a worker."""

CHECKPOINT_SHARE = 0.05
"""The share of a worker's time that keeping may take: large networks are kept less often."""

RETRY_S = 0.5
"""How long to wait before the end of a job is written again, when the database was away."""


def work(
    job: Job,
    *,
    store: Store,
    files: Files,
    max_training_s: float = float("inf"),
    should_leave: Callable[[], bool] = lambda: False,
    leaving_cancels: bool = False,
    on_progress: Callable[[int, Epoch], object] = lambda passes, latest: None,
    on_end: Callable[[], object] = lambda: None,
) -> None:
    """Trains a claimed job from where it stands, publishes the result, and ends the job.

    Whatever goes wrong with the job itself ends it as failed, with a problem that says what. If the database is away
    when the job ends, its end is written when it is back.

    Args:
        job: as `Jobs.claim` gave it.
        store: of the job.
        files: of the same service.
        max_training_s: how long the training may take, all attempts together.
        should_leave: asked every few milliseconds: once it is true, the job is given back, to be gone on with.
        leaving_cancels: whether a job that is left is cancelled instead.
        on_progress: told of the passes made, by all restarts together, and the latest of them.
        on_end: called when the end is in the rows; there is some clearing up to do after it.
    """
    with Monitor(store, job, max_training_s=max_training_s) as monitor:
        end = _train(job, _Attempt(job, files, monitor, store, should_leave, leaving_cancels, on_progress))
        while True:
            try:
                end(store)
                on_end()
                _clear(job, store, files)
                break
            except StoreUnavailable:
                logger.warning("job %s: the database is away; its end is written when it is back", job.id)
                if should_leave():
                    raise
                time.sleep(RETRY_S)


End = Callable[[Store], object]
"""How a job ends: what is yet to be written to the store, which holds only if the job is still this attempt's."""


class _Attempt(Observer):
    """One attempt at a job as the training sees it: whom it tells, and who may stop it."""

    def __init__(
        self,
        job: Job,
        files: Files,
        monitor: Monitor,
        store: Store,
        should_leave: Callable[[], bool],
        leaving_cancels: bool,
        on_progress: Callable[[int, Epoch], object],
    ) -> None:
        self.files = files
        self.monitor = monitor
        self._kept = job.status.checkpoint
        self._job = job
        self._store = store
        self._should_leave = should_leave
        self._leaving_cancels = leaving_cancels
        self._on_progress = on_progress
        self._passes: dict[int, int] = {}
        self._next_keeping = time.monotonic() + CHECKPOINT_S
        self._next_telling = 0.0

    def begin_from(self, resume_state: ResumeState) -> None:
        self._passes = dict(resume_state.passes)

    def should_stop(self) -> bool:
        return self.monitor.should_stop or self._should_leave()

    @property
    def is_cancelled(self) -> bool:
        """Whether whoever has it leave wants it cancelled."""
        return self._leaving_cancels and self._should_leave()

    def note_epochs(self, restart: int, epochs: Epochs) -> None:
        latest = epochs.last
        self._passes[restart] = latest.number
        passes = sum(self._passes.values())
        self.monitor.note(passes, latest)
        self._on_progress(passes, latest)

    def wants_resume_state(self) -> bool:
        return time.monotonic() >= self._next_keeping

    def note_resume_state(self, resume_state: ResumeState) -> None:
        began = time.monotonic()
        tell = began >= self._next_telling
        try:
            kept = self.keep(resume_state)
            epoch = sum(resume_state.passes.values())
            if self._store.jobs.note_checkpoint(self._job, checkpoint=kept, epoch=epoch, tell=tell):
                if self._kept is not None:
                    self.files.remove_checkpoint(self._kept)
                self._kept = kept
                if tell:
                    self._next_telling = began + self.monitor.ran_s * TELL_SHARE
        except (OSError, StoreUnavailable) as error:  # the training can do without, for now
            logger.warning("job %s: nothing could be kept to go on from (%s)", self._job.id, error)
        took = time.monotonic() - began
        self._next_keeping = time.monotonic() + max(CHECKPOINT_S, took / CHECKPOINT_SHARE)

    def wants_weights(self) -> bool:
        return self.monitor.wants_snapshot()

    def note_weights(self, _: int, epoch: int, weights: dict[str, FloatArray]) -> None:
        self.monitor.show(epoch, safetensors.numpy.save(weights))

    def keep(self, resume_state: ResumeState) -> str:
        """Keeps where the training stands in a folder of its own; gives the folder's name.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        name = f"{self._job.checkpoint_id}-{time.time_ns():x}"
        torch_files.save_resume_state(self.files.checkpoint_folder(name), resume_state)
        return name


def _clear(job: Job, store: Store, files: Files) -> None:
    """Removes what this attempt and those before it have left and no row names.

    That is asked of the rows: the answer to a write may have been lost, or this attempt the job.
    """
    in_use = store.jobs.checkpoints_in_use(job.id)
    for name in files.checkpoints_of(job.id):
        if name not in in_use and int(name.split("-")[1]) <= job.status.attempt:
            files.remove_checkpoint(name)


def _train(job: Job, attempt: _Attempt) -> End:
    """Trains and keeps the weights; whatever a row will name is on the disk before."""
    try:
        points = training_data.load(attempt.files, job.id, job.spec.data, job.spec.data_digest)
        settings = TrainingSpec(**job.spec.training)
        network = NetworkSpec(**job.spec.network)
        train = partial(
            train_best,
            lambda seed: build(network, points.features, len(points.classes), seed=seed),
            points,
            settings,
            threads=_threads(points, network, settings),
            observer=attempt,
        )
        try:
            trained = train(resume=_resume_state(job, attempt))
        except ValueError as error:
            logger.error("job %s begins anew, its checkpoint does not fit: %s", job.id, error)
            trained = train()
        if trained.best is None:
            return _stopped(job, trained, attempt)
        return _ended(job, trained.best, trained.restarts, points, attempt)
    except DamagedData as error:
        return _failed(job, attempt, "damaged-data", str(error))
    except OSError as error:
        logger.error("job %s could not read or write its files: %s", job.id, error)
        reason = (error.strerror or "an error of input or output").lower()
        detail = f"The data folder could not be read or written: {reason}. Mend that, and retry the job."
        return _failed(job, attempt, "storage", detail)
    except Exception as error:
        if _is_lack_of_memory(error):
            detail = "It needs more memory than a training may take; try a smaller batch_size or narrower layers."
            return _failed(job, attempt, "out-of-memory", detail)
        logger.exception("job %s failed by a fault of the service", job.id)
        return _failed(
            job, attempt, "internal", "A fault of the service ended this training; the service's log says which."
        )


def _resume_state(job: Job, attempt: _Attempt) -> ResumeState | None:
    """Where an earlier attempt left the training; None if there was none, or if it cannot be gone on from."""
    if job.status.checkpoint is None:
        return None
    try:
        resume_state = torch_files.load_resume_state(attempt.files.checkpoint_folder(job.status.checkpoint))
    except (DamagedCheckpoint, OSError) as error:
        logger.error("job %s begins anew, its checkpoint cannot be read: %s", job.id, error)
        return None
    attempt.begin_from(resume_state)
    return resume_state


def _is_lack_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)  # torch raises a RuntimeError


def _failed(job: Job, attempt: _Attempt, code: str, detail: str) -> End:
    return lambda store: store.jobs.fail(job, code=code, detail=detail, ran_s=attempt.monitor.ran_s)


def _threads(points: LabelledPoints, network: NetworkSpec, training: TrainingSpec) -> int:
    """How many restarts to train at a time: one a core, and no more than there is memory for."""
    room = MAX_BATCH_VALUES // batch_values(points, network, training)
    return min(training.restarts, len(os.sched_getaffinity(0)), room)


def _stopped(job: Job, trained: Trained, attempt: _Attempt) -> End:
    """What becomes of a training that was asked to stop: it is kept to go on from, but for those that never will."""
    monitor = attempt.monitor
    if monitor.state is None:
        return lambda store: None
    if monitor.state == JobState.CANCELLING or trained.resume_state is None:
        return lambda store: store.jobs.give_back(job, cancel=attempt.is_cancelled, ran_s=monitor.ran_s)
    kept = attempt.keep(trained.resume_state)
    progress: dict[str, Any] = {
        "epoch": sum(trained.resume_state.passes.values()),
        "ran_s": monitor.ran_s,
        "checkpoint": kept,
    }

    if monitor.is_too_long:
        detail = "It took longer than a training may; try fewer epochs, or a larger learning_rate."
        return lambda store: store.jobs.fail(job, code="time-limit", detail=detail, **progress)
    return lambda store: store.jobs.give_back(job, cancel=attempt.is_cancelled, **progress)


def _ended(job: Job, best: Best, all_restarts: tuple[Restart, ...], points: LabelledPoints, attempt: _Attempt) -> End:
    outcome = best.outcome
    metrics = asdict(outcome.metrics) if outcome.metrics else None
    restarts = [asdict(restart) for restart in all_restarts]
    result: dict[str, Any] = {
        "epoch": sum(restart.epochs for restart in all_restarts),
        "metrics": metrics,
        "restarts": restarts,
        "ran_s": attempt.monitor.ran_s,
    }
    card = _card(job, outcome, points, metrics, restarts)
    card_digest = torch_files.save(attempt.files.checkpoint_folder(job.checkpoint_id), best.network, card)

    advice = outcome.advice
    if advice is None:
        return lambda store: store.jobs.publish(job, card_digest=card_digest, **result)
    kept = {"checkpoint": job.checkpoint_id}
    return lambda store: store.jobs.fail(job, code="diverged", detail=advice, **kept, **result)


def _card(
    job: Job,
    outcome: Outcome,
    points: LabelledPoints,
    metrics: dict[str, Any] | None,
    restarts: list[dict[str, Any]],
) -> Card:
    return Card(
        network=NetworkSpec(**job.spec.network),
        features=points.features,
        classes=points.classes,
        training=TrainingSpec(**job.spec.training),
        data=job.spec.data,
        data_digest=job.spec.data_digest,
        low=tuple(points.xy_ND.min(axis=0).tolist()),
        high=tuple(points.xy_ND.max(axis=0).tolist()),
        median=tuple(np.median(points.xy_ND, axis=0).tolist()),
        recipe=job.spec.recipe,
        ending=outcome.ending,
        epochs=outcome.epochs,
        metrics=metrics,
        created_at=datetime.now(UTC).isoformat(),
        software=_software(),
        files={},
        implementation=outcome.implementation,
        restarts=tuple(restarts),
    )


@cache
def _software() -> dict[str, str]:
    """Versions by name; they are read from files, which takes some milliseconds."""
    return {name: version(name) for name in ("separatrix", "torch", "numpy", "numba")}
