"""One job that somebody follows: its latest events, encoded once for all subscribers, and its boundary frames."""

import asyncio
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import NamedTuple

from service.live import envelopes
from service.live.frame_renderer import FrameRenderer, FrameRequest, JobFrames
from service.records import Event, Job, JobState
from service.render import sse

KEPT_EVENTS = 200
"""Events of a job that are kept in memory, about 40 KB. A subscriber that is further behind reads from the store."""

EVENTS_PER_CHUNK = 100
"""Maximum number of events of a job that a subscription sends at a time."""


class EncodedEvent(NamedTuple):
    """An event as it is sent, but for its id, which each stream adds.

    Attributes:
        number: counts the events of the job from 1.
        is_final: whether it is the job's last event.
        version: the number of the published version, if the event reports one.
        has_network: whether it reports that the job has succeeded.
        fields: the encoded type and data.
    """

    number: int
    is_final: bool
    version: int | None
    has_network: bool
    fields: bytes

    @classmethod
    def of(cls, event: Event) -> "EncodedEvent":
        """Encodes an event of the store."""
        fields = sse.fields(event.kind, envelopes.encode(envelopes.stored(event)))
        has_network = event.data.get("status") == JobState.SUCCEEDED
        return cls(event.number, event.kind == "done", event.data.get("version"), has_network, fields)


class JobUpdate(NamedTuple):
    """What is new of a job: its next events, and the serial of its latest snapshot, 0 if it has none."""

    events: Collection[EncodedEvent]
    snapshot_serial: int


class JobStream:
    """The latest events and frames of one job.

    A subscriber joins with an `asyncio.Event`, which is set whenever there is something new for it.

    Attributes:
        job_id: the id of the job.
        last_number: the number of the last event that was read from the store.
        is_deleted: whether the job was deleted.
        frames: the boundary frames.
    """

    def __init__(self, job: Job, renderer: FrameRenderer) -> None:
        self.job_id = job.id
        self.last_number = max(0, job.status.events - KEPT_EVENTS)
        self.is_deleted = False
        self.frames = JobFrames(job, renderer, on_frame=lambda: _set_all(self._viewers))
        self._events: deque[EncodedEvent] = deque(maxlen=KEPT_EVENTS)
        self._subscribers: set[asyncio.Event] = set()
        self._viewers: set[asyncio.Event] = set()  # the subscribers that receive frames

    def join(self, changed: asyncio.Event, request: FrameRequest | None) -> None:
        """Adds a subscriber, which receives frames too if it requests them."""
        self._subscribers.add(changed)
        if request is not None:
            self._viewers.add(changed)
            self.frames.add_viewer(request)

    def leave(self, changed: asyncio.Event, request: FrameRequest | None) -> None:
        """Removes a subscriber."""
        self._subscribers.remove(changed)
        if request is not None:
            self._viewers.remove(changed)
            self.frames.remove_viewer(request)

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody still follows the job."""
        return bool(self._subscribers)

    def apply(self, update: JobUpdate | None) -> None:
        """Applies what was read from the store; None if the job no longer exists."""
        if update is None:
            if not self.is_deleted:
                self.is_deleted = True
                _set_all(self._subscribers)
            return
        if update.events:
            self._events.extend(update.events)
            self.last_number = self._events[-1].number
            _set_all(self._subscribers)
        self.frames.note_snapshot(update.snapshot_serial)

    def has_all_after(self, number: int) -> bool:
        """Whether every event after this number that was read from the store is still in memory."""
        return number >= self.last_number - len(self._events)

    def events_after(self, number: int) -> Iterator[EncodedEvent]:
        """The next events after this number, oldest first, at most `EVENTS_PER_CHUNK`."""
        start = number - (self.last_number - len(self._events))
        return islice(self._events, start, start + EVENTS_PER_CHUNK)


def _set_all(events: Collection[asyncio.Event]) -> None:
    for event in events:
        event.set()
