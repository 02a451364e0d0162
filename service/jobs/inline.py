"""The engine of the command line: the caller itself does the work."""

from collections.abc import Callable

from models.training import Epoch
from service.jobs.worker import run_job
from service.store.files import Files
from service.store.store import Store


class InlineEngine:
    """Runs each job to its end within `start`."""

    def __init__(
        self, store: Store, files: Files, *, on_epoch: Callable[[Epoch], None], should_release: Callable[[], bool]
    ) -> None:
        """`on_epoch` and `should_release` are handed to `run_job`."""
        self._store = store
        self._files = files
        self._on_epoch = on_epoch
        self._should_release = should_release

    def start(self, job_id: str) -> None:
        """Trains now."""
        run_job(
            job_id,
            store=self._store,
            files=self._files,
            should_release=self._should_release,
            on_epoch=self._on_epoch,
        )

    def close(self) -> None:
        """Has nothing to end."""
