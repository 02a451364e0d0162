"""The thread beside a training that renews the job's lease, tells its progress, and looks what is asked of it."""

import logging
import threading
import time
from dataclasses import asdict
from types import TracebackType
from typing import Self

from models.training.runs import Epoch, Metrics
from service.errors import StoreUnavailable
from service.records import Job, JobState
from service.store.store import Store

logger = logging.getLogger(__name__)

LOOK_S = 0.03
"""How often to look what is asked: a training that is cancelled has stopped a tenth of a second later."""

HEARTBEAT_S = 0.25
"""How often to note the progress: often enough to watch, seldom enough to cost nothing beside the training."""

TELL_SHARE = 1 / 400
"""Events of progress come further and further apart, so that the longest training has some thousands of them."""

SNAPSHOTS_PER_S = 20
"""Most snapshots for those who watch."""

SNAPSHOT_BYTES_PER_S = 4_000_000
"""The same for large networks: what their snapshots may load the database with."""


class Monitor:
    """Tends a job for as long as its context lasts, however long an epoch takes.

    `state` is the job's as last seen, None once it is another's.
    """

    def __init__(self, store: Store, job: Job, *, max_training_s: float) -> None:
        self.state: JobState | None = JobState.RUNNING
        self._store = store
        self._job = job
        self._max_training_s = max_training_s
        self._progress: tuple[int, Epoch] | None = None
        self._watched = False
        self._snapshot: tuple[int, bytes] | None = None
        self._next_snapshot = 0.0
        self._began = time.monotonic()
        self._next_beat = self._began + HEARTBEAT_S
        self._next_telling = self._next_beat
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tend, name=f"monitor-{job.id}", daemon=True)

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
        """Whether the training is to stop: for what is asked of it, or because it takes too long."""
        return self.state != JobState.RUNNING or self.is_too_long

    @property
    def is_too_long(self) -> bool:
        """Whether the training takes longer than it may."""
        return self.ran_s > self._max_training_s

    def note(self, passes: int, latest: Epoch) -> None:
        """Takes the progress, for the next heartbeat."""
        self._progress = passes, latest

    def wants_snapshot(self) -> bool:
        """Whether somebody watches who has not just had one."""
        return self._watched and time.monotonic() >= self._next_snapshot

    def show(self, epoch: int, weights: bytes) -> None:
        """Takes a snapshot, for those who watch."""
        pause_s = max(1 / SNAPSHOTS_PER_S, len(weights) / SNAPSHOT_BYTES_PER_S)
        self._next_snapshot = time.monotonic() + pause_s
        self._snapshot = epoch, weights

    @property
    def ran_s(self) -> float:
        """How long the training has taken, all attempts together."""
        return self._job.status.ran_s + time.monotonic() - self._began

    def _tend(self) -> None:
        away = False
        while not self._done.wait(LOOK_S):
            try:
                self._look()
                self._beat()
                self._pass_on_snapshot()
                away = False
            except StoreUnavailable:  # the lease may lapse; the training goes on until it is known to have
                if not away:
                    logger.warning("job %s: the database is away; the training goes on", self._job.id)
                away = True
            except Exception:
                logger.exception("job %s: its progress could not be noted", self._job.id)

    def _look(self) -> None:
        self.state, self._watched = self._store.jobs.wish(self._job)

    def _beat(self) -> None:
        now = time.monotonic()
        if now < self._next_beat:
            return
        passes, latest = self._progress or (self._job.status.epoch, None)
        tell = latest is not None and now >= self._next_telling
        metrics = _figures(latest) if latest else self._job.status.metrics
        held = self._store.jobs.heartbeat(self._job, epoch=passes, metrics=metrics, ran_s=self.ran_s, tell=tell)
        if not held:
            self.state = None
        self._next_beat = now + HEARTBEAT_S
        if tell:
            self._next_telling = now + max(HEARTBEAT_S, self.ran_s * TELL_SHARE)

    def _pass_on_snapshot(self) -> None:
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is not None:
            epoch, weights = snapshot
            self._store.jobs.note_snapshot(self._job, epoch=epoch, weights=weights)


def _figures(epoch: Epoch) -> dict[str, float | None]:
    """The figures of an epoch under the names that the finished training will use."""
    return asdict(Metrics(epoch.loss, epoch.accuracy, epoch.validation_loss, epoch.validation_accuracy))
