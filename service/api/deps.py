"""What the routes are given."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Annotated, TypeVar, cast

from anyio import CapacityLimiter, move_on_after, to_thread
from fastapi import Depends, Path, Request

from service.errors import ModelNotFound, StoreUnavailable, VersionNotFound
from service.http.metrics import Metrics
from service.http.response_cache import ResponseCache
from service.jobs.queue import JobQueue
from service.jobs.seed_models import SeedModels
from service.live.event_broadcaster import EventBroadcaster
from service.live.frame_renderer import FrameRenderer
from service.live.wakeup import Wakeup
from service.records import NAME_PATTERN, Job
from service.registry.registry import Registry
from service.settings import Settings
from service.store.files import Files
from service.store.store import Store

Found = TypeVar("Found")

LOOK_S = 1.0
"""How long to wait for a look at the database, before what is known must do."""

LOOK_AGAIN_S = 5.0
"""How long what is known must do when the database has not answered."""


@dataclass(frozen=True)
class Services:
    """The parts of a running service, put together by `app`.

    Attributes:
        stopping: set once the service is told to stop.
        heavy: of the threads in which large answers are made, so that they leave the others to small work.
        writes: of the threads that write to the database, which may wait for each other long, so that others can read.
        waits: of the requests that wait for a job at a time.
        kept: boundary grids that were asked for before.
        bell: rings when a job may have ended.
        canvases: of the frames of jobs that are watched.
        feed: of what jobs have to tell, for those who follow them.
    """

    settings: Settings
    store: Store
    files: Files
    registry: Registry
    job_queue: JobQueue
    seed_models: SeedModels
    stopping: Event
    heavy: CapacityLimiter
    writes: CapacityLimiter
    waits: CapacityLimiter
    wakeup: Wakeup
    metrics: Metrics
    kept: ResponseCache
    frame_renderer: FrameRenderer
    broadcaster: EventBroadcaster

    def job(self, job_id: str) -> Job:
        """A job as it may be told: the version that it has published is served.

        Raises:
            JobNotFound: there is no job of that id.
        """
        job = self.store.jobs.get(job_id)
        self.registry.ensure_loaded(job.model, job.status.version)
        return job


async def _services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(_services)]

NamePath = Annotated[str, Path(pattern=NAME_PATTERN, description="A model's name.")]
VersionPath = Annotated[int, Path(ge=1, le=2**31 - 1, description="A version's number, counted from 1.")]


async def look_up(registry: Registry, look: Callable[[], Found]) -> Found:
    """What `look` finds in the registry. What is known costs neither SQL nor a thread; what is not is looked for once.

    Raises:
        ModelNotFound, VersionNotFound, VersionBroken: as `look` does.
        StoreUnavailable: it is not known, and the database does not say.
    """
    if not registry.is_fresh:
        try:
            await _refresh(registry)
        except StoreUnavailable:  # then what is known must do, for those who ask next too
            registry.fresh_until = time.monotonic() + LOOK_AGAIN_S
    try:
        return look()
    except (ModelNotFound, VersionNotFound):
        await _refresh(registry)  # another process may just have published it
        return look()


async def _refresh(registry: Registry) -> None:
    """Looks for new versions, for `LOOK_S` at most, whether another thread looks already or this is the first."""
    with move_on_after(LOOK_S) as patience:
        await to_thread.run_sync(partial(registry.refresh, within_s=LOOK_S), abandon_on_cancel=True)
    if patience.cancelled_caught:
        raise StoreUnavailable("It does not answer in time.")
