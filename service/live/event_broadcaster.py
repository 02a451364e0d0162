"""Sends the events of jobs to their subscribers. The store is read once for all of them."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event as ThreadEvent

from anyio import CapacityLimiter, to_thread

from service.errors import StoreUnavailable, TooManyStreams
from service.jobs.spaces import JobSpaces
from service.live import background
from service.live.frame_renderer import FrameRenderer, FrameRequest
from service.live.job_stream import KEPT_EVENTS, EncodedEvent, JobStream, JobUpdate
from service.live.subscription import Cursor, Subscription
from service.live.wakeup import Wakeup
from service.records import Job
from service.registry.registry import Registry

POLL_S = 0.02
"""How often the store is read while anybody follows a job, by one small indexed query."""

POLL_SHARE = 0.2
"""The share of a core that reading may take. With very many followed jobs the store is read less often."""

STOP_POLL_S = 0.05
"""How often to check whether the service is stopping while there are subscribers."""

KEEP_ALIVE_S = 15.0
"""Longest silence of a stream. Proxies close a connection that is silent for longer, often after a minute."""


class EventBroadcaster:
    """Polls the store for events of the followed jobs and wakes their subscribers. One per API process."""

    def __init__(
        self,
        spaces: JobSpaces,
        registry: Registry,
        frame_renderer: FrameRenderer,
        *,
        wakeup: Wakeup,
        stopping: ThreadEvent,
        max_streams: int,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """Must be called in the event loop that runs it.

        Args:
            spaces: have the events.
            registry: learns of a version before an event reports it.
            frame_renderer: renders the boundary frames.
            wakeup: notified when a job may have new events.
            stopping: set when the service stops.
            max_streams: maximum number of streams that may be open at a time.
            keep_alive_s: longest silence of a stream.
        """
        self._spaces = spaces
        self._registry = registry
        self._frame_renderer = frame_renderer
        self._wakeup = wakeup
        self._stopping = stopping
        self._max_streams = max_streams
        self._keep_alive_s = keep_alive_s
        self._open_streams = 0
        self._job_streams: dict[str, JobStream] = {}
        self._subscriptions: set[Subscription] = set()
        self._poll_thread = CapacityLimiter(1)  # its own, so that other requests do not delay events
        self._read_threads = CapacityLimiter(2)

    async def run(self) -> None:
        """Runs until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(background.repeat_forever("reading job events", self._poll))
            group.create_task(background.repeat_forever("closing event streams", self._wake_all_when_stopping))

    @property
    def open_streams(self) -> int:
        """Number of event streams that are open."""
        return self._open_streams

    @contextmanager
    def stream_slot(self) -> Iterator[None]:
        """Counts one more open stream.

        Raises:
            TooManyStreams: `max_streams` are open.
        """
        if self._open_streams >= self._max_streams:
            raise TooManyStreams(
                f"A process sends at most {self._max_streams:,} streams at a time. Try again when others have ended, "
                "or follow several jobs in one stream."
            )
        self._open_streams += 1
        try:
            yield
        finally:
            self._open_streams -= 1

    @contextmanager
    def subscribe(
        self, jobs: Sequence[Job], positions: Sequence[int], frames: FrameRequest | None = None
    ) -> Iterator[Subscription]:
        """Follows some jobs.

        Args:
            jobs: as they are now.
            positions: for each job, the number of the last event that the subscriber has seen.
            frames: the boundary frames to send too.
        """
        streams = [self._job_streams.setdefault(job.id, JobStream(job, self._frame_renderer)) for job in jobs]
        subscription = Subscription(
            cursors=list(map(Cursor.at, streams, jobs, positions)),
            view=frames.view if frames is not None else None,
            read_events=self._read_older_events,
            stopping=self._stopping,
            keep_alive_s=self._keep_alive_s,
        )
        self._subscriptions.add(subscription)
        for stream in streams:
            stream.join(subscription.changed, frames)
        self._wakeup.notify()
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            for stream in streams:
                stream.leave(subscription.changed, frames)
                if not stream.has_subscribers:
                    del self._job_streams[stream.job_id]

    async def _poll(self) -> None:
        """Reads what is new of all followed jobs, then waits until there may be more."""
        notified = self._wakeup.next
        streams = dict(self._job_streams)
        if not streams:
            await notified.wait()
            return
        positions = {job_id: stream.last_number for job_id, stream in streams.items()}
        updates, cpu_s = await to_thread.run_sync(self._read_updates, positions, limiter=self._poll_thread)
        for job_id, stream in streams.items():
            stream.apply(updates.get(job_id))
        await background.wait_with_timeout(notified, max(POLL_S, cpu_s / POLL_SHARE))

    def _read_updates(self, positions: Mapping[str, int]) -> tuple[dict[str, JobUpdate], float]:
        """What is new of each job since an event number, without deleted jobs; and the CPU time in seconds."""
        started = time.thread_time()
        updates = {
            job_id: JobUpdate(
                self._read_events(job_id, positions[job_id]) if latest.event > positions[job_id] else [],
                latest.snapshot,
            )
            for job_id, latest in self._spaces.latest(positions).items()
        }
        return updates, time.thread_time() - started

    def _read_events(self, job_id: str, after: int) -> list[EncodedEvent]:
        """The next events of a job. If one reports a version, this process knows it when this returns."""
        page, _ = self._spaces.of(job_id).store.events.page(job_id, after=after, limit=KEPT_EVENTS)
        events = [EncodedEvent.of(event) for event in page]
        if any(event.version is not None for event in events):
            self._registry.refresh()
        return events

    async def _read_older_events(self, job_id: str, after: int) -> list[EncodedEvent]:
        """As `_read_events`, in a thread. Empty if the database is unavailable."""
        with suppress(StoreUnavailable):
            return await to_thread.run_sync(self._read_events, job_id, after, limiter=self._read_threads)
        return []

    async def _wake_all_when_stopping(self) -> None:
        """Wakes all subscribers if the service is stopping, then waits until it is time to check again."""
        if not self._subscriptions:
            await self._wakeup.next.wait()
            return
        if self._stopping.is_set():
            for subscription in self._subscriptions:
                subscription.changed.set()
        await asyncio.sleep(STOP_POLL_S)
