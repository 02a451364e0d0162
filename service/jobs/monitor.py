"""The thread beside a training: it renews the job's lease, reports progress, and polls for instructions."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Self

from models.training.runs import Epoch, History, Metrics
from service.errors import StoreUnavailable
from service.records import Job, JobState
from service.store.store import Store

logger = logging.getLogger(__name__)

POLL_S = 0.03
"""How often to poll for instructions: a cancelled training stops within a tenth of a second."""

HEARTBEAT_S = 0.25
"""How often to write the progress: often enough to watch it, rarely enough to cost nothing beside the training."""

EVENT_SHARE = 1 / 400
"""The pause before the next event, as a share of the training time so far: a long training emits some thousands."""

SNAPSHOTS_PER_S = 20
"""Maximum number of snapshots per second, for clients that watch."""

SNAPSHOT_BYTES_PER_S = 4_000_000
"""Bounds the load on the database by the snapshots of large networks."""


class Monitor:
    """Keeps the lease of a job for the duration of its context, however long an epoch takes.

    Attributes:
        requested_state: RUNNING, PAUSING or CANCELLING, as last read; None once the lease is lost.
    """

    def __init__(self, store: Store, job: Job, *, max_training_s: float) -> None:
        self.requested_state: JobState | None = JobState.RUNNING
        self._store = store
        self._job = job
        self._max_training_s = max_training_s
        self._progress: tuple[int, Epoch] | None = None
        self._watched = False
        self._snapshot: tuple[int, bytes] | None = None
        self._history: Callable[[], History] | None = None  # not yet written
        self._next_snapshot = 0.0
        self._began = time.monotonic()
        self._next_heartbeat = self._began + HEARTBEAT_S
        self._next_event = self._next_heartbeat
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"monitor-{job.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def should_stop(self) -> bool:
        """Whether the training should stop: on request, because the lease is lost, or after too long a time."""
        return self.requested_state != JobState.RUNNING or self.timed_out

    @property
    def timed_out(self) -> bool:
        """Whether the training has exceeded its time limit."""
        return self.ran_s > self._max_training_s

    @property
    def ran_s(self) -> float:
        """Training time so far in seconds, summed over all attempts."""
        return self._job.status.ran_s + time.monotonic() - self._began

    def report(self, epochs: int, latest: Epoch) -> None:
        """Takes the progress for the next heartbeat: epochs of all restarts, and the latest one."""
        self._progress = epochs, latest

    def report_history(self, history: Callable[[], History]) -> None:
        """Takes what makes a history that has grown. The thread writes it to the store with a later heartbeat."""
        self._history = history

    def wants_snapshot(self) -> bool:
        """Returns whether a client watches and a new snapshot is due."""
        return self._watched and time.monotonic() >= self._next_snapshot

    def submit_snapshot(self, epoch: int, weights: bytes) -> None:
        """Takes a snapshot, which the thread writes to the store."""
        pause_s = max(1 / SNAPSHOTS_PER_S, len(weights) / SNAPSHOT_BYTES_PER_S)
        self._next_snapshot = time.monotonic() + pause_s
        self._snapshot = epoch, weights

    def _run(self) -> None:
        unavailable = False
        while not self._done.wait(POLL_S):
            try:
                self.requested_state, self._watched = self._store.leases.instructions(self._job)
                self._heartbeat_if_due()
                self._write_snapshot()
                unavailable = False
            except StoreUnavailable:  # the lease may expire; the training goes on until that is certain
                if not unavailable:
                    logger.warning("job %s: the database is unavailable; the training goes on", self._job.id)
                unavailable = True
            except Exception:
                logger.exception("job %s: the progress could not be written", self._job.id)

    def _heartbeat_if_due(self) -> None:
        now = time.monotonic()
        if now < self._next_heartbeat:
            return
        epochs, latest = self._progress or (self._job.status.epoch, None)
        metrics = _metrics(latest) if latest else self._job.status.metrics
        emit = latest is not None and metrics is not None and now >= self._next_event
        held = self._store.leases.heartbeat(self._job, epoch=epochs, metrics=metrics, ran_s=self.ran_s, emit=emit)
        if not held:
            self.requested_state = None
        history, self._history = self._history, None
        if history is not None:
            self._store.leases.record_histories(self._job, [history().to_json()])
        self._next_heartbeat = now + HEARTBEAT_S
        if emit:
            self._next_event = now + max(HEARTBEAT_S, self.ran_s * EVENT_SHARE)

    def _write_snapshot(self) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            epoch, weights = snapshot
            self._store.leases.record_snapshot(self._job, epoch=epoch, weights=weights)


def _metrics(epoch: Epoch) -> dict[str, float | None] | None:
    """Returns the figures of an epoch under the names that the finished training uses; None if one is not finite."""
    metrics = Metrics(epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy)
    return asdict(metrics) if metrics.finite else None
