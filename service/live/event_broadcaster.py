"""What jobs have to tell, read once for all who follow them.

Whoever follows remembers how far it has come and takes what is new when it comes round; nobody has a queue. So a slow
reader costs no memory, loses no event, and of boundary frames gets the newest.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from threading import Event as Flag
from typing import NamedTuple

import orjson
from anyio import CapacityLimiter, to_thread

from service.errors import StoreUnavailable, TooManyStreams
from service.live import background
from service.live.frame_renderer import FrameRenderer, JobFrames
from service.live.frames import Scene
from service.live.wakeup import Wakeup
from service.records import Event, Job
from service.registry.registry import Registry
from service.render import sse
from service.store.store import Store

LOOK_S = 0.02
"""How often to look for news while anybody follows a job: one small indexed query."""

LOOK_SHARE = 0.2
"""The share of a core that looking may take, where very many jobs are followed at once."""

STOP_LOOK_S = 0.05
"""How often to look whether the service is to stop."""

KEEP_ALIVE_S = 15.0
"""Longest that a stream is silent; proxies take one that is silent for longer, often a minute, for dead."""

KEPT_EVENTS = 200
"""Events of a job that are kept for all, some 40 KB; whoever is further behind reads from the store."""

AT_ONCE = 100
"""Most events of a job that a stream takes before it sends them."""

CLOSING = sse.event("closing", b'{"reason":"the service is stopping; connect again with Last-Event-ID"}')


class Told(NamedTuple):
    """An event as it is sent. `version` is the number of the version that it tells of, if it does."""

    number: int
    is_end: bool
    version: int | None
    fields: bytes

    @classmethod
    def of(cls, event: Event) -> "Told":
        """An event of the store's, with its job named in its data."""
        fields = sse.fields(event.kind, orjson.dumps({"job": event.job_id, **event.data}))
        return cls(event.number, event.kind == "done", event.data.get("version"), fields)


class Track:
    """One job that somebody follows.

    Attributes:
        told: the number of the last event that was read.
        kept: the last events that were read, up to that one.
        is_gone: whether the job was deleted.
        canvas: of its frames.
    """

    def __init__(self, job: Job, frame_renderer: FrameRenderer) -> None:
        self.job = job
        self.followers: set[Follower] = set()
        self.told = max(0, job.status.events - KEPT_EVENTS)
        self.kept: deque[Told] = deque(maxlen=KEPT_EVENTS)
        self.is_gone = False
        self.job_frames = JobFrames(job, frame_renderer, on_frame=lambda: self.wake(watchers_only=True))

    def keeps(self, number: int) -> bool:
        """Whether all events after the one of that number are kept that were read."""
        return number >= self.told - len(self.kept)

    def since(self, number: int) -> Iterator[Told]:
        """The next events after the one of that number, some at a time."""
        passed = number - (self.told - len(self.kept))
        return islice(self.kept, passed, passed + AT_ONCE)

    def wake(self, *, watchers_only: bool = False) -> None:
        """Has those who follow come round."""
        for follower in self.followers:
            if follower.cells is not None or not watchers_only:
                follower.news.set()


NO_SCENES: Mapping[str, Scene] = {}


def has_seen_all(job: Job, position: int) -> bool:
    """Whether a job has nothing to tell any more to who has seen its events up to the one of that number."""
    return job.state.ended and position >= job.status.events


