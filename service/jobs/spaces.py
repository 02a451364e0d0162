"""Where jobs are: jobs that publish a version in the database of the service, the others in a separate database.

Trainings that are not published need not survive a power failure. Their rows are in an SQLite file whose commits do
not wait for the disk, with the same tables and so with the same workers, events and views. It is in the data folder, so
that all API processes on a machine answer for the same jobs, and in a subfolder that is named by the start of the
machine: after a power failure, and on another machine, it is another file.
"""

import logging
import secrets
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.errors import JobNotFound, WrongState
from service.jobs.engine import JobEngine, make_engine
from service.jobs.queue import UNPUBLISHED_PREFIX, JobQueue
from service.records import Job
from service.settings import Settings
from service.store.events import Latest
from service.store.files import DATABASE_FILE, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

FOLDER = "unpublished"
"""The folder of unpublished trainings in the data folder."""

MAX_QUEUED = 100
"""Maximum number of unpublished trainings that wait: a client that wants only the newest one uses `supersede`."""

MAX_OWN_QUEUED = MAX_QUEUED // 2
"""Maximum number of them for one key: half, so that nobody fills the queue."""

SWEEP_IDLE_S = 2.0
"""How often to look while no unpublished training has been submitted."""

SWEEP_S = 1.0
"""How often to look for trainings that have expired, or that exceed the bounds of number and size."""

EXTEND_SHARE = 0.1
"""A read extends the lifetime only after this share of it has passed, so most reads do not write to the database."""

MAX_NICENESS = 5
"""Upper bound of the niceness of their training process, because a user waits for the result."""

OLD_S = 24 * 3600.0
"""How long the files of an earlier start of the machine stay."""


@dataclass(frozen=True)
class JobSpace:
    """A set of jobs: their rows, their files and their queue."""

    store: Store
    files: Files
    queue: JobQueue


class JobSpaces:
    """Finds the space of a job by its id. Threads may share it.

    The space of unpublished trainings is opened on first use.

    Attributes:
        published: the space of the jobs that publish a version.
    """

    def __init__(self, settings: Settings, published: JobSpace, *, on_job_end: Callable[[], object]) -> None:
        """`on_job_end` is called from any thread when an unpublished training may have ended."""
        self.published = published
        self._folder = settings.data_dir / FOLDER / _machine_start()
        self._settings = settings.model_copy(
            update={
                "data_dir": self._folder,
                "database_url": None,
                "training_processes": 1,
                "training_niceness": min(settings.training_niceness, MAX_NICENESS),
            }
        )
        self._on_job_end = on_job_end
        self._lock = threading.Lock()
        self._unpublished: JobSpace | None = None
        self._engine: JobEngine | None = None

    def of(self, job_id: str) -> JobSpace:
        """The space of a job.

        Raises:
            JobNotFound: no training of its kind has been submitted on this machine.
        """
        if not job_id.startswith(UNPUBLISHED_PREFIX):
            return self.published
        if self._unpublished is None and not (self._folder / DATABASE_FILE).exists():
            raise JobNotFound.of(job_id)
        return self.unpublished

    @property
    def unpublished(self) -> JobSpace:
        """The space of unpublished trainings."""
        if self._unpublished is None:
            with self._lock:
                if self._unpublished is None:
                    self._unpublished = self._opened()
        return self._unpublished

    def _opened(self) -> JobSpace:
        """Opens the space of unpublished trainings."""
        _remove_old(self._folder)
        files = Files(self._folder, durable=False, sources=self.published.files)
        store = Store.of(self._settings, files)
        files.remove_unused(store.jobs.files_in_use)
        self._engine = make_engine(self._settings, store, durable=False, is_resting=True, on_job_end=self._on_job_end)
        queue = JobQueue(
            store,
            files,
            self._engine,
            max_queued_jobs=min(self._settings.max_queued_jobs, MAX_QUEUED),
            max_own_jobs=MAX_OWN_QUEUED,
            ttl_s=self._settings.session_ttl_s,
        )
        return JobSpace(store, files, queue)

    @property
    def can_start_workers(self) -> bool:
        """Whether training processes can be started, in each space that has been used so far."""
        spaces = (self.published, self._unpublished)
        return all(space.queue.can_start_workers for space in spaces if space is not None)

    def job(self, job_id: str) -> Job:
        """A job. Reading an unpublished training extends its lifetime.

        Raises:
            JobNotFound: there is no job of this id.
            StoreUnavailable: the database cannot be read.
        """
        space = self.of(job_id)
        job = space.store.jobs.get(job_id)
        if job.status.expires_at is None:
            return job
        ttl_s = self._settings.session_ttl_s
        if job.status.expires_at - time.time() > (1 - EXTEND_SHARE) * ttl_s:
            return job
        space.store.jobs.extend(job_id, ttl_s=ttl_s)
        return space.store.jobs.get(job_id)

    def latest(self, job_ids: Collection[str]) -> Mapping[str, Latest]:
        """The latest event and snapshot of each job, by id; see `Events.latest`."""
        found: dict[str, Latest] = {}
        for space, own in self._by_space(job_ids):
            found |= space.store.events.latest(own)
        return found

    def watch(self, job_ids: Collection[str], *, seconds: float) -> None:
        """Asks the workers of these jobs to record snapshots; see `Events.watch`."""
        for space, own in self._by_space(job_ids):
            space.store.events.watch(own, seconds=seconds)

    def _by_space(self, job_ids: Collection[str]) -> list[tuple[JobSpace, list[str]]]:
        ids: dict[bool, list[str]] = defaultdict(list)
        for job_id in job_ids:
            ids[job_id.startswith(UNPUBLISHED_PREFIX)].append(job_id)
        return [(self.of(own[0]), own) for own in ids.values()]

    def sweep(self) -> float:
        """Removes unpublished trainings that have expired, or are too many or too large.

        Returns:
            After how many seconds to call it again.

        Raises:
            StoreUnavailable: the database of these trainings is unavailable.
        """
        space = self._unpublished
        if space is None:
            return SWEEP_IDLE_S
        space.queue.reconcile()
        for job in space.store.jobs.expired():
            with suppress(JobNotFound, WrongState):  # it has ended meanwhile, or another process was faster
                if job.state.ended:
                    space.queue.delete(job.id)
                else:
                    space.store.jobs.cancel(job.id)
        self._remove_surplus(space)
        return SWEEP_S

    def _remove_surplus(self, space: JobSpace) -> None:
        """Removes the least recently read trainings, until the others are within the bounds."""
        kept = space.store.jobs.kept()
        sizes = [space.files.size_bytes(job) for job in kept]
        count, total = len(kept), sum(sizes)
        for job, size in zip(kept, sizes, strict=True):
            if count <= self._settings.max_sessions and total <= self._settings.max_sessions_bytes:
                return
            with suppress(JobNotFound, WrongState):
                space.queue.delete(job.id)
            count, total = count - 1, total - size

    def close(self) -> None:
        """Ends the processes and closes the database of unpublished trainings."""
        if self._engine is not None:
            self._engine.close()
        if self._unpublished is not None:
            self._unpublished.store.close()


def _machine_start() -> str:
    """A name that is the same for all processes on this machine until it is started again."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return f"process-{secrets.token_hex(8)}"


def _remove_old(folder: Path) -> None:
    """Removes the folders of earlier starts of the machine."""
    for other in folder.parent.glob("*"):
        with suppress(OSError):
            if other.name != folder.name and time.time() - (other / DATABASE_FILE).stat().st_mtime > OLD_S:
                shutil.rmtree(other, ignore_errors=True)
