"""What jobs have to tell, read once for all who follow them.

Whoever follows remembers how far it has come and takes what is new when it comes round; nobody has a queue. So a slow
reader costs no memory, loses no event, and of boundary frames gets the newest.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from threading import Event as Flag
from typing import Any, NamedTuple

import anyio
import orjson
from anyio import CapacityLimiter, to_thread

from models.specs import InvalidInput
from service.api import frames, sse
from service.api.bell import Bell
from service.api.frames import Scene
from service.errors import ServiceError, StoreUnavailable, TooManyStreams
from service.records import Event, Job
from service.registry import Registry
from service.store.files import DamagedData, Files
from service.store.store import Store

logger = logging.getLogger(__name__)

LOOK_S = 0.02
"""How often to look for news while anybody follows a job: one small indexed query."""

LOOK_SHARE = 0.2
"""The share of the time that looking may take, where very many jobs are followed at once."""

STOP_LOOK_S = 0.05
"""How often to look whether the service is to stop."""

RETRY_S = 0.5
"""How long to wait before the database is asked again, when it was away."""

KEEP_ALIVE_S = 15.0
"""Longest that a stream is silent; proxies take one that is silent for longer, often a minute, for dead."""

KEPT_EVENTS = 200
"""Events of a job that are kept for all, some 40 KB; whoever is further behind reads from the store."""

AT_ONCE = 100
"""Most events of a job that a stream takes before it sends them."""

WATCH_S = 3.0
"""For how long a worker is told that somebody watches; it is told again each second."""

FRAME_S = 0.05
"""Least time from one frame of a job to the next."""

FRAME_SHARE = 0.5
"""The share of a core that the frames of one job may take: those of large networks come less often."""

LAST_FRAME_S = 1.0
"""How long the end of a job is held back, from those who watch its frames alone, for its last frame."""

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


class Frame(NamedTuple):
    """A boundary frame as it is sent, and the serial of the snapshot that it was made from."""

    serial: int
    event: bytes


class Track:
    """One job that somebody follows.

    Attributes:
        told: the number of the last event that was read.
        kept: the last events that were read, up to that one.
        is_gone: whether the job was deleted.
        snapshot: the serial of its latest snapshot, 0 if it has none.
        sizes: how many watch its frames, by their columns.
        frames: the latest frame of each size.
        last_frames: those of the version that it has published; None while one is made.
        stirred: set when there may be a frame to make.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.followers: set[Follower] = set()
        self.told = max(0, job.events - KEPT_EVENTS)
        self.kept: deque[Told] = deque(maxlen=KEPT_EVENTS)
        self.is_gone = False
        self.scene: Scene | None = None
        self.snapshot = 0
        self.sizes: Counter[int] = Counter()
        self.is_drawn = False
        self.frames: dict[int, Frame] = {}
        self.last_frames: dict[int, bytes | None] = {}
        self.stirred = asyncio.Event()

    @property
    def unmade(self) -> list[int]:
        """The sizes of which there is no frame of the latest snapshot yet."""
        return [cells for cells in self.sizes if self.snapshot > self.frames.get(cells, NO_FRAME).serial]

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


NO_FRAME = Frame(0, b"")

NO_SCENES: Mapping[str, Scene] = {}


def has_seen_all(job: Job, position: int) -> bool:
    """Whether a job has nothing to tell any more to who has seen its events up to the one of that number."""
    return job.state.ended and position >= job.events


