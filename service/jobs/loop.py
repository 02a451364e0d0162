"""The loop of every worker process, whichever engine started it: claim a job, work on it, wait for a wakeup."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service import logs, tracing
from service.errors import StoreUnavailable
from service.jobs.outcome import Outcome
from service.jobs.worker import work
from service.records import Job
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store
from service.tracing import Tracer

logger = logging.getLogger(__name__)

RETRY_S = 0.5
"""How long to wait before another attempt to open the database."""


class LoopControl:
    """Wakes and stops a loop. Any thread may call it, but no signal handler: `Event.set` takes a lock.

    Attributes:
        stopping: whether the loop should release its job and end.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._wakeup = threading.Event()

    def wake(self) -> None:
        """Makes the loop look at the queue."""
        self._wakeup.set()

    def stop(self) -> None:
        """Makes the loop release its job and end."""
        self.stopping = True
        self._wakeup.set()

    def clear(self) -> None:
        """Forgets earlier wakeups. Call it before reading the queue, so that no later wakeup is lost."""
        self._wakeup.clear()

    def wait(self, timeout_s: float | None = None) -> None:
        """Waits for a wakeup or the stop."""
        if not self.stopping:
            self._wakeup.wait(timeout_s)


def claim_jobs(
    worker: str,
    settings: Settings,
    control: LoopControl,
    *,
    durable: bool = True,
    on_claim: Callable[[], object],
    on_job_end: Callable[[], object],
    on_idle: Callable[[], object],
) -> None:
    """Works on queued jobs until the control stops it.

    Also returns after an unexpected error: the state of the process is then unknown, and the engine starts a fresh one.

    Args:
        worker: this worker's name.
        settings: of the service.
        control: wakes and stops the loop.
        durable: whether what it writes must survive a power failure.
        on_claim: called when it has claimed a job.
        on_job_end: called when a job has ended.
        on_idle: called when no job is queued and it waits for a wakeup.
    """
    with tracing.tracer(is_on=settings.tracing) as tracer:
        files = Files(settings.data_dir, durable=durable)
        store = _open_store(settings, files, control)
        while store is not None and not control.stopping:
            control.clear()
            try:
                while not control.stopping and (job := store.leases.claim(worker)) is not None:
                    on_claim()
                    with _traced(job, tracer) as ended:
                        outcome = work(
                            job,
                            store=store,
                            files=files,
                            max_training_s=settings.max_training_s,
                            should_stop=lambda: control.stopping,
                            on_end=on_job_end,
                        )
                        ended(outcome)
            except StoreUnavailable as error:
                logger.warning("the job queue is unavailable: %s", error.for_operator)
            except Exception:
                logger.exception("a job was interrupted by an unexpected error; it will be retried")
                return
            on_idle()
            control.wait()


@contextmanager
def _traced(job: Job, tracer: Tracer | None) -> Iterator[Callable[[Outcome], None]]:
    """Adds the job and its trace to the log messages of the block, and makes a span of the block if tracing is on.

    The block passes the outcome to the function that it gets.
    """
    logs.job_id.set(job.id)
    logs.traceparent.set(job.spec.traceparent)
    span = None if tracer is None else tracer.begin("training", "consumer", parent=job.spec.traceparent)
    outcomes: list[str] = []
    try:
        yield lambda outcome: outcomes.append(type(outcome).__name__.lower())
    finally:
        logs.job_id.set(None)
        logs.traceparent.set(None)
        if span is not None:
            outcome = outcomes[0] if outcomes else "interrupted"
            about: dict[str, str | int] = {"separatrix.job": job.id, "separatrix.model": job.model}
            about |= {"separatrix.attempt": job.status.attempt, "separatrix.outcome": outcome}
            span.end("training", has_failed=outcome in ("failed", "interrupted"), attributes=about)


def _open_store(settings: Settings, files: Files, control: LoopControl) -> Store | None:
    """Opens the database once it is available; returns None if the loop stops before that."""
    while not control.stopping:
        try:
            return Store.of(settings, files)
        except StoreUnavailable:
            control.wait(RETRY_S)
    return None
