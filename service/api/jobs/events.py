"""What jobs have to tell: `GET /jobs/{job_id}/events` as a page or a stream, `GET /events` of several jobs at once."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from models.specs import InvalidInput
from service.api.deps import Services, ServicesDep
from service.api.jobs.routes import JobPath
from service.api.jobs.views import JobView
from service.http import content_negotiation, request_body
from service.http.patterns import JOB_IDS_PATTERN
from service.live import frames
from service.live.event_broadcaster import (
    NO_SCENES,
    EventBroadcaster,
    Follower,
    has_seen_all,
)
from service.live.frames import MAX_CELLS, MIN_CELLS, Scene
from service.records import Event, EventKind, Job
from service.render import sse

router = APIRouter(tags=["training"])

MAX_EVENTS = 1_000
"""Most events of a page."""

MAX_NUMBER = 999_999_999

RETRY_MS = 1_000
"""How long clients wait before they connect again."""

_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")


class EventView(BaseModel):
    """Something that a job has come to."""

    id: int = Field(description="Counts from 1 within the job, without gaps.")
    object: str = "training.job.event"
    type: EventKind
    created_at: datetime
    data: dict[str, Any] = Field(description="What it is about; `job` is the job's id.")

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """The view of an event's row."""
        return cls(
            id=event.number,
            type=event.kind,
            created_at=datetime.fromtimestamp(event.created_at, UTC),
            data={"job": event.job_id, **event.data},
        )


class EventPage(BaseModel):
    """One page of a job's events."""

    object: str = "list"
    data: list[EventView]
    has_more: bool = Field(description="Whether more follow: ask again with `after` set to `last_id`.")
    first_id: int | None
    last_id: int | None

    @classmethod
    def of(cls, events: Sequence[Event], *, has_more: bool) -> "EventPage":
        """The page of these events."""
        data = [EventView.of(event) for event in events]
        return cls(
            data=data,
            has_more=has_more,
            first_id=data[0].id if data else None,
            last_id=data[-1].id if data else None,
        )


_STREAM = {
    "type": "string",
    "description": "Events `job` (as GET /jobs/{job_id} has it, first), `status`, `metrics`, `checkpoint`, `done`, "
    "and, if asked for, `boundary`; before the service stops, `closing`. The data of each are JSON in one line.",
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {sse.MEDIA_TYPE: {"schema": _STREAM}}},
    204: {"description": "The jobs have ended, and nothing follows the position: no need to connect again."},
}
"""What the OpenAPI document says of a stream."""

BoundaryQuery = Annotated[
    int | None,
    Query(
        ge=MIN_CELLS,
        le=MAX_CELLS,
        description="Of a stream: also events `boundary` while the network is trained, its answers on so many columns "
        "and rows; only for jobs whose points have two coordinates.",
    ),
]
LastEventHeader = Annotated[
    str | None, Header(description="Of a stream: the id of the last event that was seen; goes before `after`.")
]


class EventStream(Response):
    """What some jobs have to tell, as it comes."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, broadcaster: EventBroadcaster, asked: "_Asked", scenes: Mapping[str, Scene]) -> None:
        super().__init__(
            headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Vary": "Accept"}
        )
        del self.headers["content-length"]
        self._broadcaster = broadcaster
        self._asked = asked
        self._scenes = scenes

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Sends it.

        Raises:
            TooManyStreams: as many are open as may be; then nothing has been sent.
        """
        asked = self._asked
        with self._broadcaster.stream(asked.jobs, asked.positions, cells=asked.cells, scenes=self._scenes) as follower:
            listening = asyncio.create_task(_listen(receive, follower))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": _opening(asked.jobs), "more_body": True})
                async for chunk in follower.chunks():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
            finally:
                listening.cancel()


