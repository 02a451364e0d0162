"""One subscriber to the events of some jobs."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Event as ThreadEvent

from service.live import background, envelopes
from service.live.frames import FrameView
from service.live.job_stream import EncodedEvent, JobStream
from service.records import Job
from service.render import sse

CLOSING = {"reason": "The service is stopping. Connect again with Last-Event-ID."}


def has_ended(job: Job, position: int) -> bool:
    """Whether no event of the job follows the one with the number `position`, now or later."""
    return job.state.ended and position >= job.status.events


@dataclass
class Cursor:
    """How far a subscription has come with one job.

    Attributes:
        stream: the job.
        position: the number of the last event that was sent.
        is_done: whether the job's final event was sent.
        frame_serial: the serial of the last frame that was sent.
    """

    stream: JobStream
    position: int
    is_done: bool
    frame_serial: int = 0

    @classmethod
    def at(cls, stream: JobStream, job: Job, position: int) -> "Cursor":
        """The cursor after the event with the number `position`, or after the last event if there is none yet."""
        return cls(stream, min(position, job.status.events), has_ended(job, position))

    @property
    def is_in_memory(self) -> bool:
        """Whether the stream still holds all events after the position."""
        return self.stream.has_all_after(self.position)


@dataclass(eq=False)
class Subscription:
    """Sends the events of some jobs to one subscriber, with boundary frames if it wants them.

    It pulls: it is woken when there may be something new, takes what follows its cursors, and waits until that is sent.
    There is no queue. So a slow subscriber costs no memory, loses no event, and receives only the newest frame.

    Attributes:
        cursors: one for each job.
        view: the frames to send; None sends no frames.
        read_events: reads the events of a job after a number from the store, for a subscriber that is far behind.
        stopping: set when the service stops.
        keep_alive_s: longest silence; then a ping is sent.
        changed: set when there may be something new to send.
        is_closed: whether the subscriber has gone.
    """

    cursors: Sequence[Cursor]
    view: FrameView | None
    read_events: Callable[[str, int], Awaitable[Sequence[EncodedEvent]]]
    stopping: ThreadEvent
    keep_alive_s: float
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    def close(self) -> None:
        """Ends `chunks`."""
        self.is_closed = True
        self.changed.set()

    async def wait(self, timeout_s: float) -> None:
        """Waits until there may be something new, or the time is up."""
        timer = asyncio.get_running_loop().call_later(timeout_s, self.changed.set)  # a third of asyncio.timeout's cost
        try:
            await self.changed.wait()
        finally:
            timer.cancel()
        self.changed.clear()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The encoded events and frames. Ends when all jobs have ended, after `close`, and when the service stops."""
        sent_at = time.monotonic()
        while not self.is_closed:
            if self.stopping.is_set():
                yield envelopes.streamed("closing", CLOSING, job_id=None)
                return
            lagging = self._lagging()
            content = b"".join([*self._from_memory(), *(await self._from_store(lagging) if lagging else ())])
            if content:
                yield content
                sent_at = time.monotonic()
                continue
            if all(cursor.is_done or cursor.stream.is_deleted for cursor in self.cursors):
                return
            ping_at = sent_at + self.keep_alive_s
            await self.wait(background.RETRY_S if lagging else ping_at - time.monotonic())
            if time.monotonic() >= ping_at:
                yield sse.PING
                sent_at = time.monotonic()

    def _lagging(self) -> Cursor | None:
        """A cursor whose next events are no longer in memory, if there is one."""
        return next((each for each in self.cursors if not each.is_done and not each.is_in_memory), None)

    def _from_memory(self) -> Iterator[bytes]:
        for cursor in self.cursors:
            if not cursor.is_done and cursor.is_in_memory:
                yield from self._advance(cursor, cursor.stream.events_after(cursor.position))
            if not cursor.is_done and self.view is not None:
                frame = cursor.stream.frames.latest(self.view)
                if frame.serial > cursor.frame_serial:
                    cursor.frame_serial = frame.serial
                    yield frame.event

    async def _from_store(self, cursor: Cursor) -> list[bytes]:
        return [*self._advance(cursor, await self.read_events(cursor.stream.job_id, cursor.position))]

    def _advance(self, cursor: Cursor, events: Iterable[EncodedEvent]) -> Iterator[bytes]:
        """Moves a cursor over these events and yields each with its id, the final frame before the final event."""
        for event in events:
            if event.is_final and event.has_network and self.view is not None:
                frame = cursor.stream.frames.final(event.version, self.view)
                if frame is None:
                    return  # not rendered yet
                yield frame
            cursor.position = event.number
            cursor.is_done = event.is_final
            yield sse.numbered(event.fields, self._id())

    def _id(self) -> bytes:
        """The id of the event that is sent next: the position in every job, from which a client can go on."""
        return ",".join([str(cursor.position) for cursor in self.cursors]).encode()