class Feed:
    """Reads what followed jobs have to tell, and makes the frames that are watched. One for each API process."""

    def __init__(
        self,
        store: Store,
        files: Files,
        registry: Registry,
        *,
        bell: Bell,
        stopping: Flag,
        heavy: CapacityLimiter,
        max_streams: int,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        """To be made within the event loop, and run in it.

        Args:
            store: of the jobs.
            files: of the same service.
            registry: of the versions that this process serves: a job is not told to have succeeded before.
            bell: rings when there may be news; it is rung when somebody begins to follow.
            stopping: set once the service is to stop.
            heavy: of the threads in which frames are made.
            max_streams: how many may follow at a time.
            keep_alive_s: longest that a stream is silent.
        """
        self._store = store
        self._files = files
        self._registry = registry
        self._bell = bell
        self._stopping = stopping
        self._heavy = heavy
        self.keep_alive_s = keep_alive_s
        self._max_streams = max_streams
        self._tracks: dict[str, Track] = {}
        self._followers: set[Follower] = set()
        self._threads = CapacityLimiter(2)  # of its own: other requests must not keep events waiting
        self._tasks: asyncio.TaskGroup | None = None
        self._watch_begun = asyncio.Event()

    async def run(self) -> None:
        """Does all this until it is cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self._start(_patiently("reading what jobs have to tell", self._look))
            self._start(_patiently("telling workers that they are watched", self._watch))
            self._start(_patiently("ending the streams", self._end_streams))

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

        Raises:
            TooManyStreams: as many follow as may.
        """
        if len(self._followers) >= self._max_streams:
            raise TooManyStreams("Try again when some of the others are done, or follow several jobs in one stream.")
        tracks = [self._tracks.setdefault(job.id, Track(job)) for job in jobs]
        places = [
            _Place(track, min(position, job.events), is_over=has_seen_all(job, position))
            for track, job, position in zip(tracks, jobs, positions, strict=True)
        ]
        follower = Follower(self, places, cells)
        self._followers.add(follower)
        for track in tracks:
            track.followers.add(follower)
            if cells is not None:
                self._begin_watching(track, cells, scenes.get(track.job.id))
        self._bell.ring()
        try:
            yield follower
        finally:
            self._followers.remove(follower)
            for track in tracks:
                self._leave(track, follower)

    def _leave(self, track: Track, follower: "Follower") -> None:
        track.followers.remove(follower)
        if follower.cells is not None:
            track.sizes -= Counter([follower.cells])
            track.stirred.set()
        if not track.followers:
            del self._tracks[track.job.id]

    # events

    async def _look(self) -> None:
        """Reads the news, and waits until there may be more."""
        ring = self._bell.next
        began = time.monotonic()
        if self._tracks:
            tracks = dict(self._tracks)
            known = {job_id: track.told for job_id, track in tracks.items()}
            news = await to_thread.run_sync(self._news, known, limiter=self._threads)
            for job_id, track in tracks.items():
                _note(track, news.get(job_id))
        pause_s = max(LOOK_S, (time.monotonic() - began) / LOOK_SHARE) if self._tracks else None
        await _either(ring, pause_s)

    def _news(self, known: Mapping[str, int]) -> "dict[str, _News]":
        latest = self._store.events.latest(known)
        return {
            job_id: _News(one.snapshot, self._events(job_id, known[job_id]) if one.event > known[job_id] else [])
            for job_id, one in latest.items()
        }

    def _events(self, job_id: str, after: int) -> list[Told]:
        """The next events of a job. This process serves the version that one of them tells of."""
        told = [Told.of(event) for event in self._store.events.page(job_id, after=after, limit=KEPT_EVENTS)[0]]
        if any(one.version is not None for one in told):
            self._registry.refresh()
        return told

    async def older(self, job_id: str, after: int) -> list[Told]:
        """Events of a job that are kept no more; none if they cannot be read now."""
        with suppress(StoreUnavailable):
            return await to_thread.run_sync(self._events, job_id, after, limiter=self._threads)
        return []

    # the end

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

    # frames

    async def scenes(self, jobs: Collection[Job]) -> dict[str, Scene]:
        """What the frames of these jobs have in common, by id; a job whose points cannot be read back has none."""
        known = {job_id: track.scene for job_id, track in self._tracks.items() if track.scene is not None}

        def find() -> dict[str, Scene]:
            found = {}
            for job in jobs:
                with suppress(DamagedData, OSError):  # of which the job itself will have to tell
                    found[job.id] = known.get(job.id) or Scene.of(job, self._files)
            return found

        return await to_thread.run_sync(find, limiter=self._heavy)

    def _begin_watching(self, track: Track, cells: int, scene: Scene | None) -> None:
        track.scene = track.scene or scene
        track.sizes[cells] += 1
        track.stirred.set()
        self._watch_begun.set()
        if not track.is_drawn:
            track.is_drawn = True
            self._start(self._draw(track))

    async def _watch(self) -> None:
        """Lets the workers know which jobs are watched, and waits until it has to be said again."""
        self._watch_begun.clear()
        watched = [job_id for job_id, track in self._tracks.items() if track.sizes]
        if watched:
            await to_thread.run_sync(lambda: self._store.events.watch(watched, seconds=WATCH_S))
        await _either(self._watch_begun, WATCH_S / 3 if watched else None)

    async def _draw(self, track: Track) -> None:
        """Makes the frames of a job in training for as long as anybody watches."""
        while track.sizes:
            track.stirred.clear()
            began = time.monotonic()
            made = await self._drawn(track, track.unmade) if track.unmade else {}
            if made:
                track.frames = {cells: frame for cells, frame in (track.frames | made).items() if cells in track.sizes}
                track.wake(watchers_only=True)
                took = time.monotonic() - began
                await asyncio.sleep(max(FRAME_S, took / FRAME_SHARE) - took)
            else:
                await track.stirred.wait()
        track.is_drawn = False

    async def _drawn(self, track: Track, sizes: Sequence[int]) -> dict[int, Frame]:
        def draw() -> dict[int, Frame]:
            snapshot = self._store.events.snapshot(track.job.id)
            if snapshot is None or track.scene is None:
                return {}
            made = track.scene.frames(track.job.id, snapshot, sizes)
            return {cells: Frame(snapshot.serial, event) for cells, event in made.items()}

        try:
            return await to_thread.run_sync(draw, limiter=self._heavy)
        except StoreUnavailable:
            await asyncio.sleep(RETRY_S)
        except Exception:
            logger.exception("no frame of job %s could be made", track.job.id)
        return {}

    def last_frame(self, track: Track, version: int, cells: int) -> bytes | None:
        """The frame of the version that a job has published, empty if there is none to show.

        None as long as it is being made; those who watch come round when it is there.
        """
        if cells not in track.last_frames:
            track.last_frames[cells] = None
            self._start(self._draw_last(track, version, cells))
        return track.last_frames[cells]

    async def _draw_last(self, track: Track, version: int, cells: int) -> None:
        def draw() -> bytes:
            return frames.last_frame(track.job.id, self._registry.resolve(track.job.model, version), cells)

        made = b""
        try:
            with anyio.move_on_after(LAST_FRAME_S):
                made = await to_thread.run_sync(draw, limiter=self._heavy, abandon_on_cancel=True)
        except (InvalidInput, ServiceError):
            pass  # a version that is damaged, or cannot be shown, has none
        except Exception:
            logger.exception("no last frame of job %s could be made", track.job.id)
        track.last_frames[cells] = made
        track.wake(watchers_only=True)

    def _start(self, act: Coroutine[Any, Any, None]) -> None:
        assert self._tasks is not None
        self._tasks.create_task(act)


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
    if news.snapshot != track.snapshot:
        track.snapshot = news.snapshot
        track.stirred.set()


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

    def __init__(self, feed: Feed, places: Sequence[_Place], cells: int | None) -> None:
        self.cells = cells
        self.news = asyncio.Event()
        self.is_away = False
        self._feed = feed
        self._places = places

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to send: ends when the jobs have, when nobody listens any more, and when the service is to stop."""
        sent = time.monotonic()
        while not self.is_away:
            self.news.clear()
            if self._feed.is_stopping:
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
            silent_until = sent + self._feed.keep_alive_s
            await _either(self.news, RETRY_S if behind else silent_until - time.monotonic())
            if time.monotonic() >= silent_until:
                yield sse.PING
                sent = time.monotonic()

    def _new(self) -> Iterator[bytes]:
        for place in self._places:
            if not place.is_over and place.track.keeps(place.position):
                yield from self._events(place, place.track.since(place.position))
            if not place.is_over and self.cells is not None:
                frame = place.track.frames.get(self.cells, NO_FRAME)
                if frame.serial > place.frame:
                    place.frame = frame.serial
                    yield frame.event

    def _events(self, place: _Place, events: Iterable[Told]) -> Iterator[bytes]:
        for told in events:
            if told.is_end and told.version is not None and self.cells is not None:
                last = self._feed.last_frame(place.track, told.version, self.cells)
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
        return [*self._events(place, await self._feed.older(place.track.job.id, place.position))]

    def _is_over(self) -> bool:
        return all(place.is_over or place.track.is_gone for place in self._places)


async def _either(event: asyncio.Event, timeout_s: float | None) -> None:
    """Waits until an event is set, or the time is up."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()


async def _patiently(what: str, act: Callable[[], Awaitable[None]]) -> None:
    """Does something again and again, and says once when the database is away."""
    away = False
    while True:
        try:
            await act()
            away = False
        except StoreUnavailable:
            if not away:
                logger.error("%s fails, since the database is away; it is tried again", what)
            away = True
            await asyncio.sleep(RETRY_S)
        except Exception:
            logger.exception("%s failed, and is tried again", what)
            await asyncio.sleep(RETRY_S)