class EventBroadcaster:
    """Reads what followed jobs have to tell, for all who follow them. One for each API process."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        frame_renderer: FrameRenderer,
        *,
        wakeup: Wakeup,
        stopping: Flag,
        max_streams: int,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """To be made within the event loop, and run in it.

        Args:
            store: of the jobs.
            registry: of the versions that this process serves: a job is not told to have succeeded before.
            canvases: of the frames.
            bell: rings when there may be news; it is rung when somebody begins to follow.
            stopping: set once the service is to stop.
            max_streams: how many streams may be open at a time.
            keep_alive_s: longest that a stream is silent.
        """
        self.keep_alive_s = keep_alive_s
        self._store = store
        self._registry = registry
        self._frame_renderer = frame_renderer
        self._wakeup = wakeup
        self._stopping = stopping
        self._max_streams = max_streams
        self._tracks: dict[str, Track] = {}
        self._followers: set[Follower] = set()
        self._streams = 0
        self._looking = CapacityLimiter(1)  # of its own: what others ask for must not keep events waiting
        self._reading = CapacityLimiter(2)

    async def run(self) -> None:
        """Does all this until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(background.again("reading what jobs have to tell", self._look))
            group.create_task(background.again("ending the streams", self._end_streams))

    @contextmanager
    def stream(
        self, jobs: Sequence[Job], positions: Sequence[int], *, cells: int | None, scenes: Mapping[str, Scene]
    ) -> "Iterator[Follower]":
        """Follows some jobs as `follow` does, as one of the streams that may be open at a time.

        Raises:
            TooManyStreams: as many are open as may be.
        """
        if self._streams >= self._max_streams:
            raise TooManyStreams("Try again when some of the others are done, or follow several jobs in one stream.")
        self._streams += 1
        try:
            with self.follow(jobs, positions, cells=cells, scenes=scenes) as follower:
                yield follower
        finally:
            self._streams -= 1

    @contextmanager
    def follow(
        self,
        jobs: Sequence[Job],
        positions: Sequence[int],
        *,
        cells: int | None = None,
        scenes: Mapping[str, Scene] = NO_SCENES,
    ) -> "Iterator[Follower]":
        """Follows some jobs from the events of these numbers on.

        Args:
            jobs: as they are now.
            positions: the number of the last event of each that was seen; one that there is not yet counts as the last.
            cells: watch the boundary too, in frames of so many columns and rows.
            scenes: of the frames, by the job's id.
        """
        tracks = [self._tracks.setdefault(job.id, Track(job, self._frame_renderer)) for job in jobs]
        places = [
            _Place(track, min(position, job.status.events), is_over=has_seen_all(job, position))
            for track, job, position in zip(tracks, jobs, positions, strict=True)
        ]
        follower = Follower(self, places, cells)
        self._followers.add(follower)
        for track in tracks:
            track.followers.add(follower)
            if cells is not None:
                track.job_frames.begin(cells, scenes.get(track.job.id))
        self._wakeup.ring()
        try:
            yield follower
        finally:
            self._followers.remove(follower)
            for track in tracks:
                self._leave(track, follower)

    def _leave(self, track: Track, follower: "Follower") -> None:
        track.followers.remove(follower)
        if follower.cells is not None:
            track.job_frames.end(follower.cells)
        if not track.followers:
            del self._tracks[track.job.id]

    async def _look(self) -> None:
        """Reads the news, and waits until there may be more."""
        ring = self._wakeup.next
        tracks = dict(self._tracks)
        if not tracks:
            await ring.wait()
            return
        known = {job_id: track.told for job_id, track in tracks.items()}
        news, took_s = await to_thread.run_sync(self._news, known, limiter=self._looking)
        for job_id, track in tracks.items():
            _note(track, news.get(job_id))
        await background.until(ring, max(LOOK_S, took_s / LOOK_SHARE))

    def _news(self, known: Mapping[str, int]) -> "tuple[dict[str, _News], float]":
        """What is new since the events of these numbers, by job, and the seconds of a core that it took."""
        began = time.thread_time()
        news = {
            job_id: _News(one.snapshot, self._events(job_id, known[job_id]) if one.event > known[job_id] else [])
            for job_id, one in self._store.events.latest(known).items()
        }
        return news, time.thread_time() - began

    def _events(self, job_id: str, after: int) -> list[Told]:
        """The next events of a job. This process serves the version that one of them tells of."""
        told = [Told.of(event) for event in self._store.events.page(job_id, after=after, limit=KEPT_EVENTS)[0]]
        if any(one.version is not None for one in told):
            self._registry.refresh()
        return told

    async def older(self, job_id: str, after: int) -> list[Told]:
        """Events of a job that are kept no more; none if they cannot be read now."""
        with suppress(StoreUnavailable):
            return await to_thread.run_sync(self._events, job_id, after, limiter=self._reading)
        return []

    @property
    def is_stopping(self) -> bool:
        """Whether the service is to stop."""
        return self._stopping.is_set()

    async def _end_streams(self) -> None:
        """Has all come round if the service is to stop, and waits until it is time to look again."""
        if self.is_stopping:
            for follower in self._followers:
                follower.news.set()
        await asyncio.sleep(STOP_LOOK_S)


