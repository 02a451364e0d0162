"""What an engine is: it brings workers to the queue, and remembers nothing that the rows do not say."""

from typing import Protocol


class JobEngine(Protocol):
    """Runs workers somewhere, which take the jobs that wait, one after the other, and run `worker.work` on each.

    Progress and results are read from the store, never from here.
    """

    def wake(self) -> None:
        """Sees to it that workers look at the queue soon. For any thread; to wake once too often costs little."""

    def end_worker(self, worker: str) -> None:
        """Ends the worker of that name, if it is one of this engine's."""

    def close(self) -> None:
        """Ends the workers. Jobs that they run go back to the queue."""
