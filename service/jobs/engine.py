"""What a job engine is, and which one runs.

To add an engine: write a module with its class, choose it in `make_engine`, and add what it needs to `Settings`.
"""

from collections.abc import Callable
from typing import Protocol

from service.jobs.local import LocalEngine
from service.settings import Settings
from service.store.store import Store


class JobEngine(Protocol):
    """Starts workers somewhere, each of which runs `loop.claim_jobs`.

    An engine keeps no state about jobs. Progress and results are read from the store.
    """

    def wake(self) -> None:
        """Makes the workers look at the queue soon. Any thread may call it; a needless call costs little."""

    @property
    def can_start(self) -> bool:
        """Whether the last start of a worker succeeded; true before the first."""

    def kill_worker(self, worker: str) -> None:
        """Kills the worker of that name, if this engine started it."""

    def close(self) -> None:
        """Ends all workers and helper processes. Jobs that they run go back to the queue."""


def make_engine(
    settings: Settings,
    store: Store,
    *,
    durable: bool = True,
    is_resting: bool = False,
    on_job_end: Callable[[], object],
) -> JobEngine:
    """Starts the engine that the settings choose. Today that is always `LocalEngine`.

    Args:
        settings: of the service.
        store: of the jobs.
        durable: whether what the workers write must survive a power failure.
        is_resting: whether the workers start only when they are first woken.
        on_job_end: called from any thread when a job may have ended: a hint to read its row.
    """
    return LocalEngine(settings, store, durable=durable, is_resting=is_resting, on_job_end=on_job_end)