class _News(NamedTuple):
    """What is new of a job: the serial of its snapshot, and events."""

    snapshot: int
    events: Collection[Told]


def _note(track: Track, news: _News | None) -> None:
    """Takes what was read of a job; None if there is no such job any more."""
    if news is None:
        if not track.is_gone:
            track.is_gone = True
            track.wake()
        return
    if news.events:
        track.kept.extend(news.events)
        track.told = track.kept[-1].number
        track.wake()
    track.job_frames.note(news.snapshot)


@dataclass
class _Place:
    """How far a stream has come with one job: the last event that it has sent, and the serial of the last frame."""

    track: Track
    position: int
    is_over: bool
    frame: int = 0


class Follower:
    """One who follows some jobs.

    Attributes:
        cells: of the frames that it watches; None without.
        news: set when it is to come round.
        is_away: to be set, and `news` with it, when nobody listens any more.
    """

    def __init__(self, broadcaster: EventBroadcaster, places: Sequence[_Place], cells: int | None) -> None:
        self.cells = cells
        self.news = asyncio.Event()
        self.is_away = False
        self._broadcaster = broadcaster
        self._places = places

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to send: ends when the jobs have, when nobody listens any more, and when the service is to stop."""
        sent = time.monotonic()
        while not self.is_away:
            self.news.clear()
            if self._broadcaster.is_stopping:
                yield CLOSING
                return
            behind = self._behind()
            content = b"".join([*self._new(), *(await self._older(behind) if behind else ())])
            if content:
                yield content
                sent = time.monotonic()
                continue
            if self._is_over():
                return
            silent_until = sent + self._broadcaster.keep_alive_s
            await background.until(self.news, background.RETRY_S if behind else silent_until - time.monotonic())
            if time.monotonic() >= silent_until:
                yield sse.PING
                sent = time.monotonic()

    def _new(self) -> Iterator[bytes]:
        for place in self._places:
            if not place.is_over and place.track.keeps(place.position):
                yield from self._events(place, place.track.since(place.position))
            if not place.is_over and self.cells is not None:
                frame = place.track.job_frames.frame(self.cells)
                if frame.serial > place.frame:
                    place.frame = frame.serial
                    yield frame.event

    def _events(self, place: _Place, events: Iterable[Told]) -> Iterator[bytes]:
        for told in events:
            if told.is_end and told.version is not None and self.cells is not None:
                last = place.track.job_frames.last_frame(told.version, self.cells)
                if last is None:
                    return  # it comes first
                yield last
            place.position = told.number
            place.is_over = told.is_end
            yield sse.numbered(told.fields, self._number())

    def _number(self) -> bytes:
        """The id of the event up to which all has been sent: its place in every job of the stream."""
        return ",".join([str(place.position) for place in self._places]).encode()

    def _behind(self) -> _Place | None:
        """A job whose next events are kept no more, if there is one."""
        return next((one for one in self._places if not one.is_over and not one.track.keeps(one.position)), None)

    async def _older(self, place: _Place) -> list[bytes]:
        return [*self._events(place, await self._broadcaster.older(place.track.job.id, place.position))]

    def _is_over(self) -> bool:
        return all(place.is_over or place.track.is_gone for place in self._places)
