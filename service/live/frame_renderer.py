"""The boundary frames of jobs that somebody watches: each is made once, in a thread, for all who want it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread

from models.specs import InvalidInput
from service.errors import ServiceError, StoreUnavailable
from service.live import background, frames
from service.live.frames import Scene
from service.records import Job
from service.registry.registry import Registry
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

WATCH_S = 3.0
"""For how long a worker is told that somebody watches; it is told again each second."""

FRAME_S = 0.05
"""Least time from one frame of a job to the next."""

FRAME_SHARE = 0.5
"""The share of a core that the frames of one job may take: those of large networks come less often."""

LAST_FRAME_S = 1.0
"""How long the end of a job is held back, from those who watch its frames alone, for its last frame."""


class Frame(NamedTuple):
    """A boundary frame as it is sent, and the serial of the snapshot that it was made from."""

    serial: int
    event: bytes


NO_FRAME = Frame(0, b"")


class FrameRenderer:
    """What all canvases of an API process share, and the telling of workers that they are watched."""

    def __init__(self, store: Store, files: Files, registry: Registry, *, heavy: CapacityLimiter) -> None:
        """To be made within the event loop, and run in it. `heavy` is of the threads in which frames are made."""
        self.store = store
        self.registry = registry
        self.heavy = heavy
        self._files = files
        self._watched: dict[str, JobFrames] = {}
        self._begun = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Does all this until it is cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self.start(background.again("telling workers that they are watched", self._watch))

    def start(self, act: Coroutine[Any, Any, None]) -> None:
        """Starts a task that ends with the service at the latest."""
        assert self._tasks is not None
        self._tasks.create_task(act)

    async def scenes(self, jobs: Collection[Job]) -> dict[str, Scene]:
        """The scenes of these jobs, by id; a job whose points cannot be read back has none."""
        known = {
            job_id: job_frames.scene for job_id, job_frames in self._watched.items() if job_frames.scene is not None
        }

        def find() -> dict[str, Scene]:
            found = {}
            for job in jobs:
                with suppress(DamagedData, OSError):  # of which the job itself will have to tell
                    found[job.id] = known.get(job.id) or Scene.of(job, self._files)
            return found

        return await to_thread.run_sync(find, limiter=self.heavy)

    def begin(self, job_id: str, job_frames: "JobFrames") -> None:
        """Takes a canvas among those that are watched."""
        self._watched[job_id] = job_frames
        self._begun.set()

    def end(self, job_id: str) -> None:
        """Leaves a canvas that nobody watches any more."""
        del self._watched[job_id]

    async def _watch(self) -> None:
        """Lets the workers know which jobs are watched, and waits until it has to be said again."""
        self._begun.clear()
        watched = list(self._watched)
        if watched:
            await to_thread.run_sync(lambda: self.store.events.watch(watched, seconds=WATCH_S))
        await background.until(self._begun, WATCH_S / 3 if watched else None)


class JobFrames:
    """The frames of one job.

    Attributes:
        scene: what they have in common; None as long as nobody watches.
    """

    def __init__(self, job: Job, frame_renderer: FrameRenderer, *, on_frame: Callable[[], object]) -> None:
        """`on_frame` is called when there is a frame that those who watch may not have had."""
        self.scene: Scene | None = None
        self._job = job
        self._frame_renderer = frame_renderer
        self._on_frame = on_frame
        self._sizes: Counter[int] = Counter()  # of those who watch, by their columns
        self._serial = 0  # of the latest snapshot
        self._stirred = asyncio.Event()  # set when there may be a frame to make
        self._is_drawn = False
        self._frames: dict[int, Frame] = {}
        self._last_frames: dict[int, bytes | None] = {}  # None while one is made

    def begin(self, cells: int, scene: Scene | None) -> None:
        """Makes frames of so many columns and rows, until the `end` of as many as have begun."""
        self.scene = self.scene or scene
        if not self._sizes:
            self._frame_renderer.begin(self._job.id, self)
        self._sizes[cells] += 1
        self._stirred.set()
        if not self._is_drawn:
            self._is_drawn = True
            self._frame_renderer.start(self._draw())

    def end(self, cells: int) -> None:
        """Makes no more frames for one that has begun."""
        self._sizes -= Counter([cells])
        self._stirred.set()
        if not self._sizes:
            self._frame_renderer.end(self._job.id)

    def note(self, serial: int) -> None:
        """Takes note of the serial of the job's snapshot, 0 if there is none."""
        if serial != self._serial:
            self._serial = serial
            self._stirred.set()

    def frame(self, cells: int) -> Frame:
        """The latest frame of that size; `NO_FRAME` if there is none yet."""
        return self._frames.get(cells, NO_FRAME)

    def last_frame(self, version: int, cells: int) -> bytes | None:
        """The frame of the version that the job has published, empty if there is none to show.

        None as long as it is being made.
        """
        if cells not in self._last_frames:
            self._last_frames[cells] = None
            self._frame_renderer.start(self._draw_last(version, cells))
        return self._last_frames[cells]

    async def _draw(self) -> None:
        """Makes frames of the training for as long as anybody watches."""
        while self._sizes:
            self._stirred.clear()
            wanted = [cells for cells in self._sizes if self._serial > self.frame(cells).serial]
            began = time.monotonic()
            made, took = await self._drawn(wanted) if wanted else ({}, 0.0)
            if made:
                self._frames = {cells: frame for cells, frame in (self._frames | made).items() if cells in self._sizes}
                self._on_frame()
                await asyncio.sleep(began + max(FRAME_S, took / FRAME_SHARE) - time.monotonic())
            else:
                await self._stirred.wait()
        self._is_drawn = False

    async def _drawn(self, sizes: Sequence[int]) -> tuple[dict[int, Frame], float]:
        """Frames of the latest snapshot, and the seconds of a core that they took."""

        def draw() -> tuple[dict[int, Frame], float]:
            began = time.thread_time()
            snapshot = self._frame_renderer.store.events.snapshot(self._job.id)
            if snapshot is None or self.scene is None:
                return {}, 0.0
            made = self.scene.frames(self._job.id, snapshot, sizes)
            return {cells: Frame(snapshot.serial, event) for cells, event in made.items()}, time.thread_time() - began

        try:
            return await to_thread.run_sync(draw, limiter=self._frame_renderer.heavy)
        except StoreUnavailable:
            await asyncio.sleep(background.RETRY_S)
            self._stirred.set()
        except Exception:
            logger.exception("no frame of job %s could be made", self._job.id)
        return {}, 0.0

    async def _draw_last(self, version: int, cells: int) -> None:
        def draw() -> bytes:
            return frames.last_frame(
                self._job.id, self._frame_renderer.registry.resolve(self._job.model, version), cells
            )

        made = b""
        try:
            with anyio.move_on_after(LAST_FRAME_S):
                made = await to_thread.run_sync(draw, limiter=self._frame_renderer.heavy, abandon_on_cancel=True)
        except (InvalidInput, ServiceError):
            pass  # a version that is damaged, or cannot be shown, has none
        except Exception:
            logger.exception("no last frame of job %s could be made", self._job.id)
        self._last_frames[cells] = made
        self._on_frame()
