"""Boundary frames of watched jobs. Each frame is rendered once, in a thread, for all its viewers."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio
from anyio import CapacityLimiter, to_thread

from models.specs import InvalidInput
from service.errors import ServiceError, StoreUnavailable
from service.jobs.spaces import JobSpaces
from service.live import background, frames
from service.live.frames import FrameView
from service.live.kept_networks import KeptNetworks
from service.live.trainings import RunningTraining
from service.records import Job
from service.registry.networks import LoadedNetwork
from service.registry.registry import Registry
from service.store.points_file import DamagedData

logger = logging.getLogger(__name__)

WATCH_S = 3.0
"""How long a worker stores snapshots after it was last told that its job is watched. It is told every second."""

FRAME_S = 0.05
"""Shortest interval between two frames of a job."""

FRAME_SHARE = 0.5
"""The share of a core that the frames of one job may take. Frames of large networks therefore come less often."""

FINAL_FRAME_S = 1.0
"""How long a stream that watches a job holds back its `done` event for the final frame."""


class Frame(NamedTuple):
    """An encoded `boundary` event, and the serial of the snapshot that it shows."""

    serial: int
    event: bytes


NO_FRAME = Frame(0, b"")


@dataclass(frozen=True)
class FrameRequest:
    """A request for frames. `trainings` has those whose networks are chosen, by the id of their job."""

    view: FrameView
    trainings: Mapping[str, RunningTraining]


class FrameRenderer:
    """Renders frames in threads, and tells workers which jobs are watched. One per API process."""

    def __init__(
        self, spaces: JobSpaces, registry: Registry, kept_networks: KeptNetworks, *, threads: CapacityLimiter
    ) -> None:
        """Must be called in the event loop that runs it. `threads` limits the threads that render."""
        self._spaces = spaces
        self._registry = registry
        self._kept_networks = kept_networks
        self._threads = threads
        self._watched: dict[str, RunningTraining | None] = {}
        self._watch_started = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Runs until it is cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self.start(background.repeat_forever("telling workers which jobs are watched", self._announce_watched))

    def start(self, task: Coroutine[Any, Any, None]) -> None:
        """Starts a task that is cancelled when the service stops."""
        assert self._tasks is not None
        self._tasks.create_task(task)

    async def request(self, jobs: Collection[Job], view: FrameView) -> FrameRequest:
        """Checks that such frames of these jobs can be rendered, and reads the training of each job.

        Raises:
            InvalidInput: the points of a job do not have two coordinates, or see `frames.require`.
        """
        frames.require_plane(jobs)
        trainings = await to_thread.run_sync(self._trainings, jobs, limiter=self._threads)
        for training in trainings.values():
            frames.require(training, view)
        return FrameRequest(view, trainings)

    def _trainings(self, jobs: Collection[Job]) -> dict[str, RunningTraining]:
        trainings = {}
        for job in jobs:
            with suppress(DamagedData, OSError):  # then the job has no frames; its training fails by itself
                training = self._watched.get(job.id)
                if training is None and job.settings is not None:
                    training = RunningTraining.of(job, self._spaces.of(job.id).files)
                if training is not None:
                    trainings[job.id] = training
        return trainings

    def watch(self, job_id: str, training: RunningTraining | None) -> None:
        """Lets the worker of this job store snapshots, until `unwatch`."""
        self._watched[job_id] = training
        self._watch_started.set()

    def unwatch(self, job_id: str) -> None:
        """Ends a `watch`."""
        del self._watched[job_id]

    async def _announce_watched(self) -> None:
        """Tells the workers which jobs are watched, and waits until this must be repeated."""
        self._watch_started.clear()
        watched = list(self._watched)
        if watched:
            await to_thread.run_sync(lambda: self._spaces.watch(watched, seconds=WATCH_S))
        await background.wait_with_timeout(self._watch_started, WATCH_S / 3 if watched else None)

    async def training(self, job_id: str) -> RunningTraining:
        """The training of a job that has a snapshot: its network has been chosen by now."""
        space = self._spaces.of(job_id)
        return await to_thread.run_sync(
            lambda: RunningTraining.of(space.store.jobs.get(job_id), space.files), limiter=self._threads
        )

    async def render(
        self, training: RunningTraining, views: Sequence[FrameView]
    ) -> tuple[dict[FrameView, Frame], float]:
        """Renders the latest snapshot of a job.

        Returns:
            The frame of each view, none if the job has no snapshot; and the CPU time that they took, in seconds.
        """

        def render() -> tuple[dict[FrameView, Frame], float]:
            started = time.thread_time()
            snapshot = self._spaces.of(training.job_id).store.events.snapshot(training.job_id)
            if snapshot is None:
                return {}, 0.0
            events = frames.of_snapshot(training, snapshot, views)
            return {view: Frame(snapshot.serial, events[view]) for view in events}, time.thread_time() - started

        return await to_thread.run_sync(render, limiter=self._threads)

    async def render_final(self, job: Job, version: int | None, view: FrameView) -> bytes:
        """Renders what a job has published, or without a `version` what it has kept, as an encoded event.

        Empty if it cannot be rendered, or not within `FINAL_FRAME_S`.
        """

        def render() -> bytes:
            if version is None:
                network: LoadedNetwork = self._kept_networks.of(self._spaces.job(job.id))
            else:
                network = self._registry.resolve(job.model, version)
            return frames.frame(job.id, network, view)

        try:
            with anyio.move_on_after(FINAL_FRAME_S):
                return await to_thread.run_sync(render, limiter=self._threads, abandon_on_cancel=True)
        except (InvalidInput, ServiceError):
            pass  # the version is damaged, or its logits overflow
        except Exception:
            logger.exception("cannot render the final frame of job %s", job.id)
        return b""


class JobFrames:
    """The latest frames of one job, in each view that a viewer has asked for."""

    def __init__(self, job: Job, renderer: FrameRenderer, *, on_frame: Callable[[], object]) -> None:
        """`on_frame` is called after each new frame."""
        self._job = job
        self._renderer = renderer
        self._on_frame = on_frame
        self._training: RunningTraining | None = None
        self._viewers: Counter[FrameView] = Counter()
        self._snapshot_serial = 0
        self._changed = asyncio.Event()  # set when a frame may be out of date
        self._is_rendering = False
        self._frames: dict[FrameView, Frame] = {}
        self._final_frames: dict[FrameView, bytes | None] = {}  # None while it is rendered

    def add_viewer(self, request: FrameRequest) -> None:
        """Renders frames for one more viewer, until `remove_viewer`."""
        self._training = self._training or request.trainings.get(self._job.id)
        self._viewers[request.view] += 1
        self._renderer.watch(self._job.id, self._training)
        self._changed.set()
        if not self._is_rendering:
            self._is_rendering = True
            self._renderer.start(self._render_while_watched())

    def remove_viewer(self, request: FrameRequest) -> None:
        """Ends an `add_viewer`."""
        self._viewers -= Counter([request.view])
        if request.view not in self._viewers:
            self._final_frames.pop(request.view, None)
        self._changed.set()
        if not self._viewers:
            self._renderer.unwatch(self._job.id)

    def note_snapshot(self, serial: int) -> None:
        """Takes note of the serial of the job's latest snapshot, 0 if it has none."""
        if serial != self._snapshot_serial:
            self._snapshot_serial = serial
            self._changed.set()

    def latest(self, view: FrameView) -> Frame:
        """The latest frame of this view, `NO_FRAME` if there is none yet."""
        return self._frames.get(view, NO_FRAME)

    def final(self, version: int | None, view: FrameView) -> bytes | None:
        """The frame of what the job has published or kept, as an encoded event; see `render_final`.

        The first call starts to render it. None until it is ready.
        """
        if view not in self._final_frames:
            self._final_frames[view] = None
            self._renderer.start(self._render_final(version, view))
        return self._final_frames[view]

    async def _render_while_watched(self) -> None:
        while self._viewers:
            self._changed.clear()
            try:
                await self._render_outdated()
            except StoreUnavailable:
                await asyncio.sleep(background.RETRY_S)
                self._changed.set()
            except Exception:
                logger.exception("cannot render a frame of job %s", self._job.id)
            await self._changed.wait()
        self._is_rendering = False

    async def _render_outdated(self) -> None:
        """Renders the frames that are older than the latest snapshot, then pauses as `FRAME_SHARE` demands."""
        outdated = [view for view in self._viewers if self.latest(view).serial < self._snapshot_serial]
        if not outdated:
            return
        started = time.monotonic()
        if self._training is None:
            self._training = await self._renderer.training(self._job.id)
        rendered, cpu_s = await self._renderer.render(self._training, outdated)
        if rendered:
            latest = self._frames | rendered
            self._frames = {view: latest[view] for view in latest if view in self._viewers}
            self._on_frame()
            await asyncio.sleep(started + max(FRAME_S, cpu_s / FRAME_SHARE) - time.monotonic())

    async def _render_final(self, version: int | None, view: FrameView) -> None:
        frame = await self._renderer.render_final(self._job, version, view)
        if view in self._viewers:
            self._final_frames[view] = frame
            self._on_frame()
