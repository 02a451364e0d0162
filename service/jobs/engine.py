"""What an engine is: it brings a worker to a job, and remembers nothing that the job's row does not say."""

from typing import Protocol

from service.records import Job


class JobEngine(Protocol):
    """Runs `worker.run_job` somewhere. Progress and results are read from the store, never from here."""

    def start(self, job: Job) -> None:
        """Sees to it that a worker takes the job soon. Asking again for a job that it holds changes nothing."""

    def end_worker(self, job: Job) -> None:
        """Ends the worker that makes this attempt at the job, if it is one of this engine's."""

    def close(self) -> None:
        """Ends the workers. Jobs that they run go back to the queue."""