async def _listen(receive: Receive, follower: Follower) -> None:
    """Tells the follower when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.is_away = True
    follower.news.set()


def _opening(jobs: Sequence[Job]) -> bytes:
    views = [sse.event("job", JobView.of(job).model_dump_json().encode()) for job in jobs]
    return b"".join([sse.retry(RETRY_MS), *views])


@router.get("/jobs/{job_id}/events", response_model=EventPage, responses=RESPONSES)
async def list_events(
    job_id: JobPath,
    services: ServicesDep,
    request: Request,
    response: Response,
    after: Annotated[int, Query(ge=0, le=MAX_NUMBER, description="The number of the last event that was seen.")] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MAX_EVENTS, description="Of a page; a stream has no end but the job's.")
    ] = 100,
    boundary: BoundaryQuery = None,
    last_event_id: LastEventHeader = None,
) -> EventPage | Response:
    """What a job has come to, oldest first: a page, or with `Accept: text/event-stream` a stream that goes on."""
    accept = request_body.header(request_body.headers_of(request.scope), b"accept")
    if content_negotiation.chosen(("json", "events"), accept) == "events":
        return await _stream(services, [job_id], last_event_id, str(after), boundary)
    if boundary is not None:
        raise InvalidInput("boundary", "only with Accept: text/event-stream")
    response.headers["Vary"] = "Accept"
    return await to_thread.run_sync(_page, services, job_id, after, limit)


def _page(services: Services, job_id: str, after: int, limit: int) -> EventPage:
    job = services.store.jobs.get(job_id)
    events, has_more = services.store.events.page(job.id, after=after, limit=limit)
    for event in events:
        services.registry.know(job.model, event.data.get("version"))
    return EventPage.of(events, has_more=has_more)


@router.get("/events", status_code=200, response_class=EventStream, responses=RESPONSES)
async def follow_jobs(
    services: ServicesDep,
    request: Request,
    job: Annotated[str, Query(pattern=JOB_IDS_PATTERN, description="The jobs' ids, 1 to 20, with commas between.")],
    after: Annotated[
        str | None,
        Query(
            description="For each job the number of the last event that was seen, with commas between, such as 12,7."
        ),
    ] = None,
    boundary: BoundaryQuery = None,
    last_event_id: LastEventHeader = None,
) -> Response:
    """What several jobs come to, in one stream."""
    content_negotiation.chosen(("events",), request_body.header(request_body.headers_of(request.scope), b"accept"))
    ids = job.split(",")
    if len(set(ids)) < len(ids):
        raise InvalidInput("job", "each job once")
    return await _stream(services, ids, last_event_id, after, boundary)


@dataclass(frozen=True)
class _Asked:
    """What a stream is asked to tell: the events of some jobs after those of these numbers; and see `Feed.follow`."""

    jobs: Sequence[Job]
    positions: Sequence[int]
    cells: int | None


async def _stream(
    services: Services, ids: Sequence[str], last_event_id: str | None, after: str | None, cells: int | None
) -> Response:
    if last_event_id:
        positions = _positions(last_event_id, len(ids), "last-event-id")
    else:
        positions = _positions(after, len(ids), "after") if after is not None else [0] * len(ids)
    jobs = await to_thread.run_sync(_jobs, services, ids)
    scenes = NO_SCENES
    if cells is not None:
        frames.require_plane(jobs)
        scenes = await services.frame_renderer.scenes(jobs)
        for scene in scenes.values():
            scene.require(cells)
    if all(map(has_seen_all, jobs, positions)):
        return Response(status_code=204)
    return EventStream(services.broadcaster, _Asked(jobs, positions, cells), scenes)


def _jobs(services: Services, ids: Sequence[str]) -> list[Job]:
    """The jobs as they may be told."""
    return [services.job(job_id) for job_id in ids]


def _positions(text: str, jobs: int, field: str) -> list[int]:
    """The numbers of the events that were seen last, one of each job.

    Raises:
        InvalidInput: there are not so many, or they are no numbers.
    """
    numbers = text.split(",")
    if not _NUMBERS.fullmatch(text) or len(numbers) != jobs:
        raise InvalidInput(field, "must be the number of an event of each job, with commas between, such as 12,7")
    return [int(number) for number in numbers]
